"""A real systemd user manager, in namespaces of its own: nothing of it reaches the machine's, and it goes at the end.

Needs root, unshare, nsenter and systemd; where one is missing, or the kernel refuses, the tests skip and say so.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from support.live import ENV, until

MANAGER = "/lib/systemd/systemd"
CGROUPS = Path("/sys/fs/cgroup")
ENTER = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/systemd/inaccessible/dir /run/user/{uid}
chown {uid} /run/user/{uid}
cd /run/systemd/inaccessible
touch reg sock
mkfifo fifo
mknod chr c 0 0
mknod blk b 0 0
chmod 0 ./*
{hide}
{join}
setpriv {become} {manager} --user --unit=basic.target &
wait
"""
"""The manager is not the first process, which it would take for the system's, so we lay out what that one makes. Of the
control groups it sees its own alone, and no resource controller: what it starts stays accounted where the test is."""


class UserManager:
    """The manager of one user; ``home`` is that user's, with .config/systemd/user/ in it."""

    def __init__(self, home: Path, uid: int = 0) -> None:
        self.home, self.uid = home, uid
        self._group = f"taskdir-test-{os.getpid()}-{time.monotonic_ns()}"
        self._hierarchies = [path for path in (CGROUPS / "systemd", CGROUPS / "unified", CGROUPS) if is_hierarchy(path)]
        for hierarchy in self._hierarchies:
            (hierarchy / self._group).mkdir()
            for path in (hierarchy / self._group, *(hierarchy / self._group).iterdir()):
                os.chown(path, uid, uid)
        joins = (f"echo $$ > {hierarchy / self._group}/cgroup.procs" for hierarchy in self._hierarchies)
        others = [path for path in CGROUPS.iterdir() if is_hierarchy(path) and path not in self._hierarchies]
        hide = "\n".join(f"umount {path}" for path in others if os.path.ismount(path))
        self._become = ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
        self._become += ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"] if uid else []
        become = " ".join(self._become)
        script = ENTER.format(hide=hide, join="\n".join(joins), uid=uid, become=become, manager=MANAGER)
        self._env = {name: value for name, value in ENV.items() if name not in ("NOTIFY_SOCKET", "PYTHONPATH")}
        self._env |= {"XDG_RUNTIME_DIR": f"/run/user/{uid}", "HOME": str(home), "SYSTEMD_LOG_TARGET": "console"}
        self.log = home.parent / "systemd.log"
        with self.log.open("wb") as log:
            self._outer = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "sh", "-c", script],
                env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._pid = until(self._first_child, "the namespaces")
        until(lambda: self._outer.poll() is not None or self.run("test", "-S", self._socket).returncode == 0, "systemd")
        if self._outer.poll() is not None:
            self.close()
            pytest.skip(f"NOT TESTED: systemd does not run in namespaces here: {self.log.read_text()[-300:]}")

    @property
    def _socket(self) -> str:
        return f"/run/user/{self.uid}/systemd/private"

    def _first_child(self) -> str:
        with suppress(OSError):
            return Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().strip()
        return ""

    def run(self, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the manager, as its user."""
        enter = ["nsenter", "--target", self._pid, "--mount", "--pid", "--"]
        become = ["setpriv", *self._become, "--"]
        return subprocess.run(
            [*enter, *become, *map(str, words)], env=self._env | env, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    def close(self) -> None:
        """End it, with all that it started, and remove its control groups."""
        with suppress(ProcessLookupError):
            os.kill(int(self._pid or 0) or self._outer.pid, signal.SIGKILL)  # the first of its processes: all go
        self._outer.kill()
        self._outer.wait()
        for hierarchy in self._hierarchies:
            until(partial(remove, hierarchy / self._group), "the control groups to be empty")


def is_hierarchy(path: Path) -> bool:
    return (path / "cgroup.procs").exists()


def remove(top: Path) -> bool:
    """Remove a tree of empty control groups; says whether it is gone."""
    for path, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            os.rmdir(path)
    return not top.exists()


def manager(home: Path, uid: int = 0) -> Iterator[UserManager]:
    """Lend a manager to a fixture, or skip."""
    lacking = [tool for tool in ("unshare", "nsenter", "setpriv", "systemctl", MANAGER) if shutil.which(tool) is None]
    if os.geteuid() != 0 or lacking:
        pytest.skip(f"NOT TESTED: a real systemd needs root and {', '.join(lacking) or 'no more tools'}")
    made = UserManager(home, uid)
    try:
        yield made
    finally:
        made.close()
