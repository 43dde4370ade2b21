"""Hints for misspelt words."""

from __future__ import annotations

import pytest

from taskdir.nearby import nearby


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("ech", ["build", "echo"], "did you mean 'echo'?"),
        ("type" * 100, ["type" * 16], f"did you mean {'type' * 16!r}?"),
        ("gibt", ["gäbt"], r"did you mean 'g\xe4bt'?"),
        ("zzz", ["build", "echo"], None),
        ("x", [], None),
    ],
)
def test_nearby(word: str, known: list[str], hint: str | None) -> None:
    assert nearby(word, known) == hint
