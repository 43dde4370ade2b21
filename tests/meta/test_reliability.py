"""docs/reliability.md says what is so: its tests exist, its tables are made of the data; torture prints its seed."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faults import evidence, ledger

PAGE = evidence.PAGE.read_text(encoding="utf-8")
BUG = {"bug": str, "promise": str, "found_by": str, "seed": int, "fixed_in": str, "test": str}


def missing(text: str) -> list[str]:
    """Return the tests that a text names and that are not there."""
    faults = []
    for path, function in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", text):
        file = ledger.HOME / path
        tree = ast.parse(file.read_text(encoding="utf-8")) if file.exists() else ast.Module([], [])
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        if not file.exists() or (function and function not in names):
            faults.append(f"{path}::{function}")
    return faults


def test_each_test_that_is_named_exists() -> None:
    assert missing(PAGE) == []
    assert missing("`tests/meta/test_reliability.py::test_nothing` tests/none.py") == [
        "tests/meta/test_reliability.py::test_nothing",
        "tests/none.py::",
    ]


def test_each_promise_has_its_row_with_tests() -> None:
    rows = re.findall(r"^\| (P[0-9]+) \| .* \| (.*) \|$", PAGE, re.MULTILINE)
    assert [promise for promise, _ in rows] == [f"P{number}" for number in range(1, 13)]
    assert [promise for promise, shown in rows if "tests/" not in shown] == []


def test_bugs_are_data() -> None:
    for bug in evidence.load_bugs():
        assert bug.keys() <= BUG.keys(), bug
        assert {"bug", "found_by", "fixed_in"} <= bug.keys(), bug
        assert all(isinstance(value, BUG[name]) for name, value in bug.items()), bug
        assert re.fullmatch("[0-9a-f]{7}", bug["fixed_in"]), bug
        assert re.fullmatch("P([1-9]|1[0-2])", bug.get("promise", "P1")), bug
        assert missing(bug.get("test", "")) == [], bug
        assert "|" not in "".join(map(str, bug.values())), bug


def test_the_table_of_bugs_is_that_of_the_data() -> None:
    made = evidence.put(PAGE, "bugs", evidence.bugs_table(evidence.load_bugs()))
    assert made == PAGE, "run: PYTHONPATH=tests python -m faults.evidence"


def entry(**changes: Any) -> dict[str, Any]:
    """Return an entry of a ledger."""
    return {"tester": "kills", "tier": "nightly", "unit": "kills", "runs": 10, "seed": 1, "seconds": 1.5} | {
        "findings": [], **changes
    }  # fmt: skip


def test_the_table_of_counts() -> None:
    entries = [
        entry(),
        entry(seed=2, findings=["a", "b"]),
        entry(tester="attacks", unit="attacks", runs=1200, seed=None),
    ]
    entries += [entry(tester="lots", seed=number) for number in range(4)] + [entry(tier="change")]
    assert evidence.counts_table(entries).splitlines()[2:] == [
        "| attacks | nightly | 1,200 attacks | nothing is drawn | 2 | 0 |",
        "| kills | change | 10 kills | 1 | 2 | 0 |",
        "| kills | nightly | 20 kills | 1, 2 | 3 | 2 |",
        "| lots | nightly | 40 kills | 4 seeds | 6 | 0 |",
    ]
    page = "a\n<!-- counts: begin -->\nold\n<!-- counts: end -->\nb\n"
    made = evidence.put(page, "counts", evidence.counts(entries))
    assert made.startswith("a\n<!-- counts: begin -->\nMade by `tests/faults/evidence.py` on 20")
    assert made.endswith("| 0 |\n<!-- counts: end -->\nb\n")
    assert evidence.put(made, "counts", "old") == page
    with pytest.raises(ValueError, match="0 times"):
        evidence.put(page, "bugs", "x")


TESTER = """
from faults import ledger

def test_that_finds() -> None:
    with ledger.entry("planted", seed=ledger.seed()) as entry:
        entry.runs += 300 if ledger.torture() else 3
        assert entry.runs < 300, "something is lost"

def test_that_dies() -> None:
    raise RuntimeError
"""


def test_torture_prints_its_seed_and_a_line_that_replays_each_failure(tmp_path: Path) -> None:
    """A tester with a planted fault, run as `make torture ARGS=…` runs one, then by the line that was printed."""
    (tmp_path / "test_planted.py").write_text(TESTER)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TASKDIR_"))}
    env |= {
        "PYTHONPATH": str(ledger.HOME / "tests"),
        "TASKDIR_LEDGER": str(tmp_path / "ledger.jsonl"),
        "TASKDIR_SEED": "77",
    }
    words = ["-m", "faults.torture", "-n0 test_planted.py"]
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def run(*command: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False, **more
        )

    done = run(sys.executable, *words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "torture: seed 77; play it again with: make torture TASKDIR_SEED=77" in done.stdout
    assert "| planted | nightly | 300 runs | 77 | 0 | 1 |\nfinding: planted: AssertionError: something" in done.stdout
    replays = [line.removeprefix("replay: ") for line in done.stdout.splitlines() if line.startswith("replay: ")][-2:]
    assert [line.rpartition("::")[2] for line in replays] == ["test_that_finds", "test_that_dies"]
    assert all("TASKDIR_TORTURE=1" in line and "TASKDIR_SEED=77" in line for line in replays)
    assert [line["findings"] for line in ledger.read(tmp_path / "ledger.jsonl")] == [
        ["AssertionError: something is lost"]
    ]
    env = {name: value for name, value in env.items() if name != "TASKDIR_SEED"}
    again = run("sh", "-c", replays[0].replace(".venv/bin/python", sys.executable))
    assert (again.returncode, "AssertionError: something is lost" in again.stdout) == (1, True), again.stderr
    assert json.loads((tmp_path / "ledger.jsonl").read_text().splitlines()[-1])["seed"] == 77
