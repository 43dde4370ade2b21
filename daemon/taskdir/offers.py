"""Desk: what lies in ready/ that nobody offered, or was changed since (SPEC section 7.3). Pure.

What is offered is no fact and makes no event: the window is computed from the index and published by ``window``.
"""

from __future__ import annotations

from collections.abc import Iterator

from taskdir import documents, names
from taskdir.documents import Event, Now
from taskdir.errors import Invalid
from taskdir.known import Known
from taskdir.seen import Seen


def offers(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield ``breach`` for strangers in ready/ and for offers that somebody changed in place."""
    for queue, name in sorted(seen.strange):
        if not is_ours(known, name):
            fault = Invalid("ready-stranger", "nobody offered this: agents submit to inbox/")
            yield from _breach(known, f"ready/{queue}", name, fault)
    for queue, found in sorted(seen.ready.items()):
        for name in sorted(seen.changed.intersection(found)):
            stem = names.parse_stem(name.removesuffix(names.TASK))
            fault = Invalid("ready-changed", "the offer was changed in place; it is written again")
            yield from _breach(known, f"ready/{queue}", name, fault, stem.id if stem else None)


def is_ours(known: Known, name: str) -> bool:
    """Say whether an offer of this name was, or may have been, published: its task and attempt exist."""
    stem = names.parse_stem(name.removesuffix(names.TASK))
    task = known.task(stem.id) if stem else None
    return stem is not None and task is not None and stem.seq <= task.seq and stem.attempt <= task.attempt


def _breach(known: Known, place: str, name: str, fault: Invalid, id: str | None = None) -> Iterator[Event]:
    file = f"{place}/{names.printable(name)}"
    if id is not None or not known.refused_before(file, "", fault.code):
        reason = documents.reason(fault, file)
        yield documents.compact(
            event="breach", id=id, code=fault.code, place=place, name=names.printable(name), reason=reason
        )
