"""What every service manager can be asked, and how its tool is called."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from taskdir.errors import NoDaemon, TaskdirError
from taskdir.service.job import Job

Words = Sequence[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a service stands. ``said`` is the manager's own sentence about it."""

    active: Literal["running", "starting", "stopped", "failed", "unknown"]
    pid: int | None = None
    said: str | None = None


class Manager:
    """A service manager: where its files are, what is in them, and the commands that it understands."""

    name = ""
    tool = ""
    encoding = "utf-8"

    def service(self, job: Job) -> str:
        """The service's name with the manager."""
        raise NotImplementedError

    def path(self, job: Job) -> str:
        """The file that is written."""
        raise NotImplementedError

    def text(self, job: Job) -> str:
        """What is in it."""
        raise NotImplementedError

    def after_writing(self, job: Job) -> list[Words]:
        """The commands that make a written file known, and have it start at boot or log-in."""
        raise NotImplementedError

    def before_removing(self, job: Job) -> list[Words]:
        """The commands that stop it, and have it start no more."""
        raise NotImplementedError

    def after_removing(self, job: Job) -> list[Words]:
        """The commands that make its absence known."""
        return []

    def starting(self, job: Job) -> list[Words]:
        """The commands that start it; those that ``may_fail`` may."""
        raise NotImplementedError

    def stopping(self, job: Job) -> list[Words]:
        """The commands that stop it."""
        raise NotImplementedError

    def standing(self, job: Job) -> Standing:
        """Ask how it stands."""
        raise NotImplementedError

    def logging(self, job: Job, lines: int, *, follow: bool) -> Words:
        """The command that prints what the daemon said. Raises NoDaemon where nothing keeps it."""
        raise NotImplementedError

    def call(self, words: Words, *, may_fail: bool = False) -> str:
        """Run a command of the manager's tool; returns what it printed. Raises NoDaemon, TaskdirError when it fails."""
        try:
            done = subprocess.run(
                [self.found(words[0]), *words[1:]], capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise NoDaemon("no-manager", f"{words[0]} cannot be run: {error}", hint=self._elsewhere()) from None
        if done.returncode == 0 or may_fail:
            return done.stdout
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").replace("\n", "; ")
        if self.is_absent(said):
            raise NoDaemon("no-manager", f"{self.name} does not run here: {said}", hint=self._elsewhere())
        hint = "`taskdir service status` and `taskdir service logs` tell more"
        raise TaskdirError("service-failed", f"{' '.join(words)}: {said}", hint=hint)

    def found(self, tool: str) -> str:
        """Return where a tool is. Raises NoDaemon where it is not."""
        path = shutil.which(tool)
        if path is None:
            message = f"there is no {tool} here: {self.name} cannot be asked"
            raise NoDaemon("no-manager", message, hint=self._elsewhere())
        return path

    def is_absent(self, said: str) -> bool:
        """Say whether a failure means that the manager itself does not run."""
        return False

    def _elsewhere(self) -> str:
        return "`taskdir service print` shows what another machine needs; `taskdir run` is the daemon in the foreground"


def home(job: Job, *parts: str) -> str:
    """Return a path in the user's home."""
    return os.path.join(job.home, *parts)
