"""Desk: behind walls, who asked for work gets it (docs/walls.md). Pure.

Nothing is offered there for agents to race for: the daemon records a claim first, then puts the task file into the
agent's directory, then removes the ask. An ask is answered in the pass that sees it, by a task or by nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from taskdir.documents import Event, Now
from taskdir.known import Known
from taskdir.seen import Seen


def handouts(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield ``claimed`` for each ask that can be met, in the order in which they came."""
    benched = known.benched()
    for agent, queue in seen.asks:
        held = sum(task.agent == agent for task in known.live())  # with a result or not: one may be left unjudged
        if agent in benched or held >= known.settings.max_claims or (queue.startswith("@") and queue != f"@{agent}"):
            continue
        if seen.first and held:
            continue  # what it asked for may be what it got: a stop came before the ask was removed
        for task in known.startable(queue)[:1]:
            yield {"event": "claimed", "id": task.id, "attempt": task.attempt, "agent": agent}
