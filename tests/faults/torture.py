"""The nightly tier: every fault tester with its full count, by one printed seed; ``make torture`` runs this.

    make torture                                     all of it, an hour on two cores; TASKDIR_SEED=7 plays a seed again
    make torture ARGS=tests/faults/test_fuzz.py      one tester; whatever else stands in ARGS goes to pytest

At the end stand a row for each tester and one line of shell for each failure, which plays it again. The ledger itself
stays, for ``evidence.py``.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from faults import evidence, ledger

TESTERS = (
    "tests/faults",
    "tests/scenario/test_five_agents.py",
    "tests/unit/test_lines.py",
    "tests/conformance/test_second_checker.py",
    "tests/conformance/test_kit.py",
    "tests/adapters/test_mixed_race.py",
)
COUNTS = {"TASKDIR_CHECKS": "10000", "TASKDIR_CONFORMANCE": "all", "TASKDIR_RACE": "20000"}
"""How many runs testers make that are older than TASKDIR_TORTURE; what the environment says goes first."""
HOURS = 6
"""How long one test may take, if it does not say so itself."""


class Failures:
    """Keeps the names of the tests that failed, for the lines that replay them."""

    def __init__(self) -> None:
        self.tests: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure, be it of the test or of what it needs."""
        if report.failed and report.nodeid not in self.tests:
            self.tests.append(report.nodeid)


def main(words: list[str]) -> int:
    """Run the testers, or those that ``words`` name; returns pytest's exit code."""
    for name, value in {**COUNTS, "TASKDIR_TORTURE": "1"}.items():
        os.environ.setdefault(name, value)
    seed = ledger.seed()
    os.environ["TASKDIR_SEED"] = str(seed)
    os.environ.setdefault("TASKDIR_RACE_SEED", str(seed))
    path = Path(os.environ.setdefault("TASKDIR_LEDGER", str(ledger.DEFAULT)))
    path.unlink(missing_ok=True)
    print(f"torture: seed {seed}; play it again with: make torture TASKDIR_SEED={seed}", flush=True)
    named = any(Path(word.partition("::")[0]).exists() for word in words if not word.startswith("-"))
    tests = [] if named else [test for test in TESTERS if Path(test).exists()]
    failures = Failures()
    options = ["-n", "auto", "--dist", "loadgroup", "-o", f"timeout={HOURS * 3600}", "-p", "no:cacheprovider"]
    code = int(pytest.main([*options, *tests, *words], plugins=[failures]))
    print(f"\ntorture: seed {seed}, ledger {path}")
    entries = ledger.read(path) if path.exists() else []
    print(evidence.counts_table(entries))
    for entry in entries:
        for finding in entry["findings"]:
            print(f"finding: {entry['tester']}: {finding}")
    for test in failures.tests:
        print(f"replay: {ledger.replay(seed, test)}")
    return code


if __name__ == "__main__":
    sys.exit(main([part for word in sys.argv[1:] for part in shlex.split(word)]))
