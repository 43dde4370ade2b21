"""Real processes, real kills: a daemon and three agents die hundreds of times while they work (P1-P5, P8).

``kills.py`` plays it; the seed is printed. The accounting is ``adapters/oracle.py``, which reads log and directories
alone and shares no code with the daemon, and the second auditor in JavaScript, where there is a Node.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters import oracle
from conformance import asking
from faults import ledger
from faults.test_kill_points import base
from support.chain import Chain
from support.live import ENV, HOUSE

__all__ = ["base"]

KILLS, NIGHTLY, A_RUN = 300, 10_000, 500
PLANTED = {
    "taken-unlogged": 150,
    "shown-unlogged": 40,
    "records-forgotten": 40,
    "results-in-place": 80,
    "claims-copied": 80,
}
"""Fault → kills, several times as many as it usually takes."""


def kills(home: Path, *words: str) -> dict[str, Any]:
    """Run the tool; returns its report."""
    env = {**ENV, "PYTHONPATH": f"{HOUSE / 'tests'}:{HOUSE / 'daemon'}"}
    command = [sys.executable, "-m", "faults.kills", "--home", str(home), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=HOUSE, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.mark.timeout(4 * 3600 if ledger.torture() else 600)
def test_kills_lose_nothing(base: Path) -> None:
    wanted, seed, node = NIGHTLY if ledger.torture() else KILLS, ledger.seed(), asking.node()
    with ledger.entry("kill -9 of a working daemon and its agents", seed=seed, unit="kills") as entry:
        for number in range((wanted + A_RUN - 1) // A_RUN):
            count, home = min(A_RUN, wanted - number * A_RUN), base / str(number)
            report = kills(home, "--kills", str(count), "--seed", str(seed + number))
            entry.runs += report["kills"]
            entry.findings += [f"seed {seed + number}: {each}" for each in report["findings"]]
            print(f"seed {seed + number}: {report['kills']} kills, {report['tasks']} tasks: {report['by mark']}")
            if node is not None:
                command = [str(node), str(asking.CHECKER), str(home / "root")]
                audit = subprocess.run(command, capture_output=True, text=True, check=False)
                entry.findings += [f"second auditor: {line}" for line in audit.stdout.splitlines()]
            assert not entry.findings, "\n".join(entry.findings)
            shutil.rmtree(home)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("plant", PLANTED)
def test_a_fault_in_daemon_or_agent_is_noticed(plant: str, base: Path) -> None:
    """Planted faults: orders of steps turned round, in each process of a run."""
    assert kills(base, "--kills", str(PLANTED[plant]), "--plant", plant)["findings"]


def life(log: Chain, id: str, *attempts: str) -> None:
    """Log a life: how each attempt ended."""
    log.accept(id, input=id)
    for number, word in enumerate(attempts, 1):
        log.about("claimed", id, "al", number)
        more: dict[str, Any] = {"output": {"id": id, "attempt": number, "input": id}, "sha256": oracle.sha(id.encode())}
        log.about(word, id, "al", number, **(more if word == "done" else {}))


LIES: dict[str, tuple[Callable[[Chain], object], str]] = {
    "done twice": (lambda log: log.about("done", "a", "al", 2, output={}), "returned claimed done done"),
    "a second holder": (lambda log: log.about("claimed", "a", "bo", 2), "a: accepted"),
    "a token that was used": (lambda log: log.about("late", "a", "al", 3), "a: accepted"),
    "never done": (lambda log: life(log, "b", "returned"), "b: accepted claimed returned"),
    "ended by nobody": (lambda log: life(log, "b", "returned", "Done"), "b: accepted claimed returned claimed Done"),
}
"""What is logged besides → what the accounting says."""


@pytest.mark.parametrize("lie", LIES)
def test_the_accounting_notices(lie: str, tmp_path: Path) -> None:
    log = Chain()
    life(log, "a", "returned", "done")
    LIES[lie][0](log)
    faults = oracle.account(bare(tmp_path, log), {"a": "a", "b": "b"}, {"al"}, retries=True)
    assert any(LIES[lie][1] in fault for fault in faults), faults


def bare(tmp_path: Path, log: Chain) -> Path:
    """Make a root in which only the log is something."""
    (tmp_path / "root/done").mkdir(parents=True)
    return log.write(tmp_path / "root")


def test_the_accounting_remembers(tmp_path: Path) -> None:
    """A line that was there before a kill, and a result that somebody was sure of."""
    log = Chain()
    life(log, "a", "returned", "done")
    root = bare(tmp_path, log)
    assert oracle.end(root) == (log.seq, oracle.sha(log.lines[-1].encode()))
    assert list(oracle.unchanged(root, [(0, ""), oracle.end(root)])) == []
    assert list(oracle.unchanged(root, [(log.seq + 1, ""), (2, "")])) != []
    good, late = (oracle.sha(b"a"), "5-000000000003.a.2.json"), (oracle.sha(b"a"), "5-000000000003.a.1.json")
    assert list(oracle.handed_in(root, [good])) == []
    lost = "a: the result of attempt 1 was handed in, and the log does not have it"
    assert list(oracle.handed_in(root, [late])) == [lost]
