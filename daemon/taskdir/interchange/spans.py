"""The log as OpenTelemetry spans, in OTLP's own JSON: a trace a task, a span a life of it (docs/interchange.md).

A life goes from acceptance or redrive to an end; below it is a span for each attempt. A span is told once, whole: what
has not ended has none yet. All ids follow from the log's first line, the task's id, the life and the attempt, so
whoever exports again, or anywhere else, gets the same spans; a task that carries ``x-traceparent`` joins the trace of
whoever submitted it.
"""

from __future__ import annotations

import calendar
import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from taskdir import __version__
from taskdir.documents import Event
from taskdir.lifecycle import CLAIM_ENDS

Span = dict[str, Any]
_PARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_INTERNAL, _CONSUMER, _OK, _ERROR = 1, 5, 1, 2


@dataclass(slots=True)
class _Story:
    """What is known of one task so far: its lives before, then the one that runs, begun at so many nanoseconds."""

    id: str
    body: dict[str, Any]
    began: int
    life: int = 0
    attempts: list[Span] = field(default_factory=list)
    events: list[Span] = field(default_factory=list)


def trace_id(log: str, id: str) -> str:
    """Return the trace of a task: 32 hex digits."""
    return _digest("trace", log, id)[:32]


def span_id(log: str, id: str, *, life: int = 0, attempt: int | None = None) -> str:
    """Return the span of a life, or of an attempt: 16 hex digits."""
    return _digest("span", log, id, f"life {life}" if attempt is None else f"attempt {attempt}")[:16]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(("taskdir", *parts)).encode()).hexdigest()


def spans(log: str, events: Iterable[Event]) -> Iterator[list[Span]]:
    """Yield the spans of each life of a task that ends, the life's own first, then its attempts.

    ``log`` is the hash of the log's first line, ``events`` are those from there on.
    """
    stories: dict[str, _Story] = {}
    for event in events:
        name, id, at = event["event"], event.get("id"), _nanoseconds(event["time"])
        if name == "accepted":
            stories[event["id"]] = _Story(event["id"], event["task"], at)
        story = stories.get(str(id))
        if story is None:
            continue
        if name == "claimed":
            story.attempts.append(_attempt(log, story, event, at))
        elif name == "redriven":
            story.began, story.life, story.attempts, story.events = at, story.life + 1, [], []
        elif name in ("refused", "late", "breach", "noted"):
            story.events.append({"timeUnixNano": str(at), "name": name, "attributes": _told(event)})
        elif (name in CLAIM_ENDS or name == "canceled") and "attempt" in event:
            _end(story.attempts[-1], event, at)
        if name in ("done", "failed", "canceled"):
            yield [_life(log, story, stories, event, at), *story.attempts]


def request(found: list[Span], log: str) -> dict[str, Any]:
    """Return an ExportTraceServiceRequest in OTLP JSON."""
    resource = {"attributes": _attributes({"service.name": "taskdir", "taskdir.log": log})}
    scope = {"name": "taskdir", "version": __version__}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": found}]}]}


def _context(log: str, story: _Story) -> tuple[str, str | None]:
    """Return the trace of a task and the span above it, if its submitter named one."""
    match = _PARENT.fullmatch(str(story.body.get("x-traceparent", "")))
    if match is None or not int(match[1], 16) or not int(match[2], 16):
        return trace_id(log, story.id), None
    return match[1], match[2]


def _link(log: str, story: _Story, life: int) -> Span:
    about = _attributes({"taskdir.id": story.id})
    return {"traceId": _context(log, story)[0], "spanId": span_id(log, story.id, life=life), "attributes": about}


def _life(log: str, story: _Story, stories: dict[str, _Story], event: Event, at: int) -> Span:
    """Return the span of a life that ends. It is linked to what it waited for, and to the life before."""
    trace, parent = _context(log, story)
    about = {"taskdir.id": story.id, "taskdir.type": story.body["type"], "taskdir.queue": story.body["queue"]}
    about |= {"taskdir.priority": story.body["priority"], "taskdir.outcome": event["event"]}
    others = [stories[dep] for dep in story.body.get("after", ()) if dep in stories]
    links = [_link(log, other, other.life) for other in others]
    links += [_link(log, story, story.life - 1)] if story.life else []
    made: Span = {"traceId": trace, "spanId": span_id(log, story.id, life=story.life)}
    made |= {"parentSpanId": parent} if parent else {}
    made |= {
        "name": f"task {story.body['type']}",
        "kind": _INTERNAL,
        "startTimeUnixNano": str(story.began),
        "endTimeUnixNano": str(at),
        "attributes": _attributes(about),
        "events": list(story.events),
        "links": links,
        "status": _status(event),
    }
    return made


def _attempt(log: str, story: _Story, event: Event, at: int) -> Span:
    trace, _ = _context(log, story)
    about = {"taskdir.id": event["id"], "taskdir.attempt": event["attempt"], "taskdir.agent": event["agent"]}
    return {
        "traceId": trace,
        "spanId": span_id(log, story.id, attempt=event["attempt"]),
        "parentSpanId": span_id(log, story.id, life=story.life),
        "name": f"attempt {event['attempt']}",
        "kind": _CONSUMER,
        "startTimeUnixNano": str(at),
        "attributes": _attributes(about),
    }


def _end(attempt: Span, event: Event, at: int) -> None:
    attempt["endTimeUnixNano"] = str(at)
    attempt["attributes"] = [*attempt["attributes"], *_attributes({"taskdir.outcome": event["event"]})]
    attempt["status"] = _status(event)


def _status(event: Event) -> dict[str, Any]:
    if event["event"] == "done":
        return {"code": _OK}
    if event["event"] in ("canceled", "returned"):
        return {}
    said = event.get("error") or {"code": event["event"], "message": event["event"]}
    return {"code": _ERROR, "message": f"{said['code']}: {said['message']}"[:1024]}


def _told(event: Event) -> list[dict[str, Any]]:
    reason = event.get("reason")
    about = {"taskdir.attempt": event.get("attempt"), "taskdir.agent": event.get("agent")}
    about |= {"taskdir.code": reason["code"], "taskdir.message": reason["message"]} if isinstance(reason, dict) else {}
    about |= {"taskdir.message": event["message"]} if "message" in event else {}
    return _attributes({name: value for name, value in about.items() if value is not None})


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP has them; its 64-bit integers stand as texts."""
    return [
        {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}}
        for name, value in values.items()
    ]


def _nanoseconds(text: str) -> int:
    """Return a time of the log, RFC 3339 in UTC, in nanoseconds since 1970, exactly."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0")[:9])
