"""Walls around a command: it can write in its workspace only (docs/agents.md).

By bubblewrap where it works, which a probe shows, else by Landlock and seccomp (``landlock``), else not at all: whoever
asks for walls gets them, or ConfigError. Nothing of a repository but the worktree itself can be written inside: the
runner commits when the command has ended, since whoever writes in .git decides what git runs outside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache

from taskdir.disk import Disk
from taskdir.errors import ConfigError
from taskdir.runner import landlock

TEMPORARY = os.path.join(".taskdir-work", "tmp")
"""Where temporary files go when /tmp cannot be made private: in the workspace, on its desk, which git ignores."""

PROBE_SECONDS = 20.0
_HIDDEN = ("/tmp", "/run")
"""Empty inside: other programs' files, and the sockets by which one asks services to act."""
_RESOLVERS = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")
_STOPPED = re.compile(r"Read-only file system|Permission denied|Operation not permitted|\bE(?:ROFS|ACCES|PERM)\b")
_SHOWN = 5


def wrap(
    argv: list[str], workspace: str, *, network: bool, readable: Sequence[str] = (), writable: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs ``argv`` behind walls, by the better way that this system has.

    ``writable``: more places to write in; ``readable``: what must be seen though it lies in a hidden directory, and
    stays read-only though it lies in a writable one. Raises ConfigError where there can be no walls.
    """
    by = bubblewrap if mechanism() == "bubblewrap" else by_landlock
    return by(argv, workspace, network=network, readable=readable, writable=writable)


@cache
def mechanism() -> str:
    """Return ``bubblewrap`` or ``landlock``, whichever works here. Raises ConfigError when neither does."""
    without = _bubblewrap_fault()
    if without is None:
        return "bubblewrap"
    if (fault := landlock.why_not()) is None:
        return "landlock"
    told = f"no walls can be built here: {without}; {fault}"
    raise ConfigError("no-sandbox", told, hint="install bubblewrap, allow user namespaces, or leave --sandbox out")


def bubblewrap(
    argv: list[str], workspace: str, *, network: bool, readable: Sequence[str] = (), writable: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs ``argv`` in namespaces of its own; see ``wrap``.

    Its processes see and reach no others; they end with it. /tmp, /run and /dev are its own.
    """
    workspace = os.path.realpath(workspace)
    words = ["bwrap", "--unshare-all", *(["--share-net"] if network else []), "--die-with-parent", "--cap-drop", "ALL"]
    words += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for place in _HIDDEN:
        words += ["--tmpfs", place]
    for place in _RESOLVERS if network else ():
        words += ["--ro-bind-try", place, place]
    for place, how in _mounts(readable, [*writable, workspace]):
        words += [how, place, place]
    return [*words, "--setenv", "TMPDIR", "/tmp", "--chdir", workspace, "--", *argv]


def by_landlock(
    argv: list[str], workspace: str, *, network: bool, readable: Sequence[str] = (), writable: Sequence[str] = ()
) -> list[str]:
    """Return the command that confines itself, then runs ``argv``; see ``wrap``.

    Weaker than namespaces: other files' modes and times can be changed, other processes seen, before Linux 6.12 also
    signalled, and /tmp is read-only. Raises ConfigError for what it cannot do: read-only inside of writable.
    """
    disk, workspace = Disk(), os.path.realpath(workspace)
    places = [*map(os.path.realpath, writable), workspace]
    for inner in map(os.path.realpath, readable):
        if any(_within(inner, place) for place in places):
            told = "Landlock cannot make this read-only, since it lies in a writable directory"
            raise ConfigError("no-sandbox", told, path=inner, hint="install bubblewrap, or move it")
    temporary = os.path.join(workspace, TEMPORARY)
    for path in (os.path.dirname(temporary), temporary):
        disk.mkdir(path)
    words = [sys.executable, "-I", "-S", landlock.__file__, *(["--network"] if network else [])]
    for place in places:
        words += ["--rw", place]
    return [*words, "--env", f"TMPDIR={temporary}", "--", *argv]


def stopped(printed: Iterable[str]) -> list[str]:
    """Return the last few lines in these files by which a command says that a wall stopped it: a guess from words."""
    found: list[str] = []
    for path in printed:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found += [line.strip()[:500] for line in file if _STOPPED.search(line)][-_SHOWN:]
        except OSError:
            continue
    return found[-_SHOWN:]


def _bubblewrap_fault() -> str | None:
    """Try bubblewrap; None when it works."""
    if not sys.platform.startswith("linux") or shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    words = bubblewrap(["true"], sys.prefix, network=False)
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work: {error}"
    said = (done.stderr.strip().splitlines() or [f"it exits with {done.returncode}"])[-1]
    return None if done.returncode == 0 else f"bubblewrap does not work: {said}"


def _mounts(readable: Sequence[str], writable: Sequence[str]) -> list[tuple[str, str]]:
    """Order the places so that each is mounted after what it lies in; of one place that is both, reading comes last."""
    both = [(os.path.realpath(place), "--bind") for place in writable]
    both += [(os.path.realpath(place), "--ro-bind") for place in readable]
    return sorted(both, key=lambda mount: (mount[0].rstrip("/").count("/"), mount[1] == "--ro-bind"))


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + os.sep)
