"""adapters/go: its own tests, its README taken at its word, and its program on a live root.

Nothing is fetched (GOPROXY=off) and nothing is written into the tree: builds go to temporary directories.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from adapters.live import conforms, round_trip, stale
from adapters.readme import ADAPTERS, drain, example

HERE = ADAPTERS / "go"
FLAGS = {"GOFLAGS": "-mod=mod -buildvcs=false", "CGO_ENABLED": "0"}
OFFLINE = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off", **FLAGS}


def go(*words: str | Path, cwd: Path = HERE) -> str:
    """Run a command of Go's; skips where there is no Go, fails with what it said."""
    if shutil.which("go") is None:
        pytest.skip("NOT TESTED: the Go adapter; this machine has no go (Debian: golang-go)")
    argv, env = list(map(str, words)), os.environ | OFFLINE
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the program once."""
    program = tmp_path_factory.mktemp("go") / "taskdir-agent"
    go("go", "build", "-o", program, "./cmd/taskdir-agent")
    return program


def test_its_own_tests() -> None:
    assert go("gofmt", "-l", ".") == "", "these are not as gofmt has them"
    go("go", "vet", "./...")
    said = go("go", "test", "-count=1", "./...")
    assert said.count("ok  \t") == 2, said


def test_it_needs_nothing_but_the_standard_library() -> None:
    listed = go("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...").split()
    assert set(listed) == {"taskdir.example/taskdir", "taskdir.example/taskdir/cmd/taskdir-agent"}
    assert "go 1.19\n" in (HERE / "go.mod").read_text()
    assert not (HERE / "go.sum").exists()


def test_the_example_of_the_readme_drains_a_live_root(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text(example(HERE / "README.md", "go"))
    for line in example(HERE / "README.md", "sh").splitlines():
        words = line.partition("#")[0].replace("/path/to/adapters/go", str(HERE)).split()
        go(*words, cwd=tmp_path)
    records = drain(tmp_path, [tmp_path / "upper"])
    assert [record["output"] for record in records] == [{"text": f"TASK {n}"} for n in range(1, 9)]
    assert {attempt["agent"] for record in records for attempt in record["attempts"]} == {"alice"}


def test_the_program_conforms(agent: Path) -> None:
    conforms([agent])


def test_the_program_on_a_live_root(agent: Path, tmp_path: Path) -> None:
    round_trip(tmp_path, [agent])


def test_a_killed_worker_is_noticed_at_once(agent: Path, tmp_path: Path) -> None:
    stale(tmp_path, [agent])
