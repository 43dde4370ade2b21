"""Mutations drawn by lot: of bytes, of text, of JSON values. Cheap, since there are to be ten million of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

TOKENS = [
    b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u", b"\\ud800", b"\\u0000", b"null", b"true", b"false", b"NaN", b"-Infinity", b"0", b"-0", b"1e400", b"1E-400",
    b"9007199254740992", b"-9007199254740991", b"00", b"1.", b".5", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00", b"\n", b"\r", b"\t", b" ", b"\xc2\xa0",
    b"\xe2\x80\xa8", b"//", b"/*", b"*/", b'"":', b'"a":1,"a":1', b"[[", b"]]", b'{"":', b'"id"', b'"type"', b'"kind"', b'"x-a"', b"\x7f", b"\x1b[", b"1" * 20, b"[" * 33, b"e", b"+", b"-",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 5, 9, 10, 2**53 - 1, -(2**53) + 1, 0.5, 1.0, -0.0, 1e308, 5e-324, "", "a", "A", "echo", "x" * 65, "a\n", "\x00", "\u202e", "\U0001f600", "é", "@a",
    "2026-01-02T04:00:00Z", "#", "#/", "#/$defs/a", "^a$", "(a+)+", "[a-z]{1,3}", [], [1], [[]], ["a", "a"], [None], {}, {"": 1}, {"a": {"a": {}}}, {"$ref": "#"}, {"x-a": 1}, "task", "ok",
]  # fmt: skip
NAMES = [
    "", "id", "type", "kind", "input", "queue", "priority", "after", "resources", "not_before", "x-a", "x", "$schema", "messages", "task", "value", "key", "output", "status", "error", "retry",
    "properties", "items", "$ref", "$defs", "anyOf", "allOf", "not", "pattern", "patternProperties", "additionalProperties", "required", "enum", "const", "uniqueItems", "maxItems", "minLength",
    "prefixItems", "if", "then", "maximum", "multipleOf", "message", "code", "a", "b", "a/b", "a~b", "é",
]  # fmt: skip


def mutate_bytes(dice: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change a few bytes: flip, insert, cut, double, splice with another seed."""
    draw = dice.random
    for _ in range(1 + int(draw() * 3)):
        size = len(data)
        at, how = int(draw() * (size + 1)), int(draw() * 8)
        if how == 0 and at < size:
            data = data[:at] + bytes((data[at] ^ (1 << int(draw() * 8)),)) + data[at + 1 :]
        elif how == 1 and at < size:
            data = data[:at] + bytes((int(draw() * 256),)) + data[at + 1 :]
        elif how == 2:
            data = data[:at]
        elif how == 3:
            data = data[:at] + data[at + 1 + int(draw() * 8) :]
        elif how == 4:
            data = data[: at + 1 + int(draw() * 30)] + data[at:]
        elif how == 5:
            other = seeds[int(draw() * len(seeds))]
            data = data[:at] + other[int(draw() * (len(other) + 1)) :]
        else:
            data = data[:at] + TOKENS[int(draw() * len(TOKENS))] + data[at:]
    return data[:4096]


def mutate_value(dice: random.Random, value: Any, depth: int = 0) -> Any:
    """Return a value with one of its parts changed; the original stays as it is."""
    draw = dice.random
    if depth > 6 or not isinstance(value, dict | list) or not value or draw() < 0.15:
        return VALUES[int(draw() * len(VALUES))]
    if isinstance(value, list):
        at = int(draw() * len(value))
        how = int(draw() * 5)
        if how == 0:
            return value[:at] + value[at + 1 :]
        if how == 1:
            return [*value[:at], VALUES[int(draw() * len(VALUES))], *value[at:]]
        return [*value[:at], mutate_value(dice, value[at], depth + 1), *value[at + 1 :]]
    name = list(value)[int(draw() * len(value))]
    how = int(draw() * 6)
    if how == 0:
        return {other: each for other, each in value.items() if other != name}
    if how == 1:
        return {**value, NAMES[int(draw() * len(NAMES))]: VALUES[int(draw() * len(VALUES))]}
    if how == 2:
        return {(NAMES[int(draw() * len(NAMES))] if other == name else other): each for other, each in value.items()}
    return {**value, name: mutate_value(dice, value[name], depth + 1)}


class Corpus:
    """Seeds, and what was found on the way: an input whose verdict was new is mutated further."""

    def __init__(self, dice: random.Random, seeds: Sequence[Any], mutate: Callable[..., Any], most: int = 400) -> None:
        self._dice, self._mutate, self._most = dice, mutate, most
        self.seeds, self._known = list(seeds), set[object]()

    def draw(self) -> Any:
        """Return the next input."""
        seed = self.seeds[int(self._dice.random() * len(self.seeds))]
        if self._mutate is mutate_bytes:
            return mutate_bytes(self._dice, seed, self.seeds)
        return self._mutate(self._dice, seed)

    def told(self, found: Any, verdict: object) -> None:
        """Take over what came of an input."""
        if verdict not in self._known and len(self.seeds) < self._most:
            self._known.add(verdict)
            self.seeds.append(found)
