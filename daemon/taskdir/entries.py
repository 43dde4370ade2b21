"""Publishing state/, and closing the doors of benched agents (SPEC sections 7.17 and 7.18)."""

from __future__ import annotations

import logging
import os
import stat

from taskdir import known, names
from taskdir.disk import Disk
from taskdir.documents import Event
from taskdir.index import Index
from taskdir.papers import shape_of
from taskdir.places import Places
from taskdir.seen import Seen, Signature

log = logging.getLogger("taskdir")


class Entries:
    """The writer of state/<key>.json. ``published`` remembers each file's signature, so that an edit is noticed."""

    def __init__(self, places: Places, disk: Disk, index: Index) -> None:
        self._places, self._disk, self._index = places, disk, index
        self.published: dict[str, Signature] = {}
        self._due: set[str] = set()
        self._edited: set[str] = set()

    def note(self, events: list[Event]) -> None:
        """Take over which keys a batch set."""
        self._due.update(event["key"] for event in events if event["event"] == "set")

    def publish(self, seen: Seen) -> None:
        """Write every entry that was set or is not there, before its message goes; but nothing over what was edited by
        hand and is not expelled yet, or cannot be read now."""
        for name in seen.edited:
            self.published.pop(name, None)
            self._edited.add(name)
        self._edited -= self.published.keys()  # somebody put it right
        missing = {name.removesuffix(names.TASK) for name in seen.missing}
        self._write((self._due | missing) - {name.removesuffix(names.TASK) for name in self._edited})

    def heal(self) -> None:
        """Write every entry again that was edited by hand, once the edit is gone."""
        gone = {name for name in self._edited if not os.path.lexists(os.path.join(self._places.state, name))}
        self._edited -= gone
        self._write({name.removesuffix(names.TASK) for name in gone} & self._index.shelf.keys())

    def _write(self, keys: set[str]) -> None:
        for key in sorted(keys):
            path, data = os.path.join(self._places.state, key + names.TASK), known.entry_bytes(self._index, key)
            aside = os.path.join(self._places.staging, f"{key}.entry")
            if data is None:
                continue
            try:
                made = self._disk.publish(path, data, aside=aside)
            except OSError as error:
                log.warning("%s: cannot be published yet: %s", path, error)
                self._due.add(key)
                continue
            self.published[key + names.TASK] = shape_of(made)
            self._due.discard(key)


class Doors:
    """Takes the write bit from a benched agent's directory once it holds nothing, and gives it back."""

    def __init__(self, places: Places, disk: Disk, index: Index) -> None:
        self._places, self._disk, self._index = places, disk, index
        self._closed: set[str] | None = None

    def publish(self, seen: Seen) -> None:
        """Make the modes follow who is benched."""
        if self._closed is None:
            known = self._index.standing.known() & seen.agents
            self._closed = {agent for agent in known if not self._is_open(agent)}
        busy = {slot.agent for slot in seen.holdings}
        wanted = {agent for agent in self._index.standing.benched() if agent in seen.agents and agent not in busy}
        for agents, mode in ((wanted - self._closed, 0o555), (self._closed - wanted, 0o755)):
            for agent in sorted(agents & seen.agents):
                path = os.path.join(self._places.claimed, agent)
                try:
                    self._disk.chmod(path, mode)
                except OSError as error:  # gone, or another user's: then only its own good sense keeps it away
                    log.warning("%s: its mode cannot be set: %s", path, error)
        self._closed = wanted

    def _is_open(self, agent: str) -> bool:
        try:
            return bool(os.stat(os.path.join(self._places.claimed, agent)).st_mode & stat.S_IWUSR)
        except OSError:
            return True
