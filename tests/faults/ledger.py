"""The testers' ledger: how much each one tried, by which seed, and what it found; one JSON object a line.

For a new tester under tests/faults::

    from faults import ledger

    def test_killed_anywhere() -> None:
        seed = ledger.seed()                                   # TASKDIR_SEED, else 1, or drawn for torture
        runs = 20_000 if ledger.torture() else 300             # TASKDIR_TORTURE=1: the nightly tier
        with ledger.entry("kills", seed=seed, unit="kills") as entry:
            for story in draw(seed, runs):
                play(story)                                    # what it raises is a finding: noted, raised again
                entry.runs += 1

``entry`` takes the time, notes also what a failure leaves, and prints one line that replays it. A tester that counts by
itself calls ``note(tester=…, runs=…, seed=…, seconds=…, findings=[…])`` once at its end instead. ``seed`` is None where
nothing is drawn by lot. Name a tester as docs/reliability.md is to name it, in a word or three; ``unit`` says of what
the runs are ("states", "kills", "inputs").

Lines go to $TASKDIR_LEDGER, else to .pytest_cache/ledger.jsonl, by one append each, so that workers of pytest-xdist
share the file. ``make torture`` starts a new one; ``evidence.py`` makes the table of docs/reliability.md out of it.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

HOME = Path(__file__).parents[2]
DEFAULT = HOME / ".pytest_cache/ledger.jsonl"
_KNOBS = ("TASKDIR_TORTURE", "TASKDIR_CHECKS", "TASKDIR_CONFORMANCE", "TASKDIR_RACE", "TASKDIR_RACE_SEED")
"""What else of the environment decides which runs there are."""


@dataclass(slots=True)
class Entry:
    """What one tester did so far: count ``runs`` up; add to ``findings`` what is wrong without being raised."""

    runs: int = 0
    findings: list[str] = field(default_factory=list)


@cache
def commit() -> str:
    """Return which commit is tested, "-dirty" behind it if files differ; empty where git cannot tell."""
    words = ["git", "-C", str(HOME), "describe", "--always", "--dirty"]
    with suppress(OSError):
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def torture() -> bool:
    """Tell whether the nightly tier is wanted."""
    return os.environ.get("TASKDIR_TORTURE", "") not in ("", "0")


def seed() -> int:
    """Return the seed of this run: $TASKDIR_SEED, else under torture one drawn now, else 1.

    Print it, or hand it to ``entry``, which does. A change is judged by the same lot as the one before it; new lots are
    for the night, when somebody can look into what they find.
    """
    given = os.environ.get("TASKDIR_SEED")
    if given:
        return int(given)
    return random.SystemRandom().randrange(1, 2**32) if torture() else 1


def replay(seed: int | None, test: str = "") -> str:
    """Return the one line that plays a test again, the one of now if none is named, with this seed."""
    test = test or os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    words = [f"{name}={shlex.quote(os.environ[name])}" for name in _KNOBS if os.environ.get(name)]
    words += [f"TASKDIR_SEED={seed}"] if seed is not None else []
    return " ".join([*words, ".venv/bin/python -m pytest -n0", shlex.quote(test)]).rstrip()


@contextmanager
def entry(tester: str, *, seed: int | None, unit: str = "runs") -> Iterator[Entry]:
    """Keep the ledger for the block: its time, its runs, and what it raises, with the line that replays it."""
    kept, started, failure = Entry(), time.monotonic(), ""
    if seed is not None:
        print(f"{tester}: seed {seed}")
    try:
        yield kept
    except Exception as error:
        failure = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise
    finally:
        found = kept.findings + ([failure] if failure else [])
        if found:
            print(f"replay: {replay(seed)}")
        note(tester=tester, runs=kept.runs, seed=seed, seconds=time.monotonic() - started, findings=found, unit=unit)


def note(
    *,
    tester: str,
    runs: int,
    seed: int | None,
    seconds: float = 0.0,
    findings: Sequence[str] = (),
    unit: str = "runs",
) -> None:
    """Append one line. ``seconds`` is how long the runs took; each finding is one sentence."""
    line = {
        "tester": tester,
        "runs": runs,
        "unit": unit,
        "seed": seed,
        "seconds": round(seconds, 1),
        "findings": list(findings),
        "commit": commit(),
        "replay": replay(seed),
        "tier": "nightly" if torture() else "change",
    }
    path = Path(os.environ.get("TASKDIR_LEDGER") or DEFAULT)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ledger."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
