"""examples/five-agents as a user runs it: in one go, and with anybody killed at any moment, then run again."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from faults import ledger
from support.live import until
from taskdir import contracts

HOUSE = Path(__file__).resolve().parents[2]
EXAMPLE = HOUSE / "examples" / "five-agents"
MODULES = sorted(path.stem for path in (EXAMPLE / "library").glob("*.py"))
GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
ENV = {**os.environ, **GIT, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1", "FIVE_SECONDS": "0.1"}
KILLS = 20 if ledger.torture() else 3

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="NOT TESTED: no git"),
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="NOT TESTED: no /proc"),
    pytest.mark.timeout(600),
]


def start(home: Path, out: int = subprocess.PIPE, agent: str = "plain") -> subprocess.Popen[str]:
    """Begin; an ``agent`` beside plain is a program on PATH that answers as the profile of that name expects."""
    command = ["sh", str(EXAMPLE / "run.sh"), *([] if agent == "plain" else [agent])]
    env = {name: value for name, value in ENV.items() if name != "TASKDIR"} | {"FIVE_HOME": str(home)}
    env["PATH"] = os.pathsep.join([str(stand_in(home.parent / "bin", agent)), env["PATH"]])
    return subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT, text=True)


def stand_in(place: Path, agent: str) -> Path:
    """Make a program of a vendor's name that does what agent.py does, and never hangs; returns its directory."""
    place.mkdir(exist_ok=True)
    (program := place / agent).write_text(
        "#!/bin/sh\n"
        'sed \'s/"attempt": 1/"attempt": 2/\' "$TASKDIR_TASK" >"$TASKDIR_TASK.2"\n'
        f'TASKDIR_TASK=$TASKDIR_TASK.2 exec python3 "{EXAMPLE / "agent.py"}" 0.1\n'
    )
    program.chmod(0o755)
    return place


def to_the_end(home: Path, agent: str = "plain") -> str:
    with start(home, agent=agent) as process:
        said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said + (home / "run.log").read_text()
    return said


def git(home: Path, *words: str) -> str:
    command = ["git", "-C", str(home / "repo"), *words]
    return subprocess.run(command, env=ENV, check=True, capture_output=True, text=True).stdout


def processes(home: Path) -> dict[int, str]:
    """Return who works here: pid → command line; that of a process that works in a directory of it, too."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = os.readlink(directory / "cwd")
            environ = (directory / "environ").read_bytes()
            if str(home) in words or where.startswith(str(home)) or f"={home}\0".encode() in environ:
                found[int(directory.name)] = words
    return found


def events(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "jobs" / "log.jsonl").read_bytes().splitlines()]


def proven(home: Path, said: str) -> None:
    """Everything is merged once, the tests of main pass, merges never overlapped, and nobody and nothing is left."""
    assert re.search(r"^check: .*: all is as it should be$", said, re.MULTILINE), said
    assert "check: all examples hold\n" in said
    subjects = git(home, "log", "--first-parent", "--format=%s", "main").splitlines()
    assert sorted(subjects[:-1]) == [f"Merge write-{name}: write {name}()" for name in MODULES]
    done = [event["id"] for event in events(home) if event["event"] == "done"]
    assert sorted(done) == sorted(f"{kind}-{name}" for kind in ("merge", "write") for name in MODULES)
    assert git(home, "worktree", "list", "--porcelain").count("worktree ") == 1
    assert git(home, "status", "--porcelain") == ""
    until(lambda: not processes(home), "that nobody is left")
    assert b"<svg" in (home / "report.html").read_bytes()
    holder = None
    for event in events(home):
        if str(event.get("id", "")).startswith("merge-"):
            if event["event"] == "claimed":
                assert holder is None
                holder = event["id"]
            elif event["event"] in ("done", "returned", "abandoned", "expired", "error"):
                holder = None


def test_five_agents_write_a_library(tmp_path: Path) -> None:
    home = tmp_path / "five"
    said = to_the_end(home)
    proven(home, said)
    assert said.count("hangs, and is killed with -9") == 1
    assert "kept: branch taskdir/write-wrap.1\n" in said
    for name in ("roman", "luhn"):
        assert f"five: write-{name} was sent back by its check" in said
    (lost,) = (event for event in events(home) if event["event"] == "abandoned")
    assert (lost["id"], lost["attempt"]) == ("write-wrap", 1)
    assert git(home, "branch", "--format=%(refname:short)").split() == ["main", "taskdir/write-wrap.1"]
    half = git(home, "show", "taskdir/write-wrap.1:library/wrap.py")
    assert half
    assert (EXAMPLE / "library" / "wrap.py").read_text().startswith(half)

    log = git(home, "rev-parse", "main")
    proven(home, to_the_end(home))  # again: nothing is left to do
    assert git(home, "rev-parse", "main") == log


def kills(home: Path, dice: random.Random, most: int, agent: str) -> list[str]:
    """Run, and kill -9 anybody at a random step of the log, so often at most; returns who was killed."""
    log, killed = home / "jobs" / "log.jsonl", list[str]()
    process = start(home, subprocess.DEVNULL, agent)
    try:
        while len(killed) < most:
            size = (log.stat().st_size if log.exists() else 0) + dice.randint(1, 600)
            until(
                lambda: process.poll() is not None or (log.exists() and log.stat().st_size >= size),  # noqa: B023
                "a step in the log",
                100,
            )
            if process.poll() is not None:
                break
            found = {pid: words for pid, words in processes(home).items() if not words.startswith("sleep ")}
            pid = dice.choice(sorted(found))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.append(found[pid].replace(str(home), "")[-100:])
            if pid == process.pid:
                process.wait()
                process = start(home, subprocess.DEVNULL, agent)
    finally:
        process.kill()
        process.wait()
    return killed


def test_anybody_killed_at_any_moment_then_run_again(tmp_path: Path) -> None:
    dice, count, runs = random.Random(ledger.seed()), 0, 0
    print(f"seed {ledger.seed()}")
    while count < KILLS:
        home, runs = tmp_path / f"five-{runs}", runs + 1
        agent = ("claude", "plain")[runs % 2]  # the one word to change
        killed = kills(home, dice, KILLS - count, agent)
        print(*killed, sep="\n")
        count += len(killed)
        proven(home, to_the_end(home, agent))


def test_its_contracts_are_good() -> None:
    for file in (EXAMPLE / "contracts").glob("*.json"):
        contracts.parse(file.stem, file.read_bytes())


def test_the_agents_functions_hold_their_examples(tmp_path: Path) -> None:
    for name in MODULES:
        command = [sys.executable, "-m", "doctest", str(EXAMPLE / "library" / f"{name}.py")]
        subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([sys.executable, str(EXAMPLE / "make-repo.py"), str(tmp_path / "repo")], env=ENV, check=False)
    assert done.returncode == 0
    command = [sys.executable, "check.py"]
    done = subprocess.run(command, cwd=tmp_path / "repo", env=ENV, capture_output=True, check=False)
    assert done.returncode == 1, "what is not written fails"


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("NOT CHECKED: this machine has no shellcheck")
    done = subprocess.run(
        [shellcheck, "-s", "sh", str(EXAMPLE / "run.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
