"""Publishing done/ and failed/: each record once, and how far they are on the device (SPEC section 10.4).

Start-up repeats only what is later than the last sync point; an older file that is missing was pruned by its reader.
"""

from __future__ import annotations

import logging
import os

from taskdir import names
from taskdir.disk import SYNC_ERRORS, Disk, holds
from taskdir.documents import Task
from taskdir.index import Index
from taskdir.journal import SyncFailed
from taskdir.known import record_bytes
from taskdir.places import Places

log = logging.getLogger("taskdir")

SYNC_SINGLY = 64
"""Files: beyond that, one sync of everything is faster than one for each."""
SYNC_EVERY, SYNC_SECONDS = 4096, 5.0
"""Records, and seconds: what is published after the last sync point is published again after a crash."""


class Records:
    """The writer of done/ and failed/."""

    def __init__(self, places: Places, disk: Disk, index: Index) -> None:
        self._places, self._disk, self._index = places, disk, index
        self._synced = int(index.meta("records_synced") or 0)
        self.due: set[str] = {task.id for task in index.tasks("final > ? ORDER BY final", (self._synced,))}
        self._again = set(self.due)
        self._redriven = {row[0] for row in index.rows("SELECT id FROM redrives")}
        self._unsynced: list[str] = []
        self._synced_at = float("-inf")

    def note(self, events: list[dict[str, object]]) -> None:
        """Take over what a batch ended or brought back."""
        for event in events:
            if event["event"] in ("done", "failed", "canceled"):
                self.due.add(str(event["id"]))
            elif event["event"] == "redriven":
                self._redriven.add(str(event["id"]))

    def publish(self, now: float) -> None:
        """Write every record that is due; one that fails is tried again next time. ``now``: the daemon's seconds."""
        for id in sorted(self._redriven):
            task = self._index.task(id)
            try:
                if task is not None and task.state not in ("failed", "canceled"):
                    self._disk.unlink(f"{self._places.failed}/{id}{names.TASK}")
            except OSError as error:
                log.warning("the old record of %s cannot be removed yet: %s", id, error)
                continue
            self._redriven.discard(id)
        for id in sorted(self.due):
            task = self._index.task(id)
            try:
                if task is not None and task.final is not None:
                    self._write(task)
            except OSError as error:
                log.warning("the record of %s cannot be published yet: %s", id, error)
                continue
            self.due.discard(id)
        if len(self._unsynced) >= SYNC_EVERY or (self._unsynced and now - self._synced_at >= SYNC_SECONDS):
            self.sync()
            self._synced_at = now

    def _write(self, task: Task) -> None:
        path, data = record_path(self._places, task), record_bytes(self._index, task)
        if task.id not in self._again or not holds(path, data):  # a life before may have written it
            self._disk.publish(path, data, aside=f"{self._places.staging}/{task.id}.record")
        self._unsynced.append(path)

    def sync(self) -> None:
        """Put the published records on the device and remember how far that is. Raises SyncFailed."""
        if self.due or not self._unsynced:
            return
        try:
            self._sync()
        except OSError as error:
            if error.errno in SYNC_ERRORS:  # never repeated (SPEC 10.6); the next start publishes them again
                said = f"a record could not be synced: {error.strerror}"
                raise SyncFailed(error.errno, said, error.filename) from error
            log.warning("the records cannot be synced yet: %s", error)
            return
        self._unsynced.clear()
        self._index.set_meta("records_synced", str(self._index.mark.seq))

    def _sync(self) -> None:
        if len(self._unsynced) <= SYNC_SINGLY or not self._disk.sync_all():
            for path in self._unsynced:
                self._disk.sync_file(path)
        for directory in (self._places.done, self._places.failed):
            self._disk.sync_dir(directory)


def record_path(places: Places, task: Task) -> str:
    """Return where a task's record lies once it has ended."""
    return f"{places.done if task.state == 'done' else places.failed}/{task.id}{names.TASK}"


def restore(places: Places, disk: Disk, index: Index, task: Task) -> str:
    """Write the record of an ended task again from what the log knows, daemon or not; returns its path (SPEC 10.7)."""
    path = record_path(places, task)
    aside = os.path.join(os.path.dirname(path), f".{task.id}.restore")
    disk.publish(path, record_bytes(index, task), aside=aside, sync=True)
    disk.sync_dir(os.path.dirname(path))
    return path
