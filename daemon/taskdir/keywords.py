"""What some keywords of JSON Schema ask, answered in a time that does not grow with the square of a value. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from taskdir import patterns, strictjson
from taskdir.automaton import Automaton

SAID = {
    "type": "has the wrong type",
    "enum": "is none of the allowed values",
    "const": "is not the one allowed value",
    "pattern": "does not have the form that is asked for",
    "minimum": "is too small",
    "exclusiveMinimum": "is too small",
    "maximum": "is too large",
    "exclusiveMaximum": "is too large",
    "minLength": "is too short",
    "maxLength": "is too long",
    "minItems": "has too few items",
    "maxItems": "has too many items",
    "anyOf": "matches none of the alternatives",
    "oneOf": "does not match exactly one of the alternatives",
}
"""What is wrong with a value that fails a keyword, in words."""
_FIXED = re.compile(r"[^*+?{]*")
"""A pattern without repeats, which every engine looks for in linear time."""


def matches(pattern: str, text: str) -> bool:
    """Say whether a pattern is found in a text: in linear time, if it is a contract's; ours are anchored and short."""
    return bool(_searcher(pattern)(text))


@lru_cache(512)
def _searcher(pattern: str) -> Callable[[str], object]:
    if patterns.problem(pattern) is None and not _FIXED.fullmatch(pattern):
        return Automaton(pattern).search
    return re.compile(patterns.for_python(pattern)).search


def strange(value: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Return the members of an object that its schema does not name."""
    named, keys = schema.get("properties", {}), schema.get("patternProperties", {})
    return [name for name in value if name not in named and not any(matches(key, name) for key in keys)]


def repeats(items: list[Any]) -> bool:
    """Say whether an item stands twice."""
    return len({strictjson.canonical(_plain(each)) for each in items}) < len(items)


def _plain(value: Any) -> Any:
    """Write 1.0 as 1: they are equal in JSON Schema."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
