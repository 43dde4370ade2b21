"""Locks, through portalocker, which only this module imports (SPEC sections 7.6 and 10.1).

The daemon's lock is on the root directory itself, so there is no lock file to lose. A probe takes a *shared* lock and
lets it go at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import portalocker

from taskdir.errors import Busy, Missing
from taskdir.system import HERE

_EXCLUSIVE = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
_SHARED = portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING


class RootLock:
    """The one daemon of a root: an exclusive lock on the directory, held until ``release`` or the process ends."""

    def __init__(self, root: str, patience: float = 1.0) -> None:
        """Lock ``root``; tries for ``patience`` seconds, since a client may be probing. Raises Busy."""
        self._root = root
        self._fd = HERE.open_root(root, make=True)
        until = time.monotonic() + patience
        while True:
            try:
                portalocker.lock(self._fd, _EXCLUSIVE)
                return
            except portalocker.AlreadyLocked:
                if time.monotonic() >= until:
                    os.close(self._fd)
                    raise Busy("already-running", "a daemon is already running here", path=root) from None
                time.sleep(0.02)

    def check(self) -> None:
        """Raise Missing when the root is no longer where it was: what is there now is not ours."""
        if not HERE.is_root(self._fd, self._root):
            told = "the root was moved, deleted or replaced while its daemon ran; nothing more is written"
            hint = "start a daemon where the root is now: taskdir --root DIR run"
            raise Missing("root-gone", told, path=self._root, hint=hint)

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Look before, and again if something fails: a root that goes meanwhile takes its directories along.

        Raises Missing as ``check`` does.
        """
        self.check()
        try:
            yield
        except OSError:
            self.check()
            raise

    def release(self) -> None:
        """Let the root go."""
        os.close(self._fd)


def is_held(path: str) -> tuple[bool, int] | None:
    """Probe a claimed file: (somebody holds it locked, its inode). None when it is gone or cannot be opened."""
    try:
        fd = os.open(path, HERE.read_flags)
    except OSError:
        return None
    try:
        inode = os.fstat(fd).st_ino
        try:
            portalocker.lock(fd, _SHARED)
        except portalocker.AlreadyLocked:
            return True, inode
        return False, inode
    finally:
        os.close(fd)
