"""One queue's trouble is not another's: what waits, fails or is blocked there changes nothing here (SPEC 7.15)."""

from __future__ import annotations

import os
from pathlib import Path

from faults.test_kill_points import base
from faults.world import Countdown, World

__all__ = ["base"]


def test_a_blocked_and_failing_queue_slows_no_other(base: Path) -> None:
    world = World(base / "world", Countdown())
    world.write("inbox/poison.json", {"type": "count", "queue": "review", "max_attempts": 1})
    stuck = [{"id": f"s{n}", "type": "echo", "queue": "review", "after": ["poison"]} for n in range(2000)]
    world.write("inbox/stuck.json", {"kind": "batch", "messages": stuck})
    world.passes()
    world.claim("clumsy", "review")
    world.passes()
    world.result("clumsy", {"status": "error", "error": {"message": "no"}})
    world.passes()
    assert (world.root / "failed/poison.json").exists()
    operations = world.hook.count
    world.write("inbox/a.json", {"type": "echo"})
    world.start().one_pass()
    assert [path.name.split(".")[1] for path in (world.root / "ready/default").iterdir()] == ["a"]
    assert world.hook.count - operations < 20, "the work of a pass does not grow with what waits elsewhere"
    world.stop()


def test_names_that_are_no_utf_8_hold_up_nobody(base: Path) -> None:
    """The name of a file in inbox/ is any bytes; the daemon judges it, whatever the index can be asked for."""
    world = World(base / "world", Countdown())
    inbox = os.fsencode(world.root / "inbox")
    for name in (b"\xe2\x82.json", b"\xff.json", b"\xed\xa0\x80.json"):
        with open(os.path.join(inbox, name), "w") as file:
            file.write('{"type": "echo"}')
    world.write("inbox/z.json", {"type": "echo"})
    world.passes()
    assert [path.name.split(".")[1] for path in (world.root / "ready/default").iterdir()] == ["z"]
    assert os.listdir(inbox) == []
    assert len(list((world.root / "rejected").glob("*.reason.json"))) == 3
    world.stop()
