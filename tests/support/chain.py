"""Logs made by hand: legal events in a legal chain, without a daemon. One with any number of events for big pages."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskdir.documents import Event, timestamp

SHA = "a" * 64
START = 1_767_312_000.0
"""2026-01-02T00:00:00Z."""
TASK = {
    "type": "count",
    "input": {},
    "queue": "default",
    "priority": 5,
    "max_attempts": 3,
    "lease_seconds": 1800,
    "timeout_seconds": 86400,
    "backoff_seconds": 1,
}
HOSTILE = '<script>alert(1)</script>\u202egnp.exe\u202c "q" \' & \x1b[31m\x00 --> ]]> </style> \u05d0\u05d1'


class Chain:
    """A log that grows batch by batch; ``time`` is the wall clock, moved by the test."""

    def __init__(self) -> None:
        self.time, self.seq, self._prev = START, 0, "0" * 64
        self.lines: list[str] = []
        self.add({"event": "started", "version": "0.1.0", "protocol": 1, "pid": 7})
        self.add({"event": "contract", "type": "count", "sha256": SHA, "contract": {}})

    def add(self, *events: Event, later: float = 0.0) -> None:
        """Log a batch, ``later`` so many seconds."""
        self.time += later
        first = self.seq + 1
        for event in events:
            self.seq += 1
            end = {"end": first} if event is events[-1] else {}
            line = json.dumps({"seq": self.seq, "time": timestamp(self.time), **event, "prev": self._prev, **end})
            self.lines.append(line)
            self._prev = hashlib.sha256(line.encode()).hexdigest()

    def accept(self, id: str, later: float = 0.0, **task: Any) -> None:
        """Log the acceptance of a task."""
        self.add({"event": "accepted", "id": id, "sha256": SHA, "task": {**TASK, **task}, "contract": SHA}, later=later)

    def about(self, event: str, id: str, agent: str, attempt: int = 1, later: float = 0.0, **fields: Any) -> None:
        """Log an event of a claim."""
        self.add({"event": event, "id": id, "attempt": attempt, "agent": agent, **fields}, later=later)

    def write(self, root: Path) -> Path:
        """Write the log under a root, making what a root needs; returns the root."""
        root.mkdir(exist_ok=True)
        (root / "taskdir.json").write_text('{"protocol": 1}')
        (root / "log.jsonl").write_text("".join(f"{line}\n" for line in self.lines))
        return root


def refusal(code: str = "wrong-type", message: str = "no") -> dict[str, str]:
    """Make a reason document."""
    return {"code": code, "message": message, "file": "x.json"}


def story() -> Chain:
    """Return a log in which everything happens once or twice; texts in it are hostile."""
    log = Chain()
    log.accept("good", later=10)
    log.accept("bad", later=10, max_attempts=2, resources=["gpu"])
    log.accept("stop", later=10)
    log.accept("gone")
    log.about("claimed", "good", "al", later=10)
    log.about("refused", "good", "al", sha256=SHA, reason=refusal("output-contract", HOSTILE), later=5)
    log.about("done", "good", "al", output=HOSTILE, sha256=SHA, later=15)
    log.about("claimed", "bad", "bo")
    log.about("expired", "bad", "bo", notes=HOSTILE, delay=1, later=60)
    log.about("late", "bad", "bo", file="l.result.json", sha256=SHA, reason=refusal("late"), later=5)
    log.add({"event": "benched", "agent": "bo", "seconds": 30})
    log.about("claimed", "bad", "al", 2, later=5)
    error = {"code": "no-luck", "message": HOSTILE}
    ended = {"event": "errored", "id": "bad", "attempt": 2, "agent": "al", "error": error, "retry": True}
    log.add(ended, {"event": "failed", "id": "bad", "error": error}, later=20)
    log.add({"event": "unbenched", "agent": "bo"}, later=20)
    log.about("claimed", "stop", "bo")
    log.about("canceled", "stop", "bo", by="c1", sha256=SHA, later=5)
    log.add({"event": "canceled", "id": "gone", "by": "c2", "sha256": SHA})
    log.add({"event": "redriven", "id": "gone", "attempt": 2, "sha256": SHA}, later=5)
    log.about("claimed", "gone", "al", 2)
    log.add({"event": "rejected", "file": f"{HOSTILE}.json", "reason": refusal("json-syntax", HOSTILE)})
    log.add({"event": "rejected", "file": "x.json", "reason": refusal("json-syntax")}, later=1)
    log.add({"event": "breach", "code": "ready-stranger", "place": "ready", "name": HOSTILE, "reason": refusal()})
    for version in (1, 2):
        value = {"key": "plan", "version": version, "value": HOSTILE, "by": f"s{version}", "sha256": SHA, "from": "al"}
        log.add({"event": "set", **value}, later=10)
    log.add({"event": "noted", "by": "n1", "sha256": SHA, "message": HOSTILE})
    return log


def traffic(events: int, agents: int, seed: int = 1) -> Chain:
    """Return a log of so many events: ``agents`` at work, each task ending in some way, seeded."""
    log, dice = Chain(), random.Random(seed)
    names = ["a-very-long-agent-name-of-the-kind-that-tools-make", *(f"agent-{number}" for number in range(1, agents))]
    tasks = _tasks()
    idle, busy = list(names), list[tuple[str, str, int]]()
    while log.seq < events:
        log.time += dice.expovariate(0.2)
        if idle and dice.random() < 0.55:
            id, agent = next(tasks), idle.pop(dice.randrange(len(idle)))
            resources = ["gpu", "repo-main"][: dice.randrange(3)]
            log.accept(id, max_attempts=1 + dice.randrange(2), resources=resources)
            log.about("claimed", id, agent, later=dice.expovariate(1))
            busy.append((id, agent, 1))
        elif busy:
            id, agent, _ = busy.pop(dice.randrange(len(busy)))
            idle.append(agent)
            _end(log, dice, id, agent)
        if dice.random() < 0.02:
            code = dice.choice(["unknown-type", "wrong-type", "json-syntax"])
            log.add({"event": "rejected", "file": f"{HOSTILE}.json", "reason": refusal(code, HOSTILE)})
    return log


def _tasks() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"task-{number}"


def _end(log: Chain, dice: random.Random, id: str, agent: str) -> None:
    how = dice.choices(["done", "errored", "expired", "abandoned", "timed_out", "returned"], [80, 6, 3, 3, 3, 5])[0]
    if how == "done":
        log.about("done", id, agent, output=1, sha256=SHA)
    elif how == "returned":
        log.about("returned", id, agent)
    else:
        error = {"code": dice.choice(["no-luck", "disk"]), "message": HOSTILE * 3}
        told = {"error": error, "retry": False} if how == "errored" else {}
        ended = {"event": how, "id": id, "attempt": 1, "agent": agent, "notes": HOSTILE, **told}
        log.add(ended, {"event": "failed", "id": id, "error": error})
