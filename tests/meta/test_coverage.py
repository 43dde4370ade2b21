"""The pure row is covered in full, branches too, by its own unit tests: what decides has no untried corner.

The row's modules are those of MAP in test_layers; the tests of ``x`` are tests/unit/test_x.py, and those alone count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meta.test_layers import MAP

ROOT = Path(__file__).resolve().parents[2]
PURE = MAP["pure"].split()
SOURCE = {name: f"daemon/taskdir/{name}.py" for name in PURE}
TESTS = {name: f"tests/unit/test_{name}.py" for name in PURE}

SETTINGS = f"""[run]
branch = true
include = {",".join(SOURCE.values())}
[report]
exclude_also = if TYPE_CHECKING:
"""


def gaps(report: dict[str, Any]) -> Iterator[str]:
    """Name each line and branch of the pure row that a coverage report says was never reached."""
    for path in SOURCE.values():
        found = report["files"].get(path)
        if found is None:
            yield f"{path}: never imported"
            continue
        if found["missing_lines"]:
            yield f"{path}: lines {', '.join(map(str, found['missing_lines']))}"
        if found["missing_branches"]:
            yield f"{path}: branches {', '.join(f'{start}->{end}' for start, end in found['missing_branches'])}"


def run(tmp_path: Path, *words: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=env | {"COVERAGE_FILE": str(tmp_path / "data"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words[:3])}:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"


def test_every_pure_module_has_its_unit_tests() -> None:
    assert [path for path in TESTS.values() if not (ROOT / path).exists()] == []


@pytest.mark.timeout(500)
def test_the_pure_row_is_covered_in_full(tmp_path: Path) -> None:
    rcfile, report = tmp_path / "coveragerc", tmp_path / "report.json"
    rcfile.write_text(SETTINGS, encoding="utf-8")
    pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    run(tmp_path, "coverage", "run", f"--rcfile={rcfile}", *pytest, *TESTS.values())
    run(tmp_path, "coverage", "json", f"--rcfile={rcfile}", "-o", str(report))
    missing = list(gaps(json.loads(report.read_text(encoding="utf-8"))))
    assert not missing, "\n".join(missing)


def test_the_measure_sees_a_gap() -> None:
    whole: dict[str, list[Any]] = {"missing_lines": [], "missing_branches": []}
    files: dict[str, Any] = dict.fromkeys(SOURCE.values(), whole)
    assert list(gaps({"files": files})) == []
    files[SOURCE["names"]] = {"missing_lines": [7, 9], "missing_branches": [[3, -1]]}
    del files[SOURCE["errors"]]
    assert list(gaps({"files": files})) == [
        "daemon/taskdir/errors.py: never imported",
        "daemon/taskdir/names.py: lines 7, 9",
        "daemon/taskdir/names.py: branches 3->-1",
    ]
