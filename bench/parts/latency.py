"""From submit to claimable, at rest and at half load, one bad document's verdict, and those of hostile ones. Part (d).

The probe's tasks go to a queue of their own and are given to nobody else. It looks with short naps, not in a busy loop,
so that it takes nothing from the daemon; a figure is too large by at most one nap, 0.1 ms and what the kernel adds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench import drive
from bench.parts import spread
from bench.peers.files import Ours, read, write
from bench.race import FORK, started
from bench.sizes import Bench

NAP = 0.0001
BETWEEN = 0.02
"""Seconds between two probes, so that each finds the daemon as it is."""
PATIENCE = 60.0


def _until(true: Callable[[], Any], what: str) -> Any:
    limit = time.monotonic() + PATIENCE
    while not (found := true()):
        if time.monotonic() > limit:
            raise OSError(f"waited in vain for {what}")
        time.sleep(NAP)
    return found


def claimable(root: str, name: str) -> float:
    """Submit a task, wait until it can be claimed, finish it; returns the milliseconds until it could be claimed."""
    ready, mine = f"{root}/ready/probe", f"{root}/claimed/prober"
    body = json.dumps({"type": "echo", "queue": "probe", "input": {"n": 1}}).encode()
    start = time.perf_counter()
    drive.put(root, f"{name}.json", body)
    offer = _until(lambda: os.listdir(ready), "an offer")[0]
    took = time.perf_counter() - start
    os.rename(f"{ready}/{offer}", f"{mine}/{offer}")
    result = json.loads(read(f"{mine}/{offer}"))["result_file"]
    write(f"{mine}/{result}", f"{mine}/.r", b'{"status": "ok", "output": {"n": 1}}')
    _until(lambda: os.path.exists(f"{root}/done/{name}.json"), "a record")
    return took * 1e3


def synced(log: int) -> float:
    """Append a line of a log's length to a file, wait until it is on the disk; returns the milliseconds."""
    start = time.perf_counter()
    os.write(log, b"x" * 465)
    os.fdatasync(log)
    return (time.perf_counter() - start) * 1e3


def refused(root: str, name: str) -> float:
    """Submit a document with an unknown member; returns the milliseconds until its reason can be read."""
    reason = f"{root}/rejected/{name}.reason.json"
    start = time.perf_counter()
    drive.put(root, f"{name}.json", b'{"type": "echo", "inptu": {"n": 1}}')
    _until(lambda: os.path.exists(reason), "a reason")
    return (time.perf_counter() - start) * 1e3


def hostile(count: int) -> list[tuple[str, bytes]]:
    """Return hostile documents of the tests as (title, bytes): the largest, and as many of all others."""
    tests = str(Path(__file__).parents[2] / "tests")
    if tests not in sys.path:
        sys.path.append(tests)
    from faults.hostile import syntax, text, values

    cases = sorted(syntax.CASES + values.CASES + text.CASES, key=lambda case: -len(case.data))
    others = cases[count:]
    chosen = cases[:count] + others[:: max(1, len(others) // count)]
    return [(case.title, case.data) for case in chosen]


def judged(root: str, name: str, data: bytes) -> float:
    """Hand in a hostile document; returns the milliseconds until its reason can be read."""
    reason = f"{root}/rejected/{name}.reason.json"
    start = time.perf_counter()
    drive.put(root, f"{name}.json", data)
    _until(lambda: os.path.exists(reason), "a reason")
    return (time.perf_counter() - start) * 1e3


def _hostile(bench: Bench, told: dict[str, Any]) -> None:
    """Time each verdict, nothing left to settle; the slowest is told by its title, too."""
    peer = Ours(settle_seconds=0)
    documents = hostile(bench.sizes.probes)
    with started(peer, bench.on):
        took = [judged(peer.root, f"hostile-{number}", data) for number, (_, data) in enumerate(documents)]
    told["hostile"] = spread(took) | {"max": max(took)}
    told["hostile documents"] = len(documents)
    told["hostile slowest"] = documents[took.index(max(took))][0]
    bench.figures["latency hostile max ms"] = max(took)


def _pace(peer: Ours, rate: float, over: Any) -> None:
    """Submit at a steady rate, as far as the machine lets us."""
    client, start, number = peer.client(), time.monotonic(), 0
    while not over.is_set():
        due = int((time.monotonic() - start) * rate)
        while number < due:
            client.put(drive.payload(number))
            number += 1
        time.sleep(0.002)


@contextlib.contextmanager
def load(peer: Ours, rate: float) -> Iterator[None]:
    """Keep a submitter and two agents busy with so many tasks a second."""
    over = FORK.Event()
    people = [FORK.Process(target=_pace, args=(peer, rate, over))]
    people += [FORK.Process(target=peer.consume, args=(lambda body: None, over.is_set)) for _ in range(2)]
    for each in people:
        each.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        over.set()
        for each in people:
            each.join()


def latency(bench: Bench) -> None:
    """(d): p50, p95 and p99; half load is half of what two agents reached in this run."""
    probes = bench.sizes.probes
    half = _half(bench)
    bench.progress.part("(d) latency", 4 * probes)
    told: dict[str, Any] = {"half load per s": half}
    peer = Ours(queues=["probe"])
    with started(peer, bench.on):
        os.makedirs(f"{peer.root}/claimed/prober")
        _until(lambda: os.path.isdir(f"{peer.root}/ready/probe"), "the queue")
        told["rest"] = _many(bench, lambda number: claimable(peer.root, f"rest-{number}"))
        log = os.open(f"{bench.on}/line", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        told["sync"] = _many(bench, lambda number: synced(log))
        os.close(log)
        told["refusal"] = _many(bench, lambda number: refused(peer.root, f"bad-{number}"))
        with load(peer, half):
            told["half load"] = _many(bench, lambda number: claimable(peer.root, f"load-{number}"))
    _hostile(bench, told)
    for name in ("rest", "sync", "half load", "refusal", "hostile"):
        bench.figures |= {f"latency {name} {p} ms": value for p, value in told[name].items()}
    bench.series["latency"] = told


def _many(bench: Bench, probe: Callable[[int], float]) -> dict[str, float]:
    values = []
    for number in range(bench.sizes.probes):
        values.append(probe(number))
        bench.progress.step()
        time.sleep(BETWEEN)
    return spread(values)


def _half(bench: Bench) -> float:
    rows = [row for row in bench.series.get("peers", ()) if row["name"] == "taskdir"]
    rows += [row for row in bench.series.get("few", ()) if row["agents"] == 2]
    return median([row["rate"] for row in rows]) / 2 if rows else 500.0
