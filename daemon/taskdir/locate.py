"""Where in its text a document breaks a rule: from a verdict of ``strictjson`` or a JSON pointer to line and column.

For people, editors and CI; the daemon has no use for it. Reads tokens and judges none: what is wrong is known before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from taskdir import strictjson
from taskdir.errors import Invalid

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}:,]|[^\s\[\]{}:,"]+', re.DOTALL)
_ABOUT_KEYS = frozenset({"unknown-field", "schema-keyword"})
_SHOWN = 64
"""So many characters of an unknown member's name stand in its pointer."""


class Spot(NamedTuple):
    """A place in a text: line and column, both from 1; a column counts characters, not bytes."""

    line: int
    column: int


class _Token(NamedTuple):
    """A token: what it is for, its value's pointer, taken apart, where it starts, and its text."""

    role: str  # key, value, or end of an object or array
    parts: tuple[str, ...]
    offset: int
    text: str


def locate(data: bytes, fault: Invalid) -> Spot:
    """Return where ``fault`` stands in the document that ``data`` is; where nothing better is known, its first value.

    A member that should not be there is found by its name, every other pointer by its value, and a pointer to what is
    missing by the value that lacks it.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        head = data[: error.start].decode()
        return _spot(head, len(head))
    return _spot(text, _FINDERS[fault.code](text) if fault.code in _FINDERS else _target(text, fault))


def _spot(text: str, offset: int) -> Spot:
    return Spot(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _tokens(text: str) -> Iterator[_Token]:
    """Yield the tokens of a JSON text; one that is not well-formed gives the tokens that it has."""
    frames: list[list[Any]] = []  # one per open object or array: [closing bracket, key or index, is a key next]
    for match in _TOKEN.finditer(text):
        token, top = match[0], frames[-1] if frames else None
        if token == ",":
            if top and top[0] == "]":
                top[1] += 1
            elif top:
                top[2] = True
        if token in ",:":
            continue
        parts = tuple([str(frame[1]) for frame in frames])
        if token in "]}":
            yield _Token("end", parts[:-1], match.start(), token)
            del frames[-1:]
        elif top and top[2]:
            top[1:] = [_key(token), False]
            yield _Token("key", (*parts[:-1], top[1]), match.start(), token)
        else:
            yield _Token("value", parts, match.start(), token)
            if token in "[{":
                frames.append(["]", 0, False] if token == "[" else ["}", "", True])


def _key(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def _target(text: str, fault: Invalid) -> int:
    """Return the offset of what a pointer leads to, or of the innermost value on the way there."""
    wanted = tuple(part.replace("~1", "/").replace("~0", "~") for part in (fault.pointer or "").split("/")[1:])
    about_keys, best = fault.code in _ABOUT_KEYS, 0
    for role, parts, offset, _ in _tokens(text):
        if role == "key" and about_keys and (*parts[:-1], parts[-1][:_SHOWN]) == (*wanted[:-1], wanted[-1][:_SHOWN]):
            return offset
        if role == "value" and parts == wanted[: len(parts)]:
            best = offset
            if parts == wanted:
                break
    return best


def _syntax(text: str) -> int:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos
    return 0


def _twice(text: str) -> int:
    """Return the offset of the second of two equal keys, in the object that ends first: as the parser meets them."""
    seen: list[tuple[set[str], list[int]]] = []
    for role, parts, offset, token in _tokens(text):
        if token == "{":
            seen.append((set(), []))
        elif role == "key" and seen:
            keys, again = seen[-1]
            if parts[-1] in keys:
                again.append(offset)
            keys.add(parts[-1])
        elif token == "}" and seen and (again := seen.pop()[1]):
            return again[0]
    return 0


def _too_deep(text: str) -> int:
    deep = (offset for _, parts, offset, token in _tokens(text) if token in "[{" and len(parts) == strictjson.MAX_DEPTH)
    return next(deep, 0)


def _scalar(code: str, text: str) -> int:
    """Return the offset of the first key or simple value that the strict parser refuses under ``code``."""
    for role, _, offset, token in _tokens(text):
        if role != "end" and token not in ("[", "{"):
            try:
                strictjson.loads(token.encode())
            except Invalid as fault:
                if fault.code == code:
                    return offset
    return 0


_FINDERS: dict[str, Callable[[str], int]] = {
    "json-encoding": lambda text: 0,
    "json-syntax": _syntax,
    "json-duplicate-key": _twice,
    "json-depth": _too_deep,
    "json-number": lambda text: _scalar("json-number", text),
    "json-surrogate": lambda text: _scalar("json-surrogate", text),
}
