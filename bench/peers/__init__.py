"""One driver interface for every queue that is measured: ours, the floor under it, and the peers.

A peer is started in an empty directory on the file system to be measured, gives each process a client of its own, and
is stopped at the end. Clients speak bytes: the same JSON message of about 300 bytes goes through every queue.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import time
from collections.abc import Callable
from typing import Any


class Skip(Exception):
    """The peer cannot run here; the text says what is missing."""


def need(module: str) -> Any:
    """Import what only this peer wants. Raises Skip."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Skip(f"Python package missing: {error.name}") from None


def program(name: str, *places: str) -> str:
    """Find a program, in ``places`` beside $PATH. Raises Skip."""
    found = shutil.which(name) or next(filter(None, (shutil.which(name, path=each) for each in places)), None)
    if found is None:
        raise Skip(f"program missing: {name}")
    return found


class Client:
    """What one process does with a queue. ``try_get`` returns a handle and the body, or None; ``done`` completes it."""

    nap = 0.001
    """Seconds between two looks, for queues that cannot wake a reader."""

    def put(self, body: bytes) -> None:
        """Submit one message; returns when the queue says that it has it."""
        raise NotImplementedError

    def try_get(self) -> tuple[Any, bytes] | None:
        """Take one message if there is one."""
        raise NotImplementedError

    def get(self, seconds: float) -> tuple[Any, bytes] | None:
        """Take one message, waiting so long for one."""
        until = time.monotonic() + seconds
        while (found := self.try_get()) is None and time.monotonic() < until:
            time.sleep(self.nap)
        return found

    def done(self, handle: Any) -> None:
        """Complete what was taken."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of connections."""


class Peer:
    """A queue. ``promise``: when what it acknowledged is on the disk; ``share``: of the tasks, what a slow one gets."""

    name = ""
    promise = ""
    package = ""
    """What its version is asked of: a distribution of PyPI."""
    share = 1.0

    def start(self, home: str) -> None:
        """Begin, with all data under ``home``. Raises Skip."""
        raise NotImplementedError

    def stop(self) -> None:
        """End; processes that were started are gone afterwards."""

    def client(self) -> Client:
        """Make the client of one process."""
        raise NotImplementedError

    def settle(self, tasks: int) -> None:
        """Return when so many completed tasks are final and durable."""

    def version(self) -> str:
        """Say what is measured."""
        return f"{self.package} {importlib.metadata.version(self.package)}" if self.package else ""

    def consume(self, took: Callable[[bytes], None], over: Callable[[], bool]) -> None:
        """Be a worker until it is over; ``took`` is told of each message once it is complete."""
        client = self.client()
        while not over():
            found = client.get(0.2)
            if found is not None:
                client.done(found[0])
                took(found[1])
        client.close()
