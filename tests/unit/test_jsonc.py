"""JSON with comments: what is added is there, and what was there stays, to the byte."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskdir import jsonc

VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('a"\\//*{},:\n', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("k/*", max_size=2), inner, max_size=3),
    max_leaves=8,
)
TRIVIA = st.sampled_from(["", " ", "\n  ", "\r\n\t", "// a, ] } \n", "/* b, ] } */", " // c\n // d\n"])


def plain(text: str) -> Any:
    """Read JSON with comments in another way than the module does: take out what JSON does not have."""
    token = r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/'
    bare = re.sub(token, lambda match: match[1] or " ", text, flags=re.DOTALL)
    return json.loads(re.sub(r'("(?:[^"\\\n]|\\.)*")|,(?=\s*[\]}])', lambda match: match[1] or "", bare))


def write(data: st.DataObject, value: Any) -> str:
    """Write a value with comments and trailing commas all over."""

    def space() -> str:
        return data.draw(TRIVIA)

    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}{space()}:{space()}{write(data, item)}" for name, item in value.items()]
    elif isinstance(value, list):
        parts = [write(data, item) for item in value]
    else:
        return json.dumps(value)
    inside = ",".join(f"{space()}{part}{space()}" for part in parts) or space()
    inside += f",{space()}" if parts and space() else ""
    return f"{{{inside}}}" if isinstance(value, dict) else f"[{inside}]"


@given(st.data(), VALUES.filter(lambda value: isinstance(value, dict | list)), VALUES)
def test_an_addition_adds_and_changes_nothing(data: st.DataObject, value: Any, more: Any) -> None:
    text = data.draw(TRIVIA) + write(data, value) + data.draw(TRIVIA)
    new = jsonc.add(text, jsonc.parse(text), more, None if isinstance(value, list) else "new")
    assert plain(new) == ([*value, more] if isinstance(value, list) else value | {"new": more}), (text, new)
    rest = iter(new)
    assert all(char in rest for char in "".join(text.split())), "something was taken away"


@given(st.data(), VALUES)
def test_every_place_is_right(data: st.DataObject, value: Any) -> None:
    text = data.draw(TRIVIA) + write(data, value)

    def walk(node: jsonc.Node, value: Any) -> None:
        assert plain(text[node.start : node.end]) == value
        for name, item in value.items() if isinstance(value, dict) else ():
            walk(node.members[name], item)
        for number, item in enumerate(value if isinstance(value, list) else ()):
            walk(node.items[number], item)

    walk(jsonc.parse(text), value)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", 0),
        ("{", 1),
        ('{"a" 1}', 1),
        ("{1: 1}", 1),
        ('{"a": 1 "b": 2}', 8),
        ("[1 2]", 3),
        ("[,]", 1),
        ("[tru]", 1),
        ("[1] x", 3),
        ('["a\n"]', 1),
        ("/* open", 0),
        ("[" * 101 + "]" * 101, 100),
        ("[" * 100_000, 100),
        ("{" * 100_000, 100),
        ('{"a":' * 100_000, 500),
    ],
)
def test_what_is_malformed(text: str, offset: int) -> None:
    with pytest.raises(jsonc.Malformed) as caught:
        jsonc.parse(text)
    assert caught.value.offset == offset


SHOWN = [
    ("{}", '{\n    "k": 1\n}'),
    ("{\n}\n", '{\n    "k": 1\n}\n'),
    ('{\n  "a": 1 // one\n}', '{\n  "a": 1, // one\n  "k": 1\n}'),
    ('{\r\n\t"a": 1,\r\n}', '{\r\n\t"a": 1,\r\n\t"k": 1\r\n}'),
    ('{\n  "a": 1,\n  // "b": 2,\n}', '{\n  "a": 1,\n  // "b": 2,\n  "k": 1\n}'),
    ('{"a": 1}', '{"a": 1,\n    "k": 1\n}'),
    ('{"a": 1, "a": 2}', '{"a": 1, "a": 2,\n    "k": 1\n}'),
]


@pytest.mark.parametrize(("text", "expected"), SHOWN)
def test_how_it_looks(text: str, expected: str) -> None:
    assert jsonc.add(text, jsonc.parse(text), 1, "k") == expected


def test_a_value_in_another_place() -> None:
    text = '{"a": /* x */ [1, 2], // y\n "b": 2}'
    assert jsonc.put(text, jsonc.parse(text).members["a"], {"c": "é"}) == '{"a": /* x */ {"c": "é"}, // y\n "b": 2}'
