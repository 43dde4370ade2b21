"""Desk: claims that ended by themselves: dropped locks, time limits, leases (SPEC sections 7.6, 7.10 and 8). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from taskdir import documents
from taskdir.documents import Event, Now, Task
from taskdir.known import Known
from taskdir.seen import Holding, Seen, Slot


def leases(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield ``abandoned``, ``timed_out`` or ``expired`` for claims past their end, and ``failed`` at the cap."""
    for task in known.live():
        slot = Slot(task.agent or "", task.stem)
        holding = seen.holdings.get(slot)
        if holding is None or slot in seen.gone:
            continue
        ended = _why(task, holding)
        if ended is not None:
            yield from documents.end_claim(task, ended, holding.notes)


def _why(task: Task, holding: Holding) -> str | None:
    if holding.age >= task.timeout_seconds:
        return "timed_out"
    if holding.writing:
        return None
    if holding.dropped and not holding.has_result:
        return "abandoned"
    if holding.idle >= task.lease_seconds:
        return "expired"
    return None
