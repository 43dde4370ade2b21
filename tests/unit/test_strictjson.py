"""JSON read strictly: one code for each way to be wrong, and nothing but a value or that error, whatever the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskdir import strictjson
from taskdir.errors import Invalid

BIG = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-BIG, BIG) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)

BAD = [
    (b"\xff", "json-encoding"),
    (b'"\xed\xa0\x80"', "json-encoding"),
    (b"\xef\xbb\xbf{}", "json-encoding"),
    ("{}".encode("utf-16"), "json-encoding"),
    ("{}".encode("utf-16-le"), "json-syntax"),
    (b"", "json-syntax"),
    (b"{", "json-syntax"),
    (b"{} {}", "json-syntax"),
    (b"{'a': 1}", "json-syntax"),
    (b"[1,]", "json-syntax"),
    (b"01", "json-syntax"),
    (b'"\n"', "json-syntax"),
    (b'"\\x"', "json-syntax"),
    (b'{"a": 1, "a": 1}', "json-duplicate-key"),
    (b'{"a": 1, "\\u0061": 1}', "json-duplicate-key"),
    (b'[{"x": {"a": 1, "b": 2, "a": 3}}]', "json-duplicate-key"),
    (b"NaN", "json-number"),
    (b"[-Infinity]", "json-number"),
    (b"1e400", "json-number"),
    (b"9007199254740992", "json-number"),
    (b"-9007199254740992", "json-number"),
    (b"1" * 5000, "json-number"),
    (b"[" * 33 + b"]" * 33, "json-depth"),
    (b'{"a":' * 33 + b"1" + b"}" * 33, "json-depth"),
    (b"[" * 100_000, "json-depth"),
    (b'"' * 41 + b"[" * 41, "json-syntax"),
    (b"]" * 41 + b"[" * 41, "json-syntax"),
    (b'"\\ud800"', "json-surrogate"),
    (b'{"\\udfff": 1}', "json-surrogate"),
    (b'[["x", {"a": "\\ude00\\ud83d"}]]', "json-surrogate"),
]
GOOD = [
    (b" [1] \n", [1]),
    (b"9007199254740991", BIG),
    (b"-9007199254740991", -BIG),
    (b"[" * 32 + b"]" * 32, None),
    (b"[" + b"[]," * 40 + b'"[[[\\"[["]', [*[[]] * 40, '[[["[[']),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    (b'["\\u0061", 1, {"a": null}]', ["a", 1, {"a": None}]),
    (b"1e3", 1000.0),
    (b'{"a": {"a": 1}}', {"a": {"a": 1}}),
]
CODES = {code for _, code in BAD}


@pytest.mark.parametrize(("data", "code"), BAD, ids=lambda part: repr(part[:30]))
def test_refused(data: bytes, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        strictjson.loads(data)
    assert caught.value.code == code
    assert len(caught.value.message) < 512


@pytest.mark.parametrize(("data", "value"), GOOD, ids=lambda part: repr(part)[:30])
def test_read(data: bytes, value: Any) -> None:
    assert strictjson.loads(data) == (json.loads(data) if value is None else value)


@given(VALUES)
def test_what_is_written_reads_the_same(value: Any) -> None:
    line = strictjson.dumps(value)
    assert line.isascii()
    assert "\n" not in line
    for data in (line.encode(), strictjson.canonical(value), strictjson.pretty(value)):
        assert strictjson.loads(data) == value


@given(VALUES)
def test_what_is_written_is_what_the_standard_library_writes(value: Any) -> None:
    assert strictjson.dumps(value) == json.dumps(value, separators=(",", ":"))
    assert strictjson.canonical(value).decode() == json.dumps(value, separators=(",", ":"), sort_keys=True)
    assert strictjson.pretty(value).decode() == json.dumps(value, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}])
def test_what_is_no_json_is_not_written(value: Any) -> None:
    for write in (strictjson.dumps, strictjson.canonical, strictjson.pretty):
        with pytest.raises((ValueError, TypeError)):
            write(value)


@given(st.dictionaries(TEXT, SCALARS, min_size=2))
def test_canonical_bytes_know_no_order(value: dict[str, Any]) -> None:
    assert strictjson.canonical(value) == strictjson.canonical(dict(reversed(value.items())))


def outcome(data: bytes) -> str:
    try:
        strictjson.loads(data)
    except Invalid as error:
        return error.code
    return "read"


@given(st.binary())
@example(b'{"a":"\\ud83d"}')
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert outcome(data) in CODES | {"read"}


@given(VALUES, st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), min_size=1, max_size=4))
def test_json_with_bytes_changed_is_read_or_refused(value: Any, edits: list[tuple[int, bytes]]) -> None:
    data = strictjson.dumps(value).encode()
    for at, text in edits:
        data = data[:at] + text + data[at + len(text) :]
    assert outcome(data) in CODES | {"read"}


@given(st.text(st.sampled_from('[]{}:,"\\u0d8e1-.n \n'), max_size=60))
def test_what_is_read_is_what_other_readers_read(text: str) -> None:
    data = text.encode()
    if outcome(data) == "read":
        assert strictjson.loads(data) == json.loads(data)
    elif outcome(data) == "json-syntax":
        with pytest.raises(json.JSONDecodeError):
            json.loads(data)


def test_a_python_without_the_c_encoder_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert strictjson._writer(sort=True)({"b": [1.5, None], "a": "é"}) == '{"a":"\\u00e9","b":[1.5,null]}'
