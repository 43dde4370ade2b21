"""Why a queued task is not running yet: computed from the index, never logged (SPEC sections 3.3, 7.15, 7.16, 8).

One cause is told, the one that has to end first: a failed dependency, unmet dependencies, a time, a resource, the line.
"""

from __future__ import annotations

import os
from typing import Any

from taskdir import names
from taskdir.documents import Now, Task, compact, timestamp
from taskdir.facts import Facts

MOST = 5
"""So many dependencies, holders and causes are named; beside them stands how many there are."""

_LINE = "state = 'queued' AND wake_at IS NULL AND blocked = 0 AND stalled = 0 AND queue = ?"


def waiting(facts: Facts, task: Task, now: Now) -> dict[str, Any]:
    """Say why a queued task waits. ``why`` is one of:

    ``blocked`` (``by`` failed or canceled tasks), ``after`` (``for`` tasks that are not done yet), ``backoff`` and
    ``not_before`` (``until`` a time), ``resource`` (``resources``, each with its holders), ``line``: its position.
    """
    asleep = _asleep(facts, task, now)
    unmet = facts.index.lines.unmet(task.id)
    if unmet:
        told = {"for": unmet[:MOST], "unmet": len(unmet)}
        by = blockers(facts, task.id)
        times = {name: asleep[name] for name in ("until", "seconds") if name in asleep}
        return ({"why": "blocked", "by": by} if by else {"why": "after"}) | told | times
    if asleep:
        return asleep
    stalls = facts.index.lines.stalls(task.id)
    if stalls:
        return {"why": "resource", "resources": [_resource(facts, name, ahead) for name, ahead in stalls[:MOST]]}
    return _in_line(facts, task)


def blockers(facts: Facts, id: str) -> list[dict[str, str]]:
    """Return the failed and canceled tasks that keep a task waiting, some of them: id and state."""
    return [{"id": each, "state": state} for each, state in facts.index.lines.blockers(id, MOST).items()]


def _asleep(facts: Facts, task: Task, now: Now) -> dict[str, Any]:
    """Tell until when a task sleeps; nothing when it is awake."""
    if task.wake_at is None or task.wake_at <= now.seconds:
        return {}
    delay = next(facts.index.rows("SELECT delay FROM tasks WHERE id = ?", (task.id,)))[0]
    why = "not_before" if delay is None else "backoff"
    return {"why": why, "until": timestamp(task.wake_at), "seconds": round(task.wake_at - now.seconds, 3)}


def _resource(facts: Facts, name: str, ahead: int) -> dict[str, Any]:
    lines = facts.index.lines
    holders, following = lines.holders(name), lines.next_up(name)
    return {
        "resource": name,
        "capacity": facts.settings.resources.get(name, 1),
        "held_by": holders[:MOST],
        "next": following[:MOST],
        "ahead": ahead,
    }


def _in_line(facts: Facts, task: Task) -> dict[str, Any]:
    """Tell the position among those of the queue that may start, and where it is offered."""
    ahead = f"SELECT count(*) FROM tasks WHERE {_LINE} AND (priority, seq) < (?, ?)"
    before = int(next(facts.index.rows(ahead, (task.queue, task.priority, task.seq)))[0])
    total = int(next(facts.index.rows(f"SELECT count(*) FROM tasks WHERE {_LINE}", (task.queue,)))[0])
    offer = os.path.join("ready", task.queue, task.stem + names.TASK)
    shown = offer if os.path.lexists(facts.places.join(offer)) else None
    told = {"why": "line", "position": before + 1, "of": max(total, before + 1), "queue": task.queue}
    return told | compact(offer=shown)
