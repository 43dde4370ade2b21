"""Locks that end with their holder, however it ends. The other holder is a process; it is waited for, not timed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskdir.errors import Busy
from taskdir.lock import RootLock, is_held

PATIENCE = 30.0

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_CLOEXEC)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds a file or directory locked, as an agent's wrapper or a daemon does."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(params=["file", "directory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A claimed file, and a root: both are probed in the same way."""
    made = tmp_path / "held"
    if request.param == "directory":
        made.mkdir()
    else:
        made.write_text("{}")
    return made


def test_a_second_lock_is_refused(tmp_path: Path) -> None:
    first = RootLock(str(tmp_path))
    for patience in (0.0, 0.05):
        with pytest.raises(Busy, match="already running") as caught:
            RootLock(str(tmp_path), patience)
        assert (caught.value.code, caught.value.path, caught.value.exit) == ("already-running", str(tmp_path), 75)
    first.release()
    RootLock(str(tmp_path), 0.0).release()


def test_a_refused_lock_leaves_nothing_open(tmp_path: Path) -> None:
    first = RootLock(str(tmp_path))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(Busy):
        RootLock(str(tmp_path), 0.0)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    first.release()


def test_a_lock_waits_for_one_that_goes(tmp_path: Path) -> None:
    first, got = RootLock(str(tmp_path)), threading.Event()

    def wait() -> None:
        second = RootLock(str(tmp_path), PATIENCE)
        got.set()
        second.release()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.is_set()
    first.release()
    thread.join(PATIENCE)
    assert got.is_set()


def test_a_probe_does_not_keep_the_daemon_out(tmp_path: Path) -> None:
    """A client may be probing at the very moment when the daemon starts."""
    assert is_held(str(tmp_path)) == (False, tmp_path.stat().st_ino)
    lock = RootLock(str(tmp_path), 0.0)
    assert is_held(str(tmp_path)) == (True, tmp_path.stat().st_ino)
    lock.release()
    assert is_held(str(tmp_path)) == (False, tmp_path.stat().st_ino)


def test_probes_do_not_see_each_other(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert is_held(str(path)) == (False, path.stat().st_ino)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert is_held(str(path)) == (True, path.stat().st_ino)
    os.close(fd)


def test_a_lock_ends_with_its_process(path: Path) -> None:
    with holder(path) as process:
        assert is_held(str(path)) == (True, path.stat().st_ino)
        process.kill()
        process.wait(PATIENCE)
        assert is_held(str(path)) == (False, path.stat().st_ino)


def test_a_daemon_that_was_killed_leaves_its_root_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(Busy):
            RootLock(str(tmp_path), 0.0)
        process.kill()
        process.wait(PATIENCE)
        RootLock(str(tmp_path), 0.0).release()


def test_a_file_that_was_replaced_is_another(path: Path) -> None:
    """The hold is on the inode: a new file of that name is not held, and its inode says so."""
    with holder(path) as process:
        kept = path.stat().st_ino
        path.rename(path.with_name("aside"))
        path.write_text("{}")
        assert is_held(str(path)) == (False, path.stat().st_ino)
        assert path.stat().st_ino != kept
        assert is_held(str(path.with_name("aside"))) == (True, kept)
        assert process.poll() is None


def test_what_cannot_be_probed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert is_held(str(tmp_path / "none")) is None
    assert is_held(str(tmp_path / "link")) is None


def test_a_probe_never_waits(tmp_path: Path) -> None:
    """Not even on a FIFO, which somebody may have put in a claim's place."""
    os.mkfifo(tmp_path / "fifo")
    assert is_held(str(tmp_path / "fifo")) == (False, (tmp_path / "fifo").stat().st_ino)
