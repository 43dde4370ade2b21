"""Write the log of a root in which so many tasks came and were done: legal lines, a legal chain (SPEC section 9).

A daemon that finds it, and no index, replays it and writes the records again, as after a lost disk of which only the
log was saved. Written by ourselves because a million tasks take the daemon minutes, and the log is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

TIME = "2026-01-02T03:04:05.000001Z"
SHA = "5" * 64
TASK = {"queue": "default", "priority": 5, "max_attempts": 3, "lease_seconds": 1800, "timeout_seconds": 86400,
        "backoff_seconds": 1}  # fmt: skip
BATCH = 128
"""Tasks in one log batch, as a daemon under load has them."""
SEGMENT = 64 << 20


def _events(tasks: int, contract: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the batches."""
    yield [{"event": "started", "version": "0.1.0", "protocol": 1, "pid": 1}]
    sha = hashlib.sha256(contract.encode()).hexdigest()
    yield [{"event": "contract", "type": "echo", "sha256": sha, "contract": json.loads(contract)}]
    for start in range(0, tasks, BATCH):
        batch: list[dict[str, Any]] = []
        for number in range(start, min(start + BATCH, tasks)):
            id, about = f"past-{number:08d}", {"attempt": 1, "agent": f"agent-{number % 8}"}
            task = {"type": "echo", "input": {"n": number}, **TASK}
            batch.append({"event": "accepted", "id": id, "sha256": SHA, "task": task, "contract": sha})
            batch.append({"event": "claimed", "id": id, **about})
            batch.append({"event": "done", "id": id, **about, "output": {"n": number}, "sha256": SHA})
        yield batch
    yield [{"event": "stopped"}]


def write_history(root: str, tasks: int) -> int:
    """Write it into a fresh root; returns the number of events. Segments are closed as the daemon closes them."""
    seq, prev, first = 0, "0" * 64, 1
    live = f"{root}/log.jsonl"
    os.makedirs(f"{root}/log", exist_ok=True)
    with open(f"{root}/contracts/echo.json", encoding="utf-8") as file:
        contract = file.read()
    out = open(live, "wb", buffering=1 << 20)  # noqa: SIM115 - closed segments come and go
    for batch in _events(tasks, contract):
        begun = seq + 1
        if out.tell() > SEGMENT:
            out.close()
            os.rename(live, f"{root}/log/{first:012d}.jsonl")
            out, first = open(live, "wb", buffering=1 << 20), begun  # noqa: SIM115
        for event in batch:
            seq += 1
            end = {"end": begun} if event is batch[-1] else {}
            line = json.dumps({"seq": seq, "time": TIME, **event, "prev": prev, **end}, separators=(",", ":")).encode()
            prev = hashlib.sha256(line).hexdigest()
            out.write(line + b"\n")
    out.flush()
    os.fsync(out.fileno())
    out.close()
    return seq
