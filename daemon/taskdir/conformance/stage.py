"""Plays scenario vectors: file operations on a fresh root, a daemon that is told the time, the tree after each step.

A scenario is data (vectors/scenario-vector.schema.json). Every operation is what an agent, an operator or time can do;
the daemon is told when to make its passes, so nothing here waits. The daemon is whoever answers the requests of
adapters/CONTRACT.md section 2: our own in this process, or anyone's as a child.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from taskdir import logread
from taskdir.conformance.cases import Broken
from taskdir.conformance.files import Files, Step
from taskdir.conformance.matching import compare_events, compare_tree
from taskdir.conformance.own import Own
from taskdir.places import Places

MOST_PASSES = 50
START = 1_800_000_000.0
"""Both clocks, in seconds, when a scenario begins."""

HIDDEN = {"taskdir.json", "log.jsonl", ".taskdir", "contracts"}
"""At the top of a root, not part of the tree: settings and contracts are the operator's, the log has its own list."""

Tree = dict[str, Path]


class Subject(Protocol):
    """Who is asked: a daemon, or a part of one."""

    def ask(self, request: Step) -> Step:
        """Answer a request. Raises Broken when it is answered with an error, or not at all."""

    def kill(self) -> None:
        """End it as kill -9 would."""


class Stage(Files):
    """One root, its daemon if it runs, and what time and the daemon do there."""

    def __init__(self, root: Path, scenario: Step, subject: Subject | None = None) -> None:
        """``subject``: the daemon that plays, our own in this process if none is named."""
        super().__init__(root)
        self.subject = subject or Own()
        self.seconds, self.set_by = START, 0.0
        self._held: dict[str, int] = {}
        self._settings = {"protocol": 1, **scenario.get("settings", {})}
        self.running = False
        for path in Places(str(root)).public():
            os.makedirs(path)
        (root / "taskdir.json").write_text(json.dumps(self._settings))
        for type, contract in scenario.get("contracts", {"echo": {}}).items():
            (root / "contracts" / f"{type}.json").write_text(json.dumps(contract))
        self.daemon({"daemon": "start"})
        self.rest()

    def hold(self, op: Step) -> None:
        """Lock a file, as an agent that holds its claim does."""
        fd = os.open(self.root / op["hold"], os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._held[op["hold"]] = fd

    def unhold(self, op: Step) -> None:
        """Drop the lock, as the kernel does when the agent's process ends."""
        os.close(self._held.pop(op["unhold"]))

    def wait(self, op: Step) -> None:
        """Let time pass, the daemon looking once a scan interval if it runs."""
        left = float(op["wait"])
        self.rest()
        while left > 0:
            tick = min(left, self._settings.get("scan_seconds", 1)) if self.running else left
            self.seconds += tick
            left -= tick
            self.rest()

    def suspend(self, op: Step) -> None:
        """Let time pass while everything is suspended."""
        self.seconds += op["suspend"]

    def set_clock(self, op: Step) -> None:
        """Set the wall clock forward or back."""
        self.set_by += op["set_clock"]

    def daemon(self, op: Step) -> None:
        """Start, stop or kill the daemon, let it make one pass, or let it work until nothing changes."""
        what = op["daemon"]
        assert self.running is (what != "start"), f"the scenario needs another daemon here: {op}"
        if what in ("stop", "restart"):
            self._ask("close")
        elif what == "kill":
            self.subject.kill()
        elif what == "pass":
            self._ask("pass")
        elif what == "rest":
            self.rest()
        if what in ("stop", "kill"):
            self.running = False
        elif what in ("start", "restart"):
            self._ask("open", root=str(self.root))
            self.running = True

    def rest(self) -> None:
        """Let the daemon, if it runs, work until nothing changes."""
        if self.running and all(self._ask("pass")["worked"] for _ in range(MOST_PASSES)):
            raise Broken(
                "the daemon does not come to rest", "a pass that finds nothing to do", f"{MOST_PASSES} that do"
            )

    def _ask(self, word: str, **more: str) -> Step:
        return self.subject.ask({"do": word, **more, "now": self.seconds, "wall": self.seconds + self.set_by})

    def close(self) -> None:
        """End what still runs."""
        for fd in self._held.values():
            os.close(fd)
        if self.running:
            self.running = False
            self._ask("close")

    def tree(self) -> Tree:
        """Return every visible file and every empty directory that is not always there."""
        places = Places(str(self.root))
        kept = {"ready/default", *(os.path.relpath(path, self.root) for path in places.public())}
        missing = sorted(name for name in kept if not os.path.isdir(self.root / name))
        if missing:
            raise Broken("directories of the protocol", "all there", f"missing: {missing}")
        return {name: path for name, path in self._entries("") if name.rstrip("/") not in kept}

    def _entries(self, directory: str) -> Iterator[tuple[str, Path]]:
        for name in sorted(os.listdir(self.root / directory)):
            inner = os.path.join(directory, name)
            path = self.root / inner
            if not directory and name in HIDDEN:
                continue
            if not path.is_dir() or path.is_symlink():
                yield inner, path
            elif any(path.iterdir()):
                yield from self._entries(inner)
            elif directory != "ready":
                yield f"{inner}/", path


def events_of(root: Path) -> list[Step]:
    """Return the log's events, all segments."""
    events: list[Step] = []
    for _, path in logread.segments(str(root)):
        with logread.open_segment(path) as file:
            events += [json.loads(line) for line in file]
    return events


def play(
    scenario: Step, root: Path, check: Callable[[Stage], None] | None = None, subject: Subject | None = None
) -> list[str]:
    """Play a scenario; returns what was not as expected: nothing, or all of the first step that went wrong.

    ``check`` looks at the stage after each step.
    """
    stage = Stage(root, scenario, subject)
    try:
        for number, step in enumerate(scenario["steps"], 1):
            for operation in step.get("do", ()):
                stage.do(operation)
            stage.rest()
            if found := compare_tree(step["tree"], stage.tree()):
                return [f"step {number} ({step['say']}):", *found, *_last_words(stage)]
            if check is not None:
                check(stage)
        return list(compare_events(scenario["events"], events_of(stage.root)))
    finally:
        stage.close()


def _last_words(stage: Stage) -> Iterator[str]:
    """Tell the last events, which mostly say why a tree is not as expected."""
    for event in events_of(stage.root)[-6:]:
        shown = {name: value for name, value in event.items() if name not in ("time", "prev", "sha256", "task")}
        yield f"  log: {json.dumps(shown)[:300]}"
