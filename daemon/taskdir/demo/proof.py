"""What must be true when the demo is over: every task done once, every output right, nothing else in the log.

Pure comparison of the plan, the log's events and the records in done/; each returned line is a fault.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from taskdir.demo.sources import Plan
from taskdir.documents import Event


def faults(plan: Plan, events: list[Event], records: dict[str, Any]) -> list[str]:
    """Compare. ``records`` are the documents in done/ by id."""
    outputs = plan.expected()
    found = [
        *_once("accepted", outputs, events),
        *_once("done", outputs, events),
        *(f"{event['id']} was {event['event']}" for event in events if event["event"] in ("failed", "canceled")),
    ]
    done = {event["id"]: event["output"] for event in events if event["event"] == "done"}
    for id, expected in outputs.items():
        record = records.get(id)
        if record is None:
            found.append(f"done/{id}.json is missing")
        elif record.get("state") != "done" or record.get("output") != done.get(id):
            found.append(f"done/{id}.json is not what the log says")
        if id in done and done[id] != expected:
            found.append(f"{id} came out as {done[id]}, and should be {expected}; did the file change meanwhile?")
    found += [f"done/{id}.json belongs to no task" for id in records.keys() - outputs.keys()]
    return found + _unended(events)


def _once(kind: str, ids: dict[str, Any], events: list[Event]) -> list[str]:
    times = Counter(event["id"] for event in events if event["event"] == kind)
    wrong = [f"{id} was {kind} {times[id]} times" for id in ids if times[id] != 1]
    return wrong + [f"{id} was {kind}, but never submitted" for id in times.keys() - ids.keys()]


def _unended(events: list[Event]) -> list[str]:
    """Every claim has one end, and no attempt two claims."""
    ends = ("done", "errored", "returned", "expired", "abandoned", "timed_out")
    claims = Counter((e["id"], e["attempt"]) for e in events if e["event"] == "claimed")
    ended = Counter((e["id"], e["attempt"]) for e in events if e["event"] in ends)
    twice = [f"attempt {attempt} of {id} was claimed {n} times" for (id, attempt), n in claims.items() if n > 1]
    return twice + [f"attempt {attempt} of {id} has no end" for id, attempt in claims.keys() - ended.keys()]
