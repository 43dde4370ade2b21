"""What a power cut may leave, explored on a model of two disks: a weak one and an ordered one (SPEC sections 9 and 11).

The steps are no model: they are recorded from the calls of a real daemon over a real life, so that a changed order in
the code changes what is explored. After each prefix of them, the disk may keep or lose what no sync has covered: names
each on its own (weak) or from some point on (ordered), bytes whole, half, as zeros or not at all. In each such state
the promises about log, records and inputs must hold. A barrier is one place in the code that waits for the disk; leave
one out, and some state has to break a promise.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from faults.calls import Call, tapped
from taskdir.daemon import Daemon

_PLUMBING = ("disk.py", "system.py", "calls.py", "explorer.py", "contextlib.py")
_MOST_PENDING = 7
"""Names that may be kept or lost: beyond that, subsets are drawn."""

Step = tuple[Any, ...]
"""("create", path, inode), ("write", inode, bytes), ("cut", inode, size), ("move", from, to, inode), ("link", to,
inode), ("unlink", path), ("sync", inode, barrier), ("syncdir", path, barrier), ("index", seq, records synced up to),
("handed in", path, inode, bytes): durable by its agent."""


class Recorder:
    """Turns the calls of a daemon at ``root`` into steps."""

    def __init__(self, root: str) -> None:
        self.root, self.steps = root, list[Step]()
        self.daemon: Daemon | None = None
        self._index = (0, 0)

    def __call__(self, call: Call) -> Any:
        self._look_at_index()
        name, args = call.name, call.args
        source = self._inode(args[0]) if name in ("replace", "rename", "link") else 0
        fresh = name == "open" and not os.path.lexists(args[0])
        answer = call.make()
        if name == "open" and call.changes and fresh:
            self._note("create", self._place(args[0]), os.fstat(answer).st_ino)
        elif name == "write":
            self._note("write", os.fstat(args[0]).st_ino, bytes(args[1][:answer]))
        elif name == "ftruncate":
            self._note("cut", os.fstat(args[0]).st_ino, args[1])
        elif name in ("replace", "rename"):
            self._note("move", self._place(args[0]), self._place(args[1]), source)
        elif name == "link":
            self._note("link", self._place(args[1]), source)
        elif name == "unlink":
            self._note("unlink", self._place(args[0]))
        elif name in ("fsync", "fdatasync"):
            path = os.readlink(f"/proc/self/fd/{args[0]}")
            barrier = f"{_who()}: {os.path.dirname(self._place(path)) or self._place(path)}"
            if os.path.isdir(path):
                self._note("syncdir", self._place(path), f"{_who()}: {self._place(path)}/")
            else:
                self._note("sync", os.fstat(args[0]).st_ino, barrier)
        return answer

    def hand_in(self, path: str, value: object) -> None:
        """Write a file as an agent that waits for the disk."""
        at, data = os.path.join(self.root, path), json.dumps(value).encode()
        with open(at, "wb") as file:
            file.write(data)
        self._note("handed in", path, self._inode(at), data)

    def _look_at_index(self) -> None:
        index = getattr(self.daemon, "index", None)
        if index is None:
            return
        with contextlib.suppress(sqlite3.ProgrammingError):  # of a daemon that has ended
            now = (index.mark.seq, int(index.meta("records_synced") or 0))
            if now != self._index:
                self._index = now
                self._note("index", *now)

    def _note(self, *step: Any) -> None:
        self.steps.append(step)

    def _place(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    def _inode(self, path: str) -> int:
        return os.lstat(path).st_ino if os.path.lexists(path) else 0


def _who() -> str:
    """Name the function of the package that waits for the disk."""
    frame = sys._getframe(1)
    while os.path.basename(frame.f_code.co_filename) in _PLUMBING:
        assert frame.f_back is not None
        frame = frame.f_back
    return frame.f_code.co_qualname


@dataclass(slots=True)
class Disk:
    """The model: what is there, what of it is durable, and the changes of names that no sync has covered."""

    weak: bool
    data: dict[int, bytes] = field(default_factory=dict)
    synced: dict[int, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    pending: list[Step] = field(default_factory=list)
    uncut: dict[int, bytes] = field(default_factory=dict)
    drawn: int = 40

    def take(self, step: Step) -> None:
        """Carry out one step."""
        kind = step[0]
        if kind == "create":
            self.data[step[2]], self.synced[step[2]] = b"", 0
            self.pending.append(step)
        elif kind == "write":
            self.data[step[1]] = self.data.get(step[1], b"") + step[2]
        elif kind == "cut":
            self.uncut[step[1]] = self.data[step[1]]
            self.data[step[1]] = self.data[step[1]][: step[2]]
            self.synced[step[1]] = min(self.synced[step[1]], step[2])
        elif kind == "handed in":
            self.data[step[2]], self.synced[step[2]], self.names[step[1]] = step[3], len(step[3]), step[2]
        elif kind in ("move", "link", "unlink"):
            self.pending.append(step)
        elif kind == "sync":
            self.synced[step[1]] = len(self.data.get(step[1], b""))
            self.uncut.pop(step[1], None)
            if not self.weak:
                self._settle(self.pending)
        elif kind == "syncdir":
            near = [each for each in self.pending if step[1] in _directories(each)]
            self._settle(near if self.weak else self.pending)

    def _settle(self, steps: list[Step]) -> None:
        for step in steps:
            _rename(self.names, step)
        self.pending = [each for each in self.pending if each not in steps]

    def cuts(self, draw: random.Random) -> Iterator[dict[str, int]]:
        """Yield the names that a power cut may leave."""
        count = len(self.pending)
        if not self.weak:
            picks: Any = [(1,) * n + (0,) * (count - n) for n in range(count + 1)]
        elif count <= _MOST_PENDING:
            picks = itertools.product((0, 1), repeat=count)
        else:
            drawn = [tuple(draw.randrange(2) for _ in range(count)) for _ in range(self.drawn)]
            lone = [tuple(int(at == n) for at in range(count)) for n in range(count)]
            gone = [tuple(1 - bit for bit in pick) for pick in lone]
            picks = [(0,) * count, (1,) * count, *lone, *gone, *drawn]
        for pick in picks:
            names = dict(self.names)
            for used, step in zip(pick, self.pending, strict=True):
                if used:
                    _rename(names, step)
            yield names

    def leftovers(self, inode: int) -> list[bytes]:
        """Return what may be left of a file's bytes."""
        whole, kept = self.data.get(inode, b""), self.synced.get(inode, 0)
        half = whole[: (kept + len(whole) + 1) // 2]
        left = {whole, whole[:kept], half, whole[:kept] + bytes(len(whole) - kept), self.uncut.get(inode, whole)}
        return sorted(left, key=lambda each: (len(each), each), reverse=True)


def _directories(step: Step) -> set[str]:
    return {os.path.dirname(path) or "." for path in step[1:3] if isinstance(path, str)}


def _rename(names: dict[str, int], step: Step) -> None:
    if step[0] in ("create", "link"):
        names[step[1]] = step[2]
    elif step[0] == "unlink":
        names.pop(step[1], None)
    else:
        if names.get(step[1]) == step[3]:
            del names[step[1]]
        names[step[2]] = step[3]


def facts(names: dict[str, int], log: dict[int, bytes]) -> list[dict[str, Any]]:
    """Read the log as a start does: closed segments by number, then the live one; whole batches alone."""
    files = sorted(path for path in names if path.startswith("log/"))
    inodes = dict.fromkeys([names[path] for path in files] + [names[path] for path in ("log.jsonl",) if path in names])
    found: list[dict[str, Any]] = []
    whole, prev = 0, "0" * 64
    for line in b"".join(log[inode] for inode in inodes).split(b"\n")[:-1]:
        try:
            event = json.loads(line)
        except ValueError:
            break
        if event["prev"] != prev or event["seq"] != len(found) + 1:
            break
        found.append(event)
        prev = hashlib.sha256(line).hexdigest()
        whole = len(found) if "end" in event else whole
    return found[:whole]


@dataclass(slots=True)
class Explorer:
    """Cuts the power after each step. ``broken`` counts the promises that a state broke; ``first``: stop there."""

    steps: list[Step]
    weak: bool
    without: str = ""
    drawn: int = 40
    first: bool = False
    states: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    _read: dict[tuple[Any, ...], list[dict[str, Any]]] = field(default_factory=dict)

    def run(self, draw: random.Random) -> Explorer:
        """Explore all."""
        disk, synced, index = Disk(self.weak, drawn=self.drawn), 0, [(0, 0)]
        handed_in: list[str] = []
        for step in self.steps:
            if step[0] not in ("sync", "syncdir") or step[2] != self.without:
                disk.take(step)
            if step[0] == "index":
                index.append((step[1], step[2]))
            if step[0] == "handed in" and step[1].startswith("inbox/"):
                handed_in.append(step[1])
            if step[0] == "sync" and step[2].startswith("Journal._write"):  # now the code takes the batch for a fact
                synced = max(synced, self._committed(disk))
            for names in disk.cuts(draw):
                if self.first and self.broken:
                    return self
                self._cut(disk, names, synced, handed_in, {index[-1], index[len(index) // 2], index[0]}, draw)
        return self

    def _committed(self, disk: Disk) -> int:
        now = dict(disk.names)
        for step in disk.pending:
            _rename(now, step)
        return len(self._facts(now, {inode: disk.data.get(inode, b"") for inode in now.values()}))

    def _facts(self, names: dict[str, int], content: dict[int, bytes]) -> list[dict[str, Any]]:
        log = {path: inode for path, inode in names.items() if path == "log.jsonl" or path.startswith("log/")}
        key = tuple(sorted((path, inode, content[inode]) for path, inode in log.items()))
        if key not in self._read:
            self._read[key] = facts(log, content)
        return self._read[key]

    def _cut(
        self,
        disk: Disk,
        names: dict[str, int],
        synced: int,
        handed_in: list[str],
        index: set[tuple[int, int]],
        draw: random.Random,
    ) -> None:
        live = names.get("log.jsonl", 0)
        content = {inode: draw.choice(disk.leftovers(inode)) for inode in set(names.values()) if inode != live}
        for tail in disk.leftovers(live):
            content[live] = tail
            known = self._facts(names, content)
            for mark, records in index:
                self.states += 1
                for fault in _faults(names, content, known, synced, handed_in, mark, records):
                    self.broken[fault] = self.broken.get(fault, 0) + 1


def _faults(
    names: dict[str, int],
    content: dict[int, bytes],
    known: list[dict[str, Any]],
    synced: int,
    handed_in: list[str],
    mark: int,
    records: int,
) -> Iterator[str]:
    if len(known) < synced:
        yield "a fact is lost"
    if mark > len(known):
        yield "the index is ahead of the log"
    told = {event.get("id", event.get("file", "").removesuffix(".json")): event["seq"] for event in known}
    for path in handed_in:
        id = path[len("inbox/") : -len(".json")]
        taken = any(place.endswith("!" + os.path.basename(path)) for place in names)
        if path not in names and not taken and id not in told:
            yield "an input is lost"
    ended = {
        f"{event['event']}/{event['id']}.json": event["seq"] for event in known if event["event"] in ("done", "failed")
    }
    if any(path.startswith(("done/", "failed/")) and path not in ended for path in names):
        yield "a record is shown ahead of the log"
    for path, seq in ended.items():
        if seq <= min(records, mark) and not content.get(names.get(path, -1), b"").endswith(b"}\n"):
            yield "a record is lost and counts as pruned"


def record(root: str, live: Any) -> list[Step]:
    """Return the steps of a life: ``live`` is given the recorder, and opens and drives the daemon."""
    recorder = Recorder(root)
    with tapped() as calls, calls.watch(recorder):
        live(recorder)
    return recorder.steps
