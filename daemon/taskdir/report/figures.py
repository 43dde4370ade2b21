"""The figures behind a report, as one JSON object: what ``report --json`` prints and the page is made from. Pure.

Bounded: time in at most so many buckets, lists cut at so many rows, with the number of all beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from taskdir import lifecycle
from taskdir.audit import balance
from taskdir.documents import compact, timestamp
from taskdir.report.ledger import Claim, Ledger, Story, shorten
from taskdir.report.scale import Buckets

BUCKETS = 60
"""At most so many bars of throughput and queue age."""
DEAD = 40
"""So many dead letters are told, the latest."""
ATTEMPTS = 6
"""So many attempts of each, the latest."""
ROWS = 200
"""So many rows of everything else."""


def figures(ledger: Ledger, root: str) -> dict[str, Any]:
    """Return everything that a report tells. Absent members are absent; lengths of time are in seconds."""
    found: dict[str, Any] = {
        "root": root,
        "events": ledger.events,
        "tasks": _tasks(ledger),
        "counts": dict(sorted(ledger.counts.items())),
        "life_cycle": _life_cycle(ledger),
        "runs": [_run(ledger, number) for number in range(len(ledger.runs))][-ROWS:],
        "agents": _agents(ledger),
        "resources": _resources(ledger),
        "dead_letters": _dead_letters(ledger),
        "refused": _refused(ledger),
        "state": _state(ledger),
        "benched": _benched(ledger),
    }
    if ledger.events:
        times = {"first": timestamp(ledger.first), "last": timestamp(ledger.last)}
        buckets = Buckets.over(ledger.first, ledger.last, BUCKETS)
        found |= {"throughput": _throughput(ledger, buckets), "queue": _queue(ledger, buckets)}
        found |= times | {"seconds": _length(ledger.last - ledger.first), "clock_set_back": ledger.set_back}
    if ledger.damage is not None:
        damage = ledger.damage
        found["damage"] = {"code": damage.code, "seq": damage.seq, "torn": damage.torn, "message": damage.message}
    return found


def _length(seconds: float) -> float:
    return round(seconds, 6)


def _tasks(ledger: Ledger) -> dict[str, Any]:
    """P6: accepted = queued + claimed + done + failed + canceled, counted from states and again from events."""
    states = Counter(story.state for story in ledger.stories.values())
    told = {state: states[state] for state in lifecycle.STATES}
    counts = Counter(ledger.counts)
    counts["canceled from claimed"] = ledger.steps["claimed", "canceled"]
    counts["canceled from queued"] = ledger.steps["queued", "canceled"]
    events = balance(counts)
    same = all(events[state] == told[state] for state in ("queued", "claimed", "done"))
    same = same and events["failed or canceled"] == told["failed"] + told["canceled"]
    return {
        "accepted": counts["accepted"],
        **told,
        "balanced": same and sum(told.values()) == counts["accepted"],
    }


def _life_cycle(ledger: Ledger) -> list[dict[str, Any]]:
    return [
        {"state": state, "event": event, "next": then, "count": ledger.steps[state, event]}
        for state, _, event, then in lifecycle.ROWS
    ]


def _throughput(ledger: Ledger, buckets: Buckets) -> dict[str, Any]:
    tallies = {name: buckets.tally(times) for name, times in ledger.ends.items()}
    return {"start": timestamp(buckets.start), "bucket_seconds": buckets.seconds, **tallies}


def _queue(ledger: Ledger, buckets: Buckets) -> dict[str, Any]:
    """The age of the task that waits longest, and how many wait: the highest of each bucket."""
    times, depths, since = ledger.waits
    ages = buckets.highest(times, since, end=ledger.last, ages=True)
    depth = buckets.highest(times, depths, end=ledger.last, ages=False)
    return {
        "start": timestamp(buckets.start),
        "bucket_seconds": buckets.seconds,
        "oldest_seconds": [_length(age) for age in ages],
        "depth": [int(count) for count in depth],
    }


def _run(ledger: Ledger, number: int) -> dict[str, Any]:
    run = ledger.runs[number]
    ended = timestamp(run.end) if run.end is not None else None
    return compact(version=run.name, started=timestamp(run.start), ended=ended, cut_short=run.cut or None)


def _agents(ledger: Ledger) -> list[dict[str, Any]]:
    """Each agent's claims by outcome, busiest first."""
    agents: dict[str, list[Claim]] = {}
    for claim in ledger.claims:
        agents.setdefault(claim.agent, []).append(claim)
    late = Counter(agent for agent, _, _ in ledger.late)
    found = []
    for agent in agents.keys() | late.keys():
        claims = agents.get(agent, [])
        outcomes = Counter(claim.outcome for claim in claims)
        told = {"agent": agent, "claims": len(claims), "outcomes": dict(sorted(outcomes.items()))}
        told |= {"refused": sum(len(claim.refused) for claim in claims), "late": late[agent]}
        found.append(told | {"held_seconds": _held(claims, ledger.last)})
    return sorted(found, key=lambda told: (-int(told["claims"]), str(told["agent"])))


def _held(claims: Iterable[Claim], now: float) -> float:
    return _length(sum((now if claim.end is None else claim.end) - claim.start for claim in claims))


def _resources(ledger: Ledger) -> list[dict[str, Any]]:
    """Who held each resource: how often and how long in all, at most how many at once, and who does now."""
    found = []
    for resource, claims in sorted(ledger.held.items()):
        told = {"resource": resource, "claims": len(claims), "agents": len({claim.agent for claim in claims})}
        told |= {"held_seconds": _held(claims, ledger.last), "most_at_once": most_at_once(claims)}
        now = [{"agent": claim.agent, "id": claim.id} for claim in claims if claim.end is None]
        found.append(told | {"held_by": now[:ROWS]})
    return found


def most_at_once(claims: Iterable[Claim]) -> int:
    """Return how many of the claims ran at the same instant; an end comes before a start of the same time."""
    changes = [(claim.start, 1) for claim in claims if claim.end != claim.start]
    changes += [(claim.end, -1) for claim in claims if claim.end is not None and claim.end != claim.start]
    now, most = 0, int(any(claims))
    for _, step in sorted(changes):
        now += step
        most = max(most, now)
    return most


def _dead_letters(ledger: Ledger) -> dict[str, Any]:
    dead = sorted(
        ((id, story) for id, story in ledger.stories.items() if story.state == "failed"),
        key=lambda pair: (-pair[1].ended, pair[0]),
    )
    codes = Counter((story.error or {}).get("code", "") for _, story in dead)
    ranked = sorted(codes.items(), key=lambda pair: (-pair[1], pair[0]))
    by_code = [{"code": code, "count": count} for code, count in ranked]
    shown = [_letter(id, story) for id, story in dead[:DEAD]]
    return {"count": len(dead), "by_code": by_code[:ROWS], "latest": shown}


def _letter(id: str, story: Story) -> dict[str, Any]:
    told = {"id": id, "type": story.type, "accepted": timestamp(story.accepted), "failed": timestamp(story.ended)}
    told |= compact(error=_error(story.error))
    return told | {"attempts": len(story.claims), "history": [_attempt(claim) for claim in story.claims[-ATTEMPTS:]]}


def _attempt(claim: Claim) -> dict[str, Any]:
    ended = timestamp(claim.end) if claim.end is not None else None
    refused = [code for _, code in claim.refused]
    told = compact(attempt=claim.attempt, agent=claim.agent, claimed=timestamp(claim.start), ended=ended)
    return told | compact(
        outcome=claim.outcome, error=_error(claim.error), notes=claim.notes or None, refused=refused or None
    )


def _error(error: dict[str, Any] | None) -> dict[str, Any] | None:
    return {"code": error["code"], "message": shorten(error["message"])} if error else None


def _refused(ledger: Ledger) -> list[dict[str, Any]]:
    """What was refused, by kind and rule, most often first; each with the last case."""
    found = [
        {"kind": kind, "code": code, "count": told.count, "last": timestamp(told.last)}
        | {"file": told.name, "message": told.message}
        for (kind, code), told in ledger.refusals.items()
    ]
    return sorted(found, key=lambda told: (-int(str(told["count"])), str(told["kind"]), str(told["code"])))[:ROWS]


def _state(ledger: Ledger) -> list[dict[str, Any]]:
    """The shared state's keys, those changed last first."""
    entries = sorted(ledger.state.items(), key=lambda pair: (-pair[1].times[-1], pair[0]))
    return [
        {"key": key, "version": entry.version, "by": entry.by, "time": timestamp(entry.times[-1]), "value": entry.value}
        for key, entry in entries[:ROWS]
    ]


def _benched(ledger: Ledger) -> list[dict[str, Any]]:
    return [
        {"agent": bench.name, "benched": timestamp(bench.start), "seconds": bench.seconds}
        | compact(unbenched=timestamp(bench.end) if bench.end is not None else None)
        for bench in ledger.benches[-ROWS:]
    ]
