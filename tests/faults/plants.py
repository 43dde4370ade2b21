"""Faults to plant into the processes of ``power`` and ``kills``: a sync that is left out, an order turned round."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from taskdir import disk
from taskdir.disk import Disk
from taskdir.mends import Mends
from taskdir.papers import Papers
from taskdir.records import Records


def nothing() -> None:
    """Plant nothing."""


def log_unsynced() -> None:
    """Do not wait for the log."""
    Disk.datasync = lambda self, fd, path: None  # type: ignore[method-assign]


def log_errors_ignored() -> None:
    """Go on when the log could not be synced."""
    real: Any = Disk.datasync

    def datasync(self: Disk, fd: int, path: str) -> None:
        with contextlib.suppress(OSError):
            real(self, fd, path)

    Disk.datasync = datasync  # type: ignore[method-assign]


def records_unsynced() -> None:
    """Take records for synced that are not."""
    Records._sync = lambda self: None  # type: ignore[method-assign]


def files_unsynced() -> None:
    """Hand messages and results in without their bytes being waited for."""
    real: Any = Disk.create

    def create(self: Disk, path: str, data: bytes, *, mode: int | None = None, sync: bool = False) -> Any:
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


def taken_unlogged() -> None:
    """Take messages out of inbox/ when they are read, before the log has them."""
    real: Any = Papers.read

    def read(self: Papers, path: str, *more: Any, **named: Any) -> Any:
        paper = real(self, path, *more, **named)
        if paper is not None and os.path.basename(os.path.dirname(path)) == "inbox":
            os.unlink(path)
        return paper

    Papers.read = read  # type: ignore[method-assign]


def shown_unlogged() -> None:
    """Write each batch to the log only when the next one comes."""
    real: Any = Disk.append_log
    held: list[bytes] = []

    def append_log(self: Disk, fd: int, path: str, data: bytes) -> None:
        for batch in held:
            real(self, fd, path, batch)
        held[:] = [data]

    Disk.append_log = append_log  # type: ignore[method-assign]


def records_forgotten() -> None:
    """Publish no record that a life before had not published."""
    real: Any = Records.__init__

    def init(self: Records, *more: Any) -> None:
        real(self, *more)
        self._old = self._old_end

    Records.__init__ = init  # type: ignore[method-assign, assignment]


def results_in_place() -> None:
    """Write results under their own name."""
    real: Any = Disk.publish

    def publish(self: Disk, path: str, data: bytes, **more: Any) -> Any:
        if not path.endswith(".result.json"):
            return real(self, path, data, **more)
        with open(path, "wb", buffering=0) as file:
            self._hook("write", path)
            disk.write_all(file.fileno(), data)
            return os.fstat(file.fileno())

    Disk.publish = publish  # type: ignore[method-assign]


def claims_copied() -> None:
    """Claim by a copy, then remove the offer."""
    real: Any = Disk.rename

    def rename(self: Disk, source: str, target: str) -> bool:
        if f"{os.sep}ready{os.sep}" not in source:
            return bool(real(self, source, target))
        try:
            shutil.copyfile(source, target)
            self._hook("rename", target)
            os.unlink(source)
        except FileNotFoundError:
            return False
        return True

    Disk.rename = rename  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "nothing": nothing,
    "log-unsynced": log_unsynced,
    "log-errors-ignored": log_errors_ignored,
    "records-unsynced": records_unsynced,
    "files-unsynced": files_unsynced,
    "names-unsynced": names_unsynced,
    "nothing-mended": nothing_mended,
    "taken-unlogged": taken_unlogged,
    "shown-unlogged": shown_unlogged,
    "records-forgotten": records_forgotten,
    "results-in-place": results_in_place,
    "claims-copied": claims_copied,
    "message-name-unsynced": partial(_without, "submit_bytes", "inbox"),
    "result-name-unsynced": partial(_without, "finish_bytes", ""),
    "new-log-unsynced": partial(_without, "open", ""),
    "closed-segment-unsynced": partial(_without, "_rotate", "log"),
    "fresh-log-unsynced": partial(_without, "_rotate", "root"),
    "record-names-unsynced": partial(_without, "_sync", ""),
}
