"""A root behind walls with a real daemon and real users: each process runs as a uid of its own (docs/walls.md).

The users need no names: the kernel knows numbers. Needs root, and a directory that others can reach.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import functools
import importlib
import json
import os
import pkgutil
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import taskdir
from support.live import until
from taskdir import cli, intake, rules, validate

DAEMON = 64100
"""The daemon's uid and gid."""
USERS = {"alice": 64101, "bob": 64102, "carol": 64103}
"""The agents, each with its uid, which is its gid."""

needs_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="several users need root: run the tests as root to see walls hold"
)


class Done(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@functools.cache
def preload() -> None:
    """Load what a command may load later: other users may not reach this interpreter's library, or this house."""
    for found in pkgutil.walk_packages(taskdir.__path__, "taskdir."):
        with contextlib.suppress(ImportError):  # extras that are not installed
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    for name in rules.DOCUMENTS:
        validate.document(name)
    rules.codes()
    for codec in ("ascii", "idna", "unicode_escape"):
        codecs.lookup(codec)
    for name in ("grp", "pwd", "fcntl", "termios"):
        importlib.import_module(name)
    for kind in intake.KINDS:
        intake.form_fault({"kind": kind})


def spawn(uid: int, act: Callable[[], int], out: int, err: int) -> int:
    """Start a process of another user that does something and ends with its return value; returns its pid."""
    preload()
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir("/")
        os.umask(0o022)
        if uid:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        status = act()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 (whatever it is, it must not go on in this copy of the tests)
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def as_user(uid: int, *words: str | Path, root: Path | None = None) -> Done:
    """Run a taskdir command to its end as another user."""
    command = [*(["--root", str(root)] if root else []), *map(str, words)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = spawn(uid, lambda: cli.main(command), out.fileno(), err.fileno())
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        return Done(os.waitstatus_to_exitcode(status), out.read().decode(), err.read().decode())


def become(uid: int, act: Callable[[], Any]) -> Any:
    """Do something as another user; returns what it returns (JSON), or the name of its OSError."""

    def told() -> int:
        try:
            found = act()
        except OSError as error:
            found = errno.errorcode.get(error.errno or 0, "?")
        print(json.dumps(found))
        return 0

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        _, status = os.waitpid(spawn(uid, told, out.fileno(), err.fileno()), 0)
        out.seek(0)
        err.seek(0)
        assert status == 0, err.read().decode()
        return json.loads(out.read())


class Walled:
    """A root behind walls; a daemon of its own user once ``start`` was called."""

    def __init__(self, **settings: Any) -> None:
        self.base = Path(
            tempfile.mkdtemp(prefix="taskdir-walls-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        )
        self.base.chmod(0o755)
        self.path = self.base / "root"
        self.path.mkdir()
        os.chown(self.path, DAEMON, DAEMON)
        made = as_user(DAEMON, "init", "--walls", self.path)
        assert made.code == 0, made.err
        whole = {"protocol": 1, "walls": True, "settle_seconds": 0.05, "scan_seconds": 0.2, **settings}
        become(DAEMON, lambda: (self.path / "taskdir.json").write_text(json.dumps(whole)) and None)
        for name, uid in USERS.items():
            added = as_user(0, "agent", "add", name, "--user", f"{uid}:{uid}", root=self.path)
            assert added.code == 0, added.err
        self.daemon: int | None = None

    def start(self) -> None:
        """Start the daemon as its own user and wait until it holds the root."""
        before = len(self.events("started"))
        with open(self.base / "daemon.err", "ab") as words:
            run = ["--root", str(self.path), "run"]
            self.daemon = spawn(DAEMON, lambda: cli.main(run), words.fileno(), words.fileno())
        until(lambda: len(self.events("started")) > before or self.ended(), "the daemon's start")
        assert not self.ended(), self.words()

    def words(self) -> str:
        """Return what the daemon said so far."""
        return (self.base / "daemon.err").read_text()

    def ended(self) -> bool:
        """Say whether the daemon's process is over."""
        if self.daemon is not None and os.waitpid(self.daemon, os.WNOHANG)[0]:
            self.daemon = None
            return True
        return False

    def kill(self) -> None:
        """Kill the daemon with -9, if it runs."""
        if self.daemon is not None and not self.ended():
            os.kill(self.daemon, signal.SIGKILL)
            os.waitpid(self.daemon, 0)
            self.daemon = None

    def close(self) -> None:
        """End the daemon and remove everything."""
        self.kill()
        shutil.rmtree(self.base)

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the log's whole lines so far, of the given kinds or of all."""
        path = self.path / "log.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [event for event in map(json.loads, lines) if not kinds or event["event"] in kinds]

    def agent(self, name: str, *words: str | Path) -> Done:
        """Run a command as an agent's user."""
        return as_user(USERS[name], *words, root=self.path)
