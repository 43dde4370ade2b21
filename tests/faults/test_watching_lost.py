"""Events that overflow, watches that the kernel refuses, directories that are replaced, a source that dies (P9).

Where the daemon is to hear of something, it scans once a minute: far longer than a test waits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.live import ENV, Root, until
from taskdir import watch
from taskdir.watch import Hints, Inotify

MINUTE = {"scan_seconds": 60, "settle_seconds": 0}
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="NOT TESTED: inotify is Linux's")
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
DEAF = """
from taskdir import cli, watch
watch._CHUNK, watch._OVERFLOW = 1 << 26, 0
raise SystemExit(cli.main())
"""
"""Planted: a daemon that does not know what an overflow means."""


@contextmanager
def overflowed(root: Root) -> Iterator[None]:
    """Let the daemon stand still until its queue of events is full, and what happens in the block goes unheard."""
    assert root.daemon is not None
    seen: list[str] = []
    stat = Path(f"/proc/{root.daemon.pid}/stat")

    def rests() -> bool:
        seen.append(stat.read_text().rpartition(")")[2].split()[0])
        return bool(root.names("ready")) and seen[-20:] == ["S"] * 20

    until(rests, "it has nothing to do")
    root.daemon.send_signal(signal.SIGSTOP)
    names = root.path / "inbox/.p", root.path / "inbox/.q"
    names[0].touch()
    for number in range(int(QUEUE.read_text()) + 10):
        os.rename(names[number % 2], names[1 - number % 2])
    try:
        yield
    finally:
        root.daemon.send_signal(signal.SIGCONT)


@linux
def test_an_overflow_is_a_reason_to_look(tmp_path: Path) -> None:
    with Root(tmp_path / "root", **MINUTE) as root:
        with overflowed(root):
            root.put("inbox/a.json", {"type": "echo"})
        until(root.offered, "the offer")


@linux
def test_a_daemon_that_does_not_know_overflows_is_noticed(tmp_path: Path) -> None:
    root = Root(tmp_path / "root", **MINUTE)
    root.program = [sys.executable, "-c", DEAF]
    with root:
        with overflowed(root):
            root.put("inbox/a.json", {"type": "echo"})
        with pytest.raises(AssertionError, match="in vain"):
            until(root.offered, "the offer", patience=2)


def limited(name: str, limit: int) -> list[str]:
    """Return a program that runs the daemon where the kernel gives a user so many watches or instances."""
    script = f'echo {limit} > /proc/sys/user/{name} && exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    if subprocess.run([*words, "true"], check=False, capture_output=True, env=ENV).returncode:
        pytest.skip("NOT TESTED: no user namespace in which the limit can be set")
    return [*words, sys.executable, "-m", "taskdir"]


@linux
@pytest.mark.parametrize(
    ("name", "limit", "said"),
    [("max_inotify_instances", 0, True), ("max_inotify_watches", 2, True), ("max_inotify_watches", 6, False)],
    ids=["no-instance", "no-watches", "no-watch-for-the-second-agent"],
)
def test_without_watches_scanning_does(tmp_path: Path, name: str, limit: int, said: bool) -> None:
    root = Root(tmp_path / "root", scan_seconds=0.05, settle_seconds=0)
    root.program = limited(name, limit)
    with root:
        for agent in ("alice", "bob"):
            root.put(f"inbox/{agent}.json", {"type": "echo"})
            root.finish(root.claim(agent), {"status": "ok", "output": 1})
        until(lambda: len(root.names("done")) == 2, "the records")
        assert ("changes are seen by scanning only" in root.said()) == said


@linux
@pytest.mark.parametrize("place", ["inbox", "claimed/alice", "contracts", "claimed"])
def test_a_directory_that_is_replaced_is_watched_again(tmp_path: Path, place: str) -> None:
    with Root(tmp_path / "root", **MINUTE) as root:
        root.put("inbox/a.json", {"type": "echo"})
        claimed = root.claim("alice")
        until(lambda: root.events("claimed"), "the claim")
        old = root.path / place
        new = root.path / ".new"
        subprocess.run(["cp", "-a", old, new], check=True)
        os.rename(old, root.path / ".old")
        os.rename(new, old)
        root.put("contracts/fresh.json", {})
        root.put("inbox/b.json", {"type": "fresh"})
        until(lambda: len(root.events("accepted")) == 2, "the message")
        root.finish(claimed, {"status": "ok", "output": 1})
        until(lambda: root.names("done"), "the result")


def test_a_source_that_dies_leaves_scanning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(Inotify):
        def heard(self) -> bool:
            raise OSError(5, "Input/output error")

    (tmp_path / "inbox").mkdir()
    monkeypatch.setattr(watch, "SOURCE", Dying)
    hints = Hints(str(tmp_path))
    try:
        (tmp_path / "inbox/a.json").write_text("{}")
        assert hints.wait(60), "look at once: something may have been missed"
        assert not hints.wait(0.01), "from now on, scanning"
    finally:
        hints.close()
