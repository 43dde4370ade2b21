"""One look at everything that others may have changed; the only reader of agents' and operators' places (SPEC 10.3).

Source directories are listed before destination ones (ready/ before claimed/), so that nothing that moves meanwhile is
overlooked. Changes nothing on disk.
"""

from __future__ import annotations

import os

from taskdir import contracts, names
from taskdir.contracts import Catalog
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.documents import Now
from taskdir.holdings import Holdings
from taskdir.index import Index
from taskdir.papers import Papers, signature
from taskdir.places import Places
from taskdir.seen import Seen, Signature, Slot
from taskdir.settings import Settings

PASS_LIMIT = 512
"""Messages judged in one pass at most: one log sync covers them."""


class Observer:
    """Keeps between passes what is needed to tell change from rest."""

    def __init__(self, places: Places, index: Index, catalog: Catalog, published: dict[str, Signature]) -> None:
        """``published`` is the window's memory: offer name → signature as it was published."""
        self._places, self._index, self._catalog, self._published = places, index, catalog, published
        self._holdings = Holdings(places)
        self.papers = Papers()
        self._contract_files: dict[str, Signature] = {}
        self._first = True

    def look(self, now: Now, settings: Settings) -> Seen:
        """Return what is there now."""
        seen = Seen(first=self._first)
        self._first = False
        self._look_at_contracts(settings)
        self._look_at_ready(seen)
        live = self._index.tasks("state = 'claimed'")
        self._holdings.look(seen, live, now.seconds, settings.scan_seconds)
        self._read_taken(seen, now, settings)
        self._read_results(seen, now, settings)
        self._read_messages(seen, now, settings)
        self.papers.forget_gone()
        return seen

    def _look_at_contracts(self, settings: Settings) -> None:
        found: dict[str, Signature] = {}
        for name in _list(self._places.contracts):
            type = name.removesuffix(names.TASK)
            shape = signature(os.path.join(self._places.contracts, name))
            if names.is_message_name(name) and names.is_word(type) and shape is not None:
                found[type] = shape
                if self._contract_files.get(type) != shape:
                    self._load_contract(type, settings)
        for type in self._contract_files.keys() - found.keys():
            self._catalog.drop(type)
        self._contract_files = found

    def _load_contract(self, type: str, settings: Settings) -> None:
        path = os.path.join(self._places.contracts, type + names.TASK)
        try:
            self._catalog.load(type, read_regular(path, settings.max_message_bytes))
        except (OSError, NotRegular, TooLarge):
            self._catalog.load(type, b"")
        last = self._index.last_contract(type)
        if self._catalog.get(type) is None and last is not None:
            self._catalog.put(contracts.compile_contract(type, *last))

    def _look_at_ready(self, seen: Seen) -> None:
        for queue in _list(self._places.ready):
            found: dict[str, Signature] = {}
            directory = os.path.join(self._places.ready, queue)
            for name in _list(directory):
                if names.is_message_name(name):
                    shape = signature(os.path.join(directory, name))
                    if shape is not None:
                        found[name] = shape
                        published = self._published.get(name)
                        if published is None:
                            seen.strange.append((queue, name))
                        elif published[:3] != shape[:3]:
                            seen.changed.add(name)
            seen.ready[queue] = found

    def _read_taken(self, seen: Seen, now: Now, settings: Settings) -> None:
        """Read what was taken but turned out to have changed since it was judged: it is judged anew."""
        for taken in _list(self._places.taken):
            _, agent, name = taken.split("!", 2) if taken.count("!") >= 2 else ("", "", taken)
            path = os.path.join(self._places.taken, taken)
            parts = names.split_claimed(name)
            slot = Slot(agent, str(parts[0])) if agent and parts else None
            limit = settings.max_result_bytes if slot else settings.max_batch_bytes
            paper = self.papers.read(path, name, limit, now.seconds, settings.settle_seconds, slot)
            if paper is not None:
                (seen.results if slot else seen.messages).append(paper)

    def _read_results(self, seen: Seen, now: Now, settings: Settings) -> None:
        for slot, holding in sorted(seen.holdings.items()):
            if not holding.has_result:
                continue
            name = slot.stem + names.RESULT
            path = os.path.join(self._places.claimed, slot.agent, name)
            paper = self.papers.read(
                path, name, settings.max_result_bytes, now.seconds, settings.settle_seconds, slot
            )  # fmt: skip
            if paper is None:
                holding.writing = self.papers.is_unfinished(path)
            else:
                seen.results.append(paper)

    def _read_messages(self, seen: Seen, now: Now, settings: Settings) -> None:
        self.papers.count = 0
        waiting = sorted((name for name in _list(self._places.inbox) if names.is_message_name(name)), key=os.fsencode)
        for name in waiting:
            if self.papers.count >= PASS_LIMIT:
                seen.more = True
                return
            path = os.path.join(self._places.inbox, name)
            paper = self.papers.read(path, name, settings.max_batch_bytes, now.seconds, settings.settle_seconds)
            if paper is not None:
                seen.messages.append(paper)


def _list(path: str) -> list[str]:
    """Return the names in a directory, nothing when it cannot be listed."""
    try:
        return os.listdir(path)
    except OSError:
        return []
