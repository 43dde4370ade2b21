"""Desk: what was edited by hand in state/, which only messages may change (SPEC section 7.17). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from taskdir import documents, names
from taskdir.documents import Event, Now
from taskdir.errors import Invalid
from taskdir.known import Known
from taskdir.seen import Seen


def state(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield ``breach`` for each file in state/ that is not as the daemon wrote it."""
    for name in sorted(seen.edited):
        key = name.removesuffix(names.TASK)
        if names.is_word(key) and known.version(key):
            fault = Invalid("state-changed", "shared state was edited in place; the entry is written again")
        else:
            fault = Invalid("state-stranger", "no message ever set this key")
        file = f"state/{names.printable(name)}"
        reason = documents.reason(fault, file)
        told = {"code": fault.code, "place": "state", "name": names.printable(name)}
        yield {"event": "breach", **told, "reason": reason}
