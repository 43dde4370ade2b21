"""Behind walls: what agents may have put where, and what of it counts (docs/walls.md). Changes nothing on disk.

Each agent runs as a user of its own. All directories are the daemon's, so that an agent changes nothing but what lies
in its own; whatever lies there may be a trick: it is listed up to a bound, and only what was handed out counts.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

from taskdir import names, ownership
from taskdir.holdings import MOST
from taskdir.index import Index
from taskdir.places import Places
from taskdir.seen import Seen, Slot

MOST_BYTES = 1 << 24
"""Once so much was read from rooms in a pass, the rest waits for the next one, when all are asked in turn again."""


class Rooms:
    """Every agent's room, and which claims were handed out to whom."""

    def __init__(self, places: Places, index: Index) -> None:
        self._places, self._index = places, index
        self._starting = True
        self.due: set[Slot] = set()
        """Claims on record whose task file is not in the agent's directory yet."""

    def rounds(self) -> Iterator[list[tuple[str, str, str]]]:
        """List all rooms' inboxes now; the iterator gives (path, name, agent) of the first message of each, then of the
        second, …"""
        rooms = [[*self._messages(agent)] for agent in sorted(listed(self._places.agents))]
        return ([message for message in each if message is not None] for each in itertools.zip_longest(*rooms))

    def _messages(self, agent: str) -> Iterator[tuple[str, str, str]]:
        """What is no regular file there does not exist for the daemon: it could not be moved away."""
        if names.is_word(agent):
            inbox = self._places.room(agent, "inbox")
            for name in sorted(files(inbox), key=os.fsencode):
                if names.is_message_name(name):
                    yield f"{inbox}/{name}", names.kept(agent, name), agent

    def settle(self, seen: Seen) -> None:
        """Leave in ``seen`` only what was handed out; what still has to be, is not gone."""
        asked, starting, self._starting = set(seen.asks), self._starting, False
        for slot in seen.gone.copy():
            task = self._index.task(seen.holdings[slot].stem.id)
            if starting and task is not None and (slot.agent, task.queue) in asked:
                self.due.add(slot)  # a stop came between record and file, or the ask would be gone
            if slot in self.due:
                seen.gone.discard(slot)
                del seen.holdings[slot]
        for slot in [slot for slot in seen.holdings if not self._was_handed(slot)]:
            del seen.holdings[slot]
        for slot in [slot for slot in seen.leftovers if not self._was_handed(slot)]:
            del seen.leftovers[slot]

    def _was_handed(self, slot: Slot) -> bool:
        """Say whether an agent ever held this attempt."""
        stem = names.parse_stem(slot.stem)
        task = self._index.task(stem.id) if stem else None
        if stem is None or task is None:
            return False
        if task.state == "claimed" and task.attempt == stem.attempt:
            return (task.agent, task.stem) == slot
        return any(
            (each["attempt"], each["agent"]) == (stem.attempt, slot.agent) for each in self._index.attempts(task.id)
        )

    def owner(self, id: str) -> str | None:
        """Return the agent whose task this is, None when it is the operator's."""
        return ownership.owner(id, listed(self._places.agents))

    def sender(self, name: str) -> str:
        """Return the agent from whose room a file of this name came that the daemon keeps; "": from nobody's."""
        head, mark, _ = name.partition("!")
        return head if mark and head in listed(self._places.agents) else self.owner(name) or ""


def listed(path: str) -> list[str]:
    """Return the names in a directory, nothing when it cannot be listed."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def files(path: str) -> list[str]:
    """Return the names of regular files in an agent's directory, MOST of them."""
    try:
        with os.scandir(path) as entries:
            return [each.name for each in itertools.islice(entries, MOST) if each.is_file(follow_symlinks=False)]
    except OSError:
        return []
