"""The grammar of names, and the order that they are in. Which names it takes: tests/conformance/test_names.py."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskdir import names
from taskdir.names import Stem

LONG = "a" * 64
WORDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
STEMS = st.builds(Stem, st.integers(0, 9), st.integers(0, 10**12 - 1), WORDS, st.integers(1, 10**9 - 1))


@pytest.mark.parametrize(
    ("text", "word"), [("a", True), (LONG, True), (LONG + "a", False), ("", False), ("a\n", False), ("é", False)]
)
def test_word_and_queue(text: str, word: bool) -> None:
    assert names.is_word(text) is word
    assert names.is_queue(text) is word
    assert names.is_queue("@" + text) is word
    assert not names.is_queue("@@" + text)


@given(STEMS)
def test_a_stem_reads_as_it_was_written(stem: Stem) -> None:
    assert names.parse_stem(str(stem)) == stem


@given(st.text(st.sampled_from("0123456789-.a\n"), max_size=24) | st.text(max_size=24))
def test_what_is_read_as_a_stem_is_written_the_same(text: str) -> None:
    stem = names.parse_stem(text)
    assert stem is None or str(stem) == text


@given(st.lists(STEMS, min_size=2, max_size=8, unique_by=lambda stem: (stem.priority, stem.seq)))
def test_byte_order_is_the_order_of_work(stems: list[Stem]) -> None:
    files = sorted(os.fsencode(f"{stem}{names.TASK}") for stem in stems)
    in_line = sorted(stems, key=lambda stem: (stem.priority, stem.seq))
    assert files == [os.fsencode(f"{stem}{names.TASK}") for stem in in_line]


STEM = Stem(5, 17, "build-42", 1)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("5-000000000017.build-42.1.json", (STEM, names.TASK)),
        ("5-000000000017.build-42.1.result.json", (STEM, names.RESULT)),
        ("5-000000000017.build-42.1.notes.jsonl", (STEM, names.NOTES)),
        ("5-000000000017.build-42.1.refused.json", (STEM, names.REFUSED)),
        ("5-000000000017.build-42.1.reason.json", None),
        ("5-000000000017.build-42.1", None),
        ("5-000000000017.build-42.01.json", None),
        ("5-17.build-42.1.json", None),
        (".json", None),
    ],
)
def test_split_claimed(name: str, parts: tuple[Stem, str] | None) -> None:
    assert names.split_claimed(name) == parts


@pytest.mark.parametrize(("name", "is_message"), [("a.json", True), (".a.json", False), ("a.jsonl", False)])
def test_message_name(name: str, is_message: bool) -> None:
    assert names.is_message_name(name) is is_message


@pytest.mark.parametrize(
    ("name", "rejected", "reason"),
    [
        ("x.json", "x.json", "x.reason.json"),
        ("X y.json", "X y.json", "X y.reason.json"),
        ("a" * 215 + ".json", "a" * 215 + ".json", "a" * 215 + ".reason.json"),
        ("a" * 216 + ".json", "bad-7.json", "bad-7.reason.json"),
        ("é.json", "bad-7.json", "bad-7.reason.json"),
        ("a\n.json", "bad-7.json", "bad-7.reason.json"),
        ("x.reason.json", "bad-7.json", "bad-7.reason.json"),
    ],
)
def test_name_in_rejected(name: str, rejected: str, reason: str) -> None:
    assert names.rejected_name(name, 7) == rejected
    assert names.reason_name(rejected) == reason


@given(st.binary(min_size=1, max_size=255))
def test_any_file_name_can_be_told(data: bytes) -> None:
    told = names.printable(os.fsdecode(data))
    assert told.isascii()
    assert told.isprintable()
    name = os.fsdecode(data)
    assert names.unprintable(told) == (name if name.isascii() and name.isprintable() else None)


@pytest.mark.parametrize("told", ["a\\", "\\q", "é", "\\\\\\", "\n", "\x7f"])
def test_what_was_not_told_so(told: str) -> None:
    assert names.unprintable(told) is None


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("000000000001.jsonl", True),
        ("000000000001.jsonl.gz", True),
        ("00000000001.jsonl", False),
        ("000000000001.json", False),
        ("000000000001.jsonl\n", False),
        ("log.jsonl", False),
    ],
)
def test_names_of_segments(name: str, good: bool) -> None:
    assert names.is_segment_name(name) is good


@pytest.mark.parametrize(
    ("name", "queue"),
    [("default.ask", "default"), ("@bob.ask", "@bob"), ("default", None), (".ask", None), ("a b.ask", None)],
)
def test_an_ask_names_its_queue(name: str, queue: str | None) -> None:
    assert names.asked(name) == queue


@pytest.mark.parametrize(
    ("file", "kept"), [("ann-1.json", "ann-1.json"), ("bob-1.json", "ann!bob-1.json"), ("ann!x.json", "ann!ann!x.json")]
)
def test_what_an_agent_sent_is_kept_under_a_name_of_its_own(file: str, kept: str) -> None:
    assert names.kept("ann", file) == kept
    assert names.given("ann", kept) == file
    assert names.given("", kept) == kept
