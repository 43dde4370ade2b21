"""What is matched, what is strange, what stands twice: as JSON Schema says, in linear time."""

from __future__ import annotations

from typing import Any

import pytest

from taskdir import keywords


def test_patterns_of_contracts_and_our_own() -> None:
    assert keywords.matches("^a+$", "aaa")
    assert not keywords.matches("^a+$", "aaa\n")
    assert not keywords.matches("[a-z]+@", "a" * 200_000)
    assert keywords.matches(r"^[a-z]{0,63}$(?!\n)", "abc")
    assert not keywords.matches(r"^[a-z]{0,63}$(?!\n)", "abc\n")


def test_strange_members() -> None:
    schema: dict[str, Any] = {"properties": {"a": {}}, "patternProperties": {"^x-": {}}}
    assert keywords.strange({"a": 1, "x-b": 2, "b": 3, "": 4}, schema) == ["b", ""]
    assert keywords.strange({"a": 1}, {}) == ["a"]


@pytest.mark.parametrize(
    ("items", "twice"),
    [
        ([], False),
        ([1, True, "1", [1], {"a": 1}, None, False, 0], False),
        ([1, 1.0], True),
        ([-0.0, 0], True),
        ([0.5, 0.5], True),
        ([{"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}], True),
        ([[1, 2], [2, 1]], False),
        ([{"a": 1}] * 2, True),
        ([{"a": number} for number in range(20_000)], False),
    ],
)
def test_items_that_stand_twice(items: list[Any], twice: bool) -> None:
    assert keywords.repeats(items) is twice
