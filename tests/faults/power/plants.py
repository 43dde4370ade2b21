"""Faults to plant into a process of the story before it starts: each leaves out one place that waits for the disk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from taskdir.disk import Disk
from taskdir.mends import Mends
from taskdir.records import Records


def nothing() -> None:
    """Plant nothing."""


def log_unsynced() -> None:
    """Do not wait for the log."""
    Disk.datasync = lambda self, fd, path: None  # type: ignore[method-assign]


def records_unsynced() -> None:
    """Take records for synced that are not."""
    Records._sync = lambda self: None  # type: ignore[method-assign]


def files_unsynced() -> None:
    """Hand messages and results in without their bytes being waited for."""
    real: Any = Disk.create

    def create(self: Disk, path: str, data: bytes, *, mode: int = 0o644, sync: bool = False) -> Any:
        return real(self, path, data, mode=mode, sync=False)

    Disk.create = create  # type: ignore[method-assign]


def names_unsynced() -> None:
    """Wait for no directory, be it the daemon's or an agent's."""
    Disk.sync_dir = lambda self, path: None  # type: ignore[method-assign]


def nothing_mended() -> None:
    """Leave what is void as it is, in the recovery after a cut too."""
    Mends.publish = lambda self, seen: None  # type: ignore[method-assign]


def _without(function: str, place: str) -> None:
    """Leave out the syncs of a directory that one function of the package asks for."""
    real: Any = Disk.sync_dir

    def sync_dir(self: Disk, path: str) -> None:
        if sys._getframe(1).f_code.co_name != function or not path.endswith(place):
            real(self, path)

    Disk.sync_dir = sync_dir  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "nothing": nothing,
    "log-unsynced": log_unsynced,
    "records-unsynced": records_unsynced,
    "files-unsynced": files_unsynced,
    "names-unsynced": names_unsynced,
    "nothing-mended": nothing_mended,
    "message-name-unsynced": partial(_without, "submit_bytes", "inbox"),
    "result-name-unsynced": partial(_without, "finish_bytes", ""),
    "new-log-unsynced": partial(_without, "open", ""),
    "closed-segment-unsynced": partial(_without, "_rotate", "log"),
    "fresh-log-unsynced": partial(_without, "_rotate", "root"),
    "record-names-unsynced": partial(_without, "_sync", ""),
}
