"""JSON with comments, as editors keep their settings: read with places, and added to without touching what is there.

Comments, trailing commas, indents and line ends stay as their owner likes them. Our own documents are never read so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_TRIVIA = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_SCALAR = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s\[\]{}:,"/]+')


MAX_DEPTH = 100
"""Levels: no editor's settings are deeper, and what is deeper would end in Python's own limit."""


class Malformed(ValueError):
    """The text is no JSON with comments, or deeper than MAX_DEPTH; ``offset`` is where."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


@dataclass(slots=True)
class Node:
    """A value in a text: from ``start`` up to ``end``. An object has ``members``, an array ``items``."""

    start: int
    end: int = 0
    members: dict[str, Node] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    scalar: Any = None
    comma: bool = False
    """Whether a comma follows the last member or item."""

    @property
    def parts(self) -> list[Node]:
        """What is inside, in the order of the text; of members with one key the last."""
        return sorted([*self.members.values(), *self.items], key=lambda part: part.start)


def parse(text: str) -> Node:
    """Read a text. Raises Malformed."""
    node = _value(text, _skip(text, 0))
    if _skip(text, node.end) != len(text):
        raise Malformed(node.end)
    return node


def add(text: str, into: Node, value: Any, key: str | None = None) -> str:
    """Return the text with one more member (``key``) or item at the end of the object or array ``into``."""
    eol = "\r\n" if "\r\n" in text else "\n"
    outer = _indent(text, into.start)
    inner = _indent(text, into.parts[0].start) if into.parts else outer
    inner = inner if len(inner) > len(outer) else outer + _unit(text)
    added = json.dumps(value, indent=_unit(text), ensure_ascii=False).replace("\n", eol + inner)
    added = eol + inner + (f"{json.dumps(key)}: " if key is not None else "") + added
    last = into.parts[-1].end if into.parts else into.start + 1
    body = text[last : into.end - 1]
    comma = "," if into.parts and not into.comma else ""
    kept = body.rstrip()
    after = body[len(kept) :] if "\n" in body[len(kept) :] else eol + outer
    return text[:last] + comma + kept + added + after + text[into.end - 1 :]


def put(text: str, node: Node, value: Any) -> str:
    """Return the text with ``value``, on one line, in the place of a node."""
    return text[: node.start] + json.dumps(value, ensure_ascii=False) + text[node.end :]


def _skip(text: str, at: int) -> int:
    match = _TRIVIA.match(text, at)
    return match.end() if match else at


def _value(text: str, at: int, depth: int = 0) -> Node:
    opening = text[at : at + 1]
    if opening in ("{", "["):
        if depth >= MAX_DEPTH:
            raise Malformed(at)
        return _container(text, at, "}" if opening == "{" else "]", depth + 1)
    match = _SCALAR.match(text, at)
    try:
        if match is not None:
            return Node(at, match.end(), scalar=json.loads(match[0]))
    except ValueError:
        pass
    raise Malformed(at)


def _container(text: str, at: int, closing: str, depth: int) -> Node:
    node = Node(at)
    at, more = _skip(text, at + 1), True
    while text[at : at + 1] != closing:
        if not more:
            raise Malformed(at)
        if closing == "}":
            key = _value(text, at, depth)
            colon = _skip(text, key.end)
            if not isinstance(key.scalar, str) or text[colon : colon + 1] != ":":
                raise Malformed(at)
            part = node.members[key.scalar] = _value(text, _skip(text, colon + 1), depth)
        else:
            part = _value(text, at, depth)
            node.items.append(part)
        at = _skip(text, part.end)
        more = node.comma = text[at : at + 1] == ","
        at = _skip(text, at + 1) if more else at
    node.end = at + 1
    return node


def _indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """Return the indent of the first line that has one: what this text's owner indents by."""
    match = re.search(r"^([ \t]+)[^\s/*]", text, re.MULTILINE)
    return match[1] if match else "    "
