"""Compares what a scenario expects with what is there: the whole tree, the files' contents, the events of the log.

A pattern is a JSON value that is like the value: objects may have more members, "*" is anything, {"$equals": v} exactly
v, {"$absent": true} no such member. Of a file, {"$text": s} is the text, {"$lines": n} the number of lines, {"$is":
kind} what it is instead of a regular file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def compare_tree(expected: dict[str, Any], found: dict[str, Path]) -> list[str]:
    """Compare a whole tree, names and contents."""
    faults = [f"  {name}: not there" for name in expected if name not in found]
    faults += [f"  {name}: not expected there" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        faults += (f"  {name}{fault}" for fault in _compare_file(expected[name], found[name]))
    return sorted(faults)


def _compare_file(pattern: Any, path: Path) -> Iterator[str]:
    special = "symlink" if path.is_symlink() else "fifo" if path.is_fifo() else "directory" if path.is_dir() else ""
    wanted = pattern.get("$is", "") if isinstance(pattern, dict) else ""
    if special != wanted and not (special == "directory" and pattern == "*"):
        yield f": is {special or 'a regular file'}"
    elif isinstance(pattern, dict) and "$text" in pattern:
        if path.read_text() != pattern["$text"]:
            yield f": holds {path.read_text()[:200]!r}"
    elif isinstance(pattern, dict) and "$lines" in pattern:
        if (lines := path.read_bytes().count(b"\n")) != pattern["$lines"]:
            yield f": has {lines} lines"
    elif pattern != "*" and not special:
        yield from _compare(pattern, json.loads(path.read_bytes()), "")


def _compare(pattern: Any, value: Any, at: str) -> Iterator[str]:
    """Compare a value with a pattern: objects may have more members, "*" is anything."""
    if pattern == "*":
        return
    if isinstance(pattern, dict) and "$equals" in pattern:
        if value != pattern["$equals"]:
            yield f" {at}: {value!r}"
    elif isinstance(pattern, dict) and isinstance(value, dict):
        for name, inner in pattern.items():
            absent = inner == {"$absent": True}
            if (name in value) is absent:
                yield f" {at}/{name}: {'there' if absent else 'absent'}"
            elif not absent:
                yield from _compare(inner, value[name], f"{at}/{name}")
    elif isinstance(pattern, list) and isinstance(value, list) and len(pattern) == len(value):
        for number, pair in enumerate(zip(pattern, value, strict=True)):
            yield from _compare(*pair, f"{at}/{number}")
    elif pattern != value or isinstance(pattern, bool) is not isinstance(value, bool):
        yield f" {at}: {value!r}"


def compare_events(expected: list[Any], found: list[dict[str, Any]]) -> Iterator[str]:
    patterns = [{"event": each} if isinstance(each, str) else each for each in expected]
    names = [event["event"] for event in found]
    if [pattern["event"] for pattern in patterns] != names:
        yield f"events: {json.dumps(names)}"
        return
    for pattern, event in zip(patterns, found, strict=True):
        yield from (f"event {event['seq']}, {event['event']}:{fault}" for fault in _compare(pattern, event, ""))
