"""Backlog.md: backlog/tasks/*.md, Markdown with a head of simple YAML (docs/interchange.md)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

from taskdir.errors import Invalid
from taskdir.interchange.items import HELD, OPEN, OVER, Item

_STATES = {"done": OVER, "completed": OVER, "closed": OVER, "cancelled": OVER, "archived": OVER, "draft": HELD}
_PRIORITIES = {"critical": 1, "high": 3, "medium": 5, "low": 7}
_TAKEN = frozenset({"id", "title", "status", "priority", "dependencies"})
_KEY = re.compile(r"([A-Za-z_][\w-]*):(?: +(.*))?$")


def files(path: str) -> list[str]:
    """Return the files of tasks that a path stands for: itself, those in a directory, or those of a whole backlog/."""
    if not os.path.isdir(path):
        return [path]
    inner = [os.path.join(path, name) for name in ("tasks", "completed")]
    places = [each for each in inner if os.path.isdir(each)] or [path]
    return [os.path.join(at, name) for at in places for name in sorted(os.listdir(at)) if name.endswith(".md")]


def read(path: str, data: bytes) -> Iterator[Item | Invalid]:
    """Yield the task of a file, or an Invalid saying why it has none."""
    try:
        yield _item(path, data.decode("utf-8"))
    except UnicodeDecodeError:
        yield Invalid("json-encoding", "the file is not UTF-8", path=path)
    except Invalid as fault:
        fault.path = fault.path or path
        yield fault


def _item(path: str, text: str) -> Item:
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if number and line.rstrip() == "---"), 0)
    if not lines or lines[0].rstrip() != "---" or not end:
        raise Invalid("bad-value", "the file has no head between two lines of ---", path=f"{path}:1")
    head = _head(path, lines[1:end])
    for name in ("id", "title"):
        if not head.get(name):
            raise Invalid("missing-field", f"a task has {name}", path=f"{path}:1")
    status = str(head.get("status") or "To Do")
    body = "\n".join(lines[end + 1 :]).strip()
    item = Item(_source(head["id"]), f"{path}:1", str(head["title"]), body, status=status)
    item.state = _STATES.get(status.lower(), OPEN)
    if os.path.basename(os.path.dirname(path)) == "completed":
        item.state = OVER
    dependencies = head.get("dependencies") or []
    item.after = [_source(each) for each in (dependencies if isinstance(dependencies, list) else [dependencies])]
    item.context = {name: each for name, each in head.items() if name not in _TAKEN and each not in (None, "", [])}
    if item.state == OPEN and status.lower() != "to do":
        item.context["status"] = status
    item.priority = _PRIORITIES.get(str(head.get("priority")).lower())
    if head.get("priority") and item.priority is None:
        item.context["priority"] = head["priority"]
    return item


def _source(id: Any) -> str:
    """Their ids are one whatever the case: old files have task-1, newer ones TASK-1."""
    return str(id).lower()


def _head(path: str, lines: list[str]) -> dict[str, Any]:
    """Read the YAML that Backlog.md writes: texts, lists of texts, folded texts. Raises Invalid for anything else."""
    found: dict[str, Any] = {}
    number = 0
    while number < len(lines):
        line, place = lines[number], f"{path}:{number + 2}"
        number += 1
        if not line.strip() or line.startswith("#"):
            continue
        match = _KEY.match(line.rstrip())
        if match is None:
            raise Invalid("bad-value", "this line of the head is not understood", path=place, expected="name: value")
        inner = []
        while number < len(lines) and (lines[number].startswith((" ", "- ")) or not lines[number].strip()):
            inner.append(lines[number])
            number += 1
        found[match[1]] = _value(place, match[2] or "", inner)
    return found


def _value(place: str, text: str, inner: list[str]) -> Any:
    words = [line.strip() for line in inner]
    if text in (">", ">-", ">+"):
        return re.sub(r" *\n *", "\n", " ".join(word or "\n" for word in words)).strip()
    if text in ("|", "|-", "|+"):
        return "\n".join(words).strip()
    items = [word for word in words if word and not word.startswith("#")]
    if not text and items and all(word.startswith("- ") for word in items):
        return [_scalar(place, word[2:].strip()) for word in items]
    if items:
        raise Invalid("bad-value", "nested values are not understood", path=place, hint="write it on one line")
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(place, part.strip()) for part in text[1:-1].split(",") if part.strip()]
    return _scalar(place, text)


def _scalar(place: str, text: str) -> Any:
    if text.startswith("'") and text.endswith("'") and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        try:
            return json.loads(text)
        except ValueError:
            raise Invalid("bad-value", "this text in quotes is not understood", path=place) from None
    if text.startswith(("{", "&", "*", "!", "|", ">")):
        raise Invalid("bad-value", "this kind of YAML is not understood", path=place, hint="put it in quotes")
    if re.fullmatch(r"-?(0|[1-9]\d{0,14})", text):
        return int(text)
    return {"": None, "null": None, "~": None, "true": True, "false": False}.get(text, text)
