"""The agent is killed before every disk operation of its gestures; the task is done once all the same (P2, P3, P5)."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from faults.test_kill_points import base, check_log
from faults.world import Countdown, Killed, World
from taskdir import gestures
from taskdir.disk import Disk
from taskdir.places import Places

__all__ = ["base"]


def life(world: World, hook: Countdown) -> None:
    """Submit, claim, keep, note, finish: everything that an agent does with a disk."""
    places, disk = Places(str(world.root)), Disk(hook)
    gestures.submit(places, disk, {"type": "echo", "lease_seconds": 5, "backoff_seconds": 0}, "a")
    world.passes()
    claimed = gestures.claim(places, disk, "alice")
    world.passes()
    if isinstance(claimed, gestures.Claimed):
        gestures.renew(disk, claimed.path)
        gestures.note(disk, claimed.path, "half way")
        world.passes()
        gestures.finish(disk, claimed.path, {"status": "ok", "output": 1})
        world.passes()


def successor(world: World) -> None:
    """What another process does later: submit again if need be, wait for the lease to end, do the work."""
    places, disk = Places(str(world.root)), Disk()
    world.passes()
    if not any(event["event"] == "accepted" for event in world.events()):
        gestures.submit(places, disk, {"type": "echo", "lease_seconds": 5, "backoff_seconds": 0}, "a")
        world.passes()
    for _ in range(10):
        world.clock.seconds += 2
        world.passes()
    claimed = gestures.claim(places, disk, "bob")
    world.passes()
    if isinstance(claimed, gestures.Claimed):
        gestures.finish(disk, claimed.path, {"status": "ok", "output": 2})
        world.passes()


def played(base: Path, at: int | None) -> tuple[World, int]:
    """Play a life that is killed before operation ``at``, then its successor."""
    world, hook = World(base / str(at), Countdown()), Countdown(at)
    with contextlib.suppress(Killed):
        life(world, hook)
    successor(world)
    world.stop()
    return world, hook.count


def visible(world: World) -> list[str]:
    """The tree without what an agent that died may leave: dot-names, which nobody reads, and an empty desk."""
    return [path for path in world.tree() if not path.rpartition("/")[2].startswith(".")]


def test_killed_before_every_operation_of_the_agent(base: Path) -> None:
    whole, operations = played(base, None)
    expected = visible(whole)
    assert "done/a.json" in expected
    assert operations > 12
    for at in range(1, operations + 1):
        world, _ = played(base, at)
        check_log(world)
        assert visible(world) == expected, f"killed before operation {at}"
        counts = Counter(event["event"] for event in world.events())
        assert (counts["accepted"], counts["done"]) == (1, 1), f"killed before operation {at}"
        shutil.rmtree(world.base)


def test_a_writer_that_does_not_rename_is_noticed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: results are written under their own name; one killed half-way is refused as it lies."""

    def in_place(
        self: Disk, path: str, data: bytes, *, aside: str, mode: int = 0o644, sync: bool = False
    ) -> os.stat_result:
        with open(path, "wb") as file:
            file.write(data[:9])
            file.flush()
            self._hook("write", path)
            file.write(data[9:])
        return os.stat(path)

    monkeypatch.setattr(Disk, "publish", in_place)
    world, hook = World(base / "planted", Countdown()), Countdown()
    real = gestures.finish

    def finish(places: Disk, path: str, result: dict[str, object]) -> bytes:
        hook.at = hook.count + 1
        return real(places, path, result)

    monkeypatch.setattr(gestures, "finish", finish)
    with pytest.raises(Killed):
        life(world, hook)
    monkeypatch.undo()
    world.passes()
    assert "refused" in {event["event"] for event in world.events()}
