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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HELD = re.compile(r"[0-9]-[0-9]{12}\.[a-z0-9_-]+\.[0-9]+\.(json|result\.json|notes\.jsonl|refused\.json)")
QUIET = {"started", "stopped", "contract", "batch", "duplicate"}
"""Events that say nothing of a task's life."""

ENDS = {"done", "errored", "returned", "expired", "abandoned", "timed_out"}
"""Events that end a claim."""

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


def account(root: Path, inputs: dict[str, Any], agents: set[str], retries: bool = False) -> list[str]:
    """Say what is wrong. ``inputs``: id → input of every task that was submitted; ``agents``: who has to take part.

    Every task has to be done once, by who claimed it, with id, attempt and input of the offer as its output; by its
    first attempt, or with ``retries`` by one after others that were given back, failed or lost.
    """
    faults = list[str]()
    log = events(root, faults)
    faults += _lives(log, inputs, _lived if retries else _done_at_once)
    took_part = Counter(event["agent"] for event in log if event["event"] == "done")
    faults += [f"{agent} did nothing" for agent in sorted(agents - {*took_part})]
    faults += [f"{agent} is nobody" for agent in sorted({*took_part} - agents)]
    faults += _directories(root, log)
    return faults


def _lives(log: list[Event], inputs: dict[str, Any], fault_of: Callable[[list[Event]], str | None]) -> Iterator[str]:
    """Compare each task's events with the lives that it may have had."""
    lives: dict[str, list[Event]] = {id: [] for id in inputs}
    for event in log:
        if event["event"] in QUIET:
            continue
        if event.get("id") not in lives:
            yield f"line {event['seq']}: {event['event']} of {event.get('id')}, which nobody submitted"
            continue
        lives[event["id"]].append(event)
    for id, life in lives.items():
        if fault := fault_of(life):
            yield f"{id}: {fault}"
            continue
        accepted, done = life[0], next(event for event in life if event["event"] == "done")
        if accepted["task"]["input"] != inputs[id]:
            yield f"{id}: accepted with another input"
        output = done["output"]
        if not isinstance(output, dict) or (output.get("id"), output.get("attempt")) != (id, done["attempt"]):
            yield f"{id}: the output is another task's"
        elif output.get("input") != inputs[id]:
            yield f"{id}: the output is not the input"


def _done_at_once(life: list[Event]) -> str | None:
    """Say what is wrong with a life that is to have no more than one attempt."""
    names = [event["event"] for event in life]
    if names != ["accepted", "claimed", "done"]:
        return " ".join(names) or "nothing"
    _, claimed, done = life
    if (claimed["attempt"], claimed["agent"]) != (done["attempt"], done["agent"]) or done["attempt"] != 1:
        return f"claimed by {claimed['agent']}, done by {done['agent']}, attempt {done['attempt']}"
    return None


def _lived(life: list[Event]) -> str | None:
    """Say what is wrong with a life of any number of attempts: each with one holder and one end, the last one done."""
    state, attempt, holder = "", 0, None
    for event in life:
        name = event["event"]
        if name == "late" and event["attempt"] < attempt + (state == "done"):
            continue
        if name == "accepted" and not state:
            state, attempt = "queued", 1
        elif name == "claimed" and (state, attempt) == ("queued", event["attempt"]):
            state, holder = "claimed", event["agent"]
        elif name in ENDS and (state, attempt, holder) == ("claimed", event["attempt"], event["agent"]):
            state, attempt = ("done", attempt) if name == "done" else ("queued", attempt + 1)
        else:
            break
    else:
        if state == "done":
            return None
    return " ".join(event["event"] for event in life) or "nothing"


def end(root: Path) -> tuple[int, str]:
    """Return seq and SHA-256 of the last line of a log's last whole batch, whatever was torn behind it."""
    for path in reversed([*sorted((root / "log").glob("*.jsonl")), root / "log.jsonl"]):
        for line in reversed(path.read_bytes().split(b"\n")[:-1] if path.exists() else []):
            if b'"end":' in line[-24:]:
                return json.loads(line)["seq"], sha(line)
    return 0, ""


def unchanged(root: Path, ends: list[tuple[int, str]]) -> Iterator[str]:
    """Compare a log with the ends that it had before (``end``): lines are chained, so all before them is told, too."""
    files = [*sorted((root / "log").glob("*.jsonl")), root / "log.jsonl"]
    lines = b"".join(path.read_bytes() for path in files).split(b"\n")[:-1]
    for seq, digest in ends:
        if seq and (seq > len(lines) or sha(lines[seq - 1]) != digest):
            yield f"line {seq}: it was there before a kill, and is gone or another"


def handed_in(root: Path, told: list[tuple[str, str]]) -> Iterator[str]:
    """Look for results of which agents were sure: (SHA-256, name of the claimed file)."""
    judged = {
        (event.get("sha256"), event["id"], event["attempt"])
        for event in events(root, [])
        if event["event"] in ("done", "errored", "refused", "late")
    }
    for digest, name in told:
        _, id, attempt, _ = name.split(".")
        if (digest, id, int(attempt)) not in judged:
            yield f"{id}: the result of attempt {attempt} was handed in, and the log does not have it"


def sha(data: bytes) -> str:
    """Return the SHA-256 of bytes as the log tells it."""
    return hashlib.sha256(data).hexdigest()


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
