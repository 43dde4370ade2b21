"""The daemon: one pass, again and again (SPEC section 10). Recovery is the first pass; no other code does it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from typing import Protocol

from taskdir import __version__, filesystem, settings, textlog
from taskdir.benches import benches
from taskdir.claims import claims
from taskdir.clock import Clock
from taskdir.contracts import Catalog
from taskdir.disk import Disk
from taskdir.documents import Event, Now
from taskdir.entries import Doors, Entries
from taskdir.errors import Busy, ConfigError, Missing
from taskdir.index import Index
from taskdir.intake import intake
from taskdir.journal import Journal, SyncFailed
from taskdir.known import Known
from taskdir.leases import leases
from taskdir.lock import RootLock
from taskdir.observe import Observer
from taskdir.offers import offers
from taskdir.papers import signature
from taskdir.places import Places
from taskdir.records import Records
from taskdir.results import results
from taskdir.seen import Seen
from taskdir.settings import Settings
from taskdir.state import state
from taskdir.view import View
from taskdir.window import Window

log = logging.getLogger("taskdir")

DESKS = (claims, results, leases, benches, offers, state, intake)
"""Each (known as earlier desks leave it, seen, now) → events. Claims before results before ends before new work."""


class Ticker(Protocol):
    """Anything that tells the time as ``clock.Clock`` does."""

    def now(self) -> Now:
        """Return this instant."""


class Waiter(Protocol):
    """Anything that waits as ``watch.Hints`` does."""

    def pace(self, worked: bool, seconds: float) -> bool:
        """Wait for a hint, at most ``seconds``, unless the last pass found work; True: nothing was heard."""


class Listener(Protocol):
    """Anything that hears how the loop goes, as ``notify.Manager`` does; ``patience``: seconds until it worries."""

    patience: float

    def passed(self, status: str) -> None:
        """A pass is over."""

    def reloading(self) -> None:
        """The next pass reads settings and contracts again."""


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
        self.settings = _read_settings(self.places)
        self._lock = _take_lock(self.places)
        self._stopping = self._reloading = False
        self._begun = self._full = False
        self._fault: str | None = None

    def open(self) -> None:
        """Bring the index up to the log and log ``started``. Raises LogDamaged."""
        self._make_places()
        for name in os.listdir(self.places.staging):
            with contextlib.suppress(OSError):  # half-done publishing of a life before; strangers may stay
                self._disk.unlink(os.path.join(self.places.staging, name))
        if os.stat(self.places.ready).st_mode & 0o222:
            self._disk.chmod(self.places.ready, 0o555)  # a kill may have come while a queue's directory was made
        if weakness := filesystem.kind(self.places.root).weakness:
            log.warning("%s: %s", self.places.root, weakness)
        self.index = Index(self.places.index)
        self._journal = Journal(self.places.root, self._disk, self.settings.log_segment_bytes)
        self._journal.open(self.index.mark, self.index.apply)
        self.index.clamp_delays(self._clock.now().seconds)
        self.index.standing.clamp(self._clock.now().seconds, self.settings.bench_seconds)
        catalog = Catalog(Catalog())
        self._catalog = catalog
        self._window = Window(self.places, self._disk, self.index, catalog)
        self._entries = Entries(self.places, self._disk, self.index)
        self._doors = Doors(self.places, self._disk, self.index)
        self._observer = Observer(self.places, self.index, catalog, self._window.published, self._entries.published)
        self._records = Records(self.places, self._disk, self.index)
        self._view = View(self.places, self._disk, self.index, self._observer.papers, self._records.due)
        self._use_settings()
        self._say_who()
        self._begin()

    def one_pass(self) -> bool:
        """Observe, decide, record, index, publish. Says whether there was anything to do."""
        now = self._clock.now()
        self._make_places()
        self._reload_settings()
        if not self._begun and not self._begin():
            return False
        with self.index.transaction():
            seen = self._observer.look(now, self.settings)
            if self._full:
                seen.messages.clear()  # the log could not be written: finishing work goes on, new work waits
            known = Known(self.index, self.settings, self._catalog, now)
            events = decide(known, seen, now)
            if not self._record(events, now):
                return False
        with self.index.transaction():
            return self._publish(seen, events, now) or bool(events) or seen.more

    def _publish(self, seen: Seen, events: list[Event], now: Now) -> bool:
        """Make the directories follow, in the order of SPEC section 7; says whether ready/ changed."""
        self._records.note(events)
        self._records.publish(now.seconds)
        self._entries.note(events)
        self._entries.publish(seen)
        self._view.publish(seen)
        self._entries.heal(seen)
        self._doors.publish(seen)
        woken = self.index.wake(now.seconds)
        return self._window.reconcile(seen, self.settings) or woken

    def _make_places(self) -> None:
        """Make the directories that are missing, be it that somebody deleted one of them while we run."""
        for path in [*self.places.public(), *self.places.private()]:
            if not os.path.isdir(path):
                try:
                    self._disk.mkdir(path)
                except OSError as error:
                    log.warning("%s: cannot be made yet: %s", path, error)

    def _record(self, events: list[Event], now: Now) -> bool:
        """Commit the pass's events and apply them; False when the log took nothing and is as before."""
        try:
            batch = self._journal.append(events)
        except SyncFailed:
            raise
        except OSError as error:
            log.error("the log cannot be written: no new work is taken until it can (%s)", error)
            self._full = True
            return False
        self._full = False
        if batch is not None:
            self.index.apply(batch, now.seconds)
            for event in events:
                textlog.tell(event)
        return True

    def run(self, hints: Waiter, listener: Listener, *, once: bool = False) -> None:
        """Make passes until told to stop; with ``once``, until a pass changes nothing."""
        while not self._stopping:
            worked = self._reload(listener) if self._reloading else self.one_pass()
            listener.passed(self._status())
            if once and not worked:
                break
            if hints.pace(worked, min(self._patience(), listener.patience)):
                self._records.sync()

    def stop(self) -> None:
        """Ask the loop to end after the pass in hand."""
        self._stopping = True

    def reload(self) -> None:
        """Ask the loop to read taskdir.json and every contract again in its next pass, changed or not."""
        self._reloading = True

    def close(self) -> None:
        """Log ``stopped``, sync the records, let the root go."""
        self._view.hand_back_taken()
        self._records.sync()
        if self._begun:
            self._log_event({"event": "stopped"})
        self._journal.close()
        self.index.close()
        self._lock.release()

    def abandon(self) -> None:
        """Let the lock and the files go without a word, as a kill would: what a test of crashes needs."""
        if hasattr(self, "_journal"):
            self._journal.close()
        if hasattr(self, "index"):
            self.index.close()
        self._lock.release()

    def _patience(self) -> float:
        """Seconds until the next look, hints aside: a scan interval, or less when a delay or settle time ends."""
        now = self._clock.now().seconds
        due = [self.index.next_wake(), self._observer.papers.next_deadline(self.settings.settle_seconds)]
        soonest = min((at - now for at in due if at is not None), default=self.settings.scan_seconds)
        return min(self.settings.scan_seconds, max(soonest, 0.001))

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
            self.settings = _read_settings(self.places)
            self._use_settings()
            if changed := settings.changes(before, self.settings):
                log.info("taskdir.json: %s changed", ", ".join(changed))
        except (ConfigError, Missing, OSError) as error:
            log.error("taskdir.json was changed and is not used: %s", error)
            self._fault = f"taskdir.json was changed and is not used: {error}"

    def _reload(self, listener: Listener) -> bool:
        """Make a pass that reads settings and contracts again, and say what is in force."""
        self._reloading = False
        listener.reloading()
        self._shape = (0, 0, 0, 0)
        self._observer.forget_contracts()
        worked = self.one_pass()
        log.info("reloaded: taskdir.json is %s; %s", "not used" if self._fault else "in use", self._catalog)
        return worked

    def _status(self) -> str:
        """One line about the present, for a service manager."""
        trouble = "the log cannot be written, no new work is taken; " if self._full else ""
        trouble += f"{self._fault}; " if self._fault else ""
        return f"{trouble}{self.index.mark.seq} events in {self.places.root}"

    def _use_settings(self) -> None:
        self.index.lines.use(self.settings.resources)
        self._window.context_bytes = self.settings.context_bytes

    def _say_who(self) -> None:
        """Leave a word for people about who runs here; nothing depends on it."""
        who = {
            "pid": os.getpid(),
            "started": self._clock.now().text,
            "version": __version__,
            "host": socket.gethostname(),
        }
        self._disk.publish(self.places.who, json.dumps(who).encode() + b"\n", aside=self.places.who + ".new")


def _read_settings(places: Places) -> Settings:
    try:
        with open(places.settings, "rb") as file:
            return settings.parse(file.read(), places.settings)
    except FileNotFoundError:
        raise Missing(
            "no-root", "there is no taskdir.json here", path=places.root, hint="`taskdir init` makes one"
        ) from None


def _take_lock(places: Places) -> RootLock:
    try:
        return RootLock(places.root)
    except Busy as busy:
        busy.hint = f"it says: {who_runs(places)}"
        raise


def who_runs(places: Places) -> str:
    """Return what the running daemon left about itself, in words."""
    try:
        with open(places.who, encoding="utf-8") as file:
            who = json.load(file)
        return f"pid {who['pid']} on {who['host']}, taskdir {who['version']}, since {who['started']}"
    except (OSError, ValueError, KeyError):
        return "nothing about itself"
