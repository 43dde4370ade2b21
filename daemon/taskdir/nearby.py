"""Guessing what a misspelt word was meant to be, for hints."""

from __future__ import annotations

import difflib


def nearby(word: str, known: list[str]) -> str | None:
    """Return "did you mean 'x'?" for the nearest known word, None when none is near."""
    found = difflib.get_close_matches(word[:64], known, n=1, cutoff=0.6)
    return f"did you mean {found[0]!a}?" if found else None
