"""systemd: a unit for each root, taskdir@<escaped path>.service, of the system or of a user.

What is shut: everything that the daemon does not need. What is left open: other processes and /proc/sys can be seen,
since who holds a lock, and how many watches there are, is read there.
"""

from __future__ import annotations

import os
import re

from taskdir.service.job import Job
from taskdir.service.manager import Manager, Standing, Words, home
from taskdir.service.seal import seal

WATCHDOG_SECONDS = 300
"""A pass that takes longer is taken for one that hangs; the longest honest one is a batch of 100,000 on a slow disk."""

_UNIT = """[Unit]
Description=taskdir: the daemon of {root}
RequiresMountsFor={path}
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# Ready after the first pass: with an index to be rebuilt from a long log that may take minutes.
TimeoutStartSec=infinity
# Each pass is a sign of life. One that hangs is ended, with the place where it hung told in the log.
WatchdogSec={watchdog}
Environment=PYTHONFAULTHANDLER=1
LimitCORE=0
Restart=on-failure
RestartSec=2
# No root, bad settings, a daemon that is there already: somebody has to look.
RestartPreventExitStatus=2 66 75 78
{rest}
"""

_BOTH = """
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""

_SYSTEM = """CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={path}
{tmp}PrivateDevices=yes
PrivateNetwork=yes
PrivateUsers=yes
IPAddressDeny=any
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RemoveIPC=yes

[Install]
WantedBy=multi-user.target"""

_USER = """# A user's manager may not set up the rest of what the system's unit has.

[Install]
WantedBy=default.target"""

_ACTIVE: dict[str, str] = {"active": "running", "reloading": "running", "activating": "starting", "failed": "failed"}


class Systemd(Manager):
    """Asked by systemctl and journalctl."""

    name = "systemd"
    tool = "systemctl"

    def service(self, job: Job) -> str:
        """See Manager."""
        return f"taskdir@{job.instance}.service"

    def path(self, job: Job) -> str:
        """See Manager."""
        if job.system:
            return f"/etc/systemd/system/{self.service(job)}"
        config = os.environ.get("XDG_CONFIG_HOME") or home(job, ".config")
        return os.path.join(config, "systemd", "user", self.service(job))

    def text(self, job: Job) -> str:
        """See Manager."""
        hides_tmp = any(re.match(r"/(var/)?tmp(/|$)", path) for path in (job.root, job.command[0]))
        own = _quote(f"TMPDIR={job.root}/.taskdir")
        tmp = f"# No PrivateTmp: it would hide this root.\nEnvironment={own}\n" if hides_tmp else "PrivateTmp=yes\n"
        scope = _SYSTEM.format(path=_quote(job.root), tmp=tmp) if job.system else _USER
        rest = (f"User={job.user}\n" if job.system else "") + _BOTH + scope
        command = " ".join([_quote(job.command[0]), *(_quote(word).replace("$", "$$") for word in job.words[1:])])
        unit = _UNIT.format(
            root=job.root.replace("%", "%%"),
            path=_quote(job.root),
            command=command,
            watchdog=WATCHDOG_SECONDS,
            rest=rest,
        )
        return seal(unit, "# {}")

    def _ctl(self, job: Job, *words: str) -> Words:
        return ["systemctl", *([] if job.system else ["--user"]), "--no-pager", *words]

    def after_writing(self, job: Job) -> list[Words]:
        """See Manager."""
        return [self._ctl(job, "daemon-reload"), self._ctl(job, "enable", self.service(job))]

    def before_removing(self, job: Job) -> list[Words]:
        """See Manager."""
        return [self._ctl(job, "disable", "--now", self.service(job))]

    def after_removing(self, job: Job) -> list[Words]:
        """See Manager."""
        return [self._ctl(job, "daemon-reload")]

    def starting(self, job: Job) -> list[Words]:
        """Returns when the daemon is ready."""
        return [self._ctl(job, "start", self.service(job))]

    def stopping(self, job: Job) -> list[Words]:
        """See Manager."""
        return [self._ctl(job, "stop", self.service(job))]

    def standing(self, job: Job) -> Standing:
        """See Manager."""
        asked = "ActiveState,SubState,MainPID,StatusText,Result"
        said = self.call(self._ctl(job, "show", "--property", asked, self.service(job)))
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        state, result = found.get("ActiveState", ""), found.get("Result", "success")
        active = _ACTIVE.get(state, "stopped" if state in ("inactive", "deactivating") else "unknown")
        words = found.get("StatusText") or f"{state} ({found.get('SubState')})"
        pid = int(found.get("MainPID") or 0) or None
        return Standing(active, pid, words if result == "success" else f"{words}: {result}")  # type: ignore[arg-type]

    def logging(self, job: Job, lines: int, *, follow: bool) -> Words:
        """See Manager."""
        unit = "--unit" if job.system else "--user-unit"
        words = ["journalctl", "--no-pager", unit, self.service(job), "--lines", str(lines), "--output", "short-iso"]
        return [*words, "--follow"] if follow else words

    def is_absent(self, said: str) -> bool:
        """See Manager."""
        return any(word in said for word in ("not been booted", "Failed to connect to bus", "No medium found"))


def _quote(word: str) -> str:
    """Return a word of a unit file: in quotes, with what is special there escaped."""
    inner = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{inner}"' if re.search(r"[^A-Za-z0-9_./:@+,=-]", word) else word
