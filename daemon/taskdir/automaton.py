"""Safe patterns (SPEC section 6.3) searched for in a time that grows with the text alone, never with its square. Pure.

A backtracking engine takes minutes for ``[a-z]+@`` in a long row of letters. Here all ways are gone at once: a state is
the set of places in the pattern that may be next, and what a character makes of a set is remembered.
"""

from __future__ import annotations

import re
from typing import Any

from taskdir.patterns import TOKEN

_OTHER = 128
"""Stands for every character beyond ASCII: no safe pattern tells them apart."""
_ALL = frozenset(range(_OTHER + 1))
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}
_MOST_STATES = 2000
Node = tuple[str, Any]


def _parse(pattern: str) -> Node:
    """Return a pattern as a tree: set, all (in a row), any (of several), repeat, begin, end."""
    stack: list[list[list[Node]]] = [[[]]]  # open groups, each of alternatives, each of parts
    for match in TOKEN.finditer(pattern):
        kind, text = match.lastgroup, match[0]
        here = stack[-1]
        if kind == "open":
            stack.append([[]])
        elif kind == "close":
            stack.pop()
            stack[-1][-1].append(_any(here))
        elif kind == "repeat":
            here[-1][-1] = ("repeat", (here[-1][-1], *_bounds(text)))
        elif text == "|":
            here.append([])
        elif text in "^$":
            here[-1].append(("begin" if text == "^" else "end", None))
        else:
            here[-1].append(("set", _set(text)))
    return _any(stack[0])


def _any(alternatives: list[list[Node]]) -> Node:
    rows = [row[0] if len(row) == 1 else ("all", row) for row in alternatives]
    return rows[0] if len(rows) == 1 else ("any", rows)


def _bounds(text: str) -> tuple[int, int | None]:
    if text in "?*+":
        return int(text == "+"), 1 if text == "?" else None
    numbers = re.findall(r"[0-9]+", text)
    return int(numbers[0]), None if text.endswith(",}") else int(numbers[-1])


def _set(text: str) -> frozenset[int]:
    """Return the characters that one character, escape or class stands for."""
    if text == ".":
        return _ALL - {ord("\n")}
    if not text.startswith("[") or len(text) == 1:
        return frozenset({ord(_plain(text))})
    inverted = text.startswith("[^")
    written = re.findall(r"(?s)\\.|.", text[1 + inverted : -1])
    parts, dashes = [_plain(part) for part in written], [part == "-" for part in written]
    found: set[int] = set()
    at = 0
    while at < len(parts):
        if at + 2 < len(parts) and dashes[at + 1]:
            found.update(range(ord(parts[at]), ord(parts[at + 2]) + 1))
            at += 3
        else:
            found.add(ord(parts[at]))
            at += 1
    return _ALL - found if inverted else frozenset(found)


def _plain(text: str) -> str:
    return _CONTROLS.get(text[1], text[1]) if text.startswith("\\") else text


class _State:
    """A set of places: where each character leads, and whether something was found, or is if the text ends here."""

    __slots__ = ("at_end", "found", "next", "places")

    def __init__(self, places: frozenset[int], found: bool, at_end: bool) -> None:
        self.places, self.found, self.at_end = places, found, at_end
        self.next: dict[int, _State] = {}


class Automaton:
    """One pattern, ready to be searched for."""

    def __init__(self, pattern: str) -> None:
        """``pattern`` is on the safe list."""
        self._sets: list[tuple[frozenset[int], int] | None] = [None]  # place → characters that it takes, and where to
        self._ways: list[list[int]] = [[]]  # place → places that it leads to by itself
        self._asks: list[str] = [""]  # place → where in the text one must be to pass: begin, end, or anywhere
        self._entry = self._add(_parse(pattern), 0)
        self._states: dict[frozenset[int], _State] = {}

    def search(self, text: str) -> bool:
        """Say whether the pattern matches anywhere in ``text``."""
        state = self._state({self._entry}, begin=True)
        for character in text:
            if state.found:
                return True
            code = min(ord(character), _OTHER)
            following = state.next.get(code)
            if following is None:
                following = state.next[code] = self._step(state, code)
            state = following
        return state.found or state.at_end

    def _step(self, state: _State, code: int) -> _State:
        places = {self._entry}
        for place in state.places:
            taken = self._sets[place]
            if taken is not None and code in taken[0]:
                places.add(taken[1])
        return self._state(places, begin=False)

    def _state(self, places: set[int], *, begin: bool) -> _State:
        reached = self._reached(places, {"", "begin"} if begin else {""})
        known = self._states.get(reached) if not begin else None
        if known is None:
            ends = self._reached(set(reached), {"", "end", *(["begin"] if begin else [])})
            known = _State(reached, 0 in reached, 0 in ends)
            if len(self._states) >= _MOST_STATES:
                self._states = {}
            if not begin:
                self._states[reached] = known
        return known

    def _reached(self, places: set[int], passes: set[str]) -> frozenset[int]:
        reached, todo = set(places), list(places)
        while todo:
            place = todo.pop()
            if self._asks[place] in passes:
                for following in self._ways[place]:
                    if following not in reached:
                        reached.add(following)
                        todo.append(following)
        return frozenset(reached)

    def _place(self, taken: tuple[frozenset[int], int] | None, ways: list[int], asks: str = "") -> int:
        self._sets.append(taken)
        self._ways.append(ways)
        self._asks.append(asks)
        return len(self._sets) - 1

    def _add(self, node: Node, after: int) -> int:
        """Add a part of the pattern that goes on at the place ``after``; returns the place where it begins."""
        kind, inside = node
        if kind == "set":
            return self._place((inside, after), [])
        if kind == "all":
            for part in reversed(inside):
                after = self._add(part, after)
            return after
        if kind == "any":
            return self._place(None, [self._add(part, after) for part in inside])
        if kind == "repeat":
            part, least, most = inside
            return self._repeat(part, least, most, after)
        return self._place(None, [after], kind)

    def _repeat(self, part: Node, least: int, most: int | None, after: int) -> int:
        begin = after
        if most is None:
            begin = self._place(None, [after])
            self._ways[begin].append(self._add(part, begin))
        else:
            for _ in range(most - least):
                begin = self._place(None, [self._add(part, begin), after])
        for _ in range(least):
            begin = self._add(part, begin)
        return begin
