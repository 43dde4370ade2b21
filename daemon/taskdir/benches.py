"""Desk: agents that lose one attempt after the other rest for a while (SPEC section 7.18). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from taskdir.documents import Event, Now
from taskdir.known import Known
from taskdir.seen import Seen


def benches(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield ``unbenched`` for agents whose rest is over, ``benched`` for those who lost too many attempts in a row."""
    for agent, until in sorted(known.benched().items()):
        if now.seconds >= until:
            yield {"event": "unbenched", "agent": agent}
    for agent in known.losers():
        yield {"event": "benched", "agent": agent, "seconds": known.settings.bench_seconds}
