"""Logs made by hand: events with their numbers, times and chain, without the journal's own code.

The chain is built here a second time, from SPEC section 9 alone, so that writer and reader are held to the text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from taskdir.documents import Event

START = 1_767_225_600.0
"""Seconds: 2026-01-01, when every history here begins."""

GENESIS = "0" * 64
SHA = "5" * 64


def timed(seq: int, event: str, **fields: Any) -> Event:
    """Make an event that happened ``seq`` seconds after START."""
    minute, second = divmod(seq, 60)
    return {"seq": seq, "time": f"2026-01-01T00:{minute:02d}:{second:02d}.000000Z", "event": event, **fields}


def numbered(first: int, events: Iterable[Event]) -> list[Event]:
    """Give events their seq and time, from ``first`` on."""
    return [timed(seq, **event) for seq, event in enumerate(events, first)]


def notes(first: int, count: int, text: str = "x") -> list[Event]:
    """Make ``count`` events that are about no task, from seq ``first`` on."""
    return [timed(seq, "noted", by=f"n{seq}", sha256=SHA, message=text) for seq in range(first, first + count)]


def body(**fields: Any) -> dict[str, Any]:
    """Make a resolved task."""
    return {
        "type": "echo",
        "input": {},
        "queue": "default",
        "priority": 5,
        "max_attempts": 3,
        "lease_seconds": 1800,
        "timeout_seconds": 86400,
        "backoff_seconds": 1,
    } | fields


def accepted(id: str = "a", **fields: Any) -> Event:
    """Make the ``accepted`` event of a task, not yet numbered."""
    return {"event": "accepted", "id": id, "sha256": sha(id), "task": body(**fields), "contract": SHA}


def sha(text: str) -> str:
    """Hash a text as the log does."""
    return hashlib.sha256(text.encode()).hexdigest()


def chained(batches: Iterable[list[Event]], prev: str = GENESIS) -> list[bytes]:
    """Write batches as the log has them: one item a batch, of lines with prev, the last with end (SPEC section 9)."""
    written = []
    for events in batches:
        lines = b""
        for event in events:
            end = {"end": events[0]["seq"]} if event is events[-1] else {}
            line = json.dumps({**event, "prev": prev, **end}, separators=(",", ":")).encode()
            prev = hashlib.sha256(line).hexdigest()
            lines += line + b"\n"
        written.append(lines)
    return written
