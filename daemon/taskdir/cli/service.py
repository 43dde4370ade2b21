"""taskdir service: the daemon in the hands of systemd, launchd or the Task Scheduler (docs/service.md)."""

from __future__ import annotations

import argparse
import difflib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from taskdir import roots, service
from taskdir.cli.frame import Env, plain
from taskdir.disk import Disk
from taskdir.errors import CannotCreate, Missing, TaskdirError
from taskdir.service import Job, Manager

HELP = """Have systemd, launchd or the Task Scheduler run the daemon of this root. Each root has a service of its own,
named after its path. A file that somebody has edited is neither replaced nor removed without --force. Exit codes: 1: it
does not run (status), or the manager refused; 66: not installed; 69: no such manager here; 73: the file cannot be
written, or was edited."""
_ACTIONS = {
    "install": "write the service's file and have it start at boot or log-in",
    "uninstall": "stop it and remove the file",
    "start": "start it now; with systemd, returns when it is ready",
    "stop": "stop it now, after the pass in hand",
    "status": "say how it stands",
    "logs": "print what the daemon said",
    "print": "print the file and change nothing",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    told = "; ".join(f"{name}: {about}" for name, about in _ACTIONS.items())
    parser.add_argument("action", choices=_ACTIONS, help=told)
    parser.add_argument("--system", action="store_true", help="for the machine, at boot; else for you, at log-in")
    parser.add_argument("--manager", choices=service.MANAGERS, help="default: the one of this system")
    parser.add_argument("--force", action="store_true", help="install, uninstall: though the file was edited")
    parser.add_argument("-f", "--follow", action="store_true", help="logs: go on with what comes")
    parser.add_argument("-n", "--lines", type=int, default=100, metavar="N", help="logs: the last N (default: 100)")


def run(args: argparse.Namespace, env: Env) -> int:
    """Do what was asked."""
    job = service.job(str(env.root()), system=args.system)
    desk = _Desk(service.of(args.manager), job, env)
    if args.action in ("install", "uninstall"):
        return int(getattr(desk, args.action)(force=args.force))
    if args.action == "logs":
        return desk.logs(args.lines, follow=args.follow)
    return int(getattr(desk, args.action)())


class _Desk:
    """The actions on one service."""

    def __init__(self, manager: Manager, job: Job, env: Env) -> None:
        self._manager, self._job, self._env = manager, job, env
        self._path = manager.path(job)

    def print(self) -> int:
        """Print the file."""
        text = self._manager.text(self._job)
        if self._env.json:
            self._tell("print", text=text)
        else:
            self._env.out(text.rstrip("\n"))
        return 0

    def install(self, *, force: bool) -> int:
        """Write the file, if need be, and make it known."""
        self._manager.found(self._manager.tool)
        text, there = self._manager.text(self._job), self._read()
        if there is not None and there != text and not service.is_as_made(there) and not force:
            self._show_difference(there, text)
            message = "this file was edited, or made by somebody else"
            raise CannotCreate("edited", message, path=self._path, hint="keep it, or --force to write it anew")
        if there != text:
            self._write(text)
        try:
            for words in self._manager.after_writing(self._job):
                self._manager.call(words)
        except TaskdirError as error:
            error.path = self._path
            error.message = f"the file is written, but the manager does not know it yet: {error.message}"
            error.hint = "`taskdir service install` again once that is mended"
            raise
        self._tell("install", changed=there != text)
        self._env.say(f"`taskdir service start{' --system' if self._job.system else ''}` starts it now")
        return 0

    def uninstall(self, *, force: bool) -> int:
        """Stop it and remove the file."""
        there = self._installed()
        if not service.is_as_made(there) and not force:
            message = "this file was edited, or made by somebody else"
            raise CannotCreate("edited", message, path=self._path, hint="keep it, or --force to remove it")
        for words in self._manager.before_removing(self._job):
            try:
                self._manager.call(words)
            except TaskdirError as error:  # it may be stopped, unknown or without a manager: the file goes all the same
                self._env.say(f"{error.message}; the file is removed all the same")
        disk = Disk()
        disk.unlink(self._path)
        for words in self._manager.after_removing(self._job):
            self._manager.call(words, may_fail=True)
        self._tell("uninstall", changed=True)
        return 0

    def start(self) -> int:
        """Start it."""
        self._installed()
        for words in self._manager.starting(self._job):
            self._manager.call(words)
        self._tell("start")
        return 0

    def stop(self) -> int:
        """Stop it."""
        self._installed()
        for words in self._manager.stopping(self._job):
            self._manager.call(words)
        self._tell("stop")
        return 0

    def status(self) -> int:
        """Say how it stands; 1 unless it runs."""
        there = self._read()
        found = self._manager.standing(self._job) if there is not None else service.Standing("stopped")
        holds = roots.daemon_runs(self._job.root)
        told: dict[str, Any] = {
            "installed": there is not None,
            "edited": there is not None and not service.is_as_made(there),
            "active": found.active,
            "daemon_runs": holds,
        }
        told |= {"pid": found.pid} if found.pid is not None else {}
        told |= {"said": found.said} if found.said is not None else {}
        if self._env.json:
            self._tell("status", **told)
        else:
            where = "edited" if told["edited"] else "as it was made"
            self._env.out(f"{self._manager.service(self._job)}: {found.active}{_words(told)}")
            self._env.out(f"file: {self._path}, {where}" if there is not None else f"not installed: no {self._path}")
        if holds and found.active in ("stopped", "failed"):
            self._env.say("a daemon holds this root that is not this service's")
        return 0 if found.active in ("running", "starting") else 1

    def logs(self, lines: int, *, follow: bool) -> int:
        """Print what the daemon said."""
        words = self._manager.logging(self._job, lines, follow=follow)
        tool = self._manager.found(words[0])
        if not self._env.json:
            sys.stdout.flush()
            return subprocess.run([tool, *words[1:]], check=False).returncode
        with subprocess.Popen([tool, *words[1:]], stdout=subprocess.PIPE, text=True, errors="replace") as process:
            assert process.stdout is not None
            for line in process.stdout:
                self._env.out({"message": plain(line.rstrip("\n"))})
                sys.stdout.flush()
        return process.returncode

    def _tell(self, action: str, **more: Any) -> None:
        if self._env.json:
            scope = "system" if self._job.system else "user"
            name = self._manager.service(self._job)
            told = {"action": action, "manager": self._manager.name, "scope": scope, "name": name, "path": self._path}
            self._env.out(told | more)
        else:
            self._env.out(self._path if action in ("install", "uninstall") else self._manager.service(self._job))

    def _read(self) -> str | None:
        """Return the file as it is, None when there is none."""
        try:
            with open(self._path, encoding=self._manager.encoding, errors="replace", newline="") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UnicodeError:
            return ""

    def _installed(self) -> str:
        there = self._read()
        if there is None:
            hint = "`taskdir service install`, with --system if that is meant"
            raise Missing("not-installed", "this root has no such service", path=self._path, hint=hint)
        return there

    def _write(self, text: str) -> None:
        disk, directory = Disk(), os.path.dirname(self._path)
        try:
            for parent in reversed([*_parents(directory)]):
                disk.mkdir(parent)
            aside = os.path.join(directory, f".taskdir.{os.getpid()}")
            disk.publish(self._path, text.encode(self._manager.encoding), aside=aside, sync=True)
        except OSError as error:
            hint = "sudo, or without --system" if self._job.system else "`taskdir service print` writes to stdout"
            raise CannotCreate(
                "cannot-write", f"cannot be written: {error.strerror}", path=self._path, hint=hint
            ) from None

    def _show_difference(self, there: str, wanted: str) -> None:
        lines = difflib.unified_diff(
            there.splitlines(), wanted.splitlines(), "as it is", "as it would be", lineterm="", n=1
        )
        self._env.say("\n".join(lines))


def _parents(directory: str) -> Iterator[str]:
    """Yield the directories that are missing, the innermost first."""
    while not os.path.isdir(directory):
        yield directory
        directory = os.path.dirname(directory)


def _words(told: dict[str, Any]) -> str:
    pid = f", pid {told['pid']}" if "pid" in told else ""
    return f"{pid}: {told['said']}" if "said" in told else pid
