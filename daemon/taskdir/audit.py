"""Judging the log by itself: chain, batches, schema, legal transitions, and the books of P6 (SPEC sections 9 and 3).

Reads, and builds the replay that ``check`` compares everything else with. Events are judged one after the other; one
that cannot be true is reported and left out, as the life cycle leaves a task untouched by it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from taskdir import lifecycle, names, rules, strictjson, validate
from taskdir.documents import Event, parse_timestamp
from taskdir.errors import Invalid
from taskdir.index import Index
from taskdir.logread import Batch, Damage
from taskdir.precedence import Precedence
from taskdir.validate import Checker

_ENDS = lifecycle.FAILURES | {"returned"}
_INTEGERS = frozenset({"pid", "count", "attempt", "version", "priority", "max_attempts"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: rule code, sentence, file, and where it helps line, seq and pointer."""

    code: str
    message: str
    file: str
    line: int | None = None
    pointer: str | None = None

    @property
    def level(self) -> str:
        """``error`` or ``warning``, from the rule."""
        return rules.codes()[self.code]["level"]

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a JSON object; absent parts are left out."""
        parts = {
            "code": self.code,
            "level": self.level,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "pointer": self.pointer,
            "hint": rules.hint(self.code),
        }
        return {name: value for name, value in parts.items() if value is not None}

    def __str__(self) -> str:
        where = self.file + (f":{self.line}" if self.line else "") + (f": {self.pointer}" if self.pointer else "")
        hint = rules.hint(self.code)
        return f"{where}: {self.message} [{self.code}]" + (f"\n  next: {hint}" if hint else "")


class _Around:
    """What an event may rely on in its own batch: how many members a batch of messages has in it, and what came."""

    def __init__(self, events: list[Event]) -> None:
        named = [event.get("batch") for event in events if event["event"] == "accepted"]
        self.members = Counter(id for id in named if isinstance(id, str))
        self.ended: set[str] = set()
        self.batches: set[str] = set()

    def see(self, event: Event) -> None:
        if event["event"] in _ENDS:
            self.ended.add(event["id"])
        elif event["event"] == "batch":
            self.batches.add(event["by"])


class Audit:
    """The log's judge. Give it batches in order with ``take``; then ask ``findings``, ``index`` and the rest.

    ``refused`` maps each name that rejected/ may hold to the SHA-256 of what the daemon wrote there ("" for the refused
    file itself); ``counts`` has one entry for each event and for each way of ending.
    """

    def __init__(self, files: Iterable[tuple[int, str]], *, whole: bool = True) -> None:
        """``files`` as from logread.segments, to name places; ``whole``: the log is read from its beginning."""
        self._files = dict(files)
        self._whole = whole
        self._running: bool | None = False if whole else None
        self.index = Index(":memory:")
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.refused: dict[str, set[str]] = {}
        self._precedence = Precedence(self.index)

    @property
    def held(self) -> dict[str, int]:
        """Resource → the most tasks that ever held it at once, from the log alone."""
        return self._precedence.most

    @property
    def running(self) -> bool:
        """Whether the last run has not ended in good order, or goes on."""
        return bool(self._running)

    def name(self, files: Iterable[tuple[int, str]]) -> None:
        """Take over which segments there are now."""
        self._files = dict(files)

    def take(self, batch: Batch) -> None:
        """Judge one batch and apply what can be true of it."""
        around = _Around(batch.events)
        self._precedence.begin(batch.events)
        with self.index.batch(batch.mark):
            for event in batch.events:
                fault = schema_fault(event)
                if fault is not None:
                    self._add(batch, event, f"{event['event']}: {fault.message}", fault.pointer)
                elif (said := self._order_fault(around, event) or self._fold(event)) is not None:
                    self._add(batch, event, said)
                else:
                    around.see(event)
                    self._count(event)
        self._precedence.end(batch.events)

    def _fold(self, event: Event) -> str | None:
        """Apply an event; say what is wrong when it is impossible."""
        try:
            if self._whole:
                self.index.task(str(event.get("id")))  # at hand: then a second ``accepted`` is noticed at once
                self.index.add(event)
        except ValueError as error:  # lifecycle.IllegalEvent, or a day that no calendar has
            return str(error)
        return None

    def _order_fault(self, around: _Around, event: Event) -> str | None:
        """Say what is wrong with an event among its neighbours, apart from its task's state."""
        name = event["event"]
        running, self._running = self._running, name != "stopped"
        if running is False and name != "started":
            return f"{name} while no daemon runs: started opens every run"
        if name == "failed" and event["id"] not in around.ended:
            return f"failed of {event['id']} without the end of its claim in the same batch"
        if name == "batch" and around.members[event["by"]] != event["count"]:
            return f"batch {event['by']} counts {event['count']} tasks, and {around.members[event['by']]} follow"
        if name == "accepted" and event.get("batch", "") not in {"", *around.batches}:
            return f"accepted of {event['id']} is a member of {event['batch']}, which did not come before it"
        if not self._whole:
            return None
        if name == "accepted" and not self.index.register.has_contract(event["task"]["type"], event["contract"]):
            return f"accepted of {event['id']} names a contract that was never logged for its type"
        return self._precedence.fault(event)

    def _count(self, event: Event) -> None:
        name = event["event"]
        self.counts[name] += 1
        if name == "canceled":
            self.counts["canceled from claimed" if "agent" in event else "canceled from queued"] += 1
        if name in ("rejected", "late", "breach"):
            self._note_refusal(event["reason"], event["seq"])

    def _note_refusal(self, reason: dict[str, str], seq: int) -> None:
        """Remember under which names rejected/ may hold the refused file and its reason."""
        stored = names.rejected_name(names.unprintable(reason["file"].rpartition("/")[2]) or "", seq)
        digest = hashlib.sha256(strictjson.pretty(reason)).hexdigest()
        self.refused.setdefault(names.reason_name(stored), set()).add(digest)
        self.refused.setdefault(stored, set()).add("")
        if reason["code"] == "claim-unknown":  # a result beside a forged claim goes along with it
            self.refused.setdefault(stored.removesuffix(names.TASK) + names.RESULT, set()).add("")

    def _add(self, batch: Batch, event: Event, message: str, pointer: str | None = None) -> None:
        path = self._files.get(batch.mark.first) or self._files.get(0) or next(reversed(self._files.values()), "")
        line = event["seq"] - batch.mark.first + 1
        self.findings.append(Finding("log-event", message, path, line, pointer or None))

    def books(self) -> list[Finding]:
        """Compare the counts of events with the states of tasks (P6): two ways to the same five numbers."""
        told = balance(self.counts)
        rows = self.index.rows("SELECT state, count(*) FROM tasks GROUP BY state")
        kept = dict.fromkeys(lifecycle.STATES, 0) | {str(state): int(count) for state, count in rows}
        states = {name: kept[name] for name in ("queued", "claimed", "done")}
        states["failed or canceled"] = kept["failed"] + kept["canceled"]
        if told == states and sum(states.values()) == self.counts["accepted"]:
            return []
        said = ", ".join(f"{count} {state} by its events and {states[state]} by state" for state, count in told.items())
        return [Finding("p6", f"of {self.counts['accepted']} accepted tasks there are {said}", "log.jsonl")]


def balance(counts: Counter[str]) -> dict[str, int]:
    """Work out how many tasks are in each state from the numbers of events alone."""
    ends = sum(counts[name] for name in _ENDS)
    gone = counts["done"] + counts["canceled from claimed"]
    return {
        "queued": counts["accepted"] + counts["redriven"] + ends
        - counts["claimed"] - counts["failed"] - counts["canceled from queued"],
        "claimed": counts["claimed"] - ends - gone,
        "done": counts["done"],
        "failed or canceled": counts["failed"] + counts["canceled"] - counts["redriven"],
    }  # fmt: skip


def damage_finding(damage: Damage) -> Finding:
    """Turn the place where reading stopped into a finding."""
    if damage.torn:
        said = f"what follows the last whole batch is a torn tail: {damage.message} (seq {damage.seq})"
        return Finding("log-torn", said, damage.path, damage.line or None)
    return Finding(damage.code, f"{damage.message} (seq {damage.seq})", damage.path, damage.line or None)


def schema_fault(event: Event) -> Invalid | None:
    """Return what is wrong with an event's form: what all events share, then what its own kind adds, then the day."""
    common, kinds = _checkers()
    fault = common.check({name: value for name, value in event.items() if name in _shared()})
    return fault or _kind(event["event"], kinds).check(event) or _fraction(event) or _day_fault(event["time"])


def _fraction(event: Event) -> Invalid | None:
    """Say which integer has a fraction or an exponent: JSON Schema lets 1.0 pass, and 1.0 is no name of an attempt."""
    for at, place in (("", event), ("/task", event.get("task", {}))):
        for name in _INTEGERS & place.keys():
            if isinstance(place[name], float):
                return Invalid("wrong-type", f"{name} is no integer written as digits", pointer=f"{at}/{name}")
    return None


def _day_fault(time: str) -> Invalid | None:
    """Say that a time is on a day that no calendar has."""
    try:
        parse_timestamp(time)
    except ValueError as error:
        return Invalid("bad-value", f"{time} is no time: {error}", pointer="/time")
    return None


@cache
def _shared() -> frozenset[str]:
    return frozenset(rules.schema("event")["properties"])


@cache
def _checkers() -> tuple[Checker, dict[str, Checker]]:
    schema = {name: part for name, part in rules.schema("event").items() if name not in ("allOf", "$id")}
    return Checker(schema), {}


def _kind(name: str, made: dict[str, Checker]) -> Checker:
    if name not in made:
        made[name] = validate.document("event", name)
    return made[name]
