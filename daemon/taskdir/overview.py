"""How a root is doing, on one screen: the facts behind ``taskdir status``. Reads only (SPEC sections 3 and 6.3)."""

from __future__ import annotations

import json
import os
from typing import Any

from taskdir import contracts, lifecycle, logread, names, validate
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.documents import Now, parse_timestamp
from taskdir.errors import Invalid
from taskdir.facts import Facts
from taskdir.places import Places

RECENT = 5
"""So many of the latest failures are shown."""


def overview(facts: Facts, now: Now) -> dict[str, Any]:
    """Return everything that ``status`` tells; times in seconds. Absent members are absent."""
    places = facts.places
    found: dict[str, Any] = {
        "root": places.root,
        "daemon": {"running": facts.live} | (_who(places) if facts.live else {}),
        "tasks": _states(facts),
        "inbox": sum(names.is_message_name(name) for name in _names(places.inbox)),
        "rejected": next(facts.index.rows("SELECT count(*) FROM refusals WHERE stale = 0"))[0],
        "queues": _queues(facts, now),
        "agents": _agents(facts, now),
        "failures": _failures(facts),
        "contracts": _contracts(places, facts.settings.max_message_bytes),
        "log": _log(facts),
    }
    if facts.bad_settings is not None:
        found["settings"] = facts.bad_settings.as_dict()
    if facts.damage is not None:
        found["damage"] = {"code": facts.damage.code, "seq": facts.damage.seq, "torn": facts.damage.torn}
    return found


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def _who(places: Places) -> dict[str, Any]:
    try:
        with open(places.who, encoding="utf-8") as file:
            who = json.load(file)
    except (OSError, ValueError):
        return {}
    return {name: who[name] for name in ("pid", "started", "version", "host") if isinstance(who, dict) and name in who}


def _states(facts: Facts) -> dict[str, int]:
    counted = facts.index.rows("SELECT state, count(*) FROM tasks GROUP BY state")
    return dict.fromkeys(lifecycle.STATES, 0) | {str(state): int(count) for state, count in counted}


def _queues(facts: Facts, now: Now) -> list[dict[str, Any]]:
    """Depth of each queue, how many of it are in backoff, and the age of its oldest task."""
    query = "SELECT queue, count(*), count(wake_at), min(accepted) FROM tasks WHERE state = 'queued' GROUP BY queue"
    rows = {row[0]: row[1:] for row in facts.index.rows(query)}
    found = []
    for queue in sorted({*facts.settings.all_queues(), *rows}):
        depth, delayed, oldest = rows.get(queue, (0, 0, None))
        told = {"queue": queue, "depth": depth, "delayed": delayed}
        found.append(told | ({"oldest_seconds": _age(oldest, now)} if oldest else {}))
    return found


def _agents(facts: Facts, now: Now) -> list[dict[str, Any]]:
    query = (
        "SELECT t.agent, t.id, t.attempt, a.claimed FROM tasks t JOIN attempts a USING (id, attempt) "
        "WHERE t.state = 'claimed' ORDER BY t.since"
    )
    held: dict[str, list[dict[str, Any]]] = {}
    for agent, id, attempt, since in facts.index.rows(query):
        told = {"id": id, "attempt": attempt, "since": since, "seconds": _age(since, now)}
        held.setdefault(agent, []).append(told)
    present = {name for name in _names(facts.places.claimed) if names.is_word(name)}
    return [{"agent": agent, "holds": held.get(agent, [])} for agent in sorted(present | held.keys())]


def _failures(facts: Facts) -> list[dict[str, Any]]:
    query = "SELECT id FROM tasks WHERE state = 'failed' ORDER BY final DESC LIMIT ?"
    found = []
    for (id,) in facts.index.rows(query, (RECENT,)):
        error = facts.index.ended(id).get("error", {})
        found.append({"id": id, "code": error.get("code"), "message": error.get("message")})
    return found


def _contracts(places: Places, limit: int) -> dict[str, Any]:
    """Count the contracts that can be used, and say what is wrong with the others."""
    good, bad, own = 0, [], validate.document("contract")
    for name in _names(places.contracts):
        type = name.removesuffix(names.TASK)
        if not names.is_message_name(name) or not names.is_word(type):
            continue
        try:
            contracts.parse(type, read_regular(os.path.join(places.contracts, name), limit), own)
            good += 1
        except Invalid as fault:
            fault.path = f"contracts/{name}"
            bad.append({"type": type} | fault.as_dict())
        except (OSError, NotRegular, TooLarge):
            bad.append({"type": type, "code": "unreadable", "file": f"contracts/{name}"})
    return {"good": good, "bad": bad}


def _log(facts: Facts) -> dict[str, int]:
    files = logread.segments(facts.places.root)
    sizes = [os.path.getsize(path) for _, path in files]
    return {"seq": facts.index.mark.seq, "bytes": sum(sizes), "segments": len(files)}


def _age(text: str, now: Now) -> float:
    return max(0.0, round(parse_timestamp(now.text) - parse_timestamp(text), 3))
