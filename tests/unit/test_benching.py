"""The doors of benched agents: closed once they hold nothing, opened in time, whatever is in the way (SPEC 7.18)."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskdir.conformance.stage import Stage
from taskdir.disk import Disk

NOBODY = 65534


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A root in which clumsy is benched after two failures in a row, for ten seconds. Other users can reach it."""
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    made = Stage(base / "root", {"settings": {"bench_after": 2, "bench_seconds": 10, "max_claims": 3}})
    (made.root / "claimed/clumsy").mkdir()
    for id in "abc":
        made.do({"write": f"inbox/{id}.json", "json": {"type": "echo", "max_attempts": 1}})
    made.rest()
    yield made
    made.close()
    shutil.rmtree(base)


def claim(stage: Stage) -> Path:
    name = min(os.listdir(stage.root / "ready/default"))
    os.rename(stage.root / "ready/default" / name, stage.root / "claimed/clumsy" / name)
    stage.rest()
    return stage.root / "claimed/clumsy" / name


def end(stage: Stage, held: Path, result: dict[str, Any]) -> None:
    name = json.loads(held.read_bytes())["result_file"]
    stage.do({"write": f"claimed/clumsy/{name}", "json": result})
    stage.rest()


def fail(stage: Stage, *claims: Path) -> None:
    for held in claims:
        end(stage, held, {"status": "error", "error": {"message": "no"}})


def mode(stage: Stage) -> int:
    return stat.S_IMODE((stage.root / "claimed/clumsy").stat().st_mode)


def test_the_door_closes_and_opens(stage: Stage) -> None:
    fail(stage, claim(stage))
    assert mode(stage) == 0o755
    fail(stage, claim(stage))
    assert mode(stage) == 0o555
    stage.do({"wait": 9})
    assert mode(stage) == 0o555
    stage.do({"wait": 1})
    assert mode(stage) == 0o755


def test_it_stays_open_while_something_is_held(stage: Stage) -> None:
    first, second, third = claim(stage), claim(stage), claim(stage)
    fail(stage, first, second)
    assert mode(stage) == 0o755
    end(stage, third, {"status": "ok", "output": 1})
    assert mode(stage) == 0o555


@pytest.mark.parametrize("how", ["restart", "kill"])
@pytest.mark.parametrize("left", [0o755, 0o555])
def test_a_start_sets_the_mode_right(stage: Stage, how: str, left: int) -> None:
    """Whatever mode a crash, or somebody, left."""
    fail(stage, claim(stage), claim(stage))
    stage.do({"daemon": "kill" if how == "kill" else "stop"})
    (stage.root / "claimed/clumsy").chmod(left)
    stage.do({"daemon": "start"})
    stage.rest()
    assert mode(stage) == 0o555
    stage.do({"daemon": "kill"})
    stage.do({"suspend": 10})
    (stage.root / "claimed/clumsy").chmod(left)
    stage.do({"daemon": "start"})
    stage.rest()
    assert mode(stage) == 0o755


def test_a_door_that_cannot_be_closed_ends_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's directory may be another user's: benching is then a word in the log, and the daemon goes on."""
    chmod = Disk.chmod

    def denied(self: Disk, path: str, mode: int) -> None:
        if path.endswith("clumsy"):
            raise PermissionError(path)
        chmod(self, path, mode)

    monkeypatch.setattr(Disk, "chmod", denied)
    fail(stage, claim(stage), claim(stage))
    stage.do({"wait": 11})
    assert mode(stage) == 0o755


def test_a_directory_that_goes_and_comes_ends_nothing(stage: Stage) -> None:
    fail(stage, claim(stage), claim(stage))
    (stage.root / "claimed/clumsy").rmdir()
    stage.rest()
    (stage.root / "claimed/clumsy").mkdir()
    stage.rest()
    assert mode(stage) == 0o555
    stage.do({"wait": 10})
    assert mode(stage) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user; the user itself is bound by the mode too")
def test_a_benched_agent_s_claims_fail(stage: Stage) -> None:
    """With EACCES, before anything has moved: the offer stays where it is."""
    fail(stage, claim(stage), claim(stage))
    home, ready = stage.root / "claimed/clumsy", stage.root / "ready/default"
    os.chown(home, NOBODY, NOBODY)
    ready.chmod(0o777)
    (name,) = os.listdir(ready)
    child = os.fork()
    if child == 0:
        os.setuid(NOBODY)
        try:
            os.rename(ready / name, home / name)
        except PermissionError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert os.listdir(ready) == [name]
