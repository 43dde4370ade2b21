"""make soak: half an hour of work and of trouble, and at its end the books balance.

    make soak       30 minutes, 64 agents, at most a million tasks       make soak DURATION=60    as many seconds

Agents are killed with -9 all the time, the daemon again and again during the first third; then one daemon lives on, so
that its memory and descriptors can be seen to stay flat while agents go on being killed. At the end all that was
submitted has to be done, and `taskdir check` has to find nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench import drive, page
from bench.crew import Crew
from bench.ground import commit, ground, machine, stoppable, today
from bench.judge import number
from bench.parts.backlog import memory
from bench.progress import Progress
from bench.run import RESULTS

AGENTS, TASKS, BATCH = 64, 1_000_000, 500
GROWTH = 5.0
"""Percent that memory and descriptors may grow after the warm-up."""
CONTRACT = {"defaults": {"lease_seconds": 5, "max_attempts": 100, "backoff_seconds": 0}}
SUBMITTING = 0.98
"""Share of the time in which tasks are submitted; the rest is for what is late."""
BACKLOG = 10_000
"""So many tasks may be waiting before no more are submitted."""
ALLOWED = 600.0
"""Seconds that the last tasks may take once all are submitted."""


@dataclass(slots=True)
class Soak:
    """What happens: the plan, and what was seen. Samples are (seconds, MB, descriptors) of the last daemon's life."""

    root: str
    duration: float
    tasks: int
    agents: int
    dice: random.Random = field(default_factory=lambda: random.Random(5))
    submitted: int = 0
    killed_daemons: int = 0
    samples: list[tuple[float, float, int]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start_daemon(self) -> None:
        """Run the daemon; a sample counts from its start."""
        self.process = subprocess.Popen([sys.executable, "-m", "taskdir", "--root", self.root, "run"],
                                        stderr=subprocess.DEVNULL)  # fmt: skip
        self.samples.clear()

    def kill_daemon(self) -> None:
        """Kill it with -9, and start another one."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.killed_daemons += 1
        self.start_daemon()

    def over(self, elapsed: float) -> bool:
        """Say whether nothing more is submitted: all was, or the time for it is up."""
        return self.submitted >= self.tasks or elapsed > self.duration * SUBMITTING

    def submit(self, elapsed: float, finished: int) -> None:
        """Submit what is due by now in batches, unless too much is waiting already."""
        due = min(self.tasks, int(self.tasks * elapsed / (self.duration * SUBMITTING)) + BATCH)
        while self.submitted < due and self.submitted - finished < BACKLOG and not self.over(elapsed):
            count = min(BATCH, self.tasks - self.submitted)
            members = [
                {"id": f"s{number:07d}", "type": "echo", "input": {"n": number}}
                for number in range(self.submitted, self.submitted + count)
            ]
            body = json.dumps({"kind": "batch", "messages": members}).encode()
            drive.put(self.root, f"batch-{self.submitted}.json", body)
            self.submitted += count

    def sample(self, elapsed: float) -> None:
        """Look at the daemon; it may be just starting."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise OSError(f"the daemon ended by itself, with {self.process.returncode}")
        descriptors = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        self.samples.append((elapsed, memory(self.process.pid)["now"], descriptors))

    def stop(self) -> None:
        """End the daemon well, if it is there."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            finally:
                self.process.kill()


def growth(samples: list[tuple[float, float, int]]) -> tuple[float, float]:
    """Return by how many percent memory and descriptors grew, the last fifth against the first after the warm-up.

    The warm-up is the first quarter of the samples.
    """
    warm = samples[len(samples) // 4 :]
    part = max(1, len(warm) // 5)
    first, last = warm[:part], warm[-part:]
    return tuple((median(row[at] for row in last) / median(row[at] for row in first) - 1) * 100 for at in (1, 2))  # type: ignore[return-value]


def play(soak: Soak, crew: Crew, progress: Progress) -> None:
    """Let it all happen until the time is up and every task is done, or it is too late."""
    start = time.monotonic()
    next_sample = next_kill = next_daemon = 0.0
    progress.part(f"soak: {soak.tasks:,} tasks, {soak.agents} agents, {soak.duration:.0f} s", 100)
    shown = 0
    elapsed = 0.0
    while crew.finished() < soak.submitted or not soak.over(elapsed):
        elapsed = time.monotonic() - start
        if elapsed > soak.duration + ALLOWED:
            return
        soak.submit(elapsed, crew.finished())
        if elapsed >= next_kill:
            crew.kill_one(soak.dice)
            next_kill = elapsed + soak.dice.uniform(0.2, 0.01 * soak.duration if soak.duration < 200 else 2.0)
        if elapsed >= next_daemon and elapsed < soak.duration / 3:
            if next_daemon:
                soak.kill_daemon()
            next_daemon = elapsed + soak.duration / 3 / 12 * soak.dice.uniform(0.5, 1.5)
        if elapsed >= next_sample:
            soak.sample(elapsed)
            next_sample = elapsed + min(5.0, soak.duration / 200)
        while shown < min(100, 100 * elapsed / soak.duration):
            shown += 1
            progress.step()
        time.sleep(0.05)


def books(root: str) -> tuple[int, dict[str, Any]]:
    """Ask `taskdir check`; returns its exit code and what it said."""
    argv = [sys.executable, "-m", "taskdir", "--root", root, "check", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout or "{}")


def run(kind: str, under: str, duration: float, tasks: int, agents: int) -> dict[str, Any]:
    """Soak; returns the document."""
    progress, before = Progress(), machine()
    with (
        stoppable(), ground(kind, under, progress.say) as where,
        drive.fresh_root(where.path) as root,
    ):  # fmt: skip
        Path(root, "contracts", "echo.json").write_text(json.dumps(CONTRACT), encoding="utf-8")
        soak, start = Soak(root, duration, tasks, agents), time.monotonic()
        soak.start_daemon()
        crew = Crew(root, agents)
        try:
            play(soak, crew, progress)
        finally:
            crew.end()
            soak.stop()
        seconds = time.monotonic() - start
        progress.say("checking the books")
        code, checked = books(root)
        done, failed = (len(os.listdir(f"{root}/{name}")) for name in ("done", "failed"))
        progress.end()
        facts = {"done": done, "failed": failed, "check": code, "checked": checked, "seconds": seconds}
        return told(soak, crew, facts) | {
            "date": today(),
            "commit": commit(),
            "machine": before,
            "file_system": where.words,
        }


def told(soak: Soak, crew: Crew, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what came out, with the verdict."""
    mb, descriptors = growth(soak.samples) if len(soak.samples) >= 20 else (None, None)
    balanced = facts["check"] == 0 and facts["done"] == soak.submitted > 0 and not facts["failed"]
    flat = mb is not None and descriptors is not None and mb < GROWTH and descriptors < GROWTH
    verdict = "missed" if not balanced or (mb is not None and not flat) else "met" if flat else "not judged"
    shown = {
        "duration": f"{number(facts['seconds'])} s",
        "agents at once": f"{soak.agents}",
        "tasks submitted": f"{soak.submitted:,}",
        "tasks done": f"{facts['done']:,}",
        "tasks failed": f"{facts['failed']:,}",
        "agents killed with -9": f"{crew.killed:,}",
        "daemons killed with -9": f"{soak.killed_daemons:,}",
        "`taskdir check`": f"exit code {facts['check']}, {len(facts['checked'].get('findings', ())):,} findings"
        f" in {facts['checked'].get('events', 0):,} events",
    }
    if soak.samples and mb is not None and descriptors is not None:
        last = soak.samples[-1]
        shown["life of the last daemon"] = f"{number(last[0] - soak.samples[0][0])} s"
        shown["its memory, at the end and growth after the warm-up"] = f"{number(last[1])} MB, {mb:+.1f} %"
        shown["its descriptors, at the end and growth"] = f"{last[2]}, {descriptors:+.1f} %"
    words = f"Goal: all done, books balanced, memory and descriptors grow less than {GROWTH:.0f} % after the warm-up."
    return {"verdict": verdict, "words": words, "shown": shown, "facts": facts, "samples": soak.samples}


def main(argv: list[str]) -> int:
    """Soak, print, write the JSON; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--duration", type=float, default=float(os.environ.get("DURATION") or 1800), help="seconds")
    parser.add_argument("--tasks", type=int, help="at most; default: at the pace of a million in 30 minutes")
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--fs", choices=["ext4", "xfs", "tmpfs", "here"], default="ext4")
    parser.add_argument("--under", default=tempfile.gettempdir(), help="where the image lies, or where it runs")
    parser.add_argument("--publish", action="store_true", help="write docs/soak.json and docs/performance.md")
    args = parser.parse_args(argv)
    tasks = args.tasks or max(BATCH, int(TASKS * args.duration / 1800))
    result = run(args.fs, args.under, args.duration, tasks, args.agents)
    out = page.SOAK if args.publish else RESULTS / "soak.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, value in result["shown"].items():
        print(f"{name}: {value}")
    print(f"{result['verdict']}. {result['words']}")
    if args.publish and page.RESULT.exists():
        page.publish()
    return int(result["verdict"] == "missed")
