"""launchd, on macOS: a property list for each root, of the system or of a user. Not run there: see docs/service.md."""

from __future__ import annotations

import os
import plistlib
import re

from taskdir.errors import NoDaemon
from taskdir.service.job import Job
from taskdir.service.manager import Manager, Standing, Words, home
from taskdir.service.seal import seal


class Launchd(Manager):
    """Asked by launchctl, version 2 (macOS 10.11 or later)."""

    name = "launchd"
    tool = "launchctl"

    def service(self, job: Job) -> str:
        """See Manager."""
        return f"taskdir.{job.label}"

    def path(self, job: Job) -> str:
        """See Manager."""
        file = f"{self.service(job)}.plist"
        return f"/Library/LaunchDaemons/{file}" if job.system else home(job, "Library", "LaunchAgents", file)

    def text(self, job: Job) -> str:
        """See Manager."""
        wanted: dict[str, object] = {
            "Label": self.service(job),
            "ProgramArguments": [*job.words],
            "WorkingDirectory": job.root,
            "EnvironmentVariables": {"PYTHONFAULTHANDLER": "1"},
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},  # again after a crash, not after a stop
            "ThrottleInterval": 10,
            "ExitTimeOut": 60,  # seconds for the pass in hand
            "StandardErrorPath": self._words(job),
        }
        if job.system:
            wanted["UserName"] = job.user
        text = plistlib.dumps(wanted, sort_keys=False).decode()
        return seal(text, "<!-- {} -->", after='<?xml version="1.0" encoding="UTF-8"?>\n')

    def _words(self, job: Job) -> str:
        file = f"{self.service(job)}.log"
        return f"/Library/Logs/{file}" if job.system else home(job, "Library", "Logs", file)

    def _domain(self, job: Job) -> str:
        return "system" if job.system else f"gui/{os.getuid()}"

    def after_writing(self, job: Job) -> list[Words]:
        """See Manager."""
        return [["launchctl", "enable", f"{self._domain(job)}/{self.service(job)}"]]

    def before_removing(self, job: Job) -> list[Words]:
        """See Manager."""
        return self.stopping(job)

    def starting(self, job: Job) -> list[Words]:
        """See Manager."""
        return [["launchctl", "bootstrap", self._domain(job), self.path(job)]]

    def stopping(self, job: Job) -> list[Words]:
        """See Manager."""
        return [["launchctl", "bootout", f"{self._domain(job)}/{self.service(job)}"]]

    def standing(self, job: Job) -> Standing:
        """See Manager."""
        said = self.call(["launchctl", "print", f"{self._domain(job)}/{self.service(job)}"], may_fail=True)
        state = re.search(r"^\s*state = (.+)$", said, re.M)
        pid = re.search(r"^\s*pid = (\d+)$", said, re.M)
        if state is None:
            return Standing("stopped", said="not loaded")
        return Standing("running" if pid else "stopped", int(pid[1]) if pid else None, state[1])

    def logging(self, job: Job, lines: int, *, follow: bool) -> Words:
        """See Manager."""
        path = self._words(job)
        if not os.path.exists(path):
            raise NoDaemon("no-logs", "the service has said nothing yet", path=path, hint="`taskdir service start`")
        return ["tail", "-n", str(lines), *(["-F"] if follow else []), path]
