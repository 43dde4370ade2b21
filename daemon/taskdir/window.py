"""Publishing ready/: for each queue the first tasks that may start now, in exact order (SPEC section 7.3).

A pure view of the index, reconciled every pass: withdraw what does not belong, then publish what is missing.
Withdrawing is an unlink; when it finds nothing, an agent was faster, and the next look sees its claim.
"""

from __future__ import annotations

import logging
import os

from taskdir import known, names
from taskdir.contracts import Catalog
from taskdir.disk import Disk, NotRegular, TooLarge, read_regular
from taskdir.documents import Task
from taskdir.index import Index
from taskdir.papers import shape_of
from taskdir.places import Places
from taskdir.seen import Seen, Signature
from taskdir.settings import Settings

log = logging.getLogger("taskdir")


class Window:
    """The writer of ready/. ``published`` remembers each offer's signature, so that a change in place is noticed."""

    def __init__(self, places: Places, disk: Disk, index: Index, catalog: Catalog) -> None:
        self._places, self._disk, self._index, self._catalog = places, disk, index, catalog
        self.published: dict[str, Signature] = {}

    def reconcile(self, seen: Seen, settings: Settings) -> bool:
        """Make ready/ show the first tasks of each queue; says whether anything had to change."""
        for queue in settings.all_queues():
            if queue not in seen.ready:
                self._make_directory(queue)
        changed, current = False, set[str]()
        for queue in sorted({*self._index.queues(), *seen.ready}):
            wanted = {task.stem + names.TASK: task for task in self._index.window(queue, settings.window)}
            current.update(wanted)
            present = seen.ready.get(queue, {})
            for name in present:
                if name not in wanted and self._is_ours(name):
                    self.published.pop(name, None)
                    changed |= self._disk.unlink(self._path(queue, name))
            for name, task in wanted.items():
                if name not in present:
                    if not (seen.blind and name in self.published):
                        changed |= self._publish(queue, name, task)
                elif name in seen.changed or (name not in self.published and not self._is_right(queue, name, task)):
                    if self._disk.unlink(self._path(queue, name)):  # else it was just claimed, as it is
                        changed |= self._publish(queue, name, task)
                elif name not in self.published:
                    self.published[name] = present[name]
        for name in [name for name in self.published if name not in current]:
            del self.published[name]  # claimed or withdrawn
        return changed

    def _is_ours(self, name: str) -> bool:
        stem = names.parse_stem(name.removesuffix(names.TASK))
        task = self._index.task(stem.id) if stem else None
        return stem is not None and task is not None and stem.seq <= task.seq and stem.attempt <= task.attempt

    def _offer_bytes(self, task: Task) -> bytes:
        return known.offer_bytes(self._index, self._catalog, task)

    def _is_right(self, queue: str, name: str, task: Task) -> bool:
        expected = self._offer_bytes(task)
        try:
            return read_regular(self._path(queue, name), len(expected)) == expected
        except (OSError, NotRegular, TooLarge):
            return False

    def _publish(self, queue: str, name: str, task: Task) -> bool:
        """Publish one offer; says whether it is there. What cannot be written now is tried again in the next pass."""
        path = self._path(queue, name)
        aside = os.path.join(self._places.staging, name)
        try:
            self._make_directory(queue)
            made = self._disk.publish(path, self._offer_bytes(task), aside=aside)
        except OSError as error:
            log.warning("%s: cannot be published yet: %s", path, error)
            return False
        self.published[name] = shape_of(made)
        return True

    def _make_directory(self, queue: str) -> None:
        """Make ready/<queue>/. ready/ itself is not writable, so that no slip of ``mv`` moves a whole queue away."""
        path = os.path.join(self._places.ready, queue)
        if os.path.isdir(path):
            return
        if not self._disk.mkdir(self._places.ready):
            self._disk.chmod(self._places.ready, 0o755)
        try:
            self._disk.mkdir(path)
        finally:
            self._disk.chmod(self._places.ready, 0o555)

    def _path(self, queue: str, name: str) -> str:
        return os.path.join(self._places.ready, queue, name)
