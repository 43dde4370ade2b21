"""What a power cut leaves void, since nothing waited for the disk there, is whole after the first pass (SPEC P2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.world import Countdown, World
from taskdir import check
from taskdir.mends import Mends

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
}


def lives(base: Path) -> World:
    """A claim with a refusal, an offer, an entry, and reasons of five kinds; then the daemon is gone without a word."""
    world = World(base, Countdown())
    for name in ("a", "b"):
        world.write(f"inbox/{name}.json", {"type": "count"})
    world.write("inbox/bad.json", {"typ": "count"})
    world.write("inbox/odd name \u00e9.json", {"typ": "count"})
    world.write("inbox/head.json", {"kind": "state", "key": "head", "value": 1})
    world.passes()
    world.claim("alice")
    world.passes()
    world.result("alice", {"status": "ok", "output": "no number"})
    world.write("ready/default/stranger.json", {})
    world.write("claimed/alice/5-000000000999.forged.1.json", {})
    world.passes()
    world.clock.seconds += 2
    world.write("state/head.json", {"mine": True})
    world.passes()
    return world


def small(world: World) -> dict[str, bytes]:
    """Every file that the daemon wrote without waiting for the disk."""
    found: dict[str, bytes] = {}
    for pattern in ("ready/*/*.json", "claimed/*/*.json", "rejected/*.reason.json", "state/*.json"):
        found |= {str(path.relative_to(world.root)): path.read_bytes() for path in world.root.glob(pattern)}
    return found


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_void_file_is_whole_after_the_first_pass(tmp_path: Path, damage: str) -> None:
    world = lives(tmp_path)
    whole = small(world)
    assert len(whole) == 9, sorted(whole)
    world.bury()
    for name, data in whole.items():
        (world.root / name).write_bytes(DAMAGE[damage](data))
    world.start().one_pass()
    assert small(world) == whole
    world.passes()
    found = check.check_root(str(world.root), lambda count: None, lambda seconds: None).findings
    assert not found, found


def test_what_parses_is_the_agents_own(tmp_path: Path) -> None:
    world = lives(tmp_path)
    held = world.held("alice").relative_to(world.root)
    world.bury()
    (world.root / held).write_text('{"mine": true}')
    world.passes()
    assert json.loads((world.root / held).read_text()) == {"mine": True}


def test_a_full_disk_puts_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = lives(tmp_path)
    held = world.held("alice").relative_to(world.root)
    whole = (world.root / held).read_bytes()
    world.bury()
    (world.root / held).write_bytes(b"")
    daemon = world.start()

    def full(path: str, data: bytes, **how: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(daemon._disk, "publish", full)
        daemon.one_pass()
    assert (world.root / held).read_bytes() == b""
    daemon.one_pass()
    assert (world.root / held).read_bytes() == whole


def test_a_daemon_that_mends_nothing_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mends, "publish", lambda self, seen: None)
    with pytest.raises(AssertionError):
        test_a_void_file_is_whole_after_the_first_pass(tmp_path, "empty")
