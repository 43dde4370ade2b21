"""Power cuts on real file systems: ext4, xfs and btrfs on a disk that remembers, cut at its writes (P1-P4, P8).

What was not flushed at a cut is there, lost in part, torn or all gone, by lot; ``power/`` has the parts. As root, with
/dev/fuse; the tests at the end need neither.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faults import ledger
from faults.power import disk
from faults.world import Countdown, World
from support.live import ENV, HOUSE
from taskdir import gestures
from taskdir.disk import Disk
from taskdir.places import Places

STATES = {"ext4": 130, "xfs": 90, "btrfs": 80}
NIGHTLY = {"ext4": 4000, "xfs": 3000, "btrfs": 3000}
A_STORY = 500
"""States of one recording; for more, the story is played anew."""
NOTICED = {
    "log-unsynced": "ext4 xfs btrfs",
    "records-unsynced": "ext4",
    "files-unsynced": "xfs",
    "names-unsynced": "btrfs",
    "message-name-unsynced": "ext4",
    "result-name-unsynced": "xfs",
    "nothing-mended": "btrfs",
}
"""What is planted, and under which file systems it has to be noticed. Names of new logs, segments and records are not
here: what these file systems do at the next fsync keeps them anyway, and ``test_explorer`` shows why one asks."""


def power(*words: str) -> dict[str, Any]:
    """Run the tool; returns its report, what it printed besides."""
    env = {**ENV, "PYTHONPATH": f"{HOUSE / 'tests'}:{HOUSE / 'daemon'}"}
    command = [sys.executable, "-m", "faults.power", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=HOUSE, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def needs(kind: str) -> None:
    """Skip, loudly, where nothing can be recorded."""
    if why := disk.missing(kind):
        pytest.skip(f"NOT TESTED: power cuts on {kind}: this machine has {why}")


@pytest.mark.timeout(4 * 3600 if ledger.torture() else 600)
@pytest.mark.parametrize("kind", STATES)
def test_no_power_cut_breaks_a_promise(kind: str) -> None:
    needs(kind)
    wanted, seed = (NIGHTLY if ledger.torture() else STATES)[kind], ledger.seed()
    with ledger.entry(f"power cuts on {kind}", seed=seed, unit="states") as entry:
        for story in range((wanted + A_STORY - 1) // A_STORY):
            count = min(A_STORY, wanted - story * A_STORY)
            report = power("cuts", kind, "--states", str(count), "--seed", str(seed + story))
            entry.runs += report["states"]
            entry.findings += [f"{each['wrong']}; {each['replay']}" for each in report["findings"]]
            print(f"{kind}: {report['writes']} writes, {report['flushes']} flushes, {report['marks']} promises")
        assert not entry.findings, "\n".join(entry.findings)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("plant", "kind"), [(plant, kind) for plant in NOTICED for kind in NOTICED[plant].split()])
def test_a_missing_sync_is_noticed(plant: str, kind: str) -> None:
    """Planted faults: a daemon, or an agent, that does not wait for the disk at one place."""
    needs(kind)
    assert power("cuts", kind, "--states", "150", "--first", "--plant", plant)["findings"]


@pytest.mark.timeout(4 * 3600 if ledger.torture() else 600)
@pytest.mark.parametrize("kind", STATES)
def test_no_failed_block_breaks_a_promise(kind: str) -> None:
    """Blocks of the log, of data, of the journal, of directories, and every flush: from some moment on they fail."""
    needs(kind)
    seed = ledger.seed()
    with ledger.entry(f"EIO on {kind}", seed=seed, unit="failing disks") as entry:
        report = power("eio", kind, "--states", "160" if ledger.torture() else "5", "--seed", str(seed))
        entry.runs += report["states"]
        entry.findings += [f"{each['wrong']}; {each['replay']}" for each in report["findings"]]
        print(f"{kind}: {report['took']}")
        assert not entry.findings, "\n".join(entry.findings)
        assert entry.runs > 0, "no block failed"


def test_a_daemon_that_goes_on_after_a_failed_sync_is_noticed() -> None:
    needs("ext4")
    assert power("eio", "ext4", "--only", "log:submit:plain", "--plant", "log-errors-ignored")["findings"]


def test_an_error_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a disk that failed showed every file as gone: the message as accepted, the claim as lost."""
    places, claimed = Places(str(tmp_path)), tmp_path / "claimed/al/5-000000000003.a.1.json"

    def fail(path: object, **more: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "lstat", fail)
    for look in (
        lambda: gestures.submit_verdict(places, "a", b"{}"),
        lambda: gestures.finish_verdict(str(claimed), b"{}"),
        lambda: gestures.finish(Disk(), str(claimed), {}),
    ):
        with pytest.raises(OSError, match="Input/output error"):
            look()


def test_a_record_that_a_cut_brought_back_is_removed(tmp_path: Path) -> None:
    """A redrive moves the record; a cut may undo that and keep what came after it."""
    world = World(tmp_path, Countdown())
    world.write("inbox/a.json", {"type": "count", "max_attempts": 1})
    record = b""
    for result in ({"status": "error", "error": {"message": "no"}}, {"status": "ok", "output": 1}):
        world.passes()
        world.claim("al")
        world.passes()
        world.result("al", result)
        world.passes()
        if (world.root / "failed/a.json").exists():
            record = (world.root / "failed/a.json").read_bytes()
            os.rename(world.root / "failed/a.json", world.root / "inbox/a.json")
    world.bury()
    (world.root / "failed/a.json").write_bytes(record)
    world.passes()
    assert world.tree().count("done/a.json") == 1
    assert not (world.root / "failed/a.json").exists()
    world.stop()
