"""What happens as the queue grows: rates, memory, restart, replay. Parts (e), (f) and (j)."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from bench import drive
from bench.history import write_history
from bench.parts import median
from bench.peers.files import CONTRACT, Ours
from bench.race import home, lap, started
from bench.sizes import MILLION, Bench

WORKERS = 2
WINDOW = 64
"""What a root shows of a queue by default."""
PATIENCE = 1800.0
"""Seconds that a million records may take to be written again."""


def memory(pid: int) -> dict[str, float]:
    """Return what a process holds now and held at most, in MB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        rows = dict(line.split(":", 1) for line in file)
    return {name: int(rows[key].split()[0]) * 1024 / 1e6 for name, key in (("now", "VmRSS"), ("most", "VmHWM"))}


def numbered_fill(root: str, tasks: int, name: str, each: int = 10_000) -> float:
    """Submit tasks numbered from 0 in batches; returns the seconds until the last batch was taken."""
    seconds = 0.0
    for start in range(0, tasks, each):
        members = [
            {"id": f"{name}-{number}", "type": "echo", "input": {"n": number}}
            for number in range(start, min(start + each, tasks))
        ]
        path = f"{root}/inbox/{name}-b{start}.json"
        body = json.dumps({"kind": "batch", "messages": members}).encode()
        begun = time.monotonic()
        drive.put(root, os.path.basename(path), body)
        while os.path.exists(path):
            if time.monotonic() > begun + drive.PATIENCE:
                raise OSError("a batch was not taken")
            time.sleep(0.001)
        seconds += time.monotonic() - begun
    return seconds


def waiting(bench: Bench) -> None:
    """(e) and half of (f): roots with more and more waiting, all at once; laps go round among them."""
    sizes, rates = bench.sizes, dict[int, list[float]]()
    total = sum(sizes.waiting)
    bench.progress.part("(e) (f) filling the queues", len(sizes.waiting))
    with contextlib.ExitStack() as stack:
        peers: dict[int, Ours] = {}
        for count in sizes.waiting:
            peers[count] = peer = Ours(max_batch_bytes=64 << 20)
            stack.enter_context(started(peer, bench.on))
            filled = numbered_fill(peer.root, count, "wait", 10_000)
            bench.figures[f"fill {count} per s"] = count / filled
            bench.progress.step()
        bench.progress.part(f"(e) claim and complete, {total:,} waiting in all", sizes.rounds * len(sizes.waiting))
        for number in range(sizes.rounds):
            for count, peer in peers.items():
                rates.setdefault(count, []).append(_drain(peer, sizes.drained, number))
                bench.progress.step()
        least, most = min(sizes.waiting), max(sizes.waiting)
        if most >= MILLION:
            pairs = zip(rates[most], rates[least], strict=True)
            bench.figures["ratio waiting"] = median([more / less for more, less in pairs])
        bench.series["waiting"] = [
            {"waiting": count, "rate": median(each), "least": min(each), "most": max(each),
             "mb": memory(peers[count].pid)["now"]}
            for count, each in rates.items()
        ]  # fmt: skip
        _restarts(bench, peers[most], "waiting", most)
        if most >= MILLION:
            bench.figures["waiting memory mb"] = max(
                bench.figures["waiting memory mb"], bench.series["waiting"][-1]["mb"]
            )


def _drain(peer: Ours, tasks: int, number: int) -> float:
    """Put tasks in front of what waits, and let two agents take as many; only the taking is timed."""
    members = [
        {"id": f"front-{number}-{each}", "type": "echo", "priority": 1, "input": {"n": each}} for each in range(tasks)
    ]
    path = f"{peer.root}/inbox/front-{number}.json"
    drive.put(peer.root, os.path.basename(path), json.dumps({"kind": "batch", "messages": members}).encode())
    peer.only, ready = "1-", f"{peer.root}/ready/default"
    until = time.monotonic() + drive.PATIENCE
    while sum(name.startswith("1-") for name in os.listdir(ready)) < min(tasks, WINDOW):
        if time.monotonic() > until:
            raise OSError("the tasks in front were not offered")
        time.sleep(0.002)
    return lap(peer, tasks, WORKERS, submits=False).rate


@contextlib.contextmanager
def _probed(root: str, name: str, seconds: list[float]) -> Iterator[int]:
    """Start the daemon with a task of the first priority in the inbox; notes when it was up, and when it offered."""
    drive.put(root, f"{name}.json", json.dumps({"type": "echo", "priority": 0, "input": {"n": 0}}).encode())
    start = time.monotonic()
    with drive.daemon(root) as pid:
        seconds.append(time.monotonic() - start)
        while not any(f".{name}." in offer for offer in os.listdir(f"{root}/ready/default")):
            if time.monotonic() > start + PATIENCE:
                raise OSError("nothing was offered")
            time.sleep(0.002)
        seconds.append(time.monotonic() - start)
        yield pid


def _restarts(bench: Bench, peer: Ours, name: str, count: int) -> None:
    """(f): restart with the index, then without; figures count only if it is a million."""
    peer.pause()
    told: dict[str, Any] = {"tasks": count, "events": _last_seq(peer.root)}
    bench.progress.part(f"(f) restarts with {count:,} {name}", bench.sizes.rounds + 1)
    ready = []
    for number in range(bench.sizes.rounds):
        seconds: list[float] = []
        with _probed(peer.root, f"{name}-again-{number}", seconds) as pid:
            told["mb"] = memory(pid)["now"]
        ready.append(seconds[1])
        bench.progress.step()
    told["ready s"] = median(ready)
    for entry in os.listdir(f"{peer.root}/.taskdir"):
        if entry.startswith("index."):
            os.unlink(f"{peer.root}/.taskdir/{entry}")
    told["events"] = _last_seq(peer.root)
    seconds = []
    with _probed(peer.root, f"{name}-replay", seconds) as pid:
        told |= {"replay s": seconds[0], "replay per s": told["events"] / seconds[0], "offered s": seconds[1]}
        told["most mb"] = memory(pid)["most"]
    bench.progress.step()
    bench.series[f"restart {name}"] = told
    if count >= MILLION:
        bench.figures[f"{name} ready s"] = told["ready s"]
        bench.figures[f"{name} memory mb"] = told["mb"]
        bench.figures[f"{name} replay per s"] = told["replay per s"]


def _last_seq(root: str) -> int:
    with open(f"{root}/log.jsonl", "rb") as file:
        file.seek(max(0, os.path.getsize(f"{root}/log.jsonl") - (1 << 20)))
        return int(json.loads(file.read().splitlines()[-1])["seq"])


def history(bench: Bench) -> None:
    """The other half of (f): a log of so many done tasks, written by bench/history.py; their records come by replay."""
    count = bench.sizes.history
    bench.progress.part(f"(f) a log of {count:,} done tasks", 2)
    with home(bench.on) as on, drive.fresh_root(on) as root:
        with open(f"{root}/contracts/echo.json", "w", encoding="utf-8") as file:
            json.dump(CONTRACT, file)
        write_history(root, count)
        bench.progress.step()
        peer = Ours()
        peer.root = root
        seconds: list[float] = []
        with _probed(root, "first", seconds) as pid:
            events = count * 3 + 3
            told = {"replay s": seconds[0], "replay per s": events / seconds[0], "offered s": seconds[1]}
            told |= {"most mb": memory(pid)["most"]}
        bench.progress.step()
        ready = []
        for number in range(bench.sizes.rounds):
            seconds = []
            with _probed(root, f"again-{number}", seconds) as pid:
                told["mb"] = memory(pid)["now"]
            ready.append(seconds[1])
        told |= {"tasks": count, "events": events, "ready s": median(ready)}
    bench.series["restart history"] = told
    if count >= MILLION:
        bench.figures["history replay per s"] = told["replay per s"]
        bench.figures["history ready s"] = told["ready s"]
        bench.figures["history memory mb"] = told["mb"]


def batches(bench: Bench) -> None:
    """(j): one batch after the other, each in a root of its own."""
    rates = []
    bench.progress.part("(j) batches", bench.sizes.rounds)
    for _ in range(bench.sizes.rounds):
        peer = Ours()
        with started(peer, bench.on):
            rates.append(bench.sizes.batch / numbered_fill(peer.root, bench.sizes.batch, "b", 10_000))
        bench.progress.step()
    bench.figures["batch tasks per s"] = median(rates)
    bench.series["batch"] = {"tasks": bench.sizes.batch, "rate": median(rates), "least": min(rates), "most": max(rates)}
