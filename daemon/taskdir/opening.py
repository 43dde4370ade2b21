"""What a daemon does before its first pass: read the settings, take the lock, say who it is (SPEC 6.9 and 10.1)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket

from taskdir import __version__, settings, walls
from taskdir.disk import Disk
from taskdir.errors import Busy, Missing
from taskdir.lock import RootLock
from taskdir.places import Places
from taskdir.settings import Settings

log = logging.getLogger("taskdir")


def read_settings(places: Places) -> Settings:
    """Return the root's settings. Raises Missing where there is no root, ConfigError, or OSError."""
    try:
        return settings.load(places.settings)
    except FileNotFoundError:
        raise Missing(
            "no-root", "there is no taskdir.json here", path=places.root, hint="`taskdir init` makes one"
        ) from None


def take_lock(places: Places) -> RootLock:
    """Lock the root. Raises Busy, which tells who has it."""
    try:
        return RootLock(places.root)
    except Busy as busy:
        busy.hint = f"it says: {who_runs(places)}"
        raise


def make_places(places: Places, disk: Disk, *, closed: bool) -> None:
    """Make the directories that are missing, be it that somebody deleted one while we run; ``closed``: behind walls."""
    for path in [*places.public(), *places.private()]:
        if not os.path.isdir(path):
            try:
                disk.mkdir(path, walls.own(places).get(path, 0o755) if closed else 0o755)
            except OSError as error:
                log.warning("%s: cannot be made yet: %s", path, error)


def sweep(places: Places, disk: Disk, *, closed: bool) -> None:
    """Make what is missing, remove what a life before left half published, put modes right; ``closed``: all modes."""
    make_places(places, disk, closed=closed)
    if closed:
        walls.close(places, disk)
    for name in os.listdir(places.staging):
        with contextlib.suppress(OSError):  # strangers may stay
            disk.unlink(os.path.join(places.staging, name))
    if os.stat(places.ready).st_mode & 0o222:
        disk.chmod(places.ready, 0o555)  # a kill may have come while a queue's directory was made


def say_who(places: Places, disk: Disk, started: str) -> None:
    """Leave a word for people about who runs here; nothing depends on it. ``started``: the wall clock."""
    who = {"pid": os.getpid(), "started": started, "version": __version__, "host": socket.gethostname()}
    try:
        disk.publish(places.who, json.dumps(who).encode() + b"\n", aside=places.who + ".new")
    except OSError as error:
        log.warning("%s: cannot be written: %s", places.who, error)


def who_runs(places: Places) -> str:
    """Return what the running daemon left about itself, in words."""
    try:
        with open(places.who, encoding="utf-8") as file:
            who = json.load(file)
        return f"pid {who['pid']} on {who['host']}, taskdir {who['version']}, since {who['started']}"
    except (OSError, ValueError, KeyError):
        return "nothing about itself"
