"""Accounts for every task of a root from its log and its directories, and shares no code with the daemon.

It knows SPEC sections 5 and 9 and reads with json, hashlib and os alone: were the daemon and its own audit wrong in the
same way, this would not be.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HELD = re.compile(r"[0-9]-[0-9]{12}\.[a-z0-9_-]+\.[0-9]+\.(json|result\.json|notes\.jsonl|refused\.json)")
QUIET = {"started", "stopped", "contract", "batch", "duplicate"}
"""Events that say nothing of a task's life."""

Event = dict[str, Any]


def events(root: Path, faults: list[str]) -> list[Event]:
    """Return the events of a log. A broken chain and a batch that is not whole go to ``faults``."""
    files = [*sorted((root / "log").glob("*.jsonl")), root / "log.jsonl"]
    data = b"".join(path.read_bytes() for path in files if path.exists())
    found, prev, first = list[Event](), "0" * 64, 1
    for seq, line in enumerate(data.split(b"\n")[:-1], 1):
        event = json.loads(line)
        if (event["seq"], event["prev"]) != (seq, prev):
            faults.append(f"line {seq}: the chain is broken")
        if event.get("end", first) != first:
            faults.append(f"line {seq}: a batch ends that never began")
        first = seq + 1 if "end" in event else first
        prev = hashlib.sha256(line).hexdigest()
        found.append(event)
    if not data.endswith(b"\n") or first != len(found) + 1:
        faults.append("the log does not end with a whole batch")
    return found


def account(root: Path, inputs: dict[str, Any], agents: set[str]) -> list[str]:
    """Say what is wrong. ``inputs``: id → input of every task that was submitted; ``agents``: who has to take part.

    Every task has to be done once, by its first attempt, by who claimed it, with the whole offer as its output.
    """
    faults = list[str]()
    log = events(root, faults)
    faults += _lives(log, inputs)
    took_part = Counter(event["agent"] for event in log if event["event"] == "done")
    faults += [f"{agent} did nothing" for agent in sorted(agents - {*took_part})]
    faults += [f"{agent} is nobody" for agent in sorted({*took_part} - agents)]
    faults += _directories(root, log)
    return faults


def _lives(log: list[Event], inputs: dict[str, Any]) -> Iterator[str]:
    """Compare each task's events with the one life that it should have."""
    lives: dict[str, list[Event]] = {id: [] for id in inputs}
    for event in log:
        if event["event"] in QUIET:
            continue
        if event.get("id") not in lives:
            yield f"line {event['seq']}: {event['event']} of {event.get('id')}, which nobody submitted"
            continue
        lives[event["id"]].append(event)
    for id, life in lives.items():
        names = [event["event"] for event in life]
        if names != ["accepted", "claimed", "done"]:
            yield f"{id}: {' '.join(names) or 'nothing'}"
            continue
        accepted, claimed, done = life
        if accepted["task"]["input"] != inputs[id]:
            yield f"{id}: accepted with another input"
        if (claimed["attempt"], claimed["agent"]) != (done["attempt"], done["agent"]) or done["attempt"] != 1:
            yield f"{id}: claimed by {claimed['agent']}, done by {done['agent']}, attempt {done['attempt']}"
        output = done["output"]
        if not isinstance(output, dict) or (output.get("id"), output.get("attempt")) != (id, 1):
            yield f"{id}: the output is another task's"
        elif output.get("input") != inputs[id]:
            yield f"{id}: the output is not the input"


def _directories(root: Path, log: list[Event]) -> Iterator[str]:
    """Compare what lies in the directories with a log in which everything is done."""
    outputs = {event["id"]: event["output"] for event in log if event["event"] == "done"}
    names = {f"{id}.json" for id in outputs}
    yield from (f"done/{name}: not as the log says" for name in sorted({*os.listdir(root / "done")} ^ names))
    for id, output in outputs.items():
        path = root / "done" / f"{id}.json"
        if path.exists():
            record = json.loads(path.read_bytes())
            if (record["id"], record["state"], record["output"]) != (id, "done", output):
                yield f"done/{id}.json: another record than the log's"
    for place in ("inbox", "failed", "rejected", "state", "ready", "claimed", ".taskdir/taken"):
        for at, _, files in os.walk(root / place):
            for name in files:
                if place != "claimed" or HELD.fullmatch(name):
                    yield f"{os.path.relpath(os.path.join(at, name), root)}: left behind"
