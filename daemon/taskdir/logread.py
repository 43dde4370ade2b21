"""Reading the log: segments, the hash chain, batches, and what counts as a torn tail (SPEC section 9).

A fact is what a surviving ``end`` covers. Nothing here changes a file. The same reader serves start-up, replay,
``check`` and ``log``.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from taskdir import strictjson
from taskdir.documents import Event
from taskdir.errors import Invalid, LogDamaged
from taskdir.names import is_segment_name

LIVE = "log.jsonl"
OLD = "log"
GENESIS = "0" * 64
_LEVELS = strictjson.MAX_DEPTH + 1
"""An event is one level around the document that it tells."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place between two batches: the last seq before it, that line's hash, and where it stands.

    ``first`` is the first seq of the segment (its name once it is closed), ``offset`` the byte after the line.
    """

    seq: int = 0
    hash: str = GENESIS
    first: int = 1
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """One committed batch: its events in order and the mark after it."""

    events: list[Event]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Damage:
    """Where reading stopped: rule code, sentence, file, line number in it, seq expected there, and byte offset of the
    batch that is not whole. ``torn`` tells whether the last batch was merely in flight."""

    code: str
    message: str
    path: str
    line: int
    seq: int
    offset: int
    torn: bool


def segments(root: str) -> list[tuple[int, str]]:
    """List the log's files in order as (first seq, path); the live one is last, with first seq 0 when it is empty.

    A closed segment that is the live file under a second name (a rotation that was cut short) is left out, and so is
    a compressed one beside the plain one that it is being made from.
    """
    old = os.path.join(root, OLD)
    found: list[tuple[int, str]] = []
    live = os.path.join(root, LIVE)
    live_stat = os.stat(live) if os.path.exists(live) else None
    names = os.listdir(old) if os.path.isdir(old) else []
    for name in sorted(set(names) - {f"{name}.gz" for name in names}):
        if is_segment_name(name):
            path = os.path.join(old, name)
            if live_stat is None or not os.path.exists(path) or os.stat(path).st_ino != live_stat.st_ino:
                found.append((int(name[:12]), path))
    if live_stat is not None:
        found.append((first_seq(live), live))
    return found


def first_seq(path: str) -> int:
    """Return the seq of a segment's first line, 0 when there is none that can be read."""
    event = _parse(next(_lines(path, 0), b""))
    return _whole(event["seq"]) if event and "seq" in event else 0


def first_hash(path: str) -> str:
    """Hash a segment's first line, without its newline."""
    return hashlib.sha256(next(_lines(path, 0), b"").removesuffix(b"\n")).hexdigest()


def _whole(value: Any) -> int:
    """Return an integer that stands as digits alone, 0 for anything else: true and 1.0 are no numbers of lines."""
    return value if type(value) is int else 0


def _parse(line: bytes) -> Event | None:
    """Read one line; None when it is no event."""
    try:
        event: Any = strictjson.loads(line, _LEVELS)
    except Invalid:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def open_segment(path: str) -> BinaryIO:
    """Open a segment for reading, compressed or not."""
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def _lines(path: str, offset: int) -> Iterator[bytes]:
    """Yield a segment's lines from a byte on; one that cannot be unpacked to its end ends in a line cut short, and what
    is no file (a FIFO would make us wait) has none."""
    if not os.path.isfile(path):
        return
    with open_segment(path) as file:
        try:
            file.seek(offset)
            yield from file
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield b"?"


class Reader:
    """Walks the log from a mark and yields whole batches; afterwards ``damage`` tells why it stopped, if it did."""

    def __init__(self, files: list[tuple[int, str]], start: Mark | None = None, *, thorough: bool = False) -> None:
        """``files`` as from ``segments``; ``start`` skips what was read before; ``thorough``: of a segment that cannot
        be unpacked to its end nothing counts, rather than what can be had of it."""
        self._files, self._thorough = files, thorough
        self.mark = start or Mark()
        self.damage: Damage | None = None
        self._expect = self.mark.seq + 1
        self._prev = self.mark.hash

    def batches(self) -> Iterator[Batch]:
        """Yield each committed batch after the start mark."""
        last = self._files[-1][1] if self._files else ""
        for first, path in self._files:
            if self.mark.seq and first and first < self.mark.first:
                continue
            resume = bool(self.mark.seq) and first == self.mark.first
            if not resume and first != self._expect and not (first == 0 and path == last):
                self._stop("log-segment", f"seq {self._expect} should begin here", path, 0, 0)
                return
            if not os.path.isfile(path):
                self._stop("log-segment", "this is no regular file", path, 0, 0)
                return
            if self._thorough and not (resume and self.mark.offset) and not unpacks(path):
                self._stop("log-line", "it cannot be unpacked to its end", path, 0, 0)
                return
            yield from self._segment(path, self.mark.offset if resume else 0)
            if self.damage is not None:
                return

    def _segment(self, path: str, offset: int) -> Iterator[Batch]:
        first = self._expect if offset == 0 else self.mark.first
        pending: list[Event] = []
        start = at = offset
        for line in _lines(path, offset):
            event, fault = self._line(line)
            if fault is None and "end" in event and _whole(event["end"]) != (pending or [event])[0]["seq"]:
                fault = ("log-end", "end does not name the first seq of its batch")
            if fault is not None:
                self._stop(*fault, path, self._expect - first + 1, start)
                return
            pending.append(event)
            self._prev = hashlib.sha256(line[:-1]).hexdigest()
            self._expect += 1
            at += len(line)
            if "end" in event:
                self.mark = Mark(event["seq"], self._prev, first, at)
                yield Batch(pending, self.mark)
                pending, start = [], at
        if pending:
            code = "log-end" if _is_closed(path) else "log-torn"
            self._stop(code, "the last batch has no end", path, 0, start)

    def _line(self, line: bytes) -> tuple[Event, tuple[str, str] | None]:
        if not line.endswith(b"\n"):
            return {}, ("log-line", "the line is cut short")
        if not line.isascii():
            return {}, ("log-line", "the line is not ASCII")
        event = _parse(line)
        if event is None:
            return {}, ("log-line", "the line is no event")
        if _whole(event.get("seq")) != self._expect:
            return {}, ("log-seq", f"seq {event.get('seq')!r} where {self._expect} was due")
        if event.get("prev") != self._prev:
            return {}, ("log-chain", "prev is not the hash of the line before")
        return event, None

    def _stop(self, code: str, message: str, path: str, line: int, offset: int) -> None:
        batch_first = self.mark.seq + 1
        last_end = self._last_end(path, offset)
        torn = path == self._files[-1][1] and not _is_closed(path) and last_end <= batch_first and code != "log-segment"
        if code == "log-chain" and self._expect == last_end:
            torn = False  # no lost block makes a whole line with another prev: the line before it was changed
        self.damage = Damage(code, message, path, line, self._expect, offset, torn)

    def _last_end(self, path: str, offset: int) -> int:
        """The highest ``end`` that can still be read from the damaged batch on, 0 when there is none."""
        highest, here = 0, False
        for _, name in self._files:
            here = here or name == path
            if not here:
                continue
            for line in _lines(name, offset if name == path else 0):
                highest = max(highest, _whole((_parse(line) or {}).get("end")))
        return highest


def unpacks(path: str) -> bool:
    """Say whether a segment is a file that can be read to its end, checksum included."""
    if not path.endswith(".gz"):
        return os.path.isfile(path)
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (IsADirectoryError, EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return True


def _is_closed(path: str) -> bool:
    """Say whether a segment is closed: only the live one can have a torn tail."""
    place, name = os.path.split(os.path.abspath(path))
    return name != LIVE and os.path.basename(place) == OLD


def line_hash_before(path: str, offset: int) -> str | None:
    """Hash the line that ends at byte ``offset`` of a segment; None when no line ends there."""
    if offset == 0:
        return GENESIS
    with open_segment(path) as file:
        size = 65536
        while True:
            start = max(0, offset - size)
            file.seek(start)
            chunk = file.read(offset - start)
            if len(chunk) < offset - start or not chunk.endswith(b"\n"):
                return None
            cut = chunk.rfind(b"\n", 0, len(chunk) - 1)
            if cut >= 0 or start == 0:
                return hashlib.sha256(chunk[cut + 1 : -1]).hexdigest()
            size *= 8


def raise_damage(damage: Damage) -> None:
    """Turn damage before the last batch into the error that stops the daemon."""
    where = f"{damage.path}, line {damage.line}" if damage.line else damage.path
    raise LogDamaged(
        damage.code,
        f"the log is damaged before its last batch (seq {damage.seq}): {damage.message}",
        path=where,
        hint="nothing was changed; inspect with `taskdir check --log FILE…`, restore the log from a copy",
    )


class Follower:
    """Reads a log that may be growing: ``news`` yields what was committed since it was last asked."""

    def __init__(self, root: str, start: Mark | None = None, *, thorough: bool = False) -> None:
        self._root, self._thorough = root, thorough
        self.mark = start or Mark()
        self.damage: Damage | None = None

    def news(self) -> Iterator[Batch]:
        """Yield each batch after ``mark``; ``damage`` tells afterwards why it stopped, if it did."""
        tries = 0
        while tries < 2:  # a rotation between listing and opening looks like damage; then another try gets further
            before = self.mark
            reader = Reader(segments(self._root), before, thorough=self._thorough)
            for batch in reader.batches():
                self.mark = batch.mark
                yield batch
            self.damage = reader.damage
            if self.damage is None:
                return
            tries = tries + 1 if self.mark == before else 0


def mark_before(files: list[tuple[int, str]], seq: int) -> Mark:
    """Return the mark at the start of the segment that holds ``seq``; what came before it is taken on trust."""
    for first, path in reversed(files):
        if 1 < first <= seq:
            event = _parse(next(_lines(path, 0), b"")) or {}
            return Mark(first - 1, str(event.get("prev")), first, 0)
    return Mark()
