"""What must hold of a root that a daemon brought to rest, whatever happened to the one before (SPEC section 12).

``judge`` raises Wrong; ``outcome`` tells what a stop must not change: the tree, and how each task stands.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taskdir import check, names
from taskdir.logread import GENESIS, open_segment, segments
from taskdir.papers import NO_BYTES

_SEQ = re.compile(r"\d{12}|(?<=rejected/bad-)\d+")
_LARGE = 1 << 20
_STATES = {
    "accepted": "queued", "redriven": "queued", "returned": "queued", "expired": "queued", "abandoned": "queued",
    "timed_out": "queued", "errored": "queued", "claimed": "claimed", "done": "done", "failed": "failed",
    "canceled": "canceled",
}  # fmt: skip
Outcome = tuple[list[str], dict[str, str]]
_HANDED_IN = ("inbox", "claimed", "rejected", ".taskdir/taken")
"""Where bytes of others lie: none of them may get lost."""


class Wrong(Exception):
    """A promise was broken."""


@dataclass(slots=True)
class Before:
    """What there was at the stop: the last fact in the log, and the bytes that others had handed in."""

    seq: int
    hash: str
    handed_in: dict[str, str] = field(default_factory=dict)

    def look(self, root: str) -> None:
        """Take in what was handed in: SHA-256 → path."""
        self.handed_in = {digest: path for digest, path in _bytes_of_others(root) if _is_input(path)}


def _is_input(path: str) -> bool:
    name = os.path.basename(path)
    if path.startswith("claimed/"):
        return name.endswith(names.RESULT)
    return not name.startswith(".") and not name.endswith(".reason.json")


def _bytes_of_others(root: str) -> Iterator[tuple[str, str]]:
    for place in _HANDED_IN:
        for directory, _, files in os.walk(os.path.join(root, place)):
            for file in files:
                path = os.path.join(directory, file)
                if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) <= _LARGE:
                    with open(path, "rb") as opened:
                        yield hashlib.sha256(opened.read()).hexdigest(), os.path.relpath(path, root)


def lines_of(root: str) -> list[bytes]:
    """Return the lines of the log, all segments."""
    found: list[bytes] = []
    for _, path in segments(root):
        with open_segment(path) as file:
            found += file.read().splitlines()
    return found


def judge(root: str, before: Before) -> None:
    """Check a root whose daemon still runs and is at rest. Raises Wrong."""
    report = check.check_root(root, lambda count: None, lambda seconds: None)
    if report.findings:
        raise Wrong("check finds: " + "; ".join(str(each) for each in report.findings[:4]))
    lines = lines_of(root)
    last = hashlib.sha256(lines[before.seq - 1]).hexdigest() if 0 < before.seq <= len(lines) else GENESIS
    if before.seq and last != before.hash:
        raise Wrong(f"the fact with seq {before.seq} is gone from the log")
    events = [json.loads(line) for line in lines]
    judge_ends(events)
    kept = {digest for digest, _ in _bytes_of_others(root)} | {event.get("sha256") for event in events}
    lost = [path for digest, path in before.handed_in.items() if digest not in kept]
    if NO_BYTES in kept:  # a result too large or no file: refused without its bytes
        lost = [path for path in lost if not path.endswith(names.RESULT)]
    if lost:
        raise Wrong(f"bytes that were handed in are neither in the log nor anywhere else: {lost}")


def judge_ends(events: list[dict[str, Any]]) -> None:
    """Look for a task that ended well twice. Raises Wrong."""
    done: set[str] = set()
    for event in events:
        if event["event"] == "done":
            if event["id"] in done:
                raise Wrong(f"a second result of {event['id']} was accepted")
            done.add(event["id"])


def outcome(root: str) -> Outcome:
    """Return the visible tree, numbers of events left out, and each task's state by the log.

    Closed segments are left out too: a start logs an event more, so one may be closed earlier.
    """
    tree = []
    for directory, inside, files in os.walk(root):
        inside[:] = sorted(name for name in inside if name != ".taskdir")
        relative = os.path.relpath(directory, root)
        if relative == "log":
            continue
        tree += [_SEQ.sub("N", os.path.normpath(os.path.join(relative, name))) for name in files]
    states: dict[str, str] = {}
    for line in lines_of(root):
        event = json.loads(line)
        if "id" in event and event["event"] in _STATES:
            states[event["id"]] = _STATES[event["event"]]
    return sorted(tree), states


def shape(root: str) -> list[tuple[str, int, int, int]]:
    """Return what tells one state of a tree from the next: what others did between two passes shows."""
    found = []
    for directory, inside, files in os.walk(root):
        inside[:] = sorted(name for name in inside if name != ".taskdir")
        for name in [*files, *inside]:
            at = os.lstat(os.path.join(directory, name))
            found.append((os.path.join(directory, name), at.st_ino, at.st_size, at.st_ctime_ns))
    index = os.path.join(root, ".taskdir", "index.sqlite")  # a story may take it away, and start with all anew
    return sorted([*found, (index, int(os.path.exists(index)), 0, 0)])
