"""The agent's path costs the standard library and a few of our modules, nothing else.

Agents call these verbs hundreds of times. Each verb of one whole session runs in an interpreter of its own;
what it has imported by the end is compared with what stood there before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from taskdir.cli import quick

SOURCE = Path(__file__).resolve().parents[2] / "daemon"

PROBE = """
import json, os, sys
before = set(sys.modules)
from taskdir.cli import main
try:
    code = main(sys.argv[2:])
except SystemExit as stop:
    code = stop.code
with open(sys.argv[1], "w") as report:
    json.dump({"code": code or 0, "modules": sorted(set(sys.modules) - before)}, report)
"""

ALLOWED = frozenset(
    "taskdir taskdir.cli taskdir.cli.argparser taskdir.cli.frame taskdir.cli.parsers taskdir.cli.quick taskdir.asking"
    " taskdir.client taskdir.clock taskdir.disk taskdir.documents taskdir.errors taskdir.gestures taskdir.held"
    " taskdir.names taskdir.places taskdir.roots taskdir.rules taskdir.shared taskdir.strictjson taskdir.system".split()
)
"""Our own modules that an agent-side verb may load, beside its own."""

VERBS = ("submit", "claim", "note", "finish", "state", "wait", "hook")

OF_HOOKS = frozenset("taskdir.hooks taskdir.dialects taskdir.briefing taskdir.trespass".split())
"""What a hook needs beyond that; it runs at every use of a tool."""

SLOW = frozenset("argparse typing contextlib dataclasses inspect logging pathlib shutil sqlite3 ctypes".split())
"""What of the standard library takes long to load, by the side of a claim."""


class Step(NamedTuple):
    code: int
    modules: frozenset[str]
    stdout: str
    stderr: str


def step(tmp_path: Path, *argv: str, said: str = "") -> Step:
    """Run one command in a fresh interpreter, at its own root, ``said`` on its stdin; return its exit code and what it
    imported."""
    report = tmp_path / "report.json"
    report.unlink(missing_ok=True)
    root = tmp_path / "root"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TASKDIR", "COVERAGE", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(report), *argv],
        cwd=tmp_path,
        input=said,
        env=env | {"PYTHONPATH": str(SOURCE), "TASKDIR": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert report.exists(), f"taskdir {' '.join(argv)} died:\n{done.stdout}\n{done.stderr}"
    found = json.loads(report.read_text(encoding="utf-8"))
    return Step(found["code"], frozenset(found["modules"]), done.stdout, done.stderr)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Step]:
    """Play one task from submit to done; two passes of `run --once` stand in for a daemon."""
    at = tmp_path_factory.mktemp("budget")
    played: dict[str, Step] = {}

    def play(verb: str, *argv: str, said: str = "") -> Step:
        played[verb] = done = step(at, verb, *argv, said=said)
        assert done.code == 0, f"taskdir {verb} exits {done.code}:\n{done.stdout}\n{done.stderr}"
        return done

    play("init", str(at / "root"))
    play("submit", "--type", "echo", "--id", "hi", "--input", '{"a": 1}')
    play("run", "--once")
    path = json.loads(play("claim", "--agent", "alice", "--json").stdout)["path"]
    play("note", path, "half way")
    play("finish", path, "--output", '{"a": 1}')
    tool = {"hook_event_name": "PreToolUse", "session_id": "s", "tool_name": "Bash", "tool_input": {"command": "ls"}}
    assert play("hook", "--dialect", "claude", said=json.dumps(tool)).stdout == "{}\n"
    play("state", "set", "head", '"abc"', "--if-version", "0")
    play("run", "--once")
    play("wait", "hi", "--timeout", "5")
    return played


@pytest.mark.parametrize("verb", VERBS)
def test_the_agents_path_is_the_standard_library(session: dict[str, Step], verb: str) -> None:
    loaded = session[verb].modules
    foreign = {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names | {"taskdir"}}
    assert not foreign, f"`taskdir {verb}` imports {sorted(foreign)}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_agents_path_is_short(session: dict[str, Step], verb: str) -> None:
    ours = {name for name in session[verb].modules if name.partition(".")[0] == "taskdir"}
    surplus = ours - ALLOWED - {f"taskdir.cli.{verb}"} - (OF_HOOKS if verb == "hook" else set())
    assert not surplus, f"`taskdir {verb}` need not load {sorted(surplus)} (it loads {sorted(ours)})"
    assert f"taskdir.cli.{verb}" in ours


@pytest.mark.parametrize("verb", sorted(quick.VERBS))
def test_the_agents_path_is_quick(session: dict[str, Step], verb: str) -> None:
    assert not session[verb].modules & SLOW


def test_the_measure_measures(session: dict[str, Step]) -> None:
    """The daemon does load what the agents' path must not: else the tests above compare nothing."""
    assert {"watchdog", "jsonschema", "taskdir.daemon"} & session["run"].modules
    assert {"argparse", "typing"} <= session["wait"].modules
