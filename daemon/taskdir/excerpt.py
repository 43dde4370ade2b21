"""The front of a large value, so that what is wrong with it can be told in a moment (SPEC section 6). Pure.

A list of a hundred thousand wrong items has as many faults, and an engine that tells all of them takes seconds.
"""

from __future__ import annotations

from typing import Any

LARGE = 1000
"""Values inside a value: of a larger one that is refused, what is wrong with the first so many is told."""
Place = tuple[str | int, ...]


def is_large(value: Any) -> bool:
    """Say whether there are more than ``LARGE`` values in a value."""
    left, todo = LARGE, [value] if isinstance(value, list | dict) else []
    while todo and left >= 0:
        value = todo.pop()
        inside = list(value.values()) if isinstance(value, dict) else value
        left -= len(inside)
        todo.extend(each for each in inside if isinstance(each, list | dict))
    return left < 0


def excerpt(value: Any, first: list[str | int]) -> tuple[Any, set[Place]]:
    """Return a value of which no list goes on behind the first ``LARGE`` values, and the places of lists that were cut.

    What stands at ``first``, which is where something is wrong, is kept. Objects are kept: a member may be required.
    """
    left, cut = LARGE, set[Place]()

    def short(value: Any, place: Place, wanted: list[str | int]) -> Any:
        nonlocal left
        if isinstance(value, dict):
            left -= len(value)
            return {
                name: short(each, (*place, name), wanted[1:] if wanted[:1] == [name] else [])
                for name, each in value.items()
            }
        if not isinstance(value, list):
            return value
        kept: list[Any] = []
        for number, each in enumerate(value):
            if left <= 0 and (not wanted or number > int(wanted[0])):
                cut.add(place)
                break
            left -= 1
            kept.append(short(each, (*place, number), wanted[1:] if wanted[:1] == [number] else []))
        return kept

    return short(value, (), first), cut
