"""Hints that something changed, through watchdog, which only this module imports (SPEC section 10.2).

A hint says "look again" and nothing else; a scan every scan_seconds makes the protocol right without any. One recursive
watch on the root: with flat ones, an unpaired move out of a watched directory holds back later events for 500 ms.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

log = logging.getLogger("taskdir")

_KINDS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
BUSY_PASSES, IDLE_LOOKS, LOOK_SECONDS = 8, 25, 0.002
_ASKED = ("inbox", "claimed", "contracts", "taskdir.json")


class Hints(FileSystemEventHandler):
    """Wakes the daemon when an agent's or operator's place changed; its own writes do not wake it."""

    def __init__(self, root: str) -> None:
        """Start watching ``root``. Where that is impossible, scanning alone goes on, with a warning."""
        self._root = os.fsencode(root)
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._observer = Observer()
        self._observer.start()
        self._listening = False
        self._worked = self._idle = 0
        self._listen()

    def _listen(self) -> None:
        try:
            self._observer.schedule(self, os.fsdecode(self._root), recursive=True, event_filter=_KINDS)
        except OSError as error:
            log.warning("no file watching (%s): changes are seen by scanning only; see `taskdir doctor`", error)
        self._listening = True

    def pace(self, worked: bool, seconds: float) -> bool:
        """Take a breath between two passes; says whether the time ran out with nothing heard.

        After a pass that did something the next one follows at once. While that goes on, events are switched off: each
        costs more than a look. They come back after a short idle time, followed by a look at what was missed.
        """
        if worked:
            self._worked, self._idle = self._worked + 1, 0
            if self._worked == BUSY_PASSES:
                self._observer.unschedule_all()
                self._listening = False
            return False
        if self._listening:
            self._worked = 0
            return not self.wait(seconds)
        self._idle += 1
        if self._idle <= IDLE_LOOKS:
            self.wait(min(seconds, LOOK_SECONDS))
        else:
            self._listen()
        return False

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note an event if it is in a place that others write (called in the observer's thread)."""
        target = os.fsencode(event.dest_path or event.src_path)
        parts = os.path.relpath(target, self._root).split(b"/")
        given_back = parts[0] == b"ready" and self._is_asked(os.fsencode(event.src_path))
        if self._is_asked(target) or given_back:
            self.wake()

    def _is_asked(self, path: bytes) -> bool:
        parts = os.path.relpath(path, self._root).split(b"/")
        return os.fsdecode(parts[0]) in _ASKED and not parts[-1].startswith(b".")

    @property
    def wakeup_fd(self) -> int:
        """The descriptor that ends a wait when a byte is written to it (for signal.set_wakeup_fd)."""
        return self._write

    def wait(self, seconds: float) -> bool:
        """Wait for a hint, at most ``seconds``; says whether there was one, and forgets it."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._read, 4096)) == 4096:
                pass
        return bool(ready)

    def wake(self) -> None:
        """End the wait at once."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b".")

    def close(self) -> None:
        """Stop watching."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(timeout=5)
        os.close(self._read)
        os.close(self._write)
