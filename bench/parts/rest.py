"""What a daemon costs that has nothing to do. Part (g)."""

from __future__ import annotations

import os
import time

from bench import drive
from bench.parts import median
from bench.peers.files import Ours
from bench.race import started
from bench.sizes import Bench
from taskdir.daemon import Daemon

SETTLE = 3.0
"""Seconds until a daemon that worked a little is at rest: its last passes and syncs are over."""
SLEEP = 1.0
"""Seconds before an empty pass, as a daemon at rest has them."""


def used(pid: int) -> tuple[float, int]:
    """Return the seconds of CPU that a process's threads used, and how often they went to sleep."""
    seconds, sleeps = 0.0, 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            seconds += int(file.read().split()[0]) / 1e9
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii", errors="replace") as file:
            rows = dict(line.split(":", 1) for line in file)
        sleeps += int(rows["voluntary_ctxt_switches"])
    return seconds, sleeps


def empty_passes(root: str) -> dict[str, float]:
    """Return the milliseconds of a pass that finds nothing: one after the other, and each after a second of sleep.

    They differ by what a processor that did nothing has to fetch again, which is much on some virtual machines.
    """
    daemon = Daemon(root)
    try:
        daemon.open()
        while daemon.one_pass():
            pass
        return {"warm": _passes(daemon, 200, 0.0), "cold": _passes(daemon, 10, SLEEP)}
    finally:
        daemon.close()


def _passes(daemon: Daemon, count: int, sleep: float) -> float:
    took = []
    for _ in range(count):
        time.sleep(sleep)
        start = time.perf_counter()
        daemon.one_pass()
        took.append((time.perf_counter() - start) * 1e3)
    return median(took)


def rest(bench: Bench) -> None:
    """(g): look twice at a daemon that did some work and has some waiting."""
    peer = Ours()
    bench.progress.part(f"(g) at rest for {bench.sizes.idle:.0f} s", 1)
    with started(peer, bench.on):
        drive.fill(peer.root, 100)
        time.sleep(SETTLE)
        start, (cpu, sleeps) = time.monotonic(), used(peer.pid)
        time.sleep(bench.sizes.idle)
        seconds, (cpu_then, sleeps_then) = time.monotonic() - start, used(peer.pid)
        peer.pause()
        passes = empty_passes(peer.root)
    bench.progress.step()
    bench.figures["idle cpu percent"] = (cpu_then - cpu) / seconds * 100
    bench.figures["idle wakeups per s"] = (sleeps_then - sleeps) / seconds
    bench.series["rest"] = {"seconds": seconds, "pass": passes}
