"""Plays scenario vectors: file operations on a fresh root, a daemon with a clock of its own, the tree after each step.

A scenario is data (vectors/scenario-vector.schema.json). Every operation is what an agent, an operator or time can do;
the daemon is told when to make its passes, so nothing here waits. Another implementation needs its own ``Stage.daemon``
operations and nothing else.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from conformance.matching import compare_events, compare_tree
from taskdir import logread
from taskdir.daemon import Daemon
from taskdir.documents import Now, timestamp
from taskdir.places import Places

MOST_PASSES = 50
HIDDEN = {"taskdir.json", "log.jsonl", ".taskdir", "contracts"}
"""At the top of a root, not part of the tree: settings and contracts are the operator's, the log has its own list."""

Step = dict[str, Any]
Tree = dict[str, Path]


class Clock:
    """Time that moves only when told; the wall clock can be set without the daemon's clock moving."""

    def __init__(self) -> None:
        self.seconds, self.set_by = 1_800_000_000.0, 0.0

    def now(self) -> Now:
        return Now(self.seconds, timestamp(self.seconds + self.set_by))


class Files:
    """A root, and what anybody may do to the files in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tick = itertools.count(1)

    def do(self, operation: Step) -> None:
        """Carry out one operation; its first member says which."""
        verb = next(iter(operation))
        getattr(self, verb)(operation)

    def write(self, op: Step) -> None:
        """Write a whole file the proper way: a dot-name, then rename."""
        target = self.root / op["write"]
        aside = target.with_name(".aside")
        aside.write_bytes(_content(op))
        self._stamp(aside)
        aside.rename(target)

    def write_in_place(self, op: Step) -> None:
        path = self.root / op["write_in_place"]
        path.write_bytes(_content(op))
        self._stamp(path)

    def append(self, op: Step) -> None:
        path = self.root / op["append"]
        with path.open("ab") as file:
            file.write(_content(op))
        self._stamp(path)

    def touch(self, op: Step) -> None:
        self._stamp(self.root / op["touch"])

    def copy(self, op: Step) -> None:
        shutil.copyfile(self.root / op["copy"], self.root / op["to"])

    def rename(self, op: Step) -> None:
        os.rename(self.root / op["rename"], self.root / op["to"])

    def link(self, op: Step) -> None:
        os.link(self.root / op["link"], self.root / op["to"])

    def symlink(self, op: Step) -> None:
        os.symlink(op["to"], self.root / op["symlink"])

    def fifo(self, op: Step) -> None:
        os.mkfifo(self.root / op["fifo"])

    def mkdir(self, op: Step) -> None:
        os.makedirs(self.root / op["mkdir"])

    def unlink(self, op: Step) -> None:
        os.unlink(self.root / op["unlink"])

    def remove(self, op: Step) -> None:
        """Remove a directory and all in it."""
        shutil.rmtree(self.root / op["remove"])

    def chmod(self, op: Step) -> None:
        os.chmod(self.root / op["chmod"], int(op["mode"], 8))

    def _stamp(self, path: Path) -> None:
        """Give a file a time that it never had: two changes within one tick of the kernel's clock must differ."""
        at = 1_000_000_000 + next(self._tick)
        os.utime(path, (at, at))


class Stage(Files):
    """One root, its daemon if it runs, and what time and the daemon do there."""

    def __init__(self, root: Path, scenario: Step) -> None:
        super().__init__(root)
        self.clock = Clock()
        self._held: dict[str, int] = {}
        self._settings = {"protocol": 1, **scenario.get("settings", {})}
        self._running: Daemon | None = None
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
            tick = min(left, self._settings.get("scan_seconds", 1)) if self._running else left
            self.clock.seconds += tick
            left -= tick
            self.rest()

    def suspend(self, op: Step) -> None:
        """Let time pass while everything is suspended."""
        self.clock.seconds += op["suspend"]

    def set_clock(self, op: Step) -> None:
        """Set the wall clock forward or back."""
        self.clock.set_by += op["set_clock"]

    def daemon(self, op: Step) -> None:
        """Start, stop or kill the daemon, let it make one pass, or let it work until nothing changes."""
        what = op["daemon"]
        if what in ("stop", "restart"):
            self._daemon().close()
        elif what == "kill":
            self._daemon().abandon()
        elif what == "pass":
            self._daemon().one_pass()
        elif what == "rest":
            self.rest()
        if what in ("stop", "kill"):
            self._running = None
        elif what in ("start", "restart"):
            self._running = Daemon(str(self.root), clock=self.clock)
            self._running.open()

    def rest(self) -> None:
        """Let the daemon, if it runs, work until nothing changes."""
        if self._running is not None:
            working = (self._running.one_pass() for _ in range(MOST_PASSES))
            assert not all(working), "the daemon does not come to rest"

    def _daemon(self) -> Daemon:
        assert self._running is not None, "the scenario needs a running daemon here"
        return self._running

    def close(self) -> None:
        """End what still runs."""
        for fd in self._held.values():
            os.close(fd)
        if self._running is not None:
            self._running.close()

    def tree(self) -> Tree:
        """Return every visible file and every empty directory that is not always there."""
        places = Places(str(self.root))
        kept = {"ready/default", *(os.path.relpath(path, self.root) for path in places.public())}
        missing = sorted(name for name in kept if not os.path.isdir(self.root / name))
        assert not missing, f"directories of the protocol are missing: {missing}"
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


def _content(op: Step) -> bytes:
    if "json" in op:
        return json.dumps(op["json"]).encode().ljust(op.get("pad", 0))
    if "hex" in op:
        return bytes.fromhex(op["hex"])
    return str(op["text"]).encode() * int(op.get("times", 1))


def play(scenario: Step, root: Path, check: Callable[[Stage], None] | None = None) -> list[str]:
    """Play a scenario; returns what was not as expected: nothing, or all of the first step that went wrong.

    ``check`` looks at the stage after each step.
    """
    stage = Stage(root, scenario)
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
