"""What a daemon costs that has nothing to do. Part (g)."""

from __future__ import annotations

import os
import time

from bench import drive
from bench.peers.files import Ours
from bench.race import started
from bench.sizes import Bench

SETTLE = 3.0
"""Seconds until a daemon that worked a little is at rest: its last passes and syncs are over."""


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
    bench.progress.step()
    bench.figures["idle cpu percent"] = (cpu_then - cpu) / seconds * 100
    bench.figures["idle wakeups per s"] = (sleeps_then - sleeps) / seconds
    bench.series["rest"] = {"seconds": seconds}
