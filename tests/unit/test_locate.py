"""Line and column of what is wrong: found in the very text, whatever its spaces, keys and line ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskdir import intake, strictjson
from taskdir.errors import Invalid
from taskdir.locate import locate

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('a"\\{}[]:,é\n\u2028😀/~0', max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('k"\\{}é~/', max_size=3), inner, max_size=4),
    max_leaves=12,
)
SPACE = st.sampled_from([" ", "\n", "\r\n", "\t", "  \n ", ""])


def places(value: Any, at: str = "") -> list[tuple[str, Any]]:
    """Return every pointer into a value, with what stands there."""
    found = [(at, value)]
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in members:
        found += places(item, f"{at}/" + str(name).replace("~", "~0").replace("/", "~1"))
    return found


def offset(text: str, line: int, column: int) -> int:
    return sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1


@given(VALUES, SPACE, SPACE, st.booleans())
def test_a_pointer_leads_to_its_value(value: Any, before: str, between: str, plain: bool) -> None:
    text = before + json.dumps(value, indent=between or None, separators=("," + before, ":" + between))
    text = text if plain else before + json.dumps(value, ensure_ascii=False)
    for pointer, item in places(value):
        spot = locate(text.encode(), Invalid("wrong-type", "", pointer=pointer))
        found, _ = json.JSONDecoder().raw_decode(text, offset(text, *spot))
        assert found == item, (text, pointer, spot)


DEEP = "[" * 32
CASES = [
    ('{"a": 1,\n "b": {"c~/": [1,\n  2]}}', "wrong-type", "/b/c~0~1/1", "3:3"),
    ('{"a": 1,\n "b": 2}', "unknown-field", "/b", "2:2"),
    ('{"a": "b", "b": 2}', "unknown-field", "/b", "1:12"),
    ('{"a": [{"b": 1}, {"b": 1}]}', "unknown-field", "/a/1/b", "1:19"),
    ('{"' + "x" * 99 + '": 1}', "unknown-field", "/" + "x" * 64, "1:2"),
    ('{"é": 1, "a": [\n{}]}', "missing-field", "/a/0/b", "2:1"),
    ("\n\n  {}", "missing-field", "", "3:3"),
    ("\n {}", "name-grammar", None, "2:2"),
    ('{"a": 1,\n "b" 2}', "json-syntax", None, "2:6"),
    ("", "json-syntax", None, "1:1"),
    ('{"a": 1', "json-syntax", None, "1:8"),
    ('{"a": {"x": 1, "y": 2,\n "x": 3}, "a": 4}', "json-duplicate-key", None, "2:2"),
    ('{"\\u0061": 1, "a": 1}', "json-duplicate-key", None, "1:15"),
    ('[1, 1e3, "1e999",\n 1e999]', "json-number", None, "2:2"),
    ("[-1,\n 9007199254740993]", "json-number", None, "2:2"),
    ("[NaN]", "json-number", None, "1:2"),
    (f'["[[[[", {DEEP}', "json-depth", None, "1:41"),
    ('{"a": "\\ud83d\\ude00",\n "b\\ud800": 1}', "json-surrogate", None, "2:2"),
]


@pytest.mark.parametrize(("text", "code", "pointer", "expected"), CASES)
def test_where(text: str, code: str, pointer: str | None, expected: str) -> None:
    spot = locate(text.encode(), Invalid(code, "", pointer=pointer))
    assert f"{spot.line}:{spot.column}" == expected


@pytest.mark.parametrize(("text", "code"), [(text, code) for text, code, *_ in CASES if code.startswith("json-")])
def test_the_strict_parser_says_the_same_of_these(text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        strictjson.loads(text.encode())
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "expected"), [(b'{"a":\n "\xc3\xa9\xff"}', (2, 4)), (b"\xef\xbb\xbf{}", (1, 1)), (b"\xff", (1, 1))]
)
def test_bytes_that_are_no_text(data: bytes, expected: tuple[int, int]) -> None:
    with pytest.raises(Invalid) as caught:
        strictjson.loads(data)
    assert locate(data, caught.value) == expected


@given(st.binary(max_size=40) | st.text('{}[]",:\\u0d8ae1\n ', max_size=40).map(str.encode))
def test_rubbish_has_a_place_too(data: bytes) -> None:
    try:
        fault = intake.form_fault(strictjson.loads(data))
    except Invalid as error:
        fault = error
    if fault is not None:
        line, column = locate(data, fault)
        assert 1 <= line <= data.count(b"\n") + 1
        assert 1 <= column <= len(data) + 1


@pytest.mark.parametrize("code", [*dict.fromkeys(code for _, code, *_ in CASES if code.startswith("json-"))])
@pytest.mark.parametrize("text", ['{"a": [1], "b": 2}', "{a: 1}", '{"\\q": 1}, {"x": 1}, 2', "]}", '{"a": {}, ]'])
def test_what_is_not_there_is_at_a_place_that_is(code: str, text: str) -> None:
    """A caller may be wrong about a text; the answer still lies in it."""
    line, column = locate(text.encode(), Invalid(code, ""))
    assert (line, column) == (1, 1) or (code == "json-syntax" and column <= len(text) + 1)
