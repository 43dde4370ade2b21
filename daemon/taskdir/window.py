"""Publishing ready/: for each queue the first tasks that may start now, in exact order (SPEC section 7.3).

A pure view of the index, reconciled every pass: withdraw what does not belong, then publish what is missing.
Withdrawing is an unlink; when it finds nothing, an agent was faster, and the next look sees its claim.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from taskdir import known, names
from taskdir.contracts import Catalog
from taskdir.disk import Disk, holds
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
        self.context_bytes = 65536

    def reconcile(self, seen: Seen, settings: Settings, lacks: Callable[[str], bool] | None = None) -> bool:
        """Make ready/ show the first tasks of each queue; says whether anything had to change.

        ``lacks`` tells the tasks whose record may be missing after a crash: an offer waits for those that it may name.
        """
        offering = self._index.queues()
        self._make_missing(sorted({*settings.all_queues(), *offering}), seen)
        queues = sorted({*offering, *seen.ready})
        wanted = {queue: self._wanted(queue, settings.offered()) for queue in queues}
        changed, lost = False, set[str]()
        for queue, tasks in wanted.items():
            for name in seen.ready.get(queue, {}):
                if name not in tasks and self._is_ours(name):
                    self.published.pop(name, None)
                    if self._withdraw(queue, name):
                        changed = True
                    else:
                        lost.update(self._resources(name))
        for queue, tasks in wanted.items():
            present = seen.ready.get(queue, {})
            for name, task in tasks.items():
                if name not in present:
                    held_back = lost and lost.intersection(self._index.lines.resources(task.id))
                    late = lacks is not None and any(map(lacks, self._after(task)))
                    if not held_back and not late and not (seen.blind and name in self.published):
                        changed |= self._publish(queue, name, task)
                elif name in seen.changed or (name not in self.published and not self._is_right(queue, name, task)):
                    if self._withdraw(queue, name):  # else it was just claimed, as it is
                        changed |= self._publish(queue, name, task)
                elif name not in self.published:
                    self.published[name] = present[name]
        self._forget(wanted)
        return changed

    def _make_missing(self, queues: list[str], seen: Seen) -> None:
        """Make the directory of each queue that has none."""
        for queue in queues:
            try:
                if queue not in seen.ready:
                    self._make_directory(queue)
            except OSError as error:
                log.warning("ready/%s/: cannot be made yet: %s", queue, error)

    def _forget(self, wanted: dict[str, dict[str, Task]]) -> None:
        """Drop the memory of offers that were claimed or withdrawn."""
        now = {name for tasks in wanted.values() for name in tasks}
        for name in [name for name in self.published if name not in now]:
            del self.published[name]

    def _wanted(self, queue: str, size: int) -> dict[str, Task]:
        if not names.is_queue(queue):  # somebody made the directory; the index is asked for no such name
            return {}
        return {task.stem + names.TASK: task for task in self._index.window(queue, size)}

    def _resources(self, name: str) -> list[str]:
        """The resources of an offer that could not be withdrawn: somebody claimed it, so they are not free."""
        stem = names.parse_stem(name.removesuffix(names.TASK))
        return self._index.lines.resources(stem.id) if stem else []

    def _is_ours(self, name: str) -> bool:
        stem = names.parse_stem(name.removesuffix(names.TASK))
        task = self._index.task(stem.id) if stem else None
        return stem is not None and task is not None and stem.seq <= task.seq and stem.attempt <= task.attempt

    def _after(self, task: Task) -> list[str]:
        after: list[str] = self._index.stories.body(task).get("after", [])
        return after

    def offer_bytes(self, task: Task) -> bytes:
        """Return what a task's offer holds, claimed or not."""
        schema = known.bound_contract(self._index, self._catalog, task).output_schema
        return known.offer_bytes(self._index, task, schema, self.context_bytes)

    def _is_right(self, queue: str, name: str, task: Task) -> bool:
        return holds(self._path(queue, name), self.offer_bytes(task))

    def _withdraw(self, queue: str, name: str) -> bool:
        """Take one offer back; False when an agent was faster, or may still be: it could not be removed now."""
        path = self._path(queue, name)
        try:
            return self._disk.unlink(path)
        except OSError as error:
            log.warning("%s: cannot be withdrawn yet: %s", path, error)
            self.published.pop(name, None)  # its breach is logged; as a change it would be one again in every pass
            return False

    def _publish(self, queue: str, name: str, task: Task) -> bool:
        """Publish one offer; says whether it is there. What cannot be written now is tried again in the next pass."""
        path = self._path(queue, name)
        aside = f"{self._places.staging}/{name}"
        try:
            made = self._disk.publish(path, self.offer_bytes(task), aside=aside)
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
        return f"{self._places.ready}/{queue}/{name}"
