"""Behind walls: putting into agents' directories what is theirs: task files, records, reasons (docs/walls.md).

All of it can be done again: what is due follows from the log and from what was seen. Whatever an agent puts in the way
is its own loss: it is told, and stops nothing.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
from collections.abc import Callable

from taskdir import documents, names, strictjson
from taskdir.disk import Disk
from taskdir.documents import Event, Task
from taskdir.errors import Invalid
from taskdir.index import Index
from taskdir.places import Places
from taskdir.rooms import Rooms
from taskdir.seen import Paper, Seen, Slot

log = logging.getLogger("taskdir")

TASK_MODE = 0o666
"""Of a task file: the agent renews its lease by touching it, and only its user enters the directory."""
_AGAIN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
_KEPT = 1024


class Handover:
    """The writer of claimed/<agent>/<stem>.json, and of done/, failed/ and rejected/ in agents/<agent>/."""

    def __init__(self, places: Places, disk: Disk, index: Index, rooms: Rooms, offer: Callable[[Task], bytes]) -> None:
        """``offer`` makes the bytes of a task file."""
        self._places, self._disk, self._index, self._rooms, self._offer = places, disk, index, rooms, offer
        self._again: dict[str, bytes] = {}
        self._numbers = itertools.count(int.from_bytes(os.urandom(5), "big"))

    def note(self, events: list[Event]) -> None:
        """Take over what a batch handed out."""
        for event in events:
            task = self._index.task(event["id"]) if event["event"] == "claimed" else None
            if task is not None:
                self._rooms.due.add(Slot(event["agent"], task.stem))

    def publish(self, seen: Seen) -> None:
        """Put task files where they are due, then take the asks away: one that is gone was answered."""
        for path, data in [*self._again.items()]:
            self._put(path, data)
        for slot in sorted(self._rooms.due):
            self._hand_out(slot)
        waiting = {slot.agent for slot in self._rooms.due}
        for agent, queue in seen.asks:
            if agent not in waiting:
                self._remove(f"{self._places.claimed}/{agent}/{queue}{names.ASK}")

    def _hand_out(self, slot: Slot) -> None:
        stem = names.parse_stem(slot.stem)
        task = self._index.task(stem.id) if stem else None
        try:
            if task is not None and (task.state, task.agent, task.stem) == ("claimed", slot.agent, slot.stem):
                path = f"{self._places.claimed}/{slot.agent}/{slot.stem}{names.TASK}"
                aside = f"{self._places.staging}/{slot.stem}{names.TASK}"
                self._disk.publish(path, self._offer(task), aside=aside, mode=TASK_MODE)
        except OSError as error:
            log.warning("%s/%s: cannot be handed out: %s", slot.agent, slot.stem, error)
            if error.errno in _AGAIN:
                return  # else the agent put something in the way: its lease goes on as if it had it
        self._rooms.due.discard(slot)

    def record(self, task: Task, data: bytes) -> str | None:
        """Give the record of an ended task to the agent that submitted it; returns the file's path."""
        agent = self._rooms.owner(task.id)
        if agent is None:
            return None
        path = self._places.room(agent, "done" if task.state == "done" else "failed", task.id + names.TASK)
        self._put(path, data)
        return path

    def forget_record(self, id: str) -> None:
        """Take the record of a task away that was brought back."""
        agent = self._rooms.owner(id)
        if agent is not None:
            self._remove(self._places.room(agent, "failed", id + names.TASK))

    def reason(self, agent: str, file: str, reason: dict[str, str]) -> None:
        """Tell an agent why its message or result ``file`` was refused."""
        self._put(self._places.room(agent, "rejected", names.reason_name(file)), strictjson.pretty(reason))

    def end_of_refusals(self, agent: str, paper: Paper, id: str, attempt: int) -> None:
        """Tell an agent that its result was the last refused one: nothing else would tell it from an accepted one."""
        ends = [each for each in self._index.attempts(id) if each["attempt"] == attempt]
        error = ends[0].get("error", {}) if ends else {}
        if error.get("code") == "refusal-cap":
            fault = Invalid("refusal-cap", error["message"])
            self.reason(agent, paper.name, documents.reason(fault, paper.name, paper.sha256))

    def forget_reason(self, file: str) -> None:
        """Take away the reason of a file that was accepted since."""
        agent = self._rooms.owner(file)
        if agent is not None:
            self._remove(self._places.room(agent, "rejected", names.reason_name(file)))

    def home(self, name: str) -> tuple[str, str]:
        """Return where a message that the daemon keeps came from: the directory, and its name there."""
        agent = self._rooms.sender(name)
        return self._places.room(agent, "inbox") if agent else self._places.inbox, names.given(agent, name)

    def give_back(self, agent: str, source: str, file: str) -> None:
        """Give a refused file back to its sender; it is dropped if the agent has something else in the way."""
        try:
            self._disk.rename(source, self._places.room(agent, "rejected", file))
        except OSError as error:
            log.warning("%s: cannot be given back to %s: %s", names.printable(file), agent, error)
            self._disk.unlink(source)

    def _put(self, path: str, data: bytes) -> None:
        self._again.pop(path, None)
        try:
            self._disk.publish(path, data, aside=f"{self._places.staging}/{next(self._numbers):x}")
        except OSError as error:
            log.warning("%s: cannot be published: %s", path, error)
            if error.errno in _AGAIN and len(self._again) < _KEPT:
                self._again[path] = data

    def _remove(self, path: str) -> None:
        try:
            self._disk.unlink(path)
        except OSError as error:
            log.warning("%s: cannot be removed: %s", path, error)
