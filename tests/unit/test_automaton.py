"""The linear search finds what Python's own finds, for any safe pattern and text, and takes as many steps as there are
characters."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from taskdir import automaton, patterns
from taskdir.automaton import Automaton

CASES = [
    ("", "", True),
    ("^$", "a", False),
    ("^$", "", True),
    ("a$", "ba", True),
    ("a$", "a\n", False),
    ("^a|b$", "xb", True),
    ("a{2,}", "aa", True),
    ("a{2,}", "a", False),
    ("a{2,3}b", "aaaab", True),
    ("^a{2,3}b", "aaaab", False),
    ("a?b*c+", "c", True),
    ("[^a-c]", "abc", False),
    ("[^a-c]", "abcé", True),
    (".", "\n", False),
    (".", "é", True),
    ("[a\\-c]", "b", False),
    ("[a\\-c]", "-", True),
    ("[-a]", "-", True),
    ("[a-]", "-", True),
    ("\\n\\r\\t\\.", "\n\r\t.", True),
    ("\\.", "a", False),
    ("(?:ab|c)d", "abd", True),
    ("(a|b)?", "", True),
    ("(^)*a", "ba", True),
    ("a$b", "ab", False),
    ("(|a)b", "b", True),
    ("[$]", "$", True),
]


@pytest.mark.parametrize(("pattern", "text", "found"), CASES)
def test_found_or_not(pattern: str, text: str, found: bool) -> None:
    assert patterns.problem(pattern) is None
    assert Automaton(pattern).search(text) is found
    assert bool(re.search(patterns.for_python(pattern), text)) is found


PARTS = st.sampled_from("a b [a-c] [^a] . \\. \\n ( (?: ) | * + ? {2} {1,3} {2,} ^ $ [a\\-] - \\]".split())


@settings(max_examples=300)
@given(st.lists(PARTS, max_size=9).map("".join), st.text("abc\n.-é]", max_size=10))
def test_what_pythons_own_engine_finds(pattern: str, text: str) -> None:
    assume(patterns.problem(pattern) is None)
    assert Automaton(pattern).search(text) == bool(re.search(patterns.for_python(pattern), text))


@pytest.mark.parametrize("pattern", ["[a-z]+@[a-z]+", "a*a*a*a*a*b", "(?:a|b)?a+a+c", ".*.*=.*"])
def test_a_long_text_takes_a_step_a_character(pattern: str) -> None:
    """Where a backtracking engine takes the square of it, or worse: here each set of places is made once."""
    found = Automaton(pattern)
    assert not found.search("a" * 100_000)
    assert len(found._states) < 20


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automaton, "_MOST_STATES", 4)
    found = Automaton("a[ab]{6}c")
    assert not found.search("abbabaababbbabaaabab" * 5)
    assert found.search("abbabaab" * 5 + "abababac")
    assert len(found._states) <= 4
