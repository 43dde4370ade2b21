"""What a probe gets and gives: the site as it was met, and findings, each with its repair."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from taskdir import lock, settings
from taskdir.disk import Disk
from taskdir.errors import ConfigError
from taskdir.places import Places
from taskdir.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe saw. ``fix`` is the next thing to do; a finding that is ok has none."""

    code: str
    level: Literal["ok", "warning", "error"]
    message: str
    fix: str | None = None


def ok(code: str, message: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(code, "ok", message)


def warning(code: str, message: str, fix: str) -> Finding:
    """Say what works, but less well than it could."""
    return Finding(code, "warning", message, fix)


def error(code: str, message: str, fix: str) -> Finding:
    """Say what does not work."""
    return Finding(code, "error", message, fix)


@dataclass(frozen=True, slots=True)
class Site:
    """A root as it was met.

    ``now`` is the wall clock in seconds since 1970, ``patience`` the seconds for a watch event, ``proc`` where
    the kernel tells about itself; ``fault`` is why taskdir.json could not be used (then ``settings`` are the defaults);
    ``running``: a daemon holds the root.
    """

    places: Places
    now: float
    settings: Settings = field(default_factory=Settings)
    fault: ConfigError | None = None
    running: bool = False
    disk: Disk = field(default_factory=Disk)
    patience: float = 2.0
    proc: str = "/proc"


def visit(root: str, now: float) -> Site:
    """Look at a root: its settings, and whether a daemon is there."""
    places = Places(os.path.realpath(root))
    found, fault = Settings(), None
    try:
        found = settings.load(places.settings)
    except ConfigError as wrong:
        fault = wrong
    except OSError as trouble:
        fault = ConfigError("unreadable", f"cannot be read: {trouble.strerror}", path=places.settings)
    probe = lock.is_held(places.root)
    return Site(places, now, found, fault, running=probe is not None and probe[0])


def listing(path: str) -> list[str]:
    """Return the names in a directory, sorted; none when it is not there (``house`` tells about that)."""
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
