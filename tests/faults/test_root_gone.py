"""The root is moved, deleted or replaced under a running daemon; its settings become what cannot be read."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.live import Root, taskdir, until

BLIND = "from taskdir import cli, lock; lock.RootLock.check = lambda self: None; raise SystemExit(cli.main())"
"""Planted: a daemon that does not look whether its root is still there."""


def tree(path: Path) -> set[str]:
    """Return every path in a directory."""
    return {str(each.relative_to(path)) for each in path.rglob("*")}


def replaced(root: Root, **settings: float) -> tuple[Path, set[str]]:
    """Move a root away under its daemon, make another in its place; returns where it is, and what the other holds."""
    moved = root.path.with_name("moved")
    other = Root(root.path.with_name("other"), scan_seconds=0.05)
    (other.path / "inbox/mine.json").write_text('{"type": "echo"}')
    os.rename(root.path, moved)
    os.rename(other.path, root.path)
    return moved, tree(root.path)


def test_a_moved_root_goes_on_where_it_is(tmp_path: Path) -> None:
    with Root(tmp_path / "root", scan_seconds=0.05, settle_seconds=0) as root:
        root.put("inbox/a.json", {"type": "echo"})
        claimed = root.claim("alice")
        assert root.daemon is not None
        os.rename(root.path, tmp_path / "moved")
        assert root.daemon.wait(30) == 66
        assert "was moved, deleted or replaced" in root.said()
        assert not root.path.exists()
        root.path = tmp_path / "moved"
        root.start()
        root.finish(root.path / "claimed/alice" / claimed.name, {"status": "ok", "output": 1})
        until(lambda: root.names("done") == ["a.json"], "the record")
        assert taskdir("check", root=root.path).returncode == 0


def test_a_deleted_root_is_not_made_again(tmp_path: Path) -> None:
    with Root(tmp_path / "root", scan_seconds=0.05) as root:
        until(lambda: root.names("ready"), "the first pass")
        assert root.daemon is not None
        os.rename(root.path, tmp_path / "away")  # at once, as no rm -r is
        shutil.rmtree(tmp_path / "away")
        assert root.daemon.wait(30) == 66, root.said()
        assert not root.path.exists()


def test_another_root_in_its_place_is_let_be(tmp_path: Path) -> None:
    with Root(tmp_path / "root", scan_seconds=0.05) as root:
        until(lambda: root.names("ready"), "the first pass")
        assert root.daemon is not None
        moved, before = replaced(root)
        assert root.daemon.wait(30) == 66
        assert tree(root.path) == before
        last = (moved / "log.jsonl").read_text().splitlines()[-1]
        assert '"event":"started"' in last, "nothing is logged any more"


def test_a_daemon_that_does_not_look_is_noticed(tmp_path: Path) -> None:
    root = Root(tmp_path / "root", scan_seconds=0.05, settle_seconds=0)
    root.program = [sys.executable, "-c", BLIND]
    with root:
        until(lambda: root.names("ready"), "the first pass")
        _, before = replaced(root)
        until(lambda: tree(root.path) != before, "a stranger's root is written to")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS: dict[Callable[[Path], None], str] = {fifo: "not-regular", huge: "too-large", endless: "not-regular"}


@pytest.mark.parametrize("make", KINDS)
def test_settings_that_are_no_file_hang_nobody(tmp_path: Path, make: Callable[[Path], None]) -> None:
    with Root(tmp_path / "root", scan_seconds=0.05, settle_seconds=0) as root:
        make(root.path / "odd")
        os.rename(root.path / "odd", root.path / "taskdir.json")
        until(lambda: "is not used" in root.said(), "a word about the settings")
        root.put("inbox/a.json", {"type": "echo"})
        until(root.offered, "work goes on by the last good settings")
        for verb in ("status", "doctor"):
            assert KINDS[make] in (done := taskdir(verb, root=root.path)).stdout + done.stderr
        root.kill()
        assert (done := taskdir("run", "--once", root=root.path)).returncode == 78
        assert KINDS[make] in done.stderr


def test_settings_may_be_a_link(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    os.rename(root.path / "taskdir.json", tmp_path / "shared.json")
    (root.path / "taskdir.json").symlink_to(tmp_path / "shared.json")
    assert taskdir("run", "--once", root=root.path).returncode == 0
