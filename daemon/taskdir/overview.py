"""How a root is doing, on one screen: the facts behind ``taskdir status``. Reads only (SPEC sections 3 and 6.3)."""

from __future__ import annotations

import json
import os
from typing import Any

from taskdir import contracts, lifecycle, logread, names, validate
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.documents import Now, parse_timestamp, timestamp
from taskdir.errors import Invalid
from taskdir.facts import Facts
from taskdir.places import Places
from taskdir.story import BLOCKED

RECENT = 5
"""So many of the latest failures, causes of blocking and changes of state are shown."""

_WAITERS = """
WITH RECURSIVE below(id) AS (
  SELECT id FROM waits WHERE dep = ? UNION SELECT w.id FROM below JOIN waits w ON w.dep = below.id)
SELECT count(*) FROM below JOIN tasks USING(id) WHERE state = 'queued'
"""


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
        "blocked": _blocked(facts),
        "resources": _resources(facts),
        "failures": _failures(facts),
        "contracts": _contracts(places, facts.settings.max_message_bytes),
        "state": _state(facts),
        "log": _log(facts),
        "disk": _disk(places),
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
    """Depth of each queue, how many of it sleep, are blocked or lack a resource, and the age of its oldest task."""
    query = (
        "SELECT queue, count(*), count(wake_at), sum(blocked > 0), "
        "sum(blocked = 0 AND stalled > 0 AND wake_at IS NULL), min(accepted) "
        "FROM tasks WHERE state = 'queued' GROUP BY queue"
    )
    rows = {row[0]: row[1:] for row in facts.index.rows(query)}
    found = []
    for queue in sorted({*facts.settings.all_queues(), *rows}):
        depth, delayed, blocked, stalled, oldest = rows.get(queue, (0, 0, 0, 0, None))
        told = {"queue": queue, "depth": depth, "delayed": delayed, "blocked": blocked, "stalled": stalled}
        found.append(told | ({"oldest_seconds": _age(oldest, now)} if oldest else {}))
    return found


def _agents(facts: Facts, now: Now) -> list[dict[str, Any]]:
    """Who is there, what each holds since when, when that was renewed last, and how long a benched one still rests."""
    query = (
        "SELECT t.agent, t.id, t.attempt, t.priority, t.seq, a.claimed "
        "FROM tasks t JOIN attempts a USING (id, attempt) WHERE t.state = 'claimed' ORDER BY t.since"
    )
    held: dict[str, list[dict[str, Any]]] = {}
    for agent, id, attempt, priority, seq, since in facts.index.rows(query):
        told = {"id": id, "attempt": attempt, "since": since, "seconds": _age(since, now)}
        stem = str(names.Stem(priority, seq, id, attempt))
        held.setdefault(agent, []).append(told | _renewed(facts.places, agent, stem, now))
    benched = facts.index.standing.benched()
    present = {name for name in _names(facts.places.claimed) if names.is_word(name)}
    found = []
    for agent in sorted(present | held.keys() | benched.keys()):
        rest = {"benched_seconds": round(max(0.0, benched[agent] - now.seconds), 3)} if agent in benched else {}
        found.append({"agent": agent, "holds": held.get(agent, [])} | rest)
    return found


def _renewed(places: Places, agent: str, stem: str, now: Now) -> dict[str, Any]:
    """Tell when the agent last touched a file of its claim, by the file's time: for people, nothing depends on it."""
    times = []
    for suffix in (names.TASK, names.NOTES, names.RESULT):
        try:
            times.append(os.stat(places.join("claimed", agent, stem + suffix), follow_symlinks=False).st_mtime)
        except OSError:
            continue
    if not times:
        return {}
    age = max(0.0, round(parse_timestamp(now.text) - max(times), 3))
    return {"renewed": timestamp(max(times)), "renewed_seconds": age}


def _blocked(facts: Facts) -> dict[str, Any]:
    """Count the tasks that failed and canceled ones keep waiting; ``by``: the latest of these, and how many each."""
    total = next(facts.index.rows(f"SELECT count(*) FROM tasks WHERE {BLOCKED}"))[0]
    query = (
        "SELECT id, state FROM tasks WHERE final IS NOT NULL AND state IN ('failed', 'canceled') "
        "AND EXISTS (SELECT 1 FROM waits WHERE dep = tasks.id) ORDER BY final DESC LIMIT ?"
    )
    by = [{"id": id, "state": state} for id, state in facts.index.rows(query, (RECENT,))]
    counted = [told | {"tasks": int(next(facts.index.rows(_WAITERS, (told["id"],)))[0])} for told in by]
    return {"tasks": total, "by": [told for told in counted if told["tasks"]]}


def _resources(facts: Facts) -> list[dict[str, Any]]:
    """Who holds each resource that is held or waited for, and how many wait for it."""
    query = "SELECT resource, sum(held = 0 AND front = 0) FROM needs WHERE held IS NOT NULL GROUP BY 1 ORDER BY 1"
    found = []
    for resource, waiting in facts.index.rows(query):
        holders = facts.index.lines.holders(resource)
        if holders or waiting:
            told = {"resource": resource, "capacity": facts.settings.resources.get(resource, 1)}
            found.append(told | {"held_by": holders, "waiting": waiting})
    return found


def _failures(facts: Facts) -> list[dict[str, Any]]:
    query = "SELECT id FROM tasks WHERE state = 'failed' ORDER BY final DESC LIMIT ?"
    found = []
    for (id,) in facts.index.rows(query, (RECENT,)):
        error = facts.index.ended(id).get("error", {})
        found.append({"id": id} | {name: error[name] for name in ("code", "message") if name in error})
    return found


def _contracts(places: Places, limit: int) -> dict[str, Any]:
    """Count the contracts of types and of keys that can be used, and say what is wrong with the others."""
    types, bad = _judged(places, "contracts", limit)
    keys, worse = _judged(places, "contracts/state", limit)
    return {"good": types, "keys": keys, "bad": bad + worse}


def _judged(places: Places, directory: str, limit: int) -> tuple[int, list[dict[str, Any]]]:
    good, bad, own = 0, [], validate.document("contract")
    for name in _names(places.join(directory)):
        word = name.removesuffix(names.TASK)
        if not names.is_message_name(name) or not names.is_word(word):
            continue
        file = f"{directory}/{name}"
        try:
            contracts.parse(word, read_regular(places.join(file), limit), own)
            good += 1
        except Invalid as fault:
            fault.path = file
            bad.append({"type": word} | fault.as_dict())
        except (OSError, NotRegular, TooLarge):
            bad.append({"type": word, "code": "unreadable", "file": file})
    return good, bad


def _state(facts: Facts) -> dict[str, Any]:
    """Count the keys of the shared state, and tell those that changed last."""
    count = next(facts.index.rows("SELECT count(*) FROM shelf"))[0]
    query = "SELECT key, version, by, time FROM shelf ORDER BY time DESC, key LIMIT ?"
    rows = facts.index.rows(query, (RECENT,))
    latest = [dict(zip(("key", "version", "by", "time"), row, strict=True)) for row in rows]
    return {"keys": count, "latest": latest}


def _disk(places: Places) -> dict[str, int]:
    found = os.statvfs(places.root)
    return {"free_bytes": found.f_bavail * found.f_frsize, "bytes": found.f_blocks * found.f_frsize}


def _log(facts: Facts) -> dict[str, int]:
    files = logread.segments(facts.places.root)
    sizes = [os.path.getsize(path) for _, path in files]
    return {"seq": facts.index.mark.seq, "bytes": sum(sizes), "segments": len(files)}


def _age(text: str, now: Now) -> float:
    return max(0.0, round(parse_timestamp(now.text) - parse_timestamp(text), 3))
