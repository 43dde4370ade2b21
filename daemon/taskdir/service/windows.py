"""The Task Scheduler of Windows: a task that starts at log-on, or at boot. Not run there: see docs/service.md."""

from __future__ import annotations

import os
import subprocess
from xml.sax.saxutils import escape

from taskdir.errors import NoDaemon
from taskdir.service.job import Job
from taskdir.service.manager import Manager, Standing, Words, home
from taskdir.service.seal import seal

_TASK = """<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>taskdir: the daemon of {root}</Description>
  </RegistrationInfo>
  <Triggers>
    {trigger}
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{user}</UserId>
      <LogonType>{logon}</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>10</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{command}</Command>
      <Arguments>{arguments}</Arguments>
      <WorkingDirectory>{root}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"""
_AT_LOGON = "<LogonTrigger><UserId>{user}</UserId></LogonTrigger>"
_AT_BOOT = "<BootTrigger/>"


class TaskScheduler(Manager):
    """Asked by schtasks. Its files are UTF-16, and without an XML declaration, so that printed ones are right too."""

    name = "windows"
    tool = "schtasks"
    encoding = "utf-16"

    def service(self, job: Job) -> str:
        """See Manager."""
        return f"taskdir-{job.label}"

    def path(self, job: Job) -> str:
        """See Manager."""
        local = os.environ.get("LOCALAPPDATA") or home(job, "AppData", "Local")
        return os.path.join(local, "taskdir", f"{self.service(job)}.xml")

    def text(self, job: Job) -> str:
        """See Manager."""
        user = escape(job.user)
        task = _TASK.format(
            root=escape(job.root),
            trigger=_AT_BOOT if job.system else _AT_LOGON.format(user=user),
            user=user,
            logon="S4U" if job.system else "InteractiveToken",
            command=escape(job.command[0]),
            arguments=escape(subprocess.list2cmdline(job.words[1:])),
        )
        first = task[: task.index("\n") + 1]
        return seal(task, "  <!-- {} -->", after=first)

    def after_writing(self, job: Job) -> list[Words]:
        """See Manager."""
        return [["schtasks", "/create", "/tn", self.service(job), "/xml", self.path(job), "/f"]]

    def before_removing(self, job: Job) -> list[Words]:
        """See Manager."""
        return [["schtasks", "/delete", "/tn", self.service(job), "/f"]]

    def starting(self, job: Job) -> list[Words]:
        """See Manager."""
        return [["schtasks", "/run", "/tn", self.service(job)]]

    def stopping(self, job: Job) -> list[Words]:
        """Ends the process at once; the next start mends what it leaves."""
        return [["schtasks", "/end", "/tn", self.service(job)]]

    def standing(self, job: Job) -> Standing:
        """See Manager. The tool's words are in the language of the system, so they are told and not read."""
        said = self.call(["schtasks", "/query", "/tn", self.service(job), "/fo", "CSV", "/nh"], may_fail=True).strip()
        return Standing("unknown", said=said or "not known to the Task Scheduler")

    def logging(self, job: Job, lines: int, *, follow: bool) -> Words:
        """See Manager."""
        message = "the Task Scheduler keeps nothing of what a program says"
        raise NoDaemon("no-logs", message, hint="`taskdir log -f` shows every fact; `taskdir run` says the rest")
