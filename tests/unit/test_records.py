"""Records of earlier lives: written again some at a time, new work in between, and remembered how far that is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from faults.world import Countdown, World
from taskdir import records

TASKS = 7
STATUS = {"status": "ok", "output": 1}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A root whose tasks are done; its index and its records were lost, and a new task came in."""
    world = World(tmp_path, Countdown())
    for number in range(TASKS):
        world.write(f"inbox/old{number}.json", {"type": "echo"})
    for _ in range(TASKS):
        world.passes()
        world.claim("me")
        world.passes()
        world.result("me", STATUS)
    world.passes()
    world.stop()
    assert len(done(world)) == TASKS
    for name in os.listdir(world.root / ".taskdir"):
        if name.startswith("index."):
            os.unlink(world.root / ".taskdir" / name)
    shutil.rmtree(world.root / "done")
    world.write("inbox/new.json", {"type": "echo"})
    monkeypatch.setattr(records, "AT_ONCE", 2)
    return world


def done(world: World) -> list[str]:
    return sorted(os.listdir(world.root / "done"))


def test_new_work_does_not_wait_for_old_records(world: World) -> None:
    assert world.start().one_pass()
    assert len(os.listdir(world.root / "ready/default")) == 1
    assert done(world) == ["old0.json", "old1.json"]
    world.passes()
    assert len(done(world)) == TASKS


def test_a_life_goes_on_where_the_one_before_stopped(world: World) -> None:
    assert world.start().one_pass()
    world.stop()
    assert 0 < int(world.start().index.meta("records_synced") or 0) < world.start().index.mark.seq
    os.unlink(world.root / "done/old0.json")  # by its reader: it was published and synced
    world.passes()
    assert done(world) == [f"old{number}.json" for number in range(1, TASKS)]
    world.stop()
    world.passes()
    assert done(world) == [f"old{number}.json" for number in range(1, TASKS)]


def test_one_that_cannot_be_written_stops_no_other(world: World) -> None:
    (world.root / "done").mkdir()
    (world.root / "done/old0.json").mkdir()
    daemon = world.start()
    for _ in range(2 * TASKS):
        daemon.one_pass()
    assert len(done(world)) == TASKS
    (world.root / "done/old0.json").rmdir()
    daemon.one_pass()
    assert (world.root / "done/old0.json").is_file()


def test_an_offer_waits_for_the_old_records_that_it_may_name(world: World) -> None:
    world.write("inbox/then.json", {"type": "echo", "after": ["old5"]})
    daemon = world.start()
    waited = False
    while len(done(world)) < TASKS:
        daemon.one_pass()
        offered = any(".then." in name for name in os.listdir(world.root / "ready/default"))
        assert not offered or "old5.json" in done(world)
        waited |= not offered
    world.passes()
    assert waited
    assert any(".then." in name for name in os.listdir(world.root / "ready/default"))
