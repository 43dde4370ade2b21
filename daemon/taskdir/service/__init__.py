"""A root's daemon in the hands of the system's service manager: what is written where, and which commands are called.

``job`` says what is to run; a manager (``systemd``, ``launchd``, ``windows``) knows the rest. docs/service.md.
"""

from __future__ import annotations

import sys

from taskdir.errors import NoDaemon
from taskdir.service.job import Job, job
from taskdir.service.launchd import Launchd
from taskdir.service.manager import Manager, Standing
from taskdir.service.seal import is_as_made
from taskdir.service.systemd import Systemd
from taskdir.service.windows import TaskScheduler

__all__ = ["MANAGERS", "Job", "Manager", "Standing", "is_as_made", "job", "of"]

MANAGERS: dict[str, type[Manager]] = {"systemd": Systemd, "launchd": Launchd, "windows": TaskScheduler}
_OF = {"linux": "systemd", "darwin": "launchd", "win32": "windows"}


def of(name: str | None, platform: str = sys.platform) -> Manager:
    """Return the manager of this name, or else the one of the platform. Raises NoDaemon where there is none."""
    found = name or _OF.get(platform)
    if found is None:
        raise NoDaemon("no-manager", f"{platform} has no service manager that is known here", hint="--manager NAME")
    return MANAGERS[found]()
