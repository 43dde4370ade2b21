"""The chain of a long log, fast: how far its lines are sealed one to the next (SPEC sections 9.1, 9.3).

Looks at the bytes of lines as daemons write them: seq in front, prev and end behind, ASCII, a newline; what stands
between is hashed, not read. ``skip`` returns a mark up to which all of that is right; the strict reader goes on there
and says what is wrong, if anything is. It starts a batch earlier, since a changed line shows at the next one only.

A long segment is looked at in parts, each but the first by a process of its own: ``python -P -m taskdir.chain``,
where -P keeps modules that lie about in the working directory out.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from taskdir.logread import Mark, open_segment

PART = 24 << 20
"""Bytes that are worth a process: it starts in the time in which one looks at a tenth of them."""
_BLOCK = 1 << 20
_END = re.compile(rb',"end":[0-9]+}\n')
Progress = Callable[[int], None]


@dataclass(slots=True)
class Run:
    """Lines in a row, from ``seq`` and ``prev`` on. ``marks``: after its last two batches, as [seq, hash, offset].

    ``stopped``: a line was not as expected, or not whole. ``known``: the hashes of the lines that were asked for.
    """

    seq: int
    prev: str
    marks: list[tuple[int, str, int]] = field(default_factory=list)
    known: dict[int, str] = field(default_factory=dict)
    stopped: bool = False


def skip(
    files: list[tuple[int, str]], start: Mark, wanted: Collection[int], known: dict[int, str], progress: Progress
) -> Mark:
    """Return the mark before the last batch up to which the chain is whole; put hashes of ``wanted`` into ``known``.

    ``files`` and ``start`` as for logread.Reader, ``start`` at the beginning of a file. Tells bytes as they are read.
    """
    marks = [start, start]
    for first, path in files:
        at = marks[-1]
        if first != at.seq + 1 or not os.path.isfile(path):
            break
        stopped = False
        for run in _parts(path, at, wanted, progress):
            if (run.seq, run.prev) != (marks[-1].seq + 1, marks[-1].hash):
                stopped = True  # the part before it ends elsewhere than this one begins
                break
            marks += [Mark(seq, digest, first, offset) for seq, digest, offset in run.marks]
            marks = marks[-2:]
            known |= run.known
            stopped = run.stopped
            if stopped:
                break
        if stopped:
            break
    return marks[-2]


def _parts(path: str, at: Mark, wanted: Collection[int], progress: Progress) -> list[Run]:
    """Look at a whole segment: in parts at once where that pays."""
    cuts = [0] if path.endswith(".gz") else _cuts(path)
    if len(cuts) == 1:
        return [_run(path, at.seq + 1, at.hash, 0, None, wanted, progress)]
    ends = [*cuts[2:], os.path.getsize(path)]
    with ExitStack() as stack:
        children = [
            stack.enter_context(_start(path, begin, end, wanted)) for begin, end in zip(cuts[1:], ends, strict=True)
        ]
        runs = [_run(path, at.seq + 1, at.hash, 0, cuts[1], wanted, progress)]
        for child, begin, end in zip(children, cuts[1:], ends, strict=True):
            said, _ = child.communicate()
            if child.returncode != 0:
                return [*runs, Run(0, "")]  # it continues nothing, so reading goes on strictly here
            progress(end - begin)
            runs.append(_told(json.loads(said)))
        return runs


def _start(path: str, begin: int, end: int, wanted: Collection[int]) -> subprocess.Popen[bytes]:
    """Start a process that looks at one part."""
    words = [sys.executable, "-P", "-m", "taskdir.chain", path, str(begin), str(end)]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    with suppress(OSError), child.stdin:  # OSError: it is gone already, which its exit code tells
        child.stdin.write(json.dumps(sorted(wanted)).encode())
    child.stdin = None
    return child


def _cuts(path: str) -> list[int]:
    """Return where the parts of a segment begin: right behind the end of a batch, each."""
    size = os.path.getsize(path)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(count, size // PART or 1)
    found = [0]
    with open(path, "rb") as file:
        for number in range(1, count):
            behind = _behind_end(file, max(found[-1], size * number // count))
            if behind is None:
                break
            found.append(behind)
    return found


def _behind_end(file: BinaryIO, offset: int) -> int | None:
    """Return where the first batch that ends behind a byte ends, None when none does or nothing follows."""
    file.seek(offset)
    kept = b""
    while block := file.read(_BLOCK):
        kept += block
        match = _END.search(kept)
        if match is not None:
            return offset + match.end() if match.end() < len(kept) or file.read(1) else None
        offset, kept = offset + len(kept) - len(kept[-40:]), kept[-40:]
    return None


def _run(
    path: str,
    seq: int,
    prev: str,
    begin: int,
    end: int | None,
    wanted: Collection[int],
    progress: Progress,
) -> Run:
    """Walk the lines from byte ``begin`` to ``end`` of a segment, as long as they are as expected."""
    run = Run(seq, prev)
    walk, left = _Walk(run, begin, frozenset(wanted)), b""
    try:
        with open_segment(path) as file:
            file.seek(begin)
            told = begin
            while block := file.read(_BLOCK if end is None else min(_BLOCK, end - begin)):
                begin += len(block)
                *lines, left = (left + block).split(b"\n")
                if not block.isascii() or not walk.take(lines):
                    run.stopped = True
                    return run
                now = _packed(file) if path.endswith(".gz") else begin
                progress(now - told)
                told = now
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return Run(seq, prev, stopped=True)  # of a segment that cannot be unpacked to its end none counts
    run.stopped = bool(left) or bool(walk.pending)
    return run


def _packed(file: Any) -> int:
    return int(file.fileobj.tell())


class _Walk:
    """Goes from line to line; ``pending``: lines of a batch whose end has not come."""

    def __init__(self, run: Run, offset: int, wanted: frozenset[int]) -> None:
        self._run, self._offset, self._wanted = run, offset, wanted
        self._seq, self._prev, self.pending = run.seq, run.prev.encode(), 0

    def take(self, lines: list[bytes]) -> bool:
        """Take lines without their newlines; False as soon as one is not as expected."""
        run, seq, prev, pending, offset, wanted = (
            self._run, self._seq, self._prev, self.pending, self._offset, self._wanted
        )  # fmt: skip
        sha256 = hashlib.sha256
        for line in lines:
            if not line.startswith(b'{"seq":%d,' % seq):
                return False
            sealed, pending = b',"prev":"' + prev + b'"', pending + 1
            ends = not line.endswith(sealed + b"}")
            if ends and not line.endswith(b'%s,"end":%d}' % (sealed, seq - pending + 1)):
                return False
            digest = sha256(line).hexdigest()
            prev, offset = digest.encode(), offset + len(line) + 1
            if seq in wanted:
                run.known[seq] = digest
            if ends:
                run.marks = [*run.marks[-1:], (seq, digest, offset)]
                pending = 0
            seq += 1
        self._seq, self._prev, self.pending, self._offset = seq, prev, pending, offset
        return True


def _told(found: dict[str, Any]) -> Run:
    marks = [(int(seq), str(digest), int(offset)) for seq, digest, offset in found["marks"]]
    known = {int(seq): str(digest) for seq, digest in found["known"].items()}
    return Run(found["seq"], found["prev"], marks, known, found["stopped"])


def _part(path: str, begin: int, end: int) -> None:
    """Look at one part; its first line says where in the chain it stands, which the parent compares."""
    with open(path, "rb") as file:
        file.seek(begin)
        line = file.readline()
    prev = re.search(rb',"prev":"([0-9a-f]{64})"(?:,"end":[0-9]+)?}\n$', line)
    seq = re.match(rb'{"seq":([1-9][0-9]{0,15}),', line)
    run = Run(0, "", stopped=True)
    if prev and seq:
        run = _run(path, int(seq[1]), prev[1].decode(), begin, end, json.load(sys.stdin), lambda count: None)
    print(json.dumps(asdict(run)))


if __name__ == "__main__":
    _part(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
