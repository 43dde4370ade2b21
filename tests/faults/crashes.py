"""Whole stories, stopped at a call: what the next daemon makes of it, and what a stop of that one leaves (SPEC 12).

A story is a scenario of the conformance kit. It goes on undisturbed: what a stop would leave is the root as it lies
then, so a copy of it is given to a new daemon and brought to rest; what a stop of that one would leave is a copy again,
for pairs, and so on. In a recovery a call may fail, too, on another copy. Each copy that came to rest is one run, and
is judged.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.calls import Call, Calls
from faults.copying import copy, remove
from faults.mishaps import Fault, Mishap, faults_of, kind_of, name_of
from faults.verdict import Before, Outcome, Wrong, judge, outcome, shape
from taskdir.conformance.own import Own, Ticker
from taskdir.conformance.stage import MOST_PASSES
from taskdir.daemon import Daemon
from taskdir.errors import ConfigError, LogDamaged, TaskdirError
from taskdir.journal import SyncFailed

Json = dict[str, Any]
WAITS = (*range(1, 41), 120, 1000, 5000)
"""Seconds after a start: leases end within the first, delays and sleep within the last."""
Way = tuple[int, ...]
"""Which call of a story, then which one of the recovery, and so on."""


@dataclass(slots=True)
class Tally:
    """What the runs came to. ``chances``: how likely a stop is tried, by depth; ``only``: this one alone.

    ``errors``: how many of a recovery's errors are tried, a fraction by lot; ``only_error``: this one, in the recovery
    of ``only``.
    """

    base: Path
    draw: random.Random = field(default_factory=random.Random)
    chances: tuple[float, ...] = (1.0,)
    only: Way = ()
    errors: float = 0.0
    only_error: Fault | None = None
    runs: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def count(self) -> int:
        """Return how many copies were brought to rest."""
        return sum(runs for what, runs in self.runs.items() if what != "errors in recoveries there are")

    def room(self) -> str:
        """Return a path that was not used yet."""
        return str(self.base / str(next(self._numbers)))

    def takes(self, way: Way) -> bool:
        """Say whether a stop is tried."""
        if self.only:
            return way == self.only[: len(way)]
        if len(way) > len(self.chances):
            return False
        return self.draw.random() < self.chances[len(way) - 1]

    def errors_in(self, way: Way, calls: list[str]) -> list[Fault]:
        """Return the errors that are tried in a recovery that made these calls."""
        if self.only:
            return [self.only_error] if self.only_error is not None and way == self.only else []
        every = faults_of(calls)
        self.runs["errors in recoveries there are"] += len(every)
        number = int(self.errors) + (self.draw.random() < self.errors % 1)
        return [self.draw.choice(every) for _ in range(number)]

    def fault(self, replay: str, what: str) -> None:
        """Note what a run showed to be wrong, and what plays it again."""
        self.found.append(f"{what}\n  replay: {replay}")


def rest(daemon: Daemon) -> None:
    """Let a daemon work until nothing changes, and once more: what a stop left may take two passes. Raises Wrong."""
    for _ in range(MOST_PASSES):
        if not daemon.one_pass():
            daemon.one_pass()
            return
    raise Wrong("the daemon does not come to rest")


class Reference(Own):
    """The story as it is: what it comes to at the next rest after each request, if nobody else does anything before."""

    def __init__(self) -> None:
        super().__init__()
        self._root = ""
        self._asked: list[tuple[object, object, Outcome | None]] = []

    def ask(self, request: Json) -> Json:
        """Answer, and look at the tree before and after."""
        self._root = request.get("root", self._root)
        before = shape(self._root)
        answer = super().ask(request)
        at_rest = request["do"] == "pass" and not answer["worked"]
        self._asked.append((before, shape(self._root), outcome(self._root) if at_rest else None))
        return answer

    def expected(self) -> list[Outcome | None]:
        """Return for each request what must come of a stop in it, None where others act before the next rest."""
        found: list[Outcome | None] = []
        for number in range(len(self._asked)):
            _, end, came = self._asked[number]
            for start, after, later in self._asked[number + 1 :]:
                if came is not None or start != end:
                    break
                end, came = after, later
            found.append(came)
        return found


class Stops(Own):
    """Our daemon as the subject of a story, with a stop at each of its calls that the tally takes."""

    def __init__(self, label: str, calls: Calls, tally: Tally, expected: list[Outcome | None]) -> None:
        super().__init__()
        self._label, self._calls, self._tally = label, calls, tally
        self._expected = iter(expected)
        self._came: Outcome | None = None
        self._points = _Points(self, "", ())
        self._request: Json = {}

    def ask(self, request: Json) -> Json:
        """Answer, and stop on the way."""
        self._request, self._came = request, next(self._expected)
        self._points.root = request.get("root", self._points.root)
        with self._calls.watch(self._points):
            return super().ask(request)

    def stop(self, points: _Points, call: Call, when: str) -> None:
        """A daemon was stopped here: let the next one work on a copy."""
        way = (*points.way, points.count)
        if not self._tally.takes(way):
            return
        if not os.path.exists(os.path.join(points.root, "taskdir.json")):
            return  # no daemon starts there
        before = Before(*mark_of(points.daemon or self.daemon))
        watcher = _Points(self, "", way)
        self._run(points.root, call, when, watcher, before)
        self._tally.runs[("", "stops", "pairs", "triples")[len(way)]] += 1
        for fault in self._tally.errors_in(way, watcher.calls):
            self._run(points.root, call, when, Mishap(fault), before, way, fault)
            self._tally.runs["errors in recoveries"] += 1

    def _run(
        self,
        root: str,
        call: Call,
        when: str,
        watcher: _Points | Mishap,
        before: Before,
        way: Way = (),
        fault: Fault | None = None,
    ) -> None:
        """Copy what a stop leaves, let a daemon recover it, and note what is wrong then."""
        at = self._tally.room()
        copy(root, at)
        if when == "half of":
            _tear(root, at, call)
        before.look(at)
        try:
            if isinstance(watcher, _Points):
                watcher.root, way = at, watcher.way
            self._recover(at, watcher, before)
        except Wrong as wrong:
            where = f"{self._label} @ {','.join(map(str, way))}"
            failed = f", then {name_of(fault[1])} at {watcher.failed}" if isinstance(watcher, Mishap) and fault else ""
            replay = f"{where}/{fault[0]} {name_of(fault[1])}" if fault else where
            self._tally.fault(replay, f"stopped {when} {call}{failed}: {wrong}")
        remove(at)

    def _recover(self, root: str, watcher: _Points | Mishap, before: Before) -> None:
        ticker = Ticker(self._request["now"], self._request["wall"])
        daemon: Daemon | None = None
        opened = False
        try:
            try:
                with self._calls.watch(watcher):
                    daemon = Daemon(root, clock=ticker)
                    if isinstance(watcher, _Points):
                        watcher.daemon = daemon
                    daemon.open()
                    opened = True
                    rest(daemon)
            except (OSError, TaskdirError) as error:
                if isinstance(watcher, _Points) or isinstance(error, LogDamaged):
                    raise
                if opened and not isinstance(error, SyncFailed):
                    raise
                if daemon is not None:
                    daemon.abandon()
                daemon = Daemon(root, clock=ticker)
                daemon.open()
            came = self._came in (None, outcome(root))
            if isinstance(watcher, Mishap):
                came = self._tick(daemon, ticker) or came or watcher.spoilt
            judge(root, before)
            if self._came is not None and not came:
                self._wait(daemon, ticker, self._came)
        except Wrong:
            raise
        except ConfigError:
            return  # the story's operator spoilt the settings: no daemon starts until they are mended
        except Exception as error:
            raise Wrong(f"{type(error).__name__}: {error}") from error
        finally:
            if daemon is not None:
                daemon.abandon()

    def _tick(self, daemon: Daemon, ticker: Ticker) -> bool:
        """Let as much time pass as it takes until what failed is tried again; says whether all was as expected then."""
        came = False
        for seconds in range(4):
            ticker.tell(self._request["now"] + seconds, self._request["wall"] + seconds)
            rest(daemon)
            came = came or outcome(daemon.places.root) == self._came
        return came

    def _wait(self, daemon: Daemon, ticker: Ticker, expected: Outcome) -> None:
        """Let time pass: a start gives leases, settling and benches their full time. Raises Wrong."""
        root, now, wall = daemon.places.root, self._request["now"], self._request["wall"]
        came = outcome(root)
        for seconds in WAITS:
            ticker.tell(now + seconds, wall + seconds)
            rest(daemon)
            if outcome(root) == expected:
                return
        raise Wrong(f"the stop changed what came out: {came} instead of {expected}")


def mark_of(daemon: Daemon | None) -> tuple[int, str]:
    """Return the end of the log as a daemon knows it."""
    journal = getattr(daemon, "_journal", None)
    return (journal.mark.seq, journal.mark.hash) if journal is not None else (0, "")


class _Points:
    """The watcher of one life: before each call that changes something, after it, and in the middle of a write."""

    def __init__(self, stops: Stops, root: str, way: Way) -> None:
        self._stops, self.root, self.way = stops, root, way
        self.count = 0
        self.calls: list[str] = []
        self.daemon: Daemon | None = None

    def __call__(self, call: Call) -> Any:
        self.calls.append(kind_of(call))
        if not call.changes:
            return call.make()
        self._stop(call, "before")
        answer = call.make()
        if call.name == "write" and len(call.args[1]) > 1:
            self._stop(call, "half of")
        self._stop(call, "after")
        return answer

    def _stop(self, call: Call, when: str) -> None:
        self.count += 1
        self._stops.stop(self, call, when)


def _tear(root: str, copied: str, call: Call) -> None:
    """Leave only half of what was just written."""
    path = os.readlink(f"/proc/self/fd/{call.args[0]}")
    torn = os.path.join(copied, os.path.relpath(path, root))
    os.truncate(torn, os.path.getsize(torn) - len(call.args[1]) // 2)
