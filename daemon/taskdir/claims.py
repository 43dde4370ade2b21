"""Desk: who took what, who gave it back (SPEC sections 7.4 and 7.9). Pure: facts and sight in, events out.

The claimed file is the claim, and a result beside it stands for it too. The first holder on record wins.
"""

from __future__ import annotations

from collections.abc import Iterator

from taskdir import documents
from taskdir.documents import Event, Now, Task
from taskdir.errors import Invalid
from taskdir.known import Known
from taskdir.seen import Holding, Seen, Slot


def claims(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield ``returned`` for claims that are gone, ``claimed`` for new ones, then give surplus ones back."""
    for task in known.live():
        slot = Slot(task.agent or "", task.stem)
        if slot in seen.gone:
            yield from documents.end_claim(task, "returned", seen.holdings[slot].notes)
    for slot, holding in sorted(seen.holdings.items()):
        if slot not in seen.gone:
            yield from _arrival(known, slot, holding)
    yield from _surplus(known, seen)


def _arrival(known: Known, slot: Slot, holding: Holding) -> Iterator[Event]:
    task = known.task(holding.stem.id)
    if task is None:
        fault = Invalid("claim-unknown", "no such task was ever offered")
        yield from _breach(known, slot, fault)
    elif task.state == "queued" and task.stem == slot.stem and (unmet := known.unmet(task)):
        fault = Invalid("claim-unknown", f"the task was never offered: it waits for {', '.join(unmet[:5])}")
        yield from _breach(known, slot, fault, task.id)
    elif task.state == "queued" and task.stem == slot.stem:
        yield {"event": "claimed", "id": task.id, "attempt": task.attempt, "agent": slot.agent}
        if task.queue.startswith("@") and task.queue != f"@{slot.agent}":
            fault = Invalid("wrong-queue", f"this task is for the agent {task.queue[1:]} alone")
            yield from _breach(known, slot, fault, task.id)
            yield from _hand_back(known, task.id, "wrong-queue", holding.notes)
        elif known.overfull(task) is not None:
            yield from _hand_back(known, task.id, "resources", holding.notes)
    elif task.state == "claimed" and task.stem == slot.stem and task.agent != slot.agent and holding.has_task:
        fault = Invalid("claim-copy", f"a copy: {task.agent} holds this attempt")
        yield from _breach(known, slot, fault, task.id)


def _surplus(known: Known, seen: Seen) -> Iterator[Event]:
    """Give back what an agent holds beyond max_claims unfinished claims, the latest recorded first to go."""
    unfinished: dict[str, list[Task]] = {}
    for task in known.live():
        holding = seen.holdings.get(Slot(task.agent or "", task.stem))
        if holding is None or not holding.has_result:
            unfinished.setdefault(task.agent or "", []).append(task)
    for tasks in unfinished.values():
        for task in tasks[known.settings.max_claims :]:
            holding = seen.holdings.get(Slot(task.agent or "", task.stem))
            yield from _hand_back(known, task.id, "max-claims", holding.notes if holding else None)


def _hand_back(known: Known, id: str, why: str, notes: str | None) -> Iterator[Event]:
    task = known.task(id)
    if task is not None:
        yield from documents.end_claim(task, "returned", notes, reason=why)


def _breach(known: Known, slot: Slot, fault: Invalid, id: str | None = None) -> Iterator[Event]:
    place, name = f"claimed/{slot.agent}", f"{slot.stem}.json"
    if not known.refused_before(f"{place}/{name}", "", fault.code):
        reason = documents.reason(fault, f"{place}/{name}")
        yield documents.compact(event="breach", id=id, code=fault.code, place=place, name=name, reason=reason)
