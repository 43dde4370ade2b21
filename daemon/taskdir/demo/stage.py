"""The demo's processes: a daemon on a fresh root and its workers, seen from outside through the log.

Waiting is always for a fact, with a limit. Whoever leaves the stage, by an error or by Ctrl-C, kills everybody on it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from taskdir import gestures
from taskdir.disk import Disk
from taskdir.documents import Event
from taskdir.errors import TaskdirError, TimedOut
from taskdir.logread import Follower
from taskdir.places import Places

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds that a single fact may take; only a defect takes that long."""

_GRACE = 3.0
"""Seconds between the request to end and the kill, when we leave early."""

_PACKAGE_HOME = str(Path(__file__).resolve().parents[2])


class Stage:
    """A root and the processes at it. ``events`` is the log as far as it was read."""

    def __init__(self, root: str, folder: str, tick: Callable[[list[Event]], None]) -> None:
        """``tick`` is told the events each time that there are new ones."""
        self.places, self.disk, self.events = Places(root), Disk(), list[Event]()
        self.folder, self._tick, self._follower = folder, tick, Follower(root)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._words: dict[str, IO[bytes]] = {}
        path = os.pathsep.join(filter(None, (_PACKAGE_HOME, os.environ.get("PYTHONPATH"))))
        self._env = {k: v for k, v in os.environ.items() if k != "TASKDIR"} | {"PYTHONPATH": path}

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for process in self._running.values():
                _signal(process, signal.SIGTERM)
            for process in self._running.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE)
        finally:
            for process in self._running.values():
                _signal(process, signal.SIGKILL)
                process.wait()
            for words in self._words.values():
                words.close()

    def taskdir(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one taskdir command at the root to its end."""
        command = [sys.executable, "-m", "taskdir", *words]
        return subprocess.run(
            command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def enter(self, name: str, *command: str) -> None:
        """Start a process in a session of its own, so that a Ctrl-C at the terminal is ours alone to pass on."""
        self._words[name] = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self._running[name] = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._words[name],
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def running(self) -> list[str]:
        """Return the names of those who were started and not yet sent away."""
        return list(self._running)

    def kill(self, name: str) -> None:
        """Kill a process with -9, and with it what it started."""
        process = self._running.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait()

    def dismiss(self, *names: str) -> None:
        """Ask processes to end, and wait for them."""
        for name in names:
            _signal(self._running[name], signal.SIGTERM)
        for name in names:
            self._running[name].wait(PATIENCE)
            del self._running[name]

    def until(self, true: Callable[[], T | None], what: str) -> T:
        """Read the log until ``true`` returns something. Raises TaskdirError when a process ended, TimedOut."""
        limit = time.monotonic() + PATIENCE
        while True:
            self._read()
            found = true()
            if found:
                return found
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise TaskdirError("demo-ended", f"{name} ended by itself: {self.last_words(name)}")
            if time.monotonic() > limit:
                raise TimedOut("timed-out", f"waited {PATIENCE:g} s in vain for {what}")
            time.sleep(0.02)

    def _read(self) -> None:
        news = [event for batch in self._follower.news() for event in batch.events]
        self.events += news
        if news:
            self._tick(self.events)

    def logged(self, kind: str, **fields: Any) -> list[Event]:
        """Return the events of a kind that have these fields."""
        wanted = fields | {"event": kind}
        return [event for event in self.events if wanted.items() <= event.items()]

    def submit(self, id: str, message: dict[str, Any]) -> None:
        """Publish a message in inbox/."""
        gestures.submit(self.places, self.disk, message, id)

    def last_words(self, name: str) -> str:
        """Return the end of what a process said."""
        words = self._words[name]
        words.seek(max(0, words.seek(0, os.SEEK_END) - 1000))
        return words.read().decode(errors="replace").strip() or "it said nothing"


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process that we started and to its children, if it is still there."""
    if process.poll() is None:
        os.killpg(process.pid, number)
