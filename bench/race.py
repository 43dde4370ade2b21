"""One lap: a process submits numbered tasks, others take and complete them; what is lost or comes twice is counted.

A lap runs from the first submit to the last completion, or, where a queue settles later, to the moment that all is
final. Processes, clients and connections are there before the clock starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier, Event
from typing import Any

from bench import drive
from bench.peers import Peer

FORK = multiprocessing.get_context("fork")
STALL = 5.0
"""Seconds without a completion, once all is submitted, after which the rest is lost."""


@dataclass(slots=True)
class Lap:
    """What one lap showed: distinct tasks completed, seconds, tasks lost, deliveries beyond the first."""

    tasks: int
    seconds: float
    lost: int
    twice: int

    @property
    def rate(self) -> float:
        """Tasks a second."""
        return self.tasks / self.seconds


class Tally:
    """What the workers completed, in shared memory: a byte a task and worker, so that no lock slows them."""

    def __init__(self, tasks: int, workers: int) -> None:
        self.tasks, self.workers = tasks, workers
        self._seen = FORK.RawArray(ctypes.c_ubyte, tasks * workers)
        self._count = FORK.RawArray(ctypes.c_longlong, workers)
        self._last = FORK.RawArray(ctypes.c_double, workers)

    def took(self, worker: int, body: bytes) -> None:
        """Note one completed message."""
        number = json.loads(body)["input"]["n"]
        self._seen[worker * self.tasks + number] += 1
        self._last[worker] = time.monotonic()
        self._count[worker] += 1

    def total(self) -> int:
        """Return how many were completed, those that came twice counted twice."""
        return sum(self._count)

    def last(self) -> float:
        """Return the moment of the last completion."""
        return max(map(float, self._last))

    def verdict(self) -> tuple[int, int]:
        """Return how many tasks were lost, and how many deliveries came on top of a first one."""
        seen = bytes(self._seen)
        each = [sum(column) for column in zip(*(seen[w * self.tasks : (w + 1) * self.tasks]
                for w in range(self.workers)), strict=True)]  # fmt: skip
        return each.count(0), sum(count - 1 for count in each if count > 1)


def _submit(peer: Peer, tasks: int, start: Barrier, submitted: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for the one who watches; it ends us
    client = peer.client()
    bodies = [drive.payload(number) for number in range(tasks)]
    start.wait()
    for body in bodies:
        client.put(body)
    client.close()
    submitted.set()


def _work(peer: Peer, worker: int, tally: Tally, start: Barrier, over: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start.wait()
    peer.consume(lambda body: tally.took(worker, body), over.is_set)


def lap(peer: Peer, tasks: int, agents: int, *, submits: bool = True) -> Lap:
    """Run one lap with a peer that was started. Without ``submits`` the tasks, numbered from 0, wait already."""
    tally, began = Tally(tasks, agents), FORK.RawValue(ctypes.c_double)
    # By who comes last, before anybody goes on: a short lap may be over before we are awake again.
    start = FORK.Barrier(agents + submits + 1, lambda: setattr(began, "value", time.monotonic()))
    over, submitted = FORK.Event(), FORK.Event()
    people: list[Any] = [FORK.Process(target=_work, args=(peer, each, tally, start, over)) for each in range(agents)]
    if submits:
        people.append(FORK.Process(target=_submit, args=(peer, tasks, start, submitted)))
    else:
        submitted.set()
    for each in people:
        each.start()
    try:
        start.wait(drive.PATIENCE)
        _watch(tally, submitted, began.value)
        over.set()
        lost, twice = tally.verdict()
        ended = tally.last()
        if not lost:
            before = time.monotonic()
            peer.settle(tasks)
            ended = max(ended, time.monotonic() if time.monotonic() - before > 0.002 else ended)
        return Lap(tasks - lost, ended - began.value, lost, twice)
    finally:
        over.set()
        for each in people:
            each.join(2)  # RQ's worker knows no end
            if each.is_alive():
                each.kill()
                each.join()


def _watch(tally: Tally, submitted: Event, began: float) -> None:
    """Wait until all were completed, or nothing moves any more."""
    count, moved = 0, began
    while True:
        now, total = time.monotonic(), tally.total()
        if total >= tally.tasks and (total == tally.tasks or tally.verdict()[0] == 0):
            return
        if total != count:
            count, moved = total, now
        if submitted.is_set() and now - moved > STALL:
            return
        if now - moved > drive.PATIENCE:
            raise OSError("nothing was submitted or completed any more")
        time.sleep(0.002)


@contextlib.contextmanager
def home(on: str, name: str = "") -> Iterator[str]:
    """Make an empty directory on the measured file system; it goes afterwards."""
    made = tempfile.mkdtemp(prefix=f"{name or 'bench'}-", dir=on)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def started(peer: Peer, on: str) -> Iterator[Peer]:
    """Start a peer in a home of its own; stopped and gone afterwards. Raises peers.Skip."""
    with home(on, "".join(filter(str.isalnum, peer.name))) as where:
        os.chmod(where, 0o755)  # PostgreSQL's own user has to reach it
        try:
            peer.start(where)
            yield peer
        finally:
            peer.stop()
