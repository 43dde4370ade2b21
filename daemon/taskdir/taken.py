"""Asking for work behind walls, where it is handed out (docs/walls.md). Standard library only; loaded there alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from taskdir import names
from taskdir.disk import Disk
from taskdir.system import HERE

ANSWER_SECONDS = 5.0
"""How long an ask waits for the daemon, which answers in its next pass."""


def ask(disk: Disk, mine: str, queue: str, limit: int, look: Callable[[], list[str]]) -> tuple[list[str], list[str]]:
    """Ask for a task, and wait for the answer: the ask goes, and before it the task file came, or nothing.

    ``mine`` is claimed/<agent>/, ``look`` tells what is held there; returns (what was held, what came). Does not ask
    if ``limit`` is held. Without an answer in ANSWER_SECONDS the ask is withdrawn. Raises OSError.
    """
    path = os.path.join(mine, queue + names.ASK)
    until = time.monotonic() + ANSWER_SECONDS
    turn = os.open(mine, os.O_RDONLY | HERE.own_flags)
    try:  # one process of an agent at a time: else two would take one answer for theirs
        while HERE.try_lock(turn) is False:
            if time.monotonic() >= until:
                return look(), []
            time.sleep(0.005)
        held = look()
        if len(held) >= limit:
            return held, []
        if not os.path.lexists(path):  # else a process of ours died in here
            disk.publish(path, b"", aside=os.path.join(mine, f".{queue}.{os.urandom(6).hex()}"))
        while os.path.lexists(path) and time.monotonic() < until:
            time.sleep(0.005)
        disk.unlink(path)
        return held, [each for each in look() if each not in held]
    finally:
        os.close(turn)
