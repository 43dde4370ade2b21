"""The log, read once from its beginning, kept as what a report tells: claims, waits, ends, refusals, state, benches.

Only events count here: no directory, no index, no clock. Times are seconds since 1970 that never go back; where the
daemon's wall clock did, the event is put at the latest time seen, and ``set_back`` counts it.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from taskdir import lifecycle, strictjson
from taskdir.documents import Event, parse_timestamp
from taskdir.facts import Progress, impossible
from taskdir.logread import Damage, Follower, Mark

SHORT = 300
"""So many characters of what others wrote are kept."""
NOBODY = float("inf")
"""Since when the first in line waits, when nobody waits."""


@dataclass(slots=True)
class Claim:
    """One claim: from ``start`` to ``end`` (None: it still runs); ``outcome`` is the event that ended it."""

    agent: str
    id: str
    attempt: int
    start: float
    end: float | None = None
    outcome: str = "running"
    error: dict[str, Any] | None = None
    notes: str = ""
    refused: list[tuple[float, str]] = field(default_factory=list)


@dataclass(slots=True)
class Story:
    """One task on its way. ``claims`` are dropped once it is done."""

    type: str
    state: str
    accepted: float
    resources: tuple[str, ...]
    claims: list[Claim] = field(default_factory=list)
    error: dict[str, Any] | None = None
    ended: float = 0.0


@dataclass(slots=True)
class Refusals:
    """What was refused by one rule: how often, and the last case."""

    count: int = 0
    last: float = 0.0
    name: str = ""
    message: str = ""


@dataclass(slots=True)
class Entry:
    """One key of the shared state: times of its versions, and the last of them."""

    times: array[float] = field(default_factory=lambda: array("d"))
    version: int = 0
    by: str = ""
    value: str = ""


@dataclass(slots=True)
class Span:
    """A stretch of time: a bench of an agent, or a run of the daemon; ``end`` None: it lasts."""

    name: str
    start: float
    end: float | None = None
    seconds: float = 0.0
    cut: bool = False


class Ledger:
    """The fold of events; ``take`` them in order, then read the members."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.events = self.set_back = 0
        self.counts: Counter[str] = Counter()
        self.steps: Counter[tuple[str, str]] = Counter()
        self.stories: dict[str, Story] = {}
        self.claims: list[Claim] = []
        self.held: dict[str, list[Claim]] = {}
        self.ends: dict[str, array[float]] = {name: array("d") for name in ("accepted", "done", "failed", "canceled")}
        self.waits: tuple[array[float], array[float], array[float]] = (array("d"), array("d"), array("d"))
        self.refusals: dict[tuple[str, str], Refusals] = {}
        self.late: list[tuple[str, float, str]] = []
        self.state: dict[str, Entry] = {}
        self.benches: list[Span] = []
        self.runs: list[Span] = []
        self.damage: Damage | None = None
        self._before = 0.0
        self._waiting: OrderedDict[str, float] = OrderedDict()
        self._resting: dict[str, Span] = {}
        self._others: dict[str, Callable[[Event, float], None]] = {
            "rejected": self._rejected,
            "late": self._late,
            "breach": self._breach,
            "set": self._set,
            "benched": self._benched,
            "unbenched": self._unbenched,
            "started": self._started,
            "stopped": self._stopped,
        }

    def take(self, event: Event) -> None:
        """Take one event over. Raises ValueError or KeyError for one that cannot be true."""
        name, time = event["event"], parse_timestamp(event["time"])
        self.first, self._before = self.first or time, self.last
        self.set_back += time < self.last
        self.last = time = max(time, self.last)
        self.events += 1
        self.counts[name] += 1
        if name in _TASK_STEPS and "id" in event:
            self._step(name, event, time)
        elif name in self._others:
            self._others[name](event, time)

    def _step(self, name: str, event: Event, time: float) -> None:
        """A task moves: count the edge of the life cycle, then carry it out."""
        id = event["id"]
        before = "submitted" if name == "accepted" else self.stories[id].state
        then = "queued" if name == "accepted" else lifecycle.NEXT.get((before, name))
        if then is None:
            raise lifecycle.IllegalEvent(f"{name} is not possible while {id} is {before}")
        self.steps[before, name] += 1
        if name in self.ends:
            self.ends[name].append(time)
        if name == "accepted":
            task = event["task"]
            self.stories[id] = Story(task["type"], then, time, tuple(task.get("resources", ())))
        story = self.stories[id]
        story.state = then
        if name == "claimed":
            self._claim(story, Claim(event["agent"], id, event["attempt"], time))
        elif name == "refused":
            story.claims[-1].refused.append((time, event["reason"]["code"]))
            self._refuse("result", id, event, time)
        elif before == "claimed":
            self._end_claim(story.claims[-1], event, time)
        if then in ("done", "failed", "canceled"):
            story.ended, story.error = time, event.get("error")
        if then == "done":
            story.claims = []
        self._wait(id, time, waits=then == "queued")

    def _claim(self, story: Story, claim: Claim) -> None:
        self.claims.append(claim)
        story.claims.append(claim)
        for resource in story.resources:
            self.held.setdefault(resource, []).append(claim)

    def _end_claim(self, claim: Claim, event: Event, time: float) -> None:
        claim.end, claim.outcome, claim.error = time, event["event"], event.get("error")
        claim.notes = shorten(event.get("notes", ""))

    def _wait(self, id: str, time: float, *, waits: bool) -> None:
        """Follow who waits: (time, how many, since when the first of them) after each change."""
        if waits and id not in self._waiting:
            self._waiting[id] = time
        elif not waits:
            self._waiting.pop(id, None)
        times, depths, since = self.waits
        if times and times[-1] == time:
            for column in self.waits:
                column.pop()
        times.append(time)
        depths.append(len(self._waiting))
        since.append(next(iter(self._waiting.values()), NOBODY))

    def _rejected(self, event: Event, time: float) -> None:
        self.steps["submitted", "rejected"] += 1
        self._refuse("message", event["file"], event, time)

    def _late(self, event: Event, time: float) -> None:
        self.late.append((event["agent"], time, event["id"]))
        self._refuse("late result", event["file"], event, time)

    def _breach(self, event: Event, time: float) -> None:
        self._refuse("breach", f"{event['place']}/{event['name']}", event, time)

    def _refuse(self, kind: str, name: str, event: Event, time: float) -> None:
        told = self.refusals.setdefault((kind, event["reason"]["code"]), Refusals())
        told.count, told.last = told.count + 1, time
        told.name, told.message = shorten(name), shorten(event["reason"]["message"])

    def _set(self, event: Event, time: float) -> None:
        entry = self.state.setdefault(event["key"], Entry())
        entry.times.append(time)
        entry.version, entry.by = event["version"], str(event.get("from", event["by"]))
        entry.value = shorten(strictjson.dumps(event["value"]))

    def _benched(self, event: Event, time: float) -> None:
        self._resting[event["agent"]] = bench = Span(event["agent"], time, seconds=event["seconds"])
        self.benches.append(bench)

    def _unbenched(self, event: Event, time: float) -> None:
        if event["agent"] in self._resting:
            self._resting.pop(event["agent"]).end = time

    def _started(self, event: Event, time: float) -> None:
        if self.runs and self.runs[-1].end is None:
            self.runs[-1].end, self.runs[-1].cut = self._before, True
        self.runs.append(Span(event["version"], time))

    def _stopped(self, event: Event, time: float) -> None:
        if self.runs:
            self.runs[-1].end = time


_TASK_STEPS = frozenset(event for _, event in lifecycle.NEXT) | {"accepted"}


def shorten(text: str, limit: int = SHORT) -> str:
    """Return the text, or its beginning and how long it is."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def read(root: str, progress: Progress | None = None) -> Ledger:
    """Read the whole log of ``root``; ``progress`` is told the bytes. ``damage`` tells where reading had to stop.

    Raises LogDamaged for an event that the life cycle does not allow.
    """
    ledger, follower, at = Ledger(), Follower(root), Mark()
    for batch in follower.news():
        try:
            for event in batch.events:
                ledger.take(event)
        except (ValueError, KeyError, IndexError) as error:
            raise impossible(batch, error) from error
        if progress is not None:
            progress(batch.mark.offset - (at.offset if at.first == batch.mark.first else 0))
        at = batch.mark
    ledger.damage = follower.damage
    return ledger
