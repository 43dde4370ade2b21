"""One task's story, and lists of tasks, as ``show`` and ``list`` tell them: the record's shape in every state.

Reads Facts, and looks into inbox/ for messages that no daemon has judged yet (SPEC sections 3 and 6.6).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from taskdir import documents, lifecycle, names
from taskdir.documents import Now, Task, compact, timestamp
from taskdir.facts import Facts

STATES = (*lifecycle.STATES, "rejected")
"""What ``list --state`` may ask for."""


def story(facts: Facts, id: str, now: Now) -> dict[str, Any] | None:
    """Return what is known of an id, in the shape of a record; None when nobody knows it.

    Beyond a record's members: ``reason`` of a rejected message; ``x-waiting`` tells why a queued task is not running.
    """
    task = facts.index.task(id)
    if task is not None:
        index = facts.index
        made = documents.record(task, index.body(id), index.ended(id), index.attempts(id))
        return made | ({"x-waiting": waiting(facts, task, now)} if task.state == "queued" else {})
    if os.path.lexists(os.path.join(facts.places.inbox, id + names.TASK)):
        return {"kind": "record", "id": id, "state": "submitted", "attempts": []}
    refusal = facts.index.refusal(id + names.TASK)
    if refusal is not None:
        error = {"code": refusal[1]["code"], "message": refusal[1]["message"]}
        return {"kind": "record", "id": id, "state": "rejected", "error": error, "attempts": [], "reason": refusal[1]}
    if facts.index.message(id) is not None:
        return {"kind": "message", "id": id, "state": "accepted"}
    return None


def waiting(facts: Facts, task: Task, now: Now) -> dict[str, Any]:
    """Say why a queued task waits: ``backoff`` until a time, or the ``line``: its position, and where it is offered."""
    if task.wake_at is not None and task.wake_at > now.seconds:
        left = round(task.wake_at - now.seconds, 3)
        return {"why": "backoff", "until": timestamp(task.wake_at), "seconds": left}
    where = "state = 'queued' AND wake_at IS NULL AND queue = ?"
    ahead = f"SELECT count(*) FROM tasks WHERE {where} AND (priority, seq) < (?, ?)"
    before = int(next(facts.index.rows(ahead, (task.queue, task.priority, task.seq)))[0])
    total = int(next(facts.index.rows(f"SELECT count(*) FROM tasks WHERE {where}", (task.queue,)))[0])
    offer = os.path.join("ready", task.queue, task.stem + names.TASK)
    shown = offer if os.path.lexists(facts.places.join(offer)) else None
    told = {"why": "line", "position": before + 1, "of": max(total, before + 1), "queue": task.queue}
    return told | compact(offer=shown)


def tasks(facts: Facts, wanted: dict[str, str], limit: int) -> Iterator[dict[str, Any]]:
    """Yield the tasks whose state, queue, type or agent are as ``wanted``, oldest first, at most ``limit`` (0: all).

    ``agent``: who holds it, or held it last. State ``rejected`` yields refused files instead.
    """
    if wanted.get("state") == "rejected":
        yield from _refusals(facts, limit)
        return
    agent = "coalesce(agent, (SELECT a.agent FROM attempts a WHERE a.id = tasks.id ORDER BY a.attempt DESC LIMIT 1))"
    columns = ("id", "state", "type", "queue", "priority", "attempt", "failures", "agent", "accepted")
    chosen = ", ".join(agent if name == "agent" else name for name in columns)
    where = [f"{agent if name == 'agent' else name} = ?" for name in wanted]
    query = f"SELECT {chosen} FROM tasks WHERE {' AND '.join(where) or '1'} ORDER BY seq LIMIT ?"
    for row in facts.index.rows(query, (*wanted.values(), limit or -1)):
        yield compact(**dict(zip(columns, row, strict=True)))


def _refusals(facts: Facts, limit: int) -> Iterator[dict[str, Any]]:
    query = "SELECT file FROM refusals WHERE stale = 0 ORDER BY seq LIMIT ?"
    for (file,) in facts.index.rows(query, (limit or -1,)):
        found = facts.index.refusal(file)
        if found is not None:
            yield {"file": file, "state": "rejected", "seq": found[2], "code": found[1]["code"]} | {
                "message": found[1]["message"]
            }


def known_ids(facts: Facts, like: str) -> list[str]:
    """Return ids that begin as ``like`` does, to guess what a misspelt one was meant to be."""
    rows = facts.index.rows("SELECT id FROM messages WHERE id >= ? AND id < ? LIMIT 1000", (like[:1], like[:1] + "~"))
    return [str(id) for (id,) in rows]
