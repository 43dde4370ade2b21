"""Lives drawn by lot beside a model of the protocol: the log says what the model says, whatever happens (P1–P12).

``machine.py`` is who acts, ``model.py`` what must come of it. A failure prints the shortest life that shows it, and the
line that plays the lot again. The mutants at the end are daemons with one fault each.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from faults import ledger, machine
from faults.verdict import Wrong
from faults.world import Countdown, World
from taskdir import daemon as daemons
from taskdir import documents, results
from taskdir.daemon import Daemon
from taskdir.disk import Disk
from taskdir.documents import Event, Now
from taskdir.errors import TaskdirError
from taskdir.holdings import Holdings
from taskdir.known import Known
from taskdir.lines import Lines
from taskdir.records import Records
from taskdir.seen import Seen
from taskdir.view import View

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Lives warn of much, in every one of them."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def play(lot: int, lives: int, length: int, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
    """Play lives of at most so many rules each; raises what the first bad one showed."""
    kind = seed(lot)(type("Life", (machine.Machine,), {"check_every": 1 if ledger.torture() else 8}))
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=lives, stateful_step_count=length, deadline=None, database=None, phases=phases,
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
        ),
    )  # fmt: skip


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("shard", range(4 if ledger.torture() else 1))
def test_the_log_says_what_the_model_says(shard: int) -> None:
    before = machine.TALLY["steps"]
    with ledger.entry("state machine beside a model", seed=ledger.seed(), unit="steps") as entry:
        try:
            play(ledger.seed() + shard, *((400, 80) if ledger.torture() else (50, 40)))
        finally:
            entry.runs += machine.TALLY["steps"] - before


def test_a_task_that_was_canceled_twice_comes_back_twice(tmp_path: Path) -> None:
    """Its record is the same both times, as nobody claimed it; the second was taken for a copy of the first."""
    world = World(tmp_path, Countdown())
    world.write("inbox/t.json", {"type": "echo"})
    world.passes()
    for number in range(2):
        world.write(f"inbox/stop-{number}.json", {"kind": "cancel", "task": "t"})
        world.passes()
        (world.root / "failed/t.json").rename(world.root / "inbox/t.json")
        world.passes()
    assert [event["event"] for event in world.events() if event.get("id") == "t"] == [
        "accepted", "canceled", "redriven", "canceled", "redriven"
    ]  # fmt: skip
    world.stop()


def unfenced(patch: Patch) -> None:
    """A result counts for the attempt that is running now, whichever it names."""
    desk = results.results

    def believe(known: Known, seen: Seen, now: Now) -> Any:
        for paper in seen.results:
            task = known.task(paper.slot.stem.split(".")[1]) if paper.slot else None
            if task is not None and paper.slot is not None and task.state == "claimed":
                paper.slot = type(paper.slot)(task.agent or "", task.stem)
        return desk(known, seen, now)

    patch.setattr(daemons, "DESKS", tuple(believe if each is desk else each for each in daemons.DESKS))


def renewals_unseen(patch: Patch) -> None:
    """A lease runs on although the claimed file was touched."""
    age = Holdings._age

    def forget(self: Holdings, slot: Any, known: Any, files: Any, elapsed: float) -> Any:
        idle = known.idle if known is not None else 0.0
        made = age(self, slot, known, files, elapsed)
        made.idle = idle + elapsed
        return made

    patch.setattr(Holdings, "_age", forget)


def leases_jump(patch: Patch) -> None:
    """A lease ages by all the time that passed, were it a suspend."""
    look = Holdings.look

    def leap(self: Holdings, seen: Seen, live: Any, now: float, scan_seconds: float) -> None:
        look(self, seen, live, now, 1e9)

    patch.setattr(Holdings, "look", leap)


def one_more_holder(patch: Patch) -> None:
    """Resources have room for one more in what is offered."""
    use = Lines.use
    patch.setattr(Lines, "use", lambda self, found: use(self, {name: size + 1 for name, size in found.items()}))


def taken_first(patch: Patch) -> None:
    """A message is taken away before the log has it."""
    record = Daemon._record

    def late(self: Daemon, events: list[Event], now: Now) -> bool:
        for event in events:
            if event["event"] == "accepted":
                self._disk.unlink(f"{self.places.inbox}/{event['id']}.json")
        return record(self, events, now)

    patch.setattr(Daemon, "_record", late)


def half_passes(patch: Patch) -> None:
    """A pass is logged in as many batches as it has events."""
    record = Daemon._record
    patch.setattr(Daemon, "_record", lambda self, events, now: all(record(self, [each], now) for each in events))


def records_forgotten(patch: Patch) -> None:
    """A start does not look for records that a kill kept from being written."""
    begin = Records.__init__

    def forget(self: Records, *about: Any) -> None:
        begin(self, *about)
        self._old = self._old_end

    patch.setattr(Records, "__init__", forget)


def results_left(patch: Patch) -> None:
    """A result that was judged is left where it lies."""
    take = View._take
    patch.setattr(View, "_take", lambda self, paper: None if paper.slot else take(self, paper))


def notes_lost(patch: Patch) -> None:
    """The end of a claim does not carry its notes into the log."""
    end = documents.end_claim
    patch.setattr(documents, "end_claim", lambda task, event, notes, **more: end(task, event, None, **more))


def old_leases(patch: Patch) -> None:
    """A kill of the daemon ends every lease at once: files are compared with the clock."""
    age = Holdings._age

    def old(self: Holdings, slot: Any, known: Any, files: Any, elapsed: float) -> Any:
        made = age(self, slot, known, files, elapsed)
        if known is None and self._last is not None and elapsed == 0.0:
            made.idle = 5.0
        return made

    patch.setattr(Holdings, "_age", old)


def half_files(patch: Patch) -> None:
    """Records and offers are written in place."""

    def write(self: Disk, path: str, data: bytes, *, aside: str, sync: bool = False) -> Any:
        self._hook("write", path)
        with open(path, "wb") as file:
            file.write(data[:20])
        self._hook("write", path)
        with open(path, "wb") as file:
            file.write(data)
        return os.lstat(path)

    patch.setattr(Disk, "publish", write)


MUTANTS: list[Callable[[Patch], None]] = [
    unfenced, renewals_unseen, leases_jump, one_more_holder, taken_first, half_passes, records_forgotten,
    results_left, notes_lost, old_leases, half_files,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.__name__)
def test_a_daemon_with_a_fault_is_found(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)
    with pytest.raises((AssertionError, Wrong, TaskdirError, LookupError, OSError, ValueError)):
        play(1, 100, 40, (Phase.generate,))
