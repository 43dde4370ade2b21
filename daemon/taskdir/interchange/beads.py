"""Beads: .beads/issues.jsonl, an issue a line (docs/interchange.md)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from taskdir import strictjson
from taskdir.errors import Invalid
from taskdir.interchange.items import HELD, OPEN, OVER, Item

_STATES = {"closed": OVER, "tombstone": OVER, "deferred": HELD, "pinned": HELD}
_TAKEN = frozenset({"id", "title", "description", "status", "priority", "dependencies", "defer_until"})
_PRIORITIES = {0: 1, 1: 3, 2: 5, 3: 7, 4: 9}


def read(path: str, data: bytes) -> Iterator[Item | Invalid]:
    """Yield the issues of a file, and an Invalid for each line that is none."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                yield _item(f"{path}:{number}", strictjson.loads(line))
            except Invalid as fault:
                fault.path = f"{path}:{number}"
                yield fault


def _item(place: str, value: Any) -> Item:
    if not isinstance(value, dict):
        raise Invalid("wrong-type", "an issue is a JSON object", pointer="")
    for name in ("id", "title"):
        if name not in value:
            raise Invalid("missing-field", f"an issue has {name}", pointer="")
        if not isinstance(value[name], str) or not value[name]:
            raise Invalid("wrong-type", f"{name} is a text", pointer=f"/{name}")
    status, item = str(value.get("status") or "open"), Item(value["id"], place, value["title"])
    item.status, item.state = status, _STATES.get(status, OPEN)
    item.context = {name: each for name, each in value.items() if name not in _TAKEN and each not in (None, "", [], {})}
    if "description" in value:
        item.description = str(value["description"] or "")
    if item.state == OPEN and status != "open":
        item.context["status"] = status
    _add_priority(item, value.get("priority"))
    _add_dependencies(item, value.get("dependencies") or [])
    if value.get("defer_until"):
        item.not_before = _time(value["defer_until"])
        item.state = OPEN if status == "deferred" else item.state
    return item


def _add_priority(item: Item, priority: Any) -> None:
    if isinstance(priority, int) and priority in _PRIORITIES:
        item.priority = _PRIORITIES[priority]
    elif priority is not None:
        item.context["priority"] = priority


def _add_dependencies(item: Item, dependencies: Any) -> None:
    """Only ``blocks`` makes an issue wait; the other kinds are kept."""
    if not isinstance(dependencies, list):
        raise Invalid("wrong-type", "dependencies is a list", pointer="/dependencies")
    for number, each in enumerate(dependencies):
        if not isinstance(each, dict) or not isinstance(each.get("depends_on_id"), str):
            raise Invalid("wrong-type", "a dependency names depends_on_id", pointer=f"/dependencies/{number}")
        if each.get("type", "blocks") == "blocks":
            item.after.append(each["depends_on_id"])
        else:
            item.context.setdefault("dependencies", []).append(each)


def _time(text: Any) -> str:
    """Return a time as tasks have it. One that names no zone is in UTC, so that it means the same everywhere."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise Invalid("bad-value", "this is no time", pointer="/defer_until", expected="RFC 3339") from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
