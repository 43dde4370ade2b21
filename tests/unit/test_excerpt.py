"""The front of a large value: small ones stay whole, lists end, objects do not, and what is wrong stays."""

from __future__ import annotations

from typing import Any

import pytest

from taskdir.excerpt import LARGE, excerpt, is_large
from taskdir.validate import Checker


@pytest.mark.parametrize(
    ("value", "large"),
    [
        (1, False),
        ("a" * 10_000, False),
        ([1] * LARGE, False),
        ([1] * (LARGE + 1), True),
        ({str(number): number for number in range(LARGE + 1)}, True),
        ([[1] * 50] * 50, True),
        ({"a": [{"b": [0] * (LARGE - 3)}]}, False),
        ({"a": [{"b": [0] * LARGE}]}, True),
    ],
)
def test_what_is_large(value: Any, large: bool) -> None:
    assert is_large(value) is large


def test_lists_end_and_what_is_wanted_stays() -> None:
    value = {"a": [0] * 10_000, "b": [[1, 2], {"c": [3] * 9000}], "d": "text"}
    short, cut = excerpt(value, ["a", 5000])
    assert (len(short["a"]), short["b"], short["d"]) == (5001, [], "text")
    assert cut == {("a",), ("b",)}
    short, cut = excerpt(value, ["b", 1, "c", 8999])
    assert (len(short["a"]), short["b"]) == (LARGE - 3, [[], {"c": [3] * 9000}])
    assert cut == {("a",), ("b", 0)}
    assert excerpt([1, {"a": []}], []) == ([1, {"a": []}], set())


@pytest.mark.parametrize("engine", ["rs", "py"])
def test_a_large_value_is_judged_by_its_front(engine: str) -> None:
    schema = {
        "type": "object",
        "properties": {"l": {"items": {"type": "string"}, "minItems": 5000}, "z": {"type": "null"}},
    }
    checker = Checker(schema, engine)
    fault = checker.check({"l": ["a"] * 4000 + [1] * 100_000, "z": None})
    assert fault is not None
    assert (fault.code, fault.pointer) == ("wrong-type", "/l/4000")
    fault = checker.check({"l": ["a"] * 4999, "z": None})
    assert fault is not None
    assert (fault.code, fault.pointer) == ("out-of-range", "/l")
    fault = checker.check({"l": ["a"] * 100_000, "z": 1})
    assert fault is not None
    assert (fault.code, fault.pointer) == ("wrong-type", "/z")
    assert checker.check({"l": ["a"] * 100_000, "z": None}) is None
