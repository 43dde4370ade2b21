"""What happens in directories, event by event: which name was written through, which came by a rename (Linux inotify).

A listing shows what is there; only this shows how it came there. Nothing is missed and nothing waits: the kernel keeps
the events of each system call, in order, until they are read.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from taskdir.conformance.cases import NotTested

_KINDS = {0x2: "written", 0x8: "closed", 0x40: "moved-from", 0x80: "moved-to", 0x100: "made", 0x200: "deleted"}
_HEAD = struct.Struct("iIII")


class Happened(NamedTuple):
    """One event: what, in which directory, to which name; the two halves of one rename have the same ``cookie``."""

    kind: str
    place: str
    name: str
    cookie: int

    def __str__(self) -> str:
        return f"{self.kind} {self.place}/{self.name}"


class Eye:
    """Watches directories of a root. ``sees``: whether the system lets it; without, it sees nothing."""

    def __init__(self, root: Path, *places: str) -> None:
        self._places: dict[int, str] = {}
        self._fd = -1
        self.sees = sys.platform == "linux"
        if not self.sees:
            return
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for place in places:
            number = libc.inotify_add_watch(self._fd, os.fsencode(root / place), sum(_KINDS))
            self._places[number] = place
        if min(self._fd, *self._places) < 0:
            why = os.strerror(ctypes.get_errno())
            self.close()
            raise NotTested(f"inotify: {why}")

    def __enter__(self) -> Eye:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Look away."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def seen(self, seconds: float = 0.0) -> list[Happened]:
        """Return what happened since the last call; waits up to ``seconds`` for something."""
        if self._fd < 0:
            time.sleep(min(seconds, 0.002))
            return []
        select.select([self._fd], [], [], seconds)
        found = list[Happened]()
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return found
            found += self._events(data)

    def _events(self, data: bytes) -> Iterator[Happened]:
        at = 0
        while at < len(data):
            number, mask, cookie, length = _HEAD.unpack_from(data, at)
            name = data[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0")
            at += _HEAD.size + length
            for bit, kind in _KINDS.items():
                if mask & bit and number in self._places:
                    yield Happened(kind, self._places[number], os.fsdecode(name), cookie)
