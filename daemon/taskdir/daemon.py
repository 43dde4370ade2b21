"""The daemon: one pass, again and again (SPEC section 10). Recovery is the first pass; no other code does it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from taskdir import __version__, filesystem, opening, settings, textlog, walls
from taskdir.benches import benches
from taskdir.claims import claims
from taskdir.clock import Clock
from taskdir.contracts import Catalog
from taskdir.disk import Disk
from taskdir.documents import Event, Now
from taskdir.entries import Doors, Entries
from taskdir.errors import CannotCreate, ConfigError, Missing
from taskdir.given import Listener, Ticker, Waiter
from taskdir.handouts import handouts
from taskdir.handover import TASK_MODE, Handover
from taskdir.index import Index
from taskdir.intake import intake
from taskdir.journal import Journal, SyncFailed
from taskdir.known import Known
from taskdir.leases import leases
from taskdir.mends import Mends
from taskdir.observe import Observer
from taskdir.offers import offers
from taskdir.papers import signature
from taskdir.places import Places
from taskdir.records import Records
from taskdir.results import results
from taskdir.rooms import Rooms
from taskdir.seen import Seen
from taskdir.state import state
from taskdir.trouble import Unreadable, is_damage, is_outside
from taskdir.view import View
from taskdir.window import Window

log = logging.getLogger("taskdir")

Found = TypeVar("Found")

DESKS = (claims, results, leases, benches, handouts, offers, state, intake)
"""Each (known as earlier desks leave it, seen, now) → events. Claims before results before ends before new work."""


def decide(known: Known, seen: Seen, now: Now) -> list[Event]:
    """Ask the desks in order; returns the pass's events. Changes nothing."""
    for desk in DESKS:
        for event in desk(known, seen, now):
            known.add(event)
    return known.events


class Daemon:
    """An open root. ``open`` replays the log, ``one_pass`` does one round, ``close`` leaves everything in order."""

    def __init__(self, root: str, *, disk: Disk | None = None, clock: Ticker | None = None) -> None:
        """Take the root's lock. Raises Missing, ConfigError, or Busy naming the daemon that is there."""
        self.places = Places(root)
        self._disk, self._clock = disk or Disk(), clock or Clock()
        self._shape = signature(self.places.settings)
        self.settings = opening.read_settings(self.places)
        self._lock = opening.take_lock(self.places)
        self._stopping = self._reloading = False
        self._begun = self._full = self._knows = False
        self._fault: str | None = None
        self._trouble: str | None = None

    def open(self) -> None:
        """Bring the index up to the log and log ``started``; what cannot be done yet is done by a pass.

        Raises LogDamaged; OSError when the log cannot be read or opened.
        """
        opening.sweep(self.places, self._disk, closed=self.settings.walls)
        if weakness := filesystem.kind(self.places.root).weakness:
            log.warning("%s: %s", self.places.root, weakness)
        at_most, closed = self.settings.log_segment_bytes, self.settings.walls
        self._journal = Journal(self.places.root, self._disk, at_most, walls.LOG if closed else None)
        opening.say_who(self.places, self._disk, self._clock.now().text)
        self._minding_the_index(lambda: self._know() and self._begin())

    def one_pass(self) -> bool:
        """Observe, decide, record, index, publish. Says whether there was anything to do. Raises Missing: root gone."""
        now = self._clock.now()
        with self._lock.guarding():
            opening.make_places(self.places, self._disk, closed=self.settings.walls)
            ready = self._minding_the_index(self._is_ready)
            return bool(ready and self._minding_the_index(lambda: self._work(now)))

    def _is_ready(self) -> bool:
        self._reload_settings()
        return (self._knows or self._know()) and (self._begun or self._begin())

    def _know(self) -> bool:
        """Open the index, let it follow the log, make anew all that rests on it; False when the log cannot be read."""
        now = self._clock.now().seconds
        self.index = Index(self.places.index)
        try:
            self._journal.open(self.index.mark, self.index.apply)
        except OSError as error:
            if not self._begun:
                raise
            self._tell(f"the log cannot be read: nothing is decided until it can ({error})")
            self.index.close()
            return False
        self.index.clamp_delays(now)
        self.index.standing.clamp(now, self.settings.bench_seconds)
        self._catalog = catalog = Catalog(Catalog())
        self._window = Window(self.places, self._disk, self.index, catalog)
        self._entries = Entries(self.places, self._disk, self.index)
        self._doors = Doors(self.places, self._disk, self.index)
        rooms = Rooms(self.places, self.index) if self.settings.walls else None
        offer, published, entries = self._window.offer_bytes, self._window.published, self._entries.published
        self._handover = Handover(self.places, self._disk, self.index, rooms, offer) if rooms is not None else None
        self._observer = Observer(self.places, self.index, catalog, published, entries, rooms)
        self._records = Records(self.places, self._disk, self.index, self._handover)
        due, papers = self._records.is_due, self._observer.papers
        self._view = View(self.places, self._disk, self.index, papers, due, self._handover)
        self._mends = Mends(self.places, self._disk, self.index, self._window, TASK_MODE if rooms else None)
        self._use_settings()
        self._knows = True
        self._tell(None)
        return True

    def _minding_the_index(self, step: Callable[[], Found]) -> Found | None:
        """Do a step; None when SQLite cannot use its files. Then the index goes: the next pass makes it follow the log
        again, which is the truth (SPEC 10.4)."""
        try:
            return step()
        except Unreadable as error:
            if not is_outside(error):
                raise
            self._knows = False
            self._tell(f"the index cannot be used: nothing is decided until it can ({error})")
            if hasattr(self, "index"):
                with contextlib.suppress(OSError):
                    self.index.discard() if is_damage(error) else self.index.close()
            return None

    def _work(self, now: Now) -> bool:
        with self.index.transaction():
            seen = self._observer.look(now, self.settings)
            if self._full:
                seen.messages.clear()  # the log could not be written: finishing work goes on, new work waits
            events = decide(Known(self.index, self.settings, self._catalog, now), seen, now)
            if not self._record(events, now):
                self._observer.look_again()
                return False
        with self.index.transaction():
            return self._publish(seen, events, now) or bool(events) or seen.more

    def _publish(self, seen: Seen, events: list[Event], now: Now) -> bool:
        """Make the directories follow, in the order of SPEC section 7; says whether ready/ changed or more is to do."""
        if self._handover is not None:
            self._handover.note(events)
            self._handover.publish(seen)
        self._records.note(events)
        more = self._records.publish()
        self._entries.note(events)
        self._entries.publish(seen)
        self._view.publish(seen)
        self._entries.heal()
        if self._handover is None:
            self._doors.publish(seen)
        self._mends.publish(seen)
        woken = self.index.wake(now.seconds)
        changed = self._window.reconcile(seen, self.settings, self._records.lacking())
        self._records.sync_now_and_then(now.seconds)  # last: nobody waits for it
        return changed or woken or more

    def _record(self, events: list[Event], now: Now) -> bool:
        """Commit the pass's events and apply them; False when the log took nothing and is as before."""
        try:
            batch = self._journal.append(events)
        except SyncFailed:
            raise
        except OSError as error:
            self._tell(f"the log cannot be written: no new work is taken until it can ({error})")
            self._full = True
            return False
        self._full = False
        if batch is not None:
            self._tell(None)
            for event in events:
                textlog.tell(event)
            self.index.apply(batch, now.seconds)
        return True

    def _tell(self, trouble: str | None) -> None:
        """Say what is in the way, once as long as it is the same, and when it is over."""
        if trouble != self._trouble:
            if trouble:
                log.error("%s: %s", self.places.root, trouble)
            else:
                log.warning("%s: work goes on", self.places.root)
            self._trouble = trouble

    def run(self, hints: Waiter, listener: Listener, *, once: bool = False) -> None:
        """Make passes until told to stop; with ``once``, until a pass changes nothing, or raise what is in the way."""
        while not self._stopping:
            worked = self._reload(listener) if self._reloading else self.one_pass()
            listener.passed(self._status())
            if once and not worked:
                if self._trouble:
                    raise CannotCreate("cannot-write", self._trouble, path=self.places.root)
                break
            if hints.pace(worked, min(self._patience(), listener.patience)) and self._knows:
                self._minding_the_index(self._records.sync)

    def stop(self) -> None:
        """Ask the loop to end after the pass in hand."""
        self._stopping = True

    def reload(self) -> None:
        """Ask the loop to read taskdir.json and every contract again in its next pass, changed or not."""
        self._reloading = True

    def close(self) -> None:
        """Log ``stopped``, sync the records, let the root go."""
        if self._knows:
            self._minding_the_index(self._leave)
        self.abandon()

    def _leave(self) -> None:
        self._view.hand_back_taken()
        self._records.sync()
        if self._begun:
            self._log_event({"event": "stopped"})

    def abandon(self) -> None:
        """Let the lock and the files go without a word, as a kill would: what a test of crashes needs."""
        if hasattr(self, "_journal"):
            self._journal.close()
        if hasattr(self, "index"):
            self.index.close()
        self._lock.release()

    def _patience(self) -> float:
        """Seconds until the next look, hints aside: a scan interval, or less when a delay or settle time ends."""
        soonest = self._minding_the_index(self._soonest) if self._knows else None
        return (
            min(self.settings.scan_seconds, max(soonest, 0.001)) if soonest is not None else self.settings.scan_seconds
        )

    def _soonest(self) -> float | None:
        due = [self.index.next_wake(), self._observer.papers.next_deadline(self.settings.settle_seconds)]
        return min((at - self._clock.now().seconds for at in due if at is not None), default=None)

    def _begin(self) -> bool:
        """Log ``started``, which opens every run; until the log takes it, a pass does nothing."""
        started = {"event": "started", "version": __version__, "protocol": settings.PROTOCOL, "pid": os.getpid()}
        self._begun = self._log_event(started)
        return self._begun

    def _log_event(self, event: Event) -> bool:
        known = Known(self.index, self.settings, self._catalog, now := self._clock.now())
        known.add(event)
        return self._record(known.events, now)

    def _reload_settings(self) -> None:
        shape = signature(self.places.settings)
        if shape == self._shape:
            return
        self._shape, self._fault, before = shape, None, self.settings
        try:
            self.settings = replace(opening.read_settings(self.places), walls=before.walls)  # walls: at a start
            if self._knows:
                self._use_settings()
            if changed := settings.changes(before, self.settings):
                log.info("taskdir.json: %s changed", ", ".join(changed))
        except (ConfigError, Missing, OSError) as error:
            log.error("taskdir.json was changed and is not used: %s", error)
            self._fault = f"taskdir.json was changed and is not used: {error}"
            if isinstance(error, OSError):
                self._shape = (0, 0, 0, 0)  # for want of descriptors, say: tried again in the next pass

    def _reload(self, listener: Listener) -> bool:
        """Make a pass that reads settings and contracts again, and say what is in force."""
        self._reloading = False
        listener.reloading()
        self._shape = (0, 0, 0, 0)
        if self._knows:
            self._observer.forget_contracts()
        worked = self.one_pass()
        log.info("reloaded: taskdir.json is %s; %s", "not used" if self._fault else "in use", self._catalog)
        return worked

    def _status(self) -> str:
        """One line about the present, for a service manager."""
        trouble = "".join(f"{each}; " for each in (self._trouble, self._fault) if each)
        return f"{trouble}{self._journal.mark.seq} events in {self.places.root}"

    def _use_settings(self) -> None:
        self.index.lines.use(self.settings.resources)
        self._window.context_bytes = self.settings.context_bytes if self._handover is None else 1 << 62
