"""One command: started with nothing on stdin, in a session of its own, within limits; at its end nothing of it runs.

The process adopts orphans (``system``), so that whoever leaves the group by setsid or a double fork becomes a child of
ours: "no children left" is exact. It runs one command at a time, so every child belongs to that.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from taskdir.disk import Disk, write_all
from taskdir.errors import TaskdirError
from taskdir.runner import processes
from taskdir.runner.options import POLL_SECONDS
from taskdir.system import HERE

KILL_SECONDS = 30.0
"""How long to go on killing; what outlives that hangs in the kernel."""
CHUNK, ROUNDS = 1 << 16, 64
"""Bytes read at a time, and reads before the clock is looked at again."""


class Limits(NamedTuple):
    """What a command may use: wall-clock seconds, bytes of output, and seconds between SIGTERM and SIGKILL."""

    seconds: float
    output: int
    grace: float


class Job(NamedTuple):
    """What to run, where, and which files take its stdout and stderr."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    files: tuple[str, str]
    limits: Limits


class Ended(NamedTuple):
    """How a command ended: by itself (``why``: "exit"), or stopped: "timeout", "output-limit", or ``watch``'s word.

    ``code`` is the exit code, of a signal minus its number; None when it could not be started (``why``: "no-start").
    """

    why: str
    code: int | None


class Command:
    """A running command and everything that it started."""

    def __init__(self, argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
        """Start it. Raises OSError."""
        self._exact = HERE.adopt_orphans()
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def code(self) -> int | None:
        """Return the exit code of the command itself, None while it runs."""
        return self.process.poll()

    def stop(self, grace: float) -> None:
        """End all of it: SIGTERM, after ``grace`` seconds SIGKILL. Raises TaskdirError when something will not die."""
        if not self._left():
            return
        self._signal(signal.SIGTERM)
        until = time.monotonic() + grace
        while self._left() and time.monotonic() < until:
            time.sleep(0.01)
        until = time.monotonic() + KILL_SECONDS
        while self._left():
            self._signal(signal.SIGKILL)
            if time.monotonic() > until:
                stuck = f"a process of {self.process.args!a} cannot be killed"
                raise TaskdirError(
                    "unkillable", stuck, hint="it hangs in the kernel: look at `ps`, and at what it uses"
                )
            time.sleep(0.01)

    def _left(self) -> bool:
        """Say whether anything of it runs; reaps what has ended."""
        if not self._exact:
            self.process.poll()
            return _group_lives(self.process.pid)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.process.pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)

    def _signal(self, number: signal.Signals) -> None:
        if not self._exact or self.process.returncode is None:  # else its number may be somebody else's by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)
        for pid in processes.descendants(os.getpid()) if self._exact else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def run(job: Job, watch: Callable[[], str | None], began: Callable[[int], None], disk: Disk) -> Ended:
    """Run a command to its end, and end what it left behind; ``began`` is told its pid, which is its session's, too.

    ``watch`` is asked all the time; a word from it stops the command. What is printed beyond the limit is dropped.
    """
    sinks = [disk.open_log(path) for path in job.files]
    try:
        command = _start(job, sinks[1])
        if command is None:
            return Ended("no-start", None)
        with contextlib.closing(_Pipes(command.process, sinks, job.limits.output)) as pipes:
            try:
                began(command.process.pid)
                why = _until_end(command, pipes, job.limits, watch)
            finally:
                command.stop(job.limits.grace)
            pipes.move(0)
            return Ended("output-limit" if why == "exit" and pipes.full else why, command.code())
    finally:
        for fd in sinks:
            os.close(fd)


def _start(job: Job, stderr: int) -> Command | None:
    try:
        return Command(job.argv, job.cwd, job.env)
    except (OSError, ValueError) as error:
        said = f"{job.argv[0]}: {error.strerror if isinstance(error, OSError) else error}\n"
        write_all(stderr, said.encode("utf-8", "replace"))
        return None


def _until_end(command: Command, pipes: _Pipes, limits: Limits, watch: Callable[[], str | None]) -> str:
    until = time.monotonic() + limits.seconds
    while command.code() is None:
        pipes.move(POLL_SECONDS)
        if (word := watch()) is not None:
            return word
        if pipes.full:
            return "output-limit"
        if time.monotonic() >= until:
            return "timeout"
    return "exit"


class _Pipes:
    """What a command prints, on its way into two files."""

    def __init__(self, process: subprocess.Popen[bytes], sinks: list[int], limit: int) -> None:
        self._selector, self._left, self.full = selectors.DefaultSelector(), limit, False
        self._pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
        for pipe, sink in zip(self._pipes, sinks, strict=True):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, sink)

    def move(self, seconds: float) -> None:
        """Write down what is there, waiting so long for the first bytes."""
        if not self._selector.get_map():
            time.sleep(min(seconds, 0.01))  # both are closed: the command is about to end
            return
        for _ in range(ROUNDS):
            for key, _ in self._selector.select(seconds):
                try:
                    data = os.read(key.fd, CHUNK)
                except BlockingIOError:
                    continue
                if not data:
                    self._selector.unregister(key.fileobj)
                self.full = self.full or len(data) > self._left
                data = data[: self._left]
                self._left -= len(data)
                if data:
                    write_all(key.data, data)
            if self.full or not self._selector.get_map():
                return
            seconds = 0

    def close(self) -> None:
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
