"""Telling what happened, from the log alone: the turning points in order, then who did what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from taskdir.documents import Event, parse_timestamp


def tell(events: list[Event]) -> Iterator[str]:
    """Yield the story's lines: seconds since the start, then what happened."""
    start = parse_timestamp(events[0]["time"])
    botched: set[str] = set()
    lost: dict[str, Event] = {}
    for event in events:
        for words in _line(event, botched, lost):
            yield f"{parse_timestamp(event['time']) - start:7.2f} s  {words}"
    yield ""
    yield from _table(events)


def _line(event: Event, botched: set[str], lost: dict[str, Event]) -> Iterator[str]:
    """Put one event into words, if it is a turning point."""
    id, agent = event.get("id", ""), event.get("agent", "")
    match event["event"]:
        case "started":
            yield f"the daemon starts: taskdir {event['version']}, pid {event['pid']}"
        case "stopped":
            yield "the daemon stops"
        case "batch":
            yield f"{event['count']} tasks are accepted, as one batch"
        case "accepted" if "batch" not in event:
            yield f"{id} is accepted"
        case "noted":
            yield f"the demo notes: {event['message']}"
        case "refused":
            botched.add(id)
            reason = event["reason"]
            where = f" at {reason['pointer']}" if reason.get("pointer") else ""
            yield f"{agent} hands in a result of {id} that breaks its contract: refused ({reason['code']}{where})"
        case "abandoned":
            lost[id] = event
            yield f"{agent} is gone: its lock on {id} was dropped, the task is taken back"
            if "notes" in event:
                yield f"the last that {agent} left: {event['notes'].strip()!r}"
        case "claimed" if id in lost:
            yield f"{agent} claims {id} again, attempt {event['attempt']}"
        case "done" if id in lost:
            yield f"{agent} has done {id}, which {lost.pop(id)['agent']} had begun"
        case "done" if id in botched:
            yield f"{agent} corrects {id}: accepted"
        case "done" if "batch" not in event and id == "summary":
            yield f"{agent} adds up: {', '.join(f'{count} {what}' for what, count in event['output'].items())}"


def _table(events: list[Event]) -> Iterator[str]:
    """Yield one line an agent: claims and how they went."""
    kinds = ("claimed", "done", "refused", "abandoned")
    times = Counter((event["agent"], event["event"]) for event in events if "agent" in event)
    agents = list(dict.fromkeys(event["agent"] for event in events if "agent" in event))
    yield f"{'agent':<12}" + "".join(f"{kind:>11}" for kind in kinds)
    for agent in agents:
        yield f"{agent:<12}" + "".join(f"{times[agent, kind] or '':>11}" for kind in kinds)
