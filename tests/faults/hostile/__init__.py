"""Hostile input, made by hand: what somebody might hand in, and the rule code that it ends in.

One module a group, each a table of ``Case``; ``test_hostile.py`` plays them, and ``bench/parts/latency.py`` times them.
Few repeat a vector of tests/conformance, which a test counts: those show each rule, these try to get around it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """One bad document. ``code`` is the rule that refuses it, ``pointer`` where, if that is told; ``name`` is its file
    name where the name is what is bad."""

    title: str
    data: bytes
    code: str
    pointer: str | None = None
    name: bytes = b""


def raw(value: Any) -> bytes:
    """Return the bytes of a document: bytes as they are, text as UTF-8, everything else as JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def table(group: str, code: str, rows: Iterable[Any]) -> list[Case]:
    """Make cases of rows that break one rule; the first 40 characters of each are its title."""
    made = [raw(row) for row in rows]
    return [Case(f"{group}: {data[:40]!r}", data, code) for data in made]
