"""Agents that are killed with -9 at any moment and come back under their name, as the soak wants them."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from typing import Any

from bench.peers.files import Lister, read, write
from bench.race import FORK

WORK = 0.08
"""Seconds that a task takes at most, so that a kill mostly finds agents that hold one."""


class Crew:
    """So many agents at work in a root; ``finished`` counts results handed in, those that came too late included."""

    def __init__(self, root: str, agents: int) -> None:
        """Start them."""
        self._root, self.killed = root, 0
        self._records, self._at = 0, 0.0
        self._lives = FORK.RawArray(ctypes.c_long, agents)
        self._people: list[BaseProcess | None] = [None] * agents
        for number in range(agents):
            self._start(number)

    def _start(self, number: int) -> None:
        self._lives[number] += 1
        person = FORK.Process(target=be_agent, args=(self._root, f"agent-{number}", int(self._lives[number])))
        self._people[number] = person
        person.start()

    def kill_one(self, dice: random.Random) -> None:
        """Kill one of them, wherever it is, and start it again."""
        number = dice.randrange(len(self._people))
        person = self._people[number]
        assert person is not None
        person.kill()
        person.join()
        self.killed += 1
        self._start(number)

    def finished(self) -> int:
        """Return how many records there are; looks once a second, as the directory is large."""
        now = time.monotonic()
        if now - self._at > 1.0 + self._records / 1e6:
            self._records, self._at = sum(1 for _ in os.scandir(f"{self._root}/done")), time.monotonic()
        return self._records

    def end(self) -> None:
        """Let them all go."""
        for person in self._people:
            if person is not None:
                person.kill()
                person.join()


def be_agent(root: str, agent: str, life: int) -> None:
    """Take, finish, and so on for ever; what a life before left is finished, given back or forgotten, in turn."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    mine, left = f"{root}/claimed/{agent}", life % 3
    lister = Lister(f"{root}/ready/default", mine)
    for name in sorted(os.listdir(mine)):
        if name.endswith(".result.json") or name.startswith("."):
            continue
        try:
            if left == 0:
                hand_in(mine, read(f"{mine}/{name}"))
            elif left == 1:
                os.unlink(f"{mine}/{name}")
            else:  # until its lease ends, we may take nothing more: wait for that
                _until_gone(f"{mine}/{name}")
        except FileNotFoundError:
            continue
    dice = random.Random()
    while True:
        try:
            found = lister.get(1.0)
        except PermissionError:  # benched for a while
            time.sleep(1)
            continue
        if found is not None:
            time.sleep(dice.uniform(0, WORK))
            hand_in(mine, found[1])


def hand_in(mine: str, offer: bytes) -> None:
    """Write the result of a task, unless the task is no longer ours."""
    task: dict[str, Any] = json.loads(offer)
    body = json.dumps({"status": "ok", "output": {"n": task["input"]["n"]}}).encode()
    write(f"{mine}/{task['result_file']}", f"{mine}/.r", body)


def _until_gone(path: str, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.2)
