"""What is read without argparse is read as argparse reads it; and what agents write in earnest is read without it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskdir.cli import parsers, quick
from taskdir.errors import Usage

PLAIN = [
    "claim --agent a",
    "--json claim --agent a --queue q --wait 2.5",
    "finish P --output {}",
    "--root R finish --error E P --code c --retry",
    "note P T",
    "note T --task x --from me --json",
    "submit a.json b.json",
    "submit -",
    "submit --type t --input {} --queue q --after a --after b --resource r --not-before T --from me --priority 3",
    "submit --id x a.json",
]
NOT_PLAIN = [
    "claim",
    "claim --agent",
    "claim --agent -x",
    "claim --agent=a",
    "claim --agent a --help",
    "claim --agent a b",
    "claim --agent a --wait long",
    "claim -- --agent a",
    "finish P",
    "finish P Q --output 1",
    "finish --output 1",
    "finish P --output 1 --error E",
    "note",
    "note P --task x T",
    "submit a --id x b",
    "submit --type t --priority -1",
    "submit --ty t",
]
WORDS = [*sorted({word for line in PLAIN + NOT_PLAIN for word in line.split()} - quick.VERBS), "", "5", "a b", "- x"]


def split(line: str) -> tuple[str, list[str]]:
    words = line.split()
    verb = next(word for word in words if word in quick.VERBS)
    words.remove(verb)
    return verb, words


@pytest.mark.parametrize("line", PLAIN)
def test_plain_lines_need_no_argparse(line: str) -> None:
    verb, words = split(line)
    found, parser = parsers.verb(verb)
    read = quick.read(found, words)
    assert read is not None
    assert vars(read) == vars(parser.parse_args(words))


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_all_else_is_left_to_argparse(line: str) -> None:
    verb, words = split(line)
    assert quick.read(parsers.load(verb), words) is None


@given(st.sampled_from(sorted(quick.VERBS)), st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=7))
def test_whatever_is_read_is_read_the_same(verb: str, words: list[str]) -> None:
    found, parser = parsers.verb(verb)
    read = quick.read(found, words)
    if read is not None:
        try:
            assert vars(read) == vars(parser.parse_args(words))
        except Usage as error:
            pytest.fail(f"argparse refuses {words}: {error}")
