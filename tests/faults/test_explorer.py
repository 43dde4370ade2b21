"""The order of writes, explored: no power cut breaks a promise, and each barrier is needed or is said not to be."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from faults import ledger
from faults.explorer import Explorer, Recorder, Step, record
from faults.world import Clock
from taskdir.daemon import Daemon
from taskdir.disk import Disk
from taskdir.places import Places
from taskdir.records import Records

NEEDLESS = json.loads((Path(__file__).parent / "barriers.json").read_text(encoding="utf-8"))
"""Barrier → why no promise rests on it."""

GOOD = {"status": "ok", "output": "x" * 1500}
RESULTS = [GOOD, GOOD, GOOD, {"status": "error", "error": {"message": "no"}, "retry": False}]


def life(root: Path) -> list[Step]:
    """Tasks from inbox/ to done/ and failed/, a refused message, segments that are closed, a torn tail that is cut."""
    for path in Places(str(root)).public():
        Path(path).mkdir(parents=True)
    settings = {"protocol": 1, "settle_seconds": 0, "log_segment_bytes": 4096}
    (root / "taskdir.json").write_text(json.dumps(settings))
    (root / "contracts/echo.json").write_text("{}")
    clock = Clock()

    def live(recorder: Recorder) -> None:
        daemon = recorder.daemon = Daemon(str(root), clock=clock)
        daemon.open()
        for number in range(4):
            recorder.hand_in(f"inbox/t{number}.json", {"type": "echo" if number != 2 else "unknown"})
            while daemon.one_pass():
                pass
            for offer in list((root / "ready/default").iterdir()):
                home = root / "claimed/alice"
                home.mkdir(exist_ok=True)
                offer.rename(home / offer.name)
                daemon.one_pass()
                name = f"claimed/alice/{offer.stem}.result.json"
                recorder.hand_in(name, RESULTS[number])
                while daemon.one_pass():
                    pass
            clock.seconds += 10
            daemon.one_pass()
        daemon._records.sync()
        daemon.one_pass()
        daemon.abandon()
        with (root / "log.jsonl").open("ab") as file:
            file.write(b'{"seq": torn')
        recorder.steps.append(("write", (root / "log.jsonl").stat().st_ino, b'{"seq": torn'))
        daemon = recorder.daemon = Daemon(str(root), clock=clock)
        daemon.open()
        daemon.one_pass()
        daemon.close()

    return record(str(root), live)


def barriers(steps: list[Step]) -> set[str]:
    """Return every place that waits for the disk."""
    return {step[2] for step in steps if step[0] in ("sync", "syncdir")}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return life(tmp_path_factory.mktemp("explorer") / "root")


def explore(steps: list[Step], without: str = "", drawn: int = 4, first: bool = True) -> tuple[int, set[str]]:
    """Return how many states both disks have, and which promises break in any of them."""
    both = [Explorer(steps, weak, without, drawn, first).run(random.Random(7)) for weak in (True, False)]
    return sum(each.states for each in both), {fault for each in both for fault in each.broken}


@pytest.mark.xdist_group("explorer")
def test_no_power_cut_breaks_a_promise(steps: list[Step]) -> None:
    with ledger.entry("abstract explorer", seed=None, unit="states") as entry:
        entry.runs, broken = explore(steps, drawn=1500 if ledger.torture() else 80, first=False)
        assert not broken
        assert entry.runs >= 50_000


@pytest.mark.xdist_group("explorer")
def test_every_barrier_is_needed_or_listed(steps: list[Step]) -> None:
    unnoticed = {barrier for barrier in barriers(steps) if not explore(steps, barrier)[1]}
    assert unnoticed == set(NEEDLESS)


@pytest.mark.xdist_group("explorer")
def test_records_that_are_not_synced_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: the mark of synced records is set without a sync, in the code and so in what is recorded."""
    monkeypatch.setattr(Records, "_sync", lambda self: None)
    assert "a record is lost and counts as pruned" in explore(life(tmp_path / "root"))[1]


@pytest.mark.xdist_group("explorer")
def test_a_log_that_is_not_synced_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: the log is written and never synced."""
    monkeypatch.setattr(Disk, "datasync", lambda self, fd, path: None)
    assert "the index is ahead of the log" in explore(life(tmp_path / "root"))[1]
