"""Publishing done/ and failed/: each record once, and how far they are on the device (SPEC section 10.4).

Start-up repeats only what is later than the last sync point; an older file that is missing was pruned by its reader.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from taskdir import names
from taskdir.disk import SYNC_ERRORS, Disk, holds
from taskdir.documents import Task
from taskdir.handover import Handover
from taskdir.index import Index
from taskdir.journal import SyncFailed
from taskdir.known import record_bytes
from taskdir.places import Places

log = logging.getLogger("taskdir")

SYNC_SINGLY = 64
"""Files: beyond that, one sync of their file system is faster than one for each."""
SYNC_EVERY, SYNC_SECONDS = 1024, 1.0
"""Records, and seconds: what is published after the last sync point is published again after a crash."""
AT_ONCE = 512
"""Old records that a pass looks after: a million of them may be missing, and new work waits for none."""


class Records:
    """The writer of done/ and failed/."""

    def __init__(self, places: Places, disk: Disk, index: Index, handover: Handover | None = None) -> None:
        self._places, self._disk, self._index, self._handover = places, disk, index, handover
        # Of what ended after the first seq and up to the second, the life before may have left no record.
        self._old, self._old_end = int(index.meta("records_synced") or 0), index.mark.seq
        self._due: set[str] = set()
        self._redriven = {row[0] for row in index.rows("SELECT id FROM redrives")}
        self._unsynced: list[str] = []
        self._synced_at = float("-inf")

    def note(self, events: list[dict[str, object]]) -> None:
        """Take over what a batch ended or brought back."""
        for event in events:
            if event["event"] in ("done", "failed", "canceled"):
                self._due.add(str(event["id"]))
            elif event["event"] == "redriven":
                self._redriven.add(str(event["id"]))

    def is_due(self, id: str) -> bool:
        """Say whether a task has ended and its record is not published yet."""
        return id in self._due or self._is_old(id)

    def _is_old(self, id: str) -> bool:
        """Say whether a task ended in an earlier life and its record was not looked after in this one yet."""
        task = self._index.task(id) if self._old < self._old_end else None
        return task is not None and task.final is not None and self._old < task.final <= self._old_end

    def lacking(self) -> Callable[[str], bool] | None:
        """Return what tells the tasks whose old record may be missing; None once all are looked after."""
        return self._is_old if self._old < self._old_end else None

    def publish(self) -> bool:
        """Write every new record that is due, and some old ones; one that fails is tried again next time.

        Says whether the next pass should come at once, for more old ones.
        """
        for id in sorted(self._redriven):
            task = self._index.task(id)
            try:
                if task is not None and task.state not in ("failed", "canceled"):
                    self._disk.unlink(f"{self._places.failed}/{id}{names.TASK}")
                    if self._handover is not None:
                        self._handover.forget_record(id)
            except OSError as error:
                log.warning("the old record of %s cannot be removed yet: %s", id, error)
                continue
            self._redriven.discard(id)
        for id in sorted(self._due):
            task = self._index.task(id)
            if task is None or task.final is None or self._write(task):
                self._due.discard(id)
        return self._old < self._old_end and self._publish_old()

    def _publish_old(self) -> bool:
        """Write the next old records that are not there; says whether all went well and there are more."""
        query = "final > ? AND final <= ? ORDER BY final LIMIT ?"
        tasks = self._index.tasks(query, (self._old, self._old_end, AT_ONCE))
        failed = {task.id for task in tasks if not self._write(task, old=True)}
        self._due |= failed
        self._old = tasks[-1].final or self._old if len(tasks) == AT_ONCE else self._old_end
        return self._old < self._old_end and not failed

    def _write(self, task: Task, *, old: bool = False) -> bool:
        """Write a record, an ``old`` one if it is not there; False when that cannot be done yet."""
        try:
            path, data = record_path(self._places, task), record_bytes(self._index, task)
            if not old or not holds(path, data):
                self._disk.publish(path, data, aside=f"{self._places.staging}/{task.id}.record")
        except OSError as error:
            log.warning("the record of %s cannot be published yet: %s", task.id, error)
            return False
        self._unsynced.append(path)
        if self._handover is not None and (copy := self._handover.record(task, data)) is not None:
            self._unsynced.append(copy)
        return True

    def sync_now_and_then(self, now: float) -> None:
        """Sync before too many are published after the last sync point. ``now``: the daemon's seconds."""
        if len(self._unsynced) >= SYNC_EVERY or (self._unsynced and now - self._synced_at >= SYNC_SECONDS):
            self.sync()
            self._synced_at = now

    def sync(self) -> None:
        """Put the published records on the device and remember how far that is. Raises SyncFailed."""
        if self._due or not self._unsynced:
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
        done = self._index.mark.seq if self._old >= self._old_end else self._old
        self._index.set_meta("records_synced", str(done))

    def _sync(self) -> None:
        homes = (self._places.done, self._places.failed)
        if len(self._unsynced) <= SYNC_SINGLY or not all(map(self._disk.sync_file_system, homes)):
            for path in self._unsynced:
                self._disk.sync_file(path)
        rooms = {os.path.dirname(path) for path in self._unsynced}.difference(homes)
        for home in (*homes, *filter(os.path.isdir, sorted(rooms))):
            self._disk.sync_dir(home)


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
