"""Clocks that jump ten years, machines that sleep, processes that stand still: nothing ends early, nothing hangs (P12).

The daemon is a process of its own whose clocks are moved while it runs: what it reads as wall clock and as time since
the start, asleep included, is the kernel's plus what a file says.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.live import ENV, Root, taskdir, until

YEARS = 10 * 365 * 86400
MOVED = """
import time
real, steady = time.time, time.clock_gettime

def ahead(what):
    with open(HERE + "/" + what) as file:
        return float(file.read())

time.time = lambda: real() + ahead("wall")
time.clock_gettime = lambda clock: steady(clock) + ahead("asleep")
from taskdir import cli
"""
RUN = "raise SystemExit(cli.main())"
JUMPY = """
from taskdir import clock
clock._steady = lambda: time.time()
"""
"""Planted: a daemon that measures time by the wall clock."""
HASTY = """
from taskdir import holdings
holdings.min = max
"""
"""Planted: a daemon to which time asleep is a lease's time."""


class Clocks:
    """A root whose daemon's clocks are in files."""

    def __init__(self, base: Path, plant: str = "") -> None:
        self._base = base
        self.root = Root(base / "root", scan_seconds=0.05, settle_seconds=0)
        self.root.program = [sys.executable, "-c", f"HERE = {str(base)!r}\n{MOVED}{plant}{RUN}"]
        self.put(wall=0, asleep=0)

    def put(self, **seconds: float) -> None:
        """Set how far the clocks are ahead."""
        for name, value in seconds.items():
            aside = self._base / f"{name}.new"
            aside.write_text(str(value))
            aside.rename(self._base / name)

    def passed(self, name: str) -> list[str]:
        """Wait for a pass by the clocks of now; returns what the daemon logged about tasks meanwhile."""
        before = len(self.root.events())
        self.root.put(f"inbox/{name}.json", {"kind": "note", "message": "look"})
        until(lambda: any(event.get("by") == name for event in self.root.events("noted")), "a pass")
        return [f"{event['event']} {event['id']}" for event in self.root.events()[before:] if "id" in event]


def things(root: Root) -> Path:
    """A task that is claimed, one in backoff, one for in an hour; returns the claim."""
    root.put("inbox/a.json", {"type": "echo", "lease_seconds": 600})
    claimed = root.claim("alice")
    until(lambda: root.events("claimed"), "the claim")
    root.put("inbox/b.json", {"type": "echo", "backoff_seconds": 600})
    root.finish(root.claim("bob"), {"status": "error", "error": {"message": "no"}, "retry": True})
    until(lambda: root.events("errored"), "the backoff")
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    root.put("inbox/c.json", {"type": "echo", "not_before": later})
    until(lambda: len(root.events("accepted")) == 3, "the third")
    return claimed


@pytest.mark.parametrize("jump", [YEARS, -YEARS])
def test_the_wall_clock_jumps_ten_years_and_back(tmp_path: Path, jump: float) -> None:
    clocks = Clocks(tmp_path)
    root = clocks.root
    with root:
        claimed = things(root)
        for number, ahead in enumerate((jump, 0, jump)):
            clocks.put(wall=ahead)
            assert clocks.passed(f"look-{number}") == []
            year = root.events("noted")[-1]["time"][:4]
            assert (year != str(datetime.now(UTC).year)) == bool(ahead), "the daemon's own clock was moved"
        assert root.offered() == []
        root.finish(claimed, {"status": "ok", "output": 1})
        until(lambda: root.names("done") == ["a.json"], "the result")
        assert root.stop() == 0
        root.start()  # a start sees how the clock is set: a delay ends early, or lasts its full length from now
        offered = ["b", "c"] if jump > 0 else []
        until(lambda: [name.split(".")[1] for name in root.offered()] == offered, "what may start now")
        clocks.put(asleep=601)
        until(lambda: "b" in [name.split(".")[1] for name in root.offered()], "the delay is over after its full length")
        assert root.stop() == 0
    assert (said := taskdir("check", root=root.path)).returncode == 0, said.stderr


def test_asleep_for_a_day(tmp_path: Path) -> None:
    clocks = Clocks(tmp_path)
    with clocks.root as root:
        claimed = things(root)
        clocks.put(asleep=86_400)
        assert clocks.passed("look") == [], "no lease is over, nor is the limit of a day on an attempt"
        until(lambda: len(root.offered()) == 2, "backoff and not_before count time asleep")
        root.finish(claimed, {"status": "ok", "output": 1})
        until(lambda: root.names("done") == ["a.json"], "the result")


@pytest.mark.parametrize(("plant", "clock"), [(JUMPY, "wall"), (HASTY, "asleep")])
def test_a_daemon_that_takes_a_jump_for_time_is_noticed(tmp_path: Path, plant: str, clock: str) -> None:
    clocks = Clocks(tmp_path, plant)
    with clocks.root as root:
        things(root)
        clocks.put(**{clock: YEARS})
        clocks.passed("look")
        until(lambda: root.offered() or root.events("expired"), "something that comes too early")


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let a process stand still for the block."""
    process.send_signal(signal.SIGSTOP)
    until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it stands")
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="NOT TESTED: no /proc to see who stands still")
def test_the_daemon_stands_still_for_longer_than_a_lease(tmp_path: Path) -> None:
    with Root(tmp_path / "root", scan_seconds=0.05, settle_seconds=0) as root:
        root.put("inbox/a.json", {"type": "echo", "lease_seconds": 1})
        root.claim("alice")
        until(lambda: root.events("claimed"), "the claim")
        before = len(root.events())
        assert root.daemon is not None
        with stopped(root.daemon):
            root.put("inbox/b.json", {"type": "echo"})
            until(lambda: age(root, before) > 2, "two seconds")
        until(lambda: root.events("expired"), "the lease goes on from where it was")
        assert [event["event"] for event in root.events()[before:]][:2] == ["accepted", "expired"]


def age(root: Root, number: int) -> float:
    """Seconds since an event by the wall clock: no daemon is needed to see time pass."""
    told = datetime.fromisoformat(root.events()[number - 1]["time"])
    return (datetime.now(UTC) - told).total_seconds()


AGENT = """
import sys
from taskdir.client import Taskdir
from taskdir.errors import TaskdirError
claim = Taskdir(sys.argv[1]).claim("alice", wait=30, hold=sys.argv[2] == "held")
print("claimed", flush=True)
sys.stdin.readline()
try:
    claim.finish(1)
except TaskdirError as error:
    print(error.code)
else:
    print("done")
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="NOT TESTED: no /proc to see who stands still")
@pytest.mark.parametrize(("how", "outcome"), [("held", "done"), ("plain", "claim-lost")])
def test_an_agent_stands_still_for_longer_than_its_lease(tmp_path: Path, how: str, outcome: str) -> None:
    with Root(tmp_path / "root", scan_seconds=0.05, settle_seconds=0) as root:
        root.put("inbox/a.json", {"type": "echo", "lease_seconds": 1})
        words = [sys.executable, "-c", AGENT, str(root.path), how]
        agent = subprocess.Popen(words, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with agent:
            assert agent.stdout is not None
            assert agent.stdin is not None
            assert agent.stdout.readline() == b"claimed\n"
            until(lambda: root.events("claimed"), "the claim")
            with stopped(agent):
                root.put("inbox/b.json", {"type": "echo", "lease_seconds": 2})
                root.claim("bob")  # and does nothing more
                until(lambda: "b" in [event["id"] for event in root.events("expired")], "two leases of silence")
            ended = [event["id"] for event in root.events("expired")]
            assert ended == (["b"] if how == "held" else ["a", "b"])
            agent.stdin.write(b"\n")
            agent.stdin.close()
            assert agent.stdout.read().decode().strip() == outcome
        assert json.dumps(root.events("done")).count('"id": "a"') == (how == "held")
