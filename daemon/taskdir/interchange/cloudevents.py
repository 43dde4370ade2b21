"""The log as CloudEvents 1.0: each event an envelope around itself, nothing lost (docs/interchange.md)."""

from __future__ import annotations

from typing import Any

from taskdir.documents import Event

PREFIX = "taskdir.v1."


def envelope(log: str, event: Event) -> dict[str, Any]:
    """Return one event as a CloudEvent in JSON format; ``log`` is the hash of the log's first line.

    ``source`` and ``id`` together name one line of one log for ever.
    """
    made: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(event["seq"]),
        "source": f"urn:taskdir:log:{log}",
        "type": PREFIX + event["event"],
        "time": event["time"],
        "datacontenttype": "application/json",
        "dataschema": "urn:taskdir:v1:event",
    }
    subject = event.get("id") or event.get("key") or event.get("by")
    if subject is not None:
        made["subject"] = subject
    return made | {"data": event}
