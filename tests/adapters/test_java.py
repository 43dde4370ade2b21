"""adapters/java: its own tests, its README taken at its word, and its program on a live root.

Virtual machines are slow to start: short-lived ones interpret, and share what an archive made once holds of classes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from adapters.live import conforms, round_trip
from adapters.readme import ADAPTERS, drain, example

HERE = ADAPTERS / "java"
FLAGS = "-XX:+UseSerialGC -XX:-UsePerfData -XX:TieredStopAtLevel=1"
QUICK = ["java", *FLAGS.split()]


def run(*words: str | Path, cwd: Path) -> str:
    """Run a command to its end, which is to be 0; fails with what it said."""
    argv, closed = list(map(str, words)), subprocess.DEVNULL
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=110, check=False, stdin=closed)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the adapter and its tests, warnings being errors; skips where there is no JDK."""
    if shutil.which("javac") is None:
        pytest.skip("NOT TESTED: the Java adapter; this machine has no javac (Debian: default-jdk-headless)")
    out = tmp_path_factory.mktemp("java")
    sources = sorted(HERE.glob("*.java"))
    quick = [f"-J{flag}" for flag in FLAGS.split()]
    run("javac", *quick, "-Xlint:all", "-Werror", "--release", "17", "-d", out, *sources, cwd=HERE)
    return out


@pytest.fixture(scope="module")
def program(classes: Path) -> list[str | Path]:
    """Return the command of the program, quick to start."""
    jar, archive = classes / "taskdir.jar", classes / "taskdir.jsa"
    run("jar", "--create", "--file", jar, "-C", classes, ".", cwd=classes)
    run(*QUICK, f"-XX:ArchiveClassesAtExit={archive}", "-cp", jar, "Taskdir", "help", cwd=classes)
    return [*QUICK, "-Xint", f"-XX:SharedArchiveFile={archive}", "-cp", jar, "Taskdir"]


def test_its_own_tests(classes: Path) -> None:
    said = run(*QUICK, "-ea", "-cp", classes, "TaskdirTest", cwd=classes)
    played = re.findall(r"^    void (test\w+)\(\)", (HERE / "TaskdirTest.java").read_text(), re.M)
    assert said.endswith(f"{len(played)} passed, 0 failed\n"), said
    assert len(played) > 20


def test_the_example_of_the_readme_drains_a_live_root(classes: Path, tmp_path: Path) -> None:
    shutil.copy(HERE / "Taskdir.java", tmp_path)
    (tmp_path / "Count.java").write_text(example(HERE / "README.md", "java"))
    [command] = example(HERE / "README.md", "sh").splitlines()
    records = drain(tmp_path, ["sh", "-c", command], JAVA_TOOL_OPTIONS=FLAGS)
    assert all(record["output"]["bytes"] > 50 for record in records)
    assert "counting its bytes" in records[0]["attempts"][0]["notes"]


def test_the_program_runs_from_its_source(classes: Path) -> None:
    assert "give-back PATH" in run(*QUICK, HERE / "Taskdir.java", "help", cwd=classes)


def test_the_program_conforms(program: list[str | Path]) -> None:
    conforms(program)


def test_the_program_on_a_live_root(program: list[str | Path], tmp_path: Path) -> None:
    round_trip(tmp_path, program)
