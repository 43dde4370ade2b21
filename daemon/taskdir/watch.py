"""Hints that something changed: inotify on Linux, watchdog elsewhere; only this module knows either (SPEC 10.2).

A hint says "look again" and nothing else; a scan every scan_seconds makes the protocol right without any. On Linux the
kernel keeps the events until the daemon waits, so a busy daemon pays nothing for them and needs no second thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import struct
import sys
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger("taskdir")

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE = 0x8, 0x40, 0x80, 0x100
_OVERFLOW, _GONE, _IS_DIR = 0x4000, 0x8000, 0x40000000
_APPEARS = _CLOSE_WRITE | _MOVED_TO | _CREATE
_HEAD = struct.Struct("iIII")
_CHUNK = 65536
_ASKED = ("inbox", "claimed", "agents", "contracts", "taskdir.json")


class Source(Protocol):
    """What notices changes. ``fd`` is readable when there may be news, -1 for a source that wakes by itself."""

    fd: int

    def heard(self) -> bool:
        """Forget the events so far; says whether one of them was in a place that others write."""

    def close(self) -> None:
        """Stop."""


class Hints:
    """Wakes the daemon when an agent's or operator's place changed; its own writes do not wake it."""

    def __init__(self, root: str) -> None:
        """Start watching ``root``. Where that is impossible, scanning alone goes on, with a warning."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._source: Source | None = None
        try:
            self._source = SOURCE(root, self.wake)
        except OSError as error:
            log.warning("no file watching (%s): changes are seen by scanning only; see `taskdir doctor`", error)

    def pace(self, worked: bool, seconds: float) -> bool:
        """Take a breath between two passes; says whether the time ran out with nothing heard.

        After a pass that did something the next one follows at once.
        """
        return not worked and not self.wait(seconds)

    @property
    def wakeup_fd(self) -> int:
        """The descriptor that ends a wait when a byte is written to it (for signal.set_wakeup_fd)."""
        return self._write

    def wait(self, seconds: float) -> bool:
        """Wait for a hint, at most ``seconds``; says whether there was one, and forgets it."""
        fds = [self._read]
        if self._source is not None and self._source.fd >= 0:
            fds.append(self._source.fd)
        while True:
            ready, _, _ = select.select(fds, [], [], max(0.0, seconds))
            woken = self._read in ready
            with contextlib.suppress(BlockingIOError):
                while woken and len(os.read(self._read, 4096)) == 4096:
                    pass
            heard = len(ready) > woken and self._hear()
            if woken or heard or not ready:
                return woken or heard

    def _hear(self) -> bool:
        try:
            return self._source is not None and self._source.heard()
        except OSError as error:
            log.warning("file watching ended (%s): changes are seen by scanning only", error)
            if self._source is not None:
                self._source.close()
            self._source = None
            return True

    def wake(self) -> None:
        """End the wait at once."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b".")

    def close(self) -> None:
        """Stop watching."""
        if self._source is not None:
            self._source.close()
        os.close(self._read)
        os.close(self._write)


class Inotify:
    """Linux: one flat watch on each directory that others write, none on the daemon's own."""

    def __init__(self, root: str, wake: Callable[[], None]) -> None:
        """Raises OSError where the kernel refuses a watch. ``wake`` is not needed: ``fd`` ends a wait."""
        self._root = os.fsencode(root)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._watches: dict[int, bytes] = {}
        self.fd = self._call(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            self._watch_all()
        except OSError:
            os.close(self.fd)
            raise

    def _call(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def _watch_all(self) -> None:
        """Watch what is there; a directory that is watched already stays so. The root tells of new ones."""
        self._watch(b"", _APPEARS)
        self._watch(b"inbox", _APPEARS)
        self._watch(b"contracts", _APPEARS)
        self._watch(os.path.join(b"contracts", b"state"), _APPEARS)
        self._watch(b"claimed", _APPEARS)
        for agent in self._inner(b"claimed"):
            self._watch(os.path.join(b"claimed", agent), _APPEARS | _MOVED_FROM)
        self._watch(b"agents", _APPEARS)
        for agent in self._inner(b"agents"):
            self._watch(os.path.join(b"agents", agent, b"inbox"), _APPEARS)

    def _inner(self, place: bytes) -> list[bytes]:
        with contextlib.suppress(OSError), os.scandir(os.path.join(self._root, place)) as found:
            return [each.name for each in found if each.is_dir(follow_symlinks=False)]
        return []

    def _watch(self, place: bytes, mask: int) -> None:
        path = os.path.join(self._root, place)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            self._watches[self._call(self._libc.inotify_add_watch(self.fd, path, ctypes.c_uint32(mask)))] = place

    def heard(self) -> bool:
        """See Source. Of very many events the first ones tell enough."""
        found = changed = False
        with contextlib.suppress(BlockingIOError):
            for watch, mask, name in _events(os.read(self.fd, _CHUNK)):
                changed = changed or bool(mask & (_IS_DIR | _OVERFLOW | _GONE))
                found = found or self._is_asked(watch, mask, name)
                if mask & _GONE:
                    self._watches.pop(watch, None)
            while os.read(self.fd, _CHUNK):
                found = changed = True
        if changed:
            with contextlib.suppress(OSError):  # a kernel out of watches: then scanning sees that directory
                self._watch_all()
        return found

    def _is_asked(self, watch: int, mask: int, name: bytes) -> bool:
        if mask & _OVERFLOW:
            return True
        place = self._watches.get(watch)
        if place is None:
            return False
        if mask & _MOVED_FROM:  # a claim that is given back by moving it away; results are moved by the daemon
            return not name.startswith(b".") and not name.endswith(b".result.json")
        return not name.startswith(b".") and (place != b"" or os.fsdecode(name) in _ASKED)

    def close(self) -> None:
        """Stop watching."""
        os.close(self.fd)


def _events(data: bytes) -> list[tuple[int, int, bytes]]:
    """Take what the kernel wrote apart: (watch, mask, file name) for each event."""
    found, at = [], 0
    while at < len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size + length
        found.append((watch, mask, data[at - length : at].rstrip(b"\0")))
    return found


class Watchdog:
    """Elsewhere: watchdog's observer, one recursive watch, which calls ``wake`` from its own thread."""

    def __init__(self, root: str, wake: Callable[[], None]) -> None:
        """Raises OSError where the system refuses to watch."""
        from watchdog import events
        from watchdog.observers import Observer

        self.fd = -1
        self._root, self._wake = os.fsencode(root), wake
        handler = events.FileSystemEventHandler()
        handler.on_any_event = self.note  # type: ignore[method-assign]
        kinds: list[type[events.FileSystemEvent]] = [
            events.FileCreatedEvent,
            events.FileClosedEvent,
            events.FileMovedEvent,
            events.DirCreatedEvent,
            events.DirMovedEvent,
        ]
        self._observer = Observer()
        self._observer.start()
        try:
            self._observer.schedule(handler, root, recursive=True, event_filter=kinds)
        except OSError:
            self.close()
            raise

    def note(self, event: object) -> None:
        """Wake if an event is in a place that others write (called in the observer's thread)."""
        target, source = os.fsencode(getattr(event, "dest_path", "")), os.fsencode(getattr(event, "src_path", ""))
        place = os.path.relpath(target or source, self._root).split(b"/")[0]
        if self._is_asked(target or source) or (place == b"ready" and self._is_asked(source)):
            self._wake()

    def _is_asked(self, path: bytes) -> bool:
        parts = os.path.relpath(path, self._root).split(b"/")
        return os.fsdecode(parts[0]) in _ASKED and not parts[-1].startswith(b".")

    def heard(self) -> bool:
        """See Source: it wakes by itself."""
        return False

    def close(self) -> None:
        """Stop watching."""
        self._observer.stop()
        self._observer.join(timeout=5)


SOURCE: Callable[[str, Callable[[], None]], Source] = Inotify if sys.platform == "linux" else Watchdog
