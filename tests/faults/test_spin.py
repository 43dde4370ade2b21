"""Claim, lease, result and crash, every order of them: spin/lease.pml, searched exhaustively (spin and a C compiler).

A broken promise would be an assertion that fails in some order; each variant of the model in which one precaution is
left out has to fail by the assertion that is about it, or the model shows nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from faults import ledger

MODEL = Path(__file__).parent / "spin/lease.pml"
MISSING = " and ".join(tool for tool in ("spin", "gcc") if shutil.which(tool) is None)
pytestmark = pytest.mark.skipif(MISSING != "", reason=f"NOT TESTED: this machine has no {MISSING}")
BOUNDS = [("TASKS=1", "KILLS=2", "GIVES=1", "MOST=3"), ("TASKS=2", "KILLS=1", "GIVES=0", "MOST=1")]
NIGHTLY = [("TASKS=1", "KILLS=4", "GIVES=2", "MOST=4"), ("TASKS=2", "KILLS=1", "GIVES=1", "MOST=2")]
DEPTH = "-m1000000"
VARIANTS = {
    "UNFENCED": "n==log_attempt",
    "ANY_RESULT": "log_results[0]<2",
    "RECORD_FIRST": "!(record",
    "TAKE_FIRST": "handed",
    "CLAIMED_FIRST": "offer",
    "NO_LEASE": "record",
}
"""What is left out → the assertion that fails."""


def search(work: Path, *defines: str, cycles: bool = False) -> str:
    """Search the whole model; returns what the search says. ``cycles``: look for runs that never end instead."""
    work.mkdir()
    told = [f"-D{each}" for each in defines]
    subprocess.run(["spin", "-a", *told, MODEL], cwd=work, check=True, capture_output=True, timeout=60)
    how = "-DNP" if cycles else "-DSAFETY"
    subprocess.run(["gcc", "-O1", "-w", how, "-o", "pan", "pan.c"], cwd=work, check=True, timeout=60)
    options = [DEPTH, "-l"] if cycles else [DEPTH]
    done = subprocess.run(["./pan", *options], cwd=work, check=False, capture_output=True, text=True, timeout=1800)
    shutil.rmtree(work)
    return done.stdout


def errors(said: str) -> int:
    """Return how many errors a search found; it has to have seen everything."""
    assert "max search depth too small" not in said
    found = re.search(r"errors: (\d+)", said)
    assert found, said
    return int(found[1])


def states(said: str) -> int:
    """Return how many states were stored."""
    found = re.search(r"(\d+) states, stored", said)
    assert found, said
    return int(found[1])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bounds", BOUNDS + (NIGHTLY if ledger.torture() else []), ids="-".join)
def test_no_order_of_steps_breaks_a_promise(tmp_path: Path, bounds: tuple[str, ...]) -> None:
    with ledger.entry("spin, every order of claim, lease, result, crash", seed=None, unit="states") as entry:
        said = search(tmp_path / "pan", *bounds)
        entry.runs += states(said)
        assert errors(said) == 0, said
        if bounds == BOUNDS[0]:
            assert re.findall(r"\.pml:\d+, state \d+, (.*)", said) == ['"-end-"'], "some step was never taken"


def test_every_run_ends(tmp_path: Path) -> None:
    """No cycle: with the end's own assertions, each task is done or failed in the end, whatever happens."""
    with ledger.entry("spin, every run ends", seed=None, unit="states") as entry:
        said = search(tmp_path / "pan", "KILLS=1", cycles=True)
        entry.runs += states(said)
        assert errors(said) == 0, said


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_left_out_is_missed(tmp_path: Path, variant: str) -> None:
    said = search(tmp_path / "pan", variant)
    assert errors(said) == 1
    failed = re.search(r"assertion violated \(?\s*(.*)\)? \(at depth", said)
    assert failed, said
    assert VARIANTS[variant] in failed[1], failed[1]
