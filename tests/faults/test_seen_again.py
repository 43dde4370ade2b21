"""What a pass saw and could not act on, or could not see, the next one sees: nothing is overwritten unseen."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from faults.world import Countdown, World
from taskdir import observe
from taskdir.observe import Observer

EDIT = {"mine": True}


def edited(base: Path) -> World:
    """An entry of the shared state that was edited while no daemon ran."""
    world = World(base, Countdown())
    world.write("inbox/head.json", {"kind": "state", "key": "head", "value": 1})
    world.passes()
    world.bury()
    world.write("state/head.json", EDIT)
    return world


def read(world: World, path: str) -> Any:
    """Return what a file of the root holds."""
    return json.loads((world.root / path).read_text())


def expelled(world: World) -> bool:
    """Say whether the edit lies in rejected/ and the entry is back."""
    kept = world.root / "rejected/head.json"
    return kept.exists() and read(world, "rejected/head.json") == EDIT and read(world, "state/head.json")["value"] == 1


def test_an_edit_is_seen_again_if_the_log_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = edited(tmp_path)
    daemon = world.start()
    with monkeypatch.context() as patch:
        patch.setattr(daemon._disk, "append_log", failing(errno.ENOSPC))
        daemon.one_pass()
    assert read(world, "state/head.json") == EDIT
    world.passes()
    assert expelled(world)


@pytest.mark.parametrize("place", ["state", "state/head.json"])
def test_what_cannot_be_read_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    world = edited(tmp_path)
    daemon = world.start()
    with monkeypatch.context() as patch:
        deaf(patch, str(world.root / place))
        daemon.one_pass()
    assert read(world, "state/head.json") == EDIT
    world.clock.seconds += 2
    world.passes()
    assert expelled(world)


def test_a_removed_entry_comes_back_at_a_start(tmp_path: Path) -> None:
    world = edited(tmp_path)
    os.unlink(world.root / "state/head.json")
    world.passes()
    assert read(world, "state/head.json")["value"] == 1


def test_a_taken_message_waits_for_contracts_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that a life before had taken and not answered, and that has to be judged anew."""
    world = World(tmp_path, Countdown())
    (world.root / "contracts/state").mkdir()
    world.write("contracts/state/limit.json", {"input": {"type": "integer", "maximum": 9}})
    world.passes()
    world.bury()
    world.write(".taskdir/taken/0123456789!!c.json", {"kind": "state", "key": "limit", "value": 10})
    daemon = world.start()
    with monkeypatch.context() as patch:
        deaf(patch, str(world.root / "contracts/state/limit.json"))
        daemon.one_pass()
    assert not (world.root / "state/limit.json").exists()
    world.passes()
    assert read(world, "rejected/c.reason.json")["code"] == "state-contract"


@pytest.mark.parametrize("inbox", ["inbox", "agents/al/inbox"])
def test_a_contract_is_known_to_a_message_that_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inbox: str
) -> None:
    """Both come in the middle of a pass: the messages that it sees are no newer than the contracts that it knows."""
    world = World(tmp_path, Countdown())
    if inbox != "inbox":
        world.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "walls": True})
        (world.root / inbox).mkdir(parents=True)
    world.passes()
    look = Observer._look_at_contracts

    def meanwhile(self: Observer, *given: Any) -> None:
        look(self, *given)
        if not (world.root / "contracts/fresh.json").exists():
            world.write("contracts/fresh.json", {})
            world.write(f"{inbox}/al-a.json", {"type": "fresh"})

    monkeypatch.setattr(Observer, "_look_at_contracts", meanwhile)
    world.start().one_pass()
    world.passes()
    said = [event["event"] for event in world.events()]
    assert said.count("accepted") == 1, said
    assert "rejected" not in said


def failing(number: int) -> Any:
    """Return a function that always raises an OSError."""

    def fail(*given: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def deaf(patch: pytest.MonkeyPatch, path: str) -> None:
    """Let the disk answer EIO for one path, however it is looked at."""
    for module, name in ((observe, "read_regular"), (os, "lstat"), (os, "listdir")):
        real = getattr(module, name)

        def look(given: Any, *more: Any, real: Any = real, **named: Any) -> Any:
            if given == path:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            return real(given, *more, **named)

        patch.setattr(module, name, look)


@pytest.mark.parametrize(
    "test",
    [
        test_an_edit_is_seen_again_if_the_log_could_not_be_written,
        test_what_cannot_be_read_is_not_overwritten,
        test_a_taken_message_waits_for_contracts_that_cannot_be_read,
    ],
)
def test_a_planted_fault_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: Any) -> None:
    """Plant: a daemon that writes every entry at its start, and judges what lies in taken/ whatever it knows."""
    look = Observer.look

    def hasty(self: Observer, *given: Any) -> Any:
        seen = look(self, *given)
        every = {f"{entry['key']}.json" for entry in self._index.shelf.entries()}
        seen.missing = sorted(every.difference(seen.edited))
        return seen

    monkeypatch.setattr(Observer, "look", hasty)
    monkeypatch.setattr(Observer, "look_again", lambda self: None)
    monkeypatch.setattr(Observer, "_contracts_known", property(lambda self: True, lambda self, known: None), False)
    about = ["state"] if "overwritten" in test.__name__ else []
    with pytest.raises(AssertionError):
        test(tmp_path, monkeypatch, *about)
