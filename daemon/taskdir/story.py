"""One task's story, its timeline, and lists of tasks, as ``show`` and ``list`` tell them.

A story has the record's shape in every state. Reads Facts, and looks into inbox/ for messages that no daemon has judged
yet (SPEC sections 3 and 6.6).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from taskdir import documents, lifecycle, names
from taskdir.documents import Now, compact
from taskdir.facts import Facts
from taskdir.waiting import waiting

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
    refusal = facts.index.register.refusal(id + names.TASK)
    if refusal is not None:
        error = {"code": refusal[1]["code"], "message": refusal[1]["message"]}
        return {"kind": "record", "id": id, "state": "rejected", "error": error, "attempts": [], "reason": refusal[1]}
    if facts.index.register.message(id) is not None:
        return {"kind": "message", "id": id, "state": "accepted"}
    return None


def timeline(facts: Facts, id: str) -> list[dict[str, Any]]:
    """Return what happened to a task in order: ``time``, ``event``, and of an attempt its number, agent and error."""
    (accepted,) = next(facts.index.rows("SELECT accepted FROM tasks WHERE id = ?", (id,)))
    found: list[dict[str, Any]] = [{"time": accepted, "event": "accepted"}]
    for attempt in facts.index.attempts(id):
        who = {"attempt": attempt["attempt"], "agent": attempt["agent"]}
        found.append({"time": attempt["claimed"], "event": "claimed", **who})
        if "outcome" in attempt:
            told = compact(error=attempt.get("error"), notes=attempt.get("notes"))
            found.append({"time": attempt["ended"], "event": attempt["outcome"], **who, **told})
    return found


def waiters(facts: Facts, id: str) -> int:
    """Return how many tasks wait for a task directly."""
    return len(facts.index.lines.dependants(id))


_AGENT = "coalesce(agent, (SELECT a.agent FROM attempts a WHERE a.id = tasks.id ORDER BY a.attempt DESC LIMIT 1))"

_COLUMNS = "id state type queue priority attempt failures agent accepted unmet stalled".split()

_SOURCES = {"agent": _AGENT, "unmet": "nullif(blocked, 0)", "stalled": "nullif(stalled, 0)"}

_CONDITIONS = {
    "agent": f"{_AGENT} = ?",
    "after": "EXISTS (SELECT 1 FROM bodies b, json_each(b.task, '$.after') d WHERE b.seq = tasks.seq AND d.value = ?)",
}

_DOWN = """id IN (
WITH RECURSIVE below(id) AS (
  SELECT w.id FROM tasks t JOIN waits w ON w.dep = t.id WHERE t.final IS NOT NULL AND t.state IN ('failed', 'canceled')
  UNION SELECT w.id FROM below JOIN waits w ON w.dep = below.id)
SELECT id FROM below)"""

BLOCKED = f"state = 'queued' AND blocked > 0 AND {_DOWN}"
"""The condition for queued tasks that wait for a failed or canceled one, however indirectly."""


def tasks(facts: Facts, wanted: dict[str, str], limit: int, *, stuck: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the tasks whose state, queue, type or agent are as ``wanted``, oldest first, at most ``limit`` (0: all).

    ``agent``: who holds it, or held it last; ``after``: a task that it names as a dependency. ``stuck``: only those
    that a failed or canceled task blocks, each with these (``by``). State ``rejected`` yields refused files instead.
    """
    if wanted.get("state") == "rejected":
        yield from _refusals(facts, limit)
        return
    chosen = ", ".join(_SOURCES.get(name, name) for name in _COLUMNS)
    where = [_CONDITIONS.get(name, f"{name} = ?") for name in wanted] + ([BLOCKED] if stuck else [])
    query = f"SELECT {chosen} FROM tasks WHERE {' AND '.join(where) or '1'} ORDER BY seq LIMIT ?"
    causes = facts.index.lines.causes() if stuck else {}
    for row in facts.index.rows(query, (*wanted.values(), limit or -1)):
        told = compact(**dict(zip(_COLUMNS, row, strict=True)))
        by = [{"id": id, "state": state} for id, state in causes.get(told["id"], {}).items()]
        yield told | ({"by": by} if stuck else {})


def _refusals(facts: Facts, limit: int) -> Iterator[dict[str, Any]]:
    query = "SELECT file FROM refusals WHERE stale = 0 ORDER BY seq LIMIT ?"
    for (file,) in facts.index.rows(query, (limit or -1,)):
        found = facts.index.register.refusal(file)
        if found is not None:
            yield {"file": file, "state": "rejected", "seq": found[2], "code": found[1]["code"]} | {
                "message": found[1]["message"]
            }


def known_ids(facts: Facts, like: str) -> list[str]:
    """Return ids that begin as ``like`` does, to guess what a misspelt one was meant to be."""
    rows = facts.index.rows("SELECT id FROM messages WHERE id >= ? AND id < ? LIMIT 1000", (like[:1], like[:1] + "~"))
    return [str(id) for (id,) in rows]
