"""A daemon and three agents, killed with -9 hundreds of times while they work; every mark is drawn by a seed.

    PYTHONPATH=tests python -m faults.kills --kills 300 --seed 7 [--home DIR] [--plant FAULT]

Nobody sleeps for luck. A mark says when a process dies: in itself, before the n-th call of a kind (an exact place, such
as the rename of a claim), or half-way through the n-th batch or file; or from outside, when the n-th event of a kind is
in the log, or the n-th name in a directory. Whoever died is replaced: an agent by another of its name, which resumes or
gives back what it finds. Prints one line of JSON. The accounting is ``adapters/oracle.py``, which reads log and
directories and shares no code with the daemon; what was told to somebody before a kill is held against it, too.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from adapters import oracle
from faults import plants
from faults.forked import Forked
from taskdir import disk, gestures
from taskdir.cli import main as taskdir
from taskdir.disk import Disk
from taskdir.places import Places

AGENTS = ("al", "bo", "cy")
SETTINGS = {"protocol": 1, "scan_seconds": 0.05, "settle_seconds": 0.1, "log_segment_bytes": 262144, "bench_after": 0}
MOST, PATIENCE = 30, 5.0
"""Tasks done in one life, and seconds, after which a mark that nothing leads to is taken for reached."""
AHEAD = 12
"""So many tasks are in work or in line, so that every mark is reached soon."""


class Mark(NamedTuple):
    """When a process dies: at the ``nth`` of ``what``; ``how``: before a call, half of a write, event or name."""

    how: str
    what: str
    nth: int


DAEMON = (
    [("call", call, 30) for call in ("append", "datasync", "rename", "unlink", "create", "write")]
    + [("half", "append", 8)]
    + [("event", event, 6) for event in ("accepted", "claimed", "done", "batch")]
    + [("event", event, 1) for event in ("returned", "errored")]
    + [("name", place, 6) for place in ("done", "taken", "ready", "claimed")]
)
AGENT = [("call", call, 40) for call in ("create", "write", "fsync", "rename")] + [("half", "write", 15)]
"""Kinds of marks, and how far off one of them is at most."""


def draw(kinds: list[tuple[str, str, int]], chance: random.Random) -> Mark:
    """Choose a mark."""
    how, what, most = chance.choice(kinds)
    return Mark(how, what, chance.randint(1, most))


def arm(mark: Mark | None) -> None:
    """Make this process kill itself at a mark, if that is one of its own."""
    calls = itertools.count(1)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def hook(operation: str, path: str) -> None:
        if mark is not None and operation == mark.what and next(calls) == mark.nth:
            die()

    def halving(real: Any) -> Any:
        def write(*args: Any) -> None:
            if mark is not None and next(calls) == mark.nth:
                fd, data = (args[1], args[3]) if mark.what == "append" else args
                os.write(fd, data[: len(data) // 2])
                die()
            real(*args)

        return write

    if mark is not None and mark.how == "call":
        disk.__dict__["_no_hook"] = hook
    elif mark is not None and mark.how == "half" and mark.what == "append":
        Disk.append_log = halving(Disk.append_log)  # type: ignore[method-assign]
    elif mark is not None and mark.how == "half":
        disk.write_all = halving(disk.write_all)


def work(root: Path, me: str, seed: float, mark: Mark | None, home: Path) -> None:
    """Be an agent until there has been enough: resume or give back, claim, do, hand in; says what was handed in."""
    arm(mark)
    chance, places, hands = random.Random(seed), Places(str(root)), Disk()
    told = os.open(home / "told", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while not (home / "enough").exists():
        held = gestures.unfinished(places, me)
        if held and chance.random() < 0.3:
            gestures.give_back(hands, held[0])
            continue
        found = gestures.Claimed(held[0], _offer(held[0])) if held else gestures.claim(places, hands, me)
        if not isinstance(found, gestures.Claimed):
            time.sleep(0.003)
            continue
        output = {"id": found.offer["id"], "attempt": found.offer["attempt"], "input": found.offer["input"]}
        result: dict[str, Any] = {"status": "ok", "output": output}
        if chance.random() < 0.08:
            result = {"status": "error", "error": {"message": "by lot"}, "retry": True}
        data = gestures.finish(hands, found.path, result)
        os.write(told, f"{oracle.sha(data)} {os.path.basename(found.path)}\n".encode())


def _offer(path: str) -> dict[str, Any]:
    offer: dict[str, Any] = json.loads(Path(path).read_bytes())
    return offer


def serve(root: Path, mark: Mark | None) -> int:
    """Be the daemon."""
    arm(mark)
    return taskdir(["--root", str(root), "run"])


@dataclass(slots=True)
class Tail:
    """Counts what is new in the log."""

    root: Path
    _fd: int = -1
    _rest: bytes = b""
    seen: Counter[str] = field(default_factory=Counter)

    def look(self) -> Counter[str]:
        """Read on; returns how many events of each kind there were so far."""
        with contextlib.suppress(FileNotFoundError):
            path = self.root / "log.jsonl"
            if self._fd < 0:
                self._fd = os.open(path, os.O_RDONLY)
            self._read()
            if os.stat(path).st_ino != os.fstat(self._fd).st_ino:
                self._read()
                os.close(self._fd)
                self._fd = os.open(path, os.O_RDONLY)
                self._read()
        return self.seen

    def _read(self) -> None:
        while data := os.read(self._fd, 1 << 16):
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.seen.update(line.partition(b'"event":"')[2].partition(b'"')[0].decode() for line in lines)


class Run:
    """One run: who lives, what was submitted, what was seen at each kill."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home, self.root, self.chance = home, home / "root", random.Random(seed)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            taskdir(["init", str(self.root)])
        (self.root / "taskdir.json").write_text(json.dumps(SETTINGS))
        self.inputs: dict[str, Any] = {}
        self.kills: Counter[str] = Counter()
        self.facts: list[tuple[int, str]] = []
        self.faults: list[str] = []
        self._tail = Tail(self.root)
        self._agents: dict[str, Forked] = {}
        self._places, self._disk = Places(str(self.root)), Disk()

    def run(self, kills: int) -> None:
        """Kill so many; then let all end in peace, and account."""
        try:
            while self.kills["daemon"] + self.kills["agents"] < kills:
                self._life(draw(DAEMON, self.chance))
                if self.faults:
                    return
            self._end()
        finally:
            (self.home / "enough").touch()
            for agent in self._agents.values():
                agent.kill()
        self._account()

    def _end(self) -> None:
        """Live on without kills until all is done, or nothing goes on any more."""
        begun = self._tail.look()["started"]
        daemon, still, before = self._daemon(None), 0, 0
        while daemon.poll() is None and still < 1000:
            started = self._tail.look()["started"] > begun  # before that, SIGTERM is not its own yet
            if started and len(os.listdir(self.root / "done")) == len(self.inputs):
                break
            self._replace(False)
            time.sleep(0.002)
            now = self._tail.look().total()
            still = still + 1 if now == before and self._is_empty() else 0
            before = now
        (self.home / "enough").touch()
        codes = [agent.wait() for agent in self._agents.values()]
        if code := daemon.stop():
            self.faults.append(f"the daemon ended with {code}: {self._words()}")
        if any(code not in (0, -signal.SIGKILL) for code in codes):
            self.faults.append(f"agents ended with {codes}: {self._words()}")

    def _is_empty(self) -> bool:
        """Say whether nothing lies anywhere that somebody could go on with."""
        places = (self.root / "inbox", self.root / "ready/default", *(self.root / "claimed").iterdir())
        return not any(name.endswith(".json") for place in places for name in os.listdir(place) if name[0] != ".")

    def _words(self) -> str:
        return (self.home / "words").read_text()[-1500:]

    def _daemon(self, mark: Mark | None) -> Forked:
        return Forked(self.home / "words", partial(serve, self.root, mark))

    def _life(self, mark: Mark) -> None:
        """Let a daemon live until its mark."""
        begun = self._tail.look().copy()
        names = self._names(mark.what) if mark.how == "name" else set()
        daemon, limit = self._daemon(mark), time.monotonic() + PATIENCE
        while daemon.poll() is None:
            self._submit()
            self._replace(True)
            now = self._tail.look()
            reached = mark.how == "event" and now[mark.what] - begun[mark.what] >= mark.nth
            if mark.how == "name":
                reached = len(self._names(mark.what) - names) >= mark.nth
            if reached or now["done"] - begun["done"] > MOST or time.monotonic() > limit:
                daemon.kill()
            else:
                time.sleep(0.001)
        self.kills["daemon"] += 1
        self.kills[f"daemon: {mark.how} {mark.what}"] += 1
        if daemon.code != -signal.SIGKILL:
            self.faults.append(f"the daemon ended with {daemon.code}: {self._words()}")
        if time.monotonic() > limit and self._tail.look() == begun + Counter({"started": 1}) and self._is_empty():
            self.faults.append("nothing went on for a whole life, and not all is done")
        self.facts.append(oracle.end(self.root))

    def _names(self, place: str) -> set[str]:
        """Return what is in a directory, and for the places of queues and agents what is in theirs."""
        top = self.root / (".taskdir/taken" if place == "taken" else place)
        with contextlib.suppress(FileNotFoundError):
            inner = [each for each in os.scandir(top) if each.is_dir()] if place in ("ready", "claimed") else []
            return {name for each in inner for name in os.listdir(each.path)} if inner else set(os.listdir(top))
        return set()

    def _submit(self) -> None:
        """See to it that there is something to do, alone or as a batch."""
        while len(self.inputs) - self._tail.seen["done"] < AHEAD:
            count = self.chance.choice((1, 1, 3))
            tasks = {f"t{len(self.inputs) + number}": self.chance.random() for number in range(count)}
            bodies = [
                {"id": id, "type": "echo", "input": input, "max_attempts": 100, "backoff_seconds": 0}
                for id, input in tasks.items()
            ]
            first = bodies[0]["id"]
            message = bodies[0] if count == 1 else {"kind": "batch", "messages": bodies}
            gestures.submit(self._places, self._disk, message, str(first) if count == 1 else f"batch-{first}")
            self.inputs |= tasks

    def _replace(self, doomed: bool) -> None:
        """Put somebody in the place of each agent that died, to die ``doomed`` or not."""
        for me in AGENTS:
            before = self._agents.get(me)
            if before is not None and before.poll() is None:
                continue
            if before is not None:
                self.kills["agents"] += 1
                if before.code != -signal.SIGKILL:
                    self.faults.append(f"{me} ended with {before.code}: {self._words()}")
            mark = draw(AGENT, self.chance) if doomed else None
            live = partial(work, self.root, me, self.chance.random(), mark, self.home)
            self._agents[me] = Forked(self.home / "words", live)

    def _account(self) -> None:
        self.faults += oracle.account(self.root, self.inputs, {*AGENTS}, retries=True)
        self.faults += oracle.unchanged(self.root, self.facts)
        told = (self.home / "told").read_text().splitlines()
        self.faults += oracle.handed_in(self.root, [(line.split()[0], line.split()[1]) for line in told])
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()):
            if taskdir(["--root", str(self.root), "check"]) != 0:
                self.faults.append(f"check finds: {said.getvalue()[:1000]}")


def main(words: list[str]) -> int:
    """Run; returns 1 if something was found."""
    parser = argparse.ArgumentParser(prog="faults.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", choices=sorted(plants.PLANTS), default="nothing", help="a fault to be found")
    parser.add_argument("--home", type=Path)
    args = parser.parse_args(words)
    room = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    home = args.home or Path(tempfile.mkdtemp(prefix="taskdir-kills-", dir=room))
    home.mkdir(parents=True, exist_ok=True)
    plants.PLANTS[args.plant]()
    run, began = Run(home, args.seed), time.monotonic()
    run.run(args.kills)
    report = {"kills": run.kills["daemon"] + run.kills["agents"], "tasks": len(run.inputs), "by mark": run.kills}
    print(json.dumps(report | {"findings": run.faults[:20], "seconds": round(time.monotonic() - began, 1)}))
    if not run.faults and args.home is None:
        shutil.rmtree(home)
    return bool(run.faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
