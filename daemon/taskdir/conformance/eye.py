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
    """Watches directories of a root. Raises NotTested where there is no inotify."""

    def __init__(self, root: Path, *places: str) -> None:
        if sys.platform != "linux":
            raise NotTested("how files come and go is seen on Linux only")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise NotTested(f"inotify: {os.strerror(ctypes.get_errno())}")
        self._places: dict[int, str] = {}
        for place in places:
            number = self._libc.inotify_add_watch(self._fd, os.fsencode(root / place), sum(_KINDS))
            if number < 0:
                why = os.strerror(ctypes.get_errno())
                os.close(self._fd)
                raise NotTested(f"inotify: {why}")
            self._places[number] = place

    def __enter__(self) -> Eye:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def seen(self, seconds: float = 0.0) -> list[Happened]:
        """Return what happened since the last call; waits up to ``seconds`` for something."""
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
