"""The kit for agents, run over every program that is here, and over wrong ones: each has to turn it red by its rule."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.live import ENV

ADAPTERS = Path(__file__).resolve().parents[2] / "adapters"
SHELL = ADAPTERS / "shell" / "taskdir.sh"
LATER = "" if "td_work()" in SHELL.read_text() else "\n".join(
    "live/workers work/drains work/no-command work/surroundings work/ends work/idle work/unfinished-first work/refused"
    " work/gone work/terminated work/fresh work/race".split()
)  # fmt: skip


def kit(tmp_path: Path, command: list[str], *options: str, known: str = "") -> dict[str, Any]:
    """Run the kit over a program; returns the report."""
    listed = tmp_path / "known-failures"
    listed.write_text(known)
    words = ["conformance", "agent", "--json", "--expect-fail", str(listed), *options, "--", *command]
    argv = [sys.executable, "-m", "taskdir", *words]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENV, timeout=100, check=False)
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) is report["ok"]
    return report


def test_shell(tmp_path: Path) -> None:
    for tool in ("sh", "flock"):
        if shutil.which(tool) is None:
            pytest.skip(f"NOT TESTED: the shell adapter, since this machine has no {tool}")
    report = kit(tmp_path, ["sh", str(SHELL)], known=LATER)
    assert report["ok"], json.dumps(
        [case for case in report["cases"] if case["name"] in report["unexpected"]], indent=1
    )
