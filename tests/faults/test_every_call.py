"""A stop before, in and after every call that changes a file, an error at every call, and stops again in the recovery.

The stories are the scenarios of the conformance kit. ``make torture`` takes every stop and many times as many pairs,
triples and errors; ``make test`` what the lot of a printed seed gives. A finding prints what plays it again alone:

    TASKDIR_STOP='life: the whole way @ 12,3' .venv/bin/python -m pytest -n0 tests/faults/test_every_call.py
"""

from __future__ import annotations

import errno
import logging
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults import ledger
from faults.calls import Calls, tapped
from faults.crashes import Reference, Stops, Tally
from faults.failing import Failing, fail
from faults.mishaps import SPELLS, Fault, error_of, faults_of, name_of
from taskdir import disk, journal
from taskdir.conformance import vectors
from taskdir.conformance.stage import play
from taskdir.daemon import Daemon

TMPFS = "/dev/shm"
SHARDS = 24
NIGHTLY = 20_000
"""Runs, all shards together, that a night makes at the least."""
CHANCES = (0.04, 0.004) if not ledger.torture() else (1.0, 0.05, 0.003)
"""How likely a stop is tried, one in its recovery, and one in the recovery of that."""
ERRORS = 0.006 if not ledger.torture() else 0.2
"""How likely an error at a call is tried."""
IN_RECOVERY = 0.2 if not ledger.torture() else 1.5
"""How many errors are tried in each recovery from a stop that is tried."""
OTHERWISE = {
    "cancel: a task and its cancel in one pass, in byte order": "what was refused is judged again, and now its task is",
    "contracts: a bad edit of a contract that no task has used": "the last good one of such a type is in no log",
    "state: a contract of a key that cannot be used lets nothing pass": "the last good one of a key is in no log",
    "leases: the lease of one claim does not renew another's": "a start gives both their full time: they end together",
    "schedules: no setting of the clock wakes it early or keeps it asleep": "a start sees how the clock is set (8.6)",
}
"""Stories that a stop may bring to another end, and why."""
SCENES = [(label, scene) for label, scene in vectors.scenarios() if "needs" not in scene]


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tally]:
    """Room on tmpfs, no waiting for devices, no words of the daemon's."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda fd: None)
    logging.getLogger("taskdir").setLevel(logging.CRITICAL + 1)
    base = Path(tempfile.mkdtemp(dir=TMPFS if os.access(TMPFS, os.W_OK) else None))
    yield Tally(base)
    shutil.rmtree(base)
    logging.getLogger("taskdir").setLevel(logging.NOTSET)


def lot_of(seed: int, shard: int) -> random.Random:
    """Return what draws for one shard: the seed alone says what it does."""
    return random.Random(f"{seed} {shard}")


def stop(label: str, scene: dict[str, Any], calls: Calls, tally: Tally) -> None:
    """Play a story with the stops that the tally takes."""
    reference = Reference()
    assert play(scene, Path(tally.room()), None, reference) == []
    expected = reference.expected()
    if label in OTHERWISE:
        expected = [None for _ in expected]
    assert play(scene, Path(tally.room()), None, Stops(label, calls, tally, expected)) == []


def calls_of(scene: dict[str, Any], calls: Calls, tally: Tally) -> list[str]:
    """Return the kinds of all calls of a story."""
    whole = Failing(calls)
    assert play(scene, Path(tally.room()), None, whole) == []
    return whole.calls


def all_faults(scene: dict[str, Any], calls: Calls, tally: Tally) -> list[Fault]:
    """Return every error that a story can be given."""
    return faults_of(calls_of(scene, calls, tally))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_stopped_at_every_call(tally: Tally, shard: int) -> None:
    seed = ledger.seed()
    tally.draw, tally.chances, tally.errors = lot_of(seed, shard), CHANCES, IN_RECOVERY
    with ledger.entry("stops at every call", seed=seed) as entry, tapped(sql=True) as calls:
        for label, scene in SCENES[shard::SHARDS]:
            stop(label, scene, calls, tally)
            entry.runs = tally.count()
        print(", ".join(f"{runs:,} {what}" for what, runs in tally.runs.items()))
        assert not tally.found, "\n".join(tally.found)
        assert tally.runs["stops"] > 20
        assert tally.count() > NIGHTLY / SHARDS or not ledger.torture()


@pytest.mark.parametrize("shard", range(SHARDS))
def test_an_error_at_every_call(tally: Tally, shard: int) -> None:
    seed = ledger.seed()
    lot = lot_of(seed, shard)
    with ledger.entry("errors at every call", seed=seed) as entry, tapped(sql=True) as calls:
        for label, scene in SCENES[shard::SHARDS]:
            for fault in all_faults(scene, calls, tally):
                if lot.random() < (ERRORS if fault[1] >= 0 else ERRORS / 5):
                    fail(label, scene, calls, tally, fault)
            entry.runs = tally.runs["errors"]
        assert not tally.found, "\n".join(tally.found)
        assert tally.runs["strays"] <= 5 + tally.runs["errors"] / 3, (
            "a fault is to change no more than the time of things"
        )


@pytest.mark.parametrize("error", SPELLS, ids=name_of)
def test_an_error_that_lasts_and_ends(tally: Tally, error: int) -> None:
    """A full disk, a read-only one, no descriptors, for up to three hundred calls: then all is made up for."""
    seed = ledger.seed()
    lot = random.Random(f"{seed} {error}")
    with ledger.entry("errors that last", seed=seed) as entry, tapped(sql=True) as calls:
        for _ in range(600 if ledger.torture() else 6):
            label, scene = lot.choice(SCENES)
            begins = lot.randrange(len(calls_of(scene, calls, tally)))
            fail(label, scene, calls, tally, (begins, error), lot.randrange(2, 300))
            entry.runs = tally.runs["errors"]
        assert not tally.found, "\n".join(tally.found)


@pytest.mark.skipif("TASKDIR_STOP" not in os.environ, reason="TASKDIR_STOP names one stop or error to play again")
def test_one_again(tally: Tally) -> None:
    label, _, what = os.environ["TASKDIR_STOP"].rpartition(" @ ")
    scene = dict(SCENES)[label]
    lasts = ""
    with tapped(sql=True) as calls:
        way, _, error = what.rpartition("/") if " " in what else (what, "", "")
        if error:
            number, name = error.split()
            begins, _, lasts = number.partition("+")
            tally.only_error = int(begins), error_of(name)
        if not way:
            fail(label, scene, calls, tally, tally.only_error or (0, 0), int(lasts or 0))
        else:
            tally.only = tuple(map(int, way.split(",")))
            tally.chances = (1.0,) * len(tally.only)
            stop(label, scene, calls, tally)
    assert not tally.found, "\n".join(tally.found)


def test_stories_that_may_end_otherwise_are_there() -> None:
    assert set(OTHERWISE) <= {label for label, _ in SCENES}


LIFE = "life: "
Plant = Callable[[pytest.MonkeyPatch], None]


def takes_before_it_logs(patch: pytest.MonkeyPatch) -> None:
    """Plant: inputs are gone before the log has them."""
    record = Daemon._record

    def early(self: Daemon, events: list[dict[str, Any]], now: Any) -> bool:
        for event in events:
            if event["event"] == "accepted":
                self._disk.unlink(f"{self.places.inbox}/{event['id']}.json")
        return record(self, events, now)

    patch.setattr(Daemon, "_record", early)


def writes_in_place(patch: pytest.MonkeyPatch) -> None:
    """Plant: what is published is written under its name, not aside."""

    def publish(self: disk.Disk, path: str, data: bytes, *, aside: str, **how: Any) -> os.stat_result:
        self.unlink(path)
        return self.create(path, data)

    patch.setattr(disk.Disk, "publish", publish)
    patch.setattr("taskdir.records.holds", lambda path, data: os.path.exists(path))


def forgets_a_tail(patch: pytest.MonkeyPatch) -> None:
    """Plant: a torn tail stays where it is."""
    patch.setattr(journal.Journal, "_cut", lambda self, offset: None)


def retries_a_failed_sync(patch: pytest.MonkeyPatch) -> None:
    """Plant: the log goes on after a failed sync, as if the second one told the truth."""
    datasync = disk.Disk.datasync

    def again(self: disk.Disk, fd: int, path: str) -> None:
        try:
            datasync(self, fd, path)
        except OSError:
            raise OSError(errno.EAGAIN, "tried again") from None

    patch.setattr(disk.Disk, "datasync", again)
    patch.setattr(journal, "SyncFailed", OSError)
    patch.setattr("taskdir.daemon.SyncFailed", ZeroDivisionError)


def swallows_an_error_at_append(patch: pytest.MonkeyPatch) -> None:
    """Plant: a batch that the disk did not take counts as taken."""
    append = disk.Disk.append_log

    def deaf(self: disk.Disk, fd: int, path: str, data: bytes) -> None:
        try:
            append(self, fd, path, data)
        except OSError:
            return

    patch.setattr(disk.Disk, "append_log", deaf)


def ends_when_full(patch: pytest.MonkeyPatch) -> None:
    """Plant: an error while a message is answered ends the daemon."""
    patch.setattr("taskdir.view.View._safely", lambda self, path, step, *about: step(*about))


def ends_with_its_index(patch: pytest.MonkeyPatch) -> None:
    """Plant: an index that the disk does not take ends the daemon."""
    patch.setattr("taskdir.daemon.is_outside", lambda error: False)


def goes_on_with_an_index_that_lags(patch: pytest.MonkeyPatch) -> None:
    """Plant: after an error of SQLite the same index is used on, without the batch that it did not take."""
    patch.setattr("taskdir.daemon.is_outside", lambda error: True)
    patch.setattr(
        Daemon, "_knows", property(lambda self: hasattr(self, "_mends"), lambda self, value: None), raising=False
    )
    patch.setattr("taskdir.index.Index.close", lambda self: None)
    patch.setattr("taskdir.index.Index.discard", lambda self: None)


@pytest.mark.parametrize("plant", [takes_before_it_logs, writes_in_place, forgets_a_tail])
def test_a_planted_fault_is_seen_by_stops(tally: Tally, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch)
    with tapped() as calls:
        for label, scene in SCENES:
            if label.startswith(LIFE) and not tally.found:
                stop(label, scene, calls, tally)
    assert tally.found


@pytest.mark.parametrize(
    "plant",
    [
        retries_a_failed_sync,
        swallows_an_error_at_append,
        ends_when_full,
        ends_with_its_index,
        goes_on_with_an_index_that_lags,
    ],
)
def test_a_planted_fault_is_seen_by_errors(tally: Tally, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch)
    with tapped(sql="index" in plant.__name__) as calls:
        for label, scene in SCENES:
            if label.startswith(LIFE):
                for fault in all_faults(scene, calls, tally):
                    if not tally.found and fault[1] in (errno.EIO, errno.ENOSPC, -sqlite3.SQLITE_FULL):
                        fail(label, scene, calls, tally, fault)
    assert tally.found


def test_a_planted_fault_is_seen_by_errors_in_recovery(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant: an index that is opened again, after an error, is not brought up to the log."""
    follow = journal.Journal.open

    def once(self: journal.Journal, known: Any, replay: Any) -> None:
        if self._fd < 0:
            follow(self, known, replay)

    monkeypatch.setattr(journal.Journal, "open", once)
    tally.draw, tally.chances, tally.errors = random.Random(1), (0.1,), 10.0
    with tapped(sql=True) as calls:
        for label, scene in SCENES:
            if label.startswith(LIFE) and not tally.found:
                stop(label, scene, calls, tally)
    assert any("SQL" in found for found in tally.found), tally.found


def test_a_planted_fault_is_seen_by_errors_that_last(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant: a daemon that gives up when the log cannot be written for the second time."""
    record, failures = Daemon._record, [0]

    def impatient(self: Daemon, events: list[dict[str, Any]], now: Any) -> bool:
        taken = record(self, events, now)
        failures[0] += not taken
        if failures[0] == 2:
            raise OSError(errno.ENOSPC, "given up")
        return taken

    monkeypatch.setattr(Daemon, "_record", impatient)
    with tapped(sql=True) as calls:
        label, scene = next(each for each in SCENES if each[0].startswith(LIFE))
        for begins in range(0, len(calls_of(scene, calls, tally)), 40):
            failures[0] = 0
            if not tally.found:
                fail(label, scene, calls, tally, (begins, errno.ENOSPC), 10_000)
    assert any("given up" in found for found in tally.found), tally.found
