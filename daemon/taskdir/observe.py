"""One look at everything that others may have changed; the only reader of agents' and operators' places (SPEC 10.3).

Source directories are listed before destination ones (ready/ before claimed/), so that nothing that moves meanwhile is
overlooked; messages before contracts, so that a message finds the one that came before it. Changes nothing on disk.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator

from taskdir import contracts, known, names, papers, strictjson
from taskdir.contracts import Catalog
from taskdir.disk import OURS, NotRegular, TooLarge, read_regular
from taskdir.documents import Now
from taskdir.errors import Invalid
from taskdir.holdings import Holdings
from taskdir.index import Index
from taskdir.papers import Papers, shape_of, signature
from taskdir.places import Places
from taskdir.rooms import MOST_BYTES, Rooms
from taskdir.seen import Seen, Signature, Slot
from taskdir.settings import Settings

log = logging.getLogger("taskdir")

MAX_ENTRY = 1 << 24
PASS_LIMIT = 512
"""Messages judged in one pass at most: one log sync covers them."""


class Observer:
    """Keeps between passes what is needed to tell change from rest."""

    def __init__(
        self,
        places: Places,
        index: Index,
        catalog: Catalog,
        published: dict[str, Signature],
        entries: dict[str, Signature],
        rooms: Rooms | None = None,
    ) -> None:
        """``published`` and ``entries`` remember offers and state entries: file name → signature as published.

        ``rooms``: behind walls, what agents have.
        """
        self._rooms = rooms
        self._places, self._index, self._catalog = places, index, catalog
        self._published, self._entries = published, entries
        self._state_looked = self._offers_looked = float("-inf")
        self._busy = False
        self._inbox: list[str] = []
        self._rounds: Iterator[list[tuple[str, str, str]]] = iter(())
        self._holdings = Holdings(places, walls=rooms is not None)
        self.papers = Papers(walls=rooms is not None)
        self._contract_files: dict[str, dict[str, Signature]] = {}
        self._first = True
        self._contracts_known = False

    def look(self, now: Now, settings: Settings) -> Seen:
        """Return what is there now."""
        seen = Seen(first=self._first)
        self._list_messages()
        self._look_at_contracts(settings)
        self._busy = self._busy and now.seconds - self._offers_looked < settings.scan_seconds
        self._look_at_ready(seen)
        if not self._busy:
            self._offers_looked = now.seconds
        self._look_at_state(seen, now, settings)
        self._holdings.look(seen, list(self._index.live.values()), now.seconds, settings.scan_seconds)
        self._first = seen.first and seen.blind
        if self._rooms is not None:
            self._rooms.settle(seen)
        self._read_taken(seen, now, settings)
        self._read_results(seen, now, settings)
        self._read_messages(seen, now, settings)
        self.papers.forget_gone()
        self._busy = bool(seen.messages or seen.results)
        return seen

    def look_again(self) -> None:
        """Let the next look see what this one saw: nothing came of it."""
        self._state_looked = self._offers_looked = float("-inf")

    def forget_contracts(self) -> None:
        """Let the next look read every contract again, changed or not."""
        for directory, found in self._contract_files.items():
            self._contract_files[directory] = dict.fromkeys(found, (0, 0, 0, 0))

    def _look_at_contracts(self, settings: Settings) -> None:
        self._contracts_known = True
        keys = os.path.join(self._places.contracts, "state")
        for directory, catalog in ((self._places.contracts, self._catalog), (keys, self._catalog.keys)):
            if catalog is None:
                continue
            try:
                self._look_at_catalog(directory, catalog, settings)
            except OSError as error:
                log.warning("%s: cannot be read now: %s", directory, error)
                self._contracts_known = False

    def _look_at_catalog(self, directory: str, catalog: Catalog, settings: Settings) -> None:
        """Load what is new, drop what is gone. Raises OSError when that cannot be told: then no message is judged."""
        found: dict[str, Signature] = {}
        before = self._contract_files.setdefault(directory, {})
        for name in _names(directory):
            word = name.removesuffix(names.TASK)
            if names.is_message_name(name) and names.is_word(word):
                path = os.path.join(directory, name)
                with contextlib.suppress(FileNotFoundError):
                    found[word] = shape_of(os.lstat(path))
                    if before.get(word) != found[word]:
                        self._load_contract(catalog, path, word, settings, found)
                        before[word] = found[word]
        for word in before.keys() - found.keys():
            catalog.drop(word)
        self._contract_files[directory] = found

    def _load_contract(
        self, catalog: Catalog, path: str, word: str, settings: Settings, found: dict[str, Signature]
    ) -> None:
        try:
            catalog.load(word, read_regular(path, settings.max_message_bytes))
        except NotRegular as error:
            catalog.refuse(word, papers.not_regular(error))
        except TooLarge as error:
            catalog.refuse(word, papers.too_large(error, settings.max_message_bytes))
        except OSError as error:
            if error.errno in OURS:
                raise
            if error.errno == errno.EIO:
                found[word] = (0, 0, 0, 0)  # the disk may give it the next time: one type waits, and no other
            catalog.refuse(word, papers.unreadable(error))
        last = self._index.register.last_contract(word) if catalog is self._catalog else None
        if catalog.get(word) is None and last is not None:
            catalog.put(contracts.compile_contract(word, *last))

    def _look_at_ready(self, seen: Seen) -> None:
        """List the offers; those that we know are looked at one by one when there is time, or once a scan interval."""
        for queue in _list(self._places.ready):
            found: dict[str, Signature] = {}
            directory = os.path.join(self._places.ready, queue)
            if os.path.islink(directory):  # what lies behind it is somebody else's
                continue
            for name in _list(directory):
                if not names.is_message_name(name):
                    continue
                published = self._published.get(name)
                shape = published if published and self._busy else signature(os.path.join(directory, name))
                if shape is None:
                    continue
                found[name] = shape
                if published is None:
                    seen.strange.append((queue, name))
                elif published[:3] != shape[:3]:
                    seen.changed.add(name)
            seen.ready[queue] = found

    def _look_at_state(self, seen: Seen, now: Now, settings: Settings) -> None:
        """Find what was edited in state/: once a scan interval, since there may be many keys."""
        if now.seconds - self._state_looked < settings.scan_seconds * 0.9:
            return
        try:
            shown = set(_names(self._places.state))
        except OSError:
            return  # what cannot be listed may be there
        self._state_looked = now.seconds
        for name in sorted(name for name in shown if names.is_message_name(name)):
            path = os.path.join(self._places.state, name)
            shape, published = signature(path), self._entries.get(name)
            if shape is None or (published is not None and published[:3] == shape[:3]):
                continue
            if published is not None or (verdict := self._judge_entry(path, name.removesuffix(names.TASK))) == "edited":
                seen.edited.append(name)
            elif verdict == "right":
                self._entries[name] = shape
            elif verdict == "older":
                seen.missing.append(name)
        seen.missing += [key + names.TASK for key in sorted(self._index.shelf.keys()) if key + names.TASK not in shown]

    def _judge_entry(self, path: str, key: str) -> str:
        """Tell a state file that a life before left: right, older (a stop came between fact and view), edited; or
        unknown, when it cannot be read now, or is gone."""
        expected = known.entry_bytes(self._index, key) if names.is_word(key) else None
        if expected is None:
            return "edited"
        try:
            data = read_regular(path, MAX_ENTRY)
            if data == expected:
                return "right"
            return "older" if strictjson.loads(data)["version"] < self._index.shelf.version(key) else "edited"
        except OSError as error:
            return "unknown" if error.errno in OURS | {errno.EIO, errno.ENOENT} else "edited"
        except (NotRegular, TooLarge, Invalid, KeyError, TypeError):
            return "edited"

    def _read_taken(self, seen: Seen, now: Now, settings: Settings) -> None:
        """Read what was taken but turned out to have changed since it was judged: it is judged anew."""
        for taken in _list(self._places.taken):
            _, agent, name = taken.split("!", 2) if taken.count("!") >= 2 else ("", "", taken)
            path = os.path.join(self._places.taken, taken)
            parts = names.split_claimed(name)
            slot = Slot(agent, str(parts[0])) if agent and parts else None
            if slot is None and not self._contracts_known:
                continue
            limit = settings.max_result_bytes if slot else settings.max_batch_bytes
            sender = self._rooms.sender(name) if self._rooms is not None and slot is None else ""
            paper = self.papers.read(path, name, limit, now.seconds, settings.settle_seconds, slot, sender)
            if paper is not None:
                (seen.results if slot else seen.messages).append(paper)

    def _read_results(self, seen: Seen, now: Now, settings: Settings) -> None:
        for slot, holding in sorted(seen.holdings.items()):
            if not holding.has_result:
                continue
            name = slot.stem + names.RESULT
            path = f"{self._places.claimed}/{slot.agent}/{name}"
            paper = self.papers.read(
                path, name, settings.max_result_bytes, now.seconds, settings.settle_seconds, slot
            )  # fmt: skip
            if paper is None:
                holding.writing = self.papers.is_unfinished(path)
                self._first = self._first or (seen.first and os.path.lexists(path))
            else:
                seen.results.append(paper)

    def _list_messages(self) -> None:
        """List the agents' inboxes, and inbox/ once its last listing is used up: it may be long."""
        if self._rooms is not None:
            self._rounds = self._rooms.rounds()
        if not self._inbox:
            found = filter(names.is_message_name, _list(self._places.inbox))
            self._inbox = sorted(found, key=os.fsencode, reverse=True)

    def _read_messages(self, seen: Seen, now: Now, settings: Settings) -> None:
        """Read the next messages of the last listings."""
        self.papers.count = self.papers.bytes = 0
        if not self._contracts_known:
            return
        self._read_rooms(seen, now, settings)
        while self._inbox:
            if self.papers.count >= PASS_LIMIT:
                seen.more = True
                return
            name = self._inbox.pop()
            path = f"{self._places.inbox}/{name}"
            paper = self.papers.read(path, name, settings.max_batch_bytes, now.seconds, settings.settle_seconds)
            if paper is not None:
                seen.messages.append(paper)

    def _read_rooms(self, seen: Seen, now: Now, settings: Settings) -> None:
        """Read a message of each agent in turn, so that a flood of one delays the others by no more than its turns."""
        for messages in self._rounds:
            if self.papers.count >= PASS_LIMIT or self.papers.bytes >= MOST_BYTES:
                seen.more = True
                break
            for path, name, agent in messages:
                limit = settings.max_batch_bytes
                paper = self.papers.read(path, name, limit, now.seconds, settings.settle_seconds, sender=agent)
                if paper is not None:
                    seen.messages.append(paper)
        self.papers.count = self.papers.bytes = 0  # the operator's own are not to wait for them


def _names(path: str) -> list[str]:
    """Return the names in a directory, nothing when there is none. Raises OSError."""
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _list(path: str) -> list[str]:
    """Return the names in a directory, nothing when it cannot be listed."""
    try:
        return os.listdir(path)
    except OSError:
        return []
