"""Mutated inputs for every reader and validator: nothing but the named exceptions, engines that agree, bounded work.

A few thousand a target on every change; $TASKDIR_FUZZ, by default 10,000,000, in all in the nightly tier, in parts of
their own so that every core has some. The inputs of a part follow from the seed: the line that replays it plays them.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from faults import fuzz, ledger
from taskdir import chain, contracts, jsonc, keywords, names, patterns, strictjson, validate
from taskdir.validate import Checker

NIGHTLY = int(os.environ.get("TASKDIR_FUZZ") or 10_000_000)
CHANGE = 30_000
SHARES = {
    "json": 400,
    "names": 300,
    "jsonc": 120,
    "patterns": 80,
    "messages": 50,
    "papers": 20,
    "contracts": 20,
    "log": 10,
}
"""Of a thousand inputs, so many for each target: the cheap ones more."""
PARTS = [(name, part) for name, share in SHARES.items() for part in range(max(1, share // 50))]
COUNTED = 200
"""Of so many inputs one is run with its calls counted."""
CALLS = (6000, 400)
"""So many calls are allowed an input, and so many more for each of its bytes."""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Let no compiled pattern outlive a planted fault."""
    keywords._searcher.cache_clear()
    yield
    keywords._searcher.cache_clear()


def calls_of(target: fuzz.Target, value: Any) -> tuple[object, int]:
    """Return a verdict, and how many calls it took: the work, whatever the machine."""
    count = 0

    def counted(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        verdict = target(value)
    finally:
        sys.setprofile(None)
    return verdict, count


def play(name: str, seed: str, count: int) -> int:
    """Draw and judge so many inputs; returns how many. Raises AssertionError that tells the input."""
    dice = random.Random(seed)
    with fuzz.target(name, dice) as (target, corpus):
        for number in range(count):
            value = corpus.draw()
            try:
                if number % COUNTED == COUNTED - 1:
                    verdict, calls = calls_of(target, value)
                    most = CALLS[0] + CALLS[1] * len(value if isinstance(value, bytes | str) else repr(value))
                    assert calls <= most, f"{calls} calls where {most} should do"
                else:
                    verdict = target(value)
            except BaseException as error:
                raise AssertionError(f"input {number}: {value!r}: {type(error).__name__}: {error}") from error
            corpus.told(value, verdict)
    return count


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_any_input_gets_a_verdict(name: str, part: int) -> None:
    seed = ledger.seed()
    parts = sum(1 for each, _ in PARTS if each == name)
    count = (NIGHTLY if ledger.torture() else CHANGE) * SHARES[name] // 1000 // parts
    with ledger.entry("fuzzing", seed=seed, unit="inputs") as entry:
        entry.runs += play(name, f"{seed}-{name}-{part}", count)


def far(found: Any) -> Any:
    """Return what looks at a part of the chain, and is a byte off."""

    def run(*about: Any) -> Any:
        made = found(*about)
        made.marks = [(seq, digest, offset + 1) for seq, digest, offset in made.marks]
        return made

    return run


class Never:
    """An automaton that finds nothing."""

    def __init__(self, pattern: str) -> None:
        pass

    def search(self, text: str) -> bool:
        return False


def lenient(kind: str, part: str | None = None) -> tuple[Checker, Checker]:
    """Return two engines of which one takes everything."""
    return Checker(True, "rs"), validate.document(kind, part, "py")


@pytest.mark.parametrize(
    ("name", "owner", "attribute", "planted"),
    [
        ("json", strictjson, "_check_depth", lambda data, most: None),
        ("json", strictjson, "_DECODER", json.JSONDecoder(object_pairs_hook=strictjson._pairs)),
        ("json", strictjson, "_DECODER", json.JSONDecoder(parse_int=strictjson._integer)),
        ("jsonc", jsonc, "_SCALAR", jsonc._TRIVIA),
        ("names", names, "is_word", str.islower),
        ("names", names, "_TOLD", re.compile(".*")),
        ("patterns", patterns, "_MAX_SIZE", 10**9),
        ("patterns", patterns, "for_python", str),
        ("patterns", keywords, "Automaton", Never),
        ("contracts", contracts, "lint", lambda schema, pointer: None),
        ("log", chain, "_run", far(chain._run)),
        ("messages", fuzz, "checkers", lenient),
        ("papers", fuzz, "checkers", lenient),
    ],
)
def test_a_planted_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, owner: Any, attribute: str, planted: Any
) -> None:
    monkeypatch.setattr(owner, attribute, planted)
    with pytest.raises(AssertionError, match=r"input [0-9]+: "):
        play(name, "planted", 40_000)


def test_a_reader_that_works_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = names.printable
    monkeypatch.setattr(names, "printable", lambda name: max(slow(name) for _ in range(len(name) ** 2 + 20_000)))
    with pytest.raises(AssertionError, match=r"input 199: .* calls where"):
        play("names", "planted", COUNTED)
