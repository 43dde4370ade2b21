"""Real processes that start quickly, so that hundreds can be killed: forks of one that has loaded the package already.

A fork is killed with -9, leaves its locks and files as any process does, and shares nothing with its parent afterwards.
For a program with one thread; what a child says on stderr goes to the file that it is given.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from taskdir.cli import main, run
from taskdir.daemon import Daemon
from taskdir.watch import Hints

LOADED = (run, Daemon, Hints)
"""What a daemon needs is loaded once, here."""


class Forked:
    """A child that runs a function to its end, or to its own; ``code`` is as for subprocess: -9 for killed."""

    def __init__(self, words: Path, function: Callable[[], object]) -> None:
        """Start it. What ``function`` returns is the exit code, None is 0, an exception 70."""
        self.code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _live(words, function)

    def poll(self) -> int | None:
        """Return the exit code once it is over."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def kill(self) -> int:
        """Kill it with -9 and bury it; returns the exit code."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def stop(self) -> int:
        """Ask it to end; returns the exit code."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait()


def _live(words: Path, function: Callable[[], object]) -> None:
    code = 70
    try:
        fd = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(fd, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        answer = function()
        code = answer if isinstance(answer, int) else 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def daemon(root: Path, words: Path) -> Forked:
    """Start ``taskdir run`` on a root."""
    return Forked(words, partial(main, ["--root", str(root), "run"]))
