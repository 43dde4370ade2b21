"""Drive a root with real processes in tight loops, and report the rate and what the daemon spent on a task.

    python bench/drive.py --on DIR [--tasks N] [--agents N] [--waiting N] [--runs N] [--tool strace|cprofile|phases]

DIR must lie on the file system to be measured. One process submits, each agent is a process that claims and finishes
without waiting for the verdict, as max_claims = 1 allows; the daemon is `taskdir run` of the Python that runs this.
Rates are wall time, and mean little on a busy machine; the daemon's CPU time a task is what to compare.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized

TICK = os.sysconf("SC_CLK_TCK")
NAP, LONG_NAP = 0.0005, 0.016
"""Seconds that an agent rests when nothing is offered: twice as long each time, so that many do not eat the machine."""
PATIENCE = 600.0
"""Seconds after which a run is given up."""
TOOLS = {
    "strace": ["strace", "-f", "-c", "-o", "{out}"],
    "cprofile": [sys.executable, "-m", "cProfile", "-o", "{out}"],
    "phases": [sys.executable, os.path.join(os.path.dirname(__file__), "phases.py"), "{out}"],
}


@dataclass(slots=True)
class Spent:
    """What a process used so far: seconds in user and system mode, resident bytes."""

    user: float
    system: float
    rss: int


@dataclass(slots=True)
class Run:
    """One measurement: how many tasks, seconds of wall time, and what the daemon spent meanwhile."""

    tasks: int
    seconds: float
    user: float
    system: float
    rss: int

    @property
    def rate(self) -> float:
        """Tasks a second, from the first submit to the last record."""
        return self.tasks / self.seconds

    @property
    def cpu(self) -> float:
        """Microseconds of the daemon's CPU time a task."""
        return (self.user + self.system) / self.tasks * 1e6

    def __str__(self) -> str:
        user, system = (value / self.tasks * 1e6 for value in (self.user, self.system))
        return (
            f"{self.rate:8.0f} tasks/s   {self.cpu:7.1f} µs CPU a task ({user:.1f} user + {system:.1f} system)"
            f"   {self.rss / 1e6:.0f} MB"
        )


def spent(pid: int) -> Spent:
    """Return what a process and its threads used so far (Linux)."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return Spent(int(fields[11]) / TICK, int(fields[12]) / TICK, int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))


@contextlib.contextmanager
def fresh_root(on: str, **settings: object) -> Iterator[str]:
    """Make a root on a file system, with ``settings`` beside the defaults; removed afterwards."""
    root = tempfile.mkdtemp(prefix="drive-", dir=on)
    try:
        subprocess.run([sys.executable, "-m", "taskdir", "init", root], check=True, capture_output=True)
        with open(os.path.join(root, "taskdir.json"), "w", encoding="utf-8") as file:
            json.dump({"protocol": 1, **settings}, file)
        yield root
    finally:
        shutil.rmtree(root)


@contextlib.contextmanager
def daemon(root: str, tool: str | None = None, out: str = "") -> Iterator[int]:
    """Run the daemon; yields its process id once it is ready. ``tool`` watches it and writes ``out``."""
    words = [word.format(out=out) for word in TOOLS[tool]] if tool else []
    python = [] if tool in ("cprofile", "phases") else [sys.executable]
    process = subprocess.Popen([*words, *python, "-m", "taskdir", "--root", root, "run"], stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        while b" runs in " not in said:
            assert said, "the daemon did not start"
            said = process.stderr.readline()
        pid = int(said.rpartition(b"pid ")[2].split(b")")[0])
        yield pid
        os.kill(pid, 15)
        process.stderr.read()
        assert process.wait(PATIENCE) == 0, "the daemon did not end well"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()


def payload(number: int) -> bytes:
    """Return a message of about 300 bytes."""
    given = {"n": number, "repo": "example/project", "ref": "0123456789abcdef" * 2, "x": "x" * 190}
    return json.dumps({"type": "echo", "input": given}).encode()


def put(root: str, name: str, data: bytes) -> None:
    """Submit one message: a dot-name, then a rename."""
    aside, path = f"{root}/inbox/.{name}", f"{root}/inbox/{name}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, data)
    os.close(fd)
    os.rename(aside, path)


def submit(root: str, tasks: int, first: int = 0) -> None:
    """Submit single tasks, each a file."""
    for number in range(first, first + tasks):
        put(root, f"t{number:08d}.json", payload(number))


def fill(root: str, tasks: int, each: int = 10_000) -> None:
    """Submit tasks in batches of ``each``; returns when the last one was taken."""
    for start in range(0, tasks, each):
        members = [
            {"id": f"w{number:08d}", "type": "echo", "input": {"n": number}}
            for number in range(start, min(start + each, tasks))
        ]
        put(root, f"batch-{start:08d}.json", json.dumps({"kind": "batch", "messages": members}).encode())
        while len(os.listdir(f"{root}/inbox")) > 2:
            time.sleep(0.001)
    while os.listdir(f"{root}/inbox"):
        time.sleep(0.001)


def work(root: str, agent: str, tasks: int, finished: Synchronized[int]) -> None:
    """Be an agent: list once, take in order, finish, until all agents together have finished ``tasks``."""
    ready, mine = f"{root}/ready/default", f"{root}/claimed/{agent}"
    os.makedirs(mine, exist_ok=True)
    nap = NAP
    while finished.value < tasks:
        took = 0
        for name in sorted(os.listdir(ready)):
            try:
                os.rename(f"{ready}/{name}", f"{mine}/{name}")
            except FileNotFoundError:
                continue
            fd = os.open(f"{mine}/{name}", os.O_RDONLY)
            task = json.loads(os.read(fd, 1 << 20))
            os.close(fd)
            fd = os.open(f"{mine}/.r", os.O_WRONLY | os.O_CREAT)
            os.write(fd, json.dumps({"status": "ok", "output": {"n": task["input"]["n"]}}).encode())
            os.close(fd)
            os.rename(f"{mine}/.r", f"{mine}/{task['result_file']}")
            took += 1
        with finished.get_lock():
            finished.value += took
        nap = NAP if took else min(nap * 2, LONG_NAP)
        if not took:
            time.sleep(nap)


def measure(root: str, pid: int, tasks: int, agents: int, first: int = 0) -> Run:
    """Let one producer submit ``tasks`` while ``agents`` finish as many; returns when every record is there."""
    finished: Synchronized[int] = multiprocessing.Value("q", 0)
    before = len(os.listdir(f"{root}/done"))
    people = [multiprocessing.Process(target=submit, args=(root, tasks, first))]
    names = [f"agent-{number}" for number in range(agents)]
    people += [multiprocessing.Process(target=work, args=(root, name, tasks, finished)) for name in names]
    start, used = time.monotonic(), spent(pid)
    for each in people:
        each.start()
    for each in people:
        each.join()
    while len(os.listdir(f"{root}/done")) < before + tasks:
        assert time.monotonic() < start + PATIENCE, "tasks were lost"
        time.sleep(0.002)
    seconds, now = time.monotonic() - start, spent(pid)
    return Run(tasks, seconds, now.user - used.user, now.system - used.system, now.rss)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", required=True, help="a directory on the file system to be measured")
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--agents", type=int, default=2)
    parser.add_argument("--waiting", type=int, default=0, help="tasks that wait already, submitted in batches")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--tool", choices=sorted(TOOLS))
    parser.add_argument("--out", default="", help="where the tool writes")
    args = parser.parse_args()
    best: list[Run] = []
    for _ in range(args.runs):
        with fresh_root(args.on) as root, daemon(root, args.tool, args.out) as pid:
            start = time.monotonic()
            fill(root, args.waiting)
            if args.waiting:
                print(f"{args.waiting / (time.monotonic() - start):8.0f} tasks/s accepted in batches")
            best.append(measure(root, pid, args.tasks, args.agents))
            print(best[-1], flush=True)
    if args.runs > 1:
        least = min(best, key=lambda run: run.cpu)
        print(f"least CPU: {least.cpu:.1f} µs a task; best rate: {max(run.rate for run in best):.0f} tasks/s")


if __name__ == "__main__":
    main()
