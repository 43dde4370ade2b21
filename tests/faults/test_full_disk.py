"""No space, no inodes, no descriptors, for real: nobody ends, nothing is lost, and with room again all goes on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from support.grounds import fill, needs_root, no_descriptors, tmpfs, use_up_inodes
from support.live import Root, taskdir, until

Small = tuple[Path, Callable[[], Callable[[], None]]]
"""A file system, and what fills it and returns what frees it."""
LARGE = "x" * 30_000
"""Into no page that is half used."""
FRAIL = "from taskdir import cli, daemon; daemon.is_outside = lambda error: False; raise SystemExit(cli.main())"
"""Planted: a daemon that SQLite's errors end."""


@contextmanager
def space(at: Path) -> Iterator[Small]:
    """A file system of 4 MiB; yields it, and what fills it and returns what frees it."""
    with tmpfs(at, size="4m"):
        yield at, lambda: fill(at).unlink


@contextmanager
def inodes(at: Path) -> Iterator[Small]:
    """A file system of 60 inodes."""

    def free(made: list[Path]) -> None:
        for path in made:
            path.unlink()

    with tmpfs(at, size="16m", nr_inodes=60):

        def take() -> Callable[[], None]:
            made = use_up_inodes(at)
            return lambda: free(made)

        yield at, take


@needs_root
@pytest.mark.parametrize("ground", [space, inodes])
def test_a_full_disk_costs_time_alone(tmp_path: Path, ground: Callable[[Path], AbstractContextManager[Small]]) -> None:
    with ExitStack() as stack:
        at, use_up = stack.enter_context(ground(tmp_path / "small"))
        root = Root(at / "root", scan_seconds=0.05, settle_seconds=0)
        root.words = tmp_path / "said"
        stack.enter_context(root)
        for name in ("a", "b", "c"):
            root.put(f"inbox/{name}.json", {"type": "echo", "input": name})
        until(lambda: len(root.offered()) == 3, "three offers")
        claimed = root.claim("alice")
        until(lambda: root.events("claimed"), "the claim")
        waits = root.path / "inbox/.late.json"
        waits.write_text(json.dumps({"type": "echo", "input": LARGE}))
        result = root.path / "claimed/alice/.result"
        result.write_text(json.dumps({"status": "ok", "output": LARGE}))
        (root.path / "claimed/bob").mkdir()
        free = use_up()

        words = ["submit", "--id", "new", "--type", "echo", "--input", json.dumps(LARGE)]
        said = taskdir(*words, root=root.path)
        assert (said.returncode, "No space left" in said.stderr) == (73, True), said.stderr
        said = taskdir("finish", str(claimed), "--output", json.dumps(LARGE), root=root.path)
        assert (said.returncode, "No space left" in said.stderr) == (73, True), said.stderr
        assert claimed.exists(), "still the agent's"
        assert not list((root.path / "inbox").glob("*new*")), "nothing half is left"
        waits.rename(root.path / "inbox/late.json")
        result.rename(root.path / f"claimed/alice/{json.loads(claimed.read_text())['result_file']}")
        held = root.claim("bob")  # a rename needs no space
        until(lambda: "cannot be" in root.said(), "a word about it")
        assert not root.ended()

        free()
        until(lambda: root.names("done") == ["a.json"], "the result that was handed in meanwhile")
        assert taskdir(*words, root=root.path).returncode == 0
        root.finish(held, {"status": "ok", "output": 1})
        for _ in range(3):
            root.finish(root.claim("alice"), {"status": "ok", "output": 1})
        until(lambda: len(root.names("done")) == 5, "all five")
        assert sorted(root.names("done")) == ["a.json", "b.json", "c.json", "late.json", "new.json"]
        assert root.stop() == 0
        assert (said := taskdir("check", root=root.path)).returncode == 0, said.stderr


@needs_root
def test_a_start_on_a_full_disk_waits(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", size="1m"):
        root = Root(tmp_path / "small/root", scan_seconds=0.05)
        root.words = tmp_path / "said"
        with root:
            assert root.stop() == 0
        full = fill(tmp_path / "small")
        root.spawn()
        try:
            until(lambda: "until it can" in root.said(), "a word about it")
            assert not root.ended()
            full.unlink()
            until(lambda: len(root.events("started")) == 2, "the start")
            assert root.stop() == 0
        finally:
            root.__exit__()
        assert taskdir("check", root=root.path).returncode == 0


def index_on_its_own(base: Path, stack: ExitStack) -> tuple[Root, Path]:
    """A root whose index alone lies on a small file system."""
    small = stack.enter_context(tmpfs(base / "small", size="512k"))
    root = Root(base / "root", scan_seconds=0.05, settle_seconds=0)
    assert taskdir("run", "--once", root=root.path).returncode == 0
    index = root.path / ".taskdir/index.sqlite"
    shutil.copy(index, small)
    index.unlink()
    index.symlink_to(small / "index.sqlite")
    return root, small


@needs_root
def test_an_index_without_space_is_waited_for(tmp_path: Path) -> None:
    with ExitStack() as stack:
        root, small = index_on_its_own(tmp_path, stack)
        stack.enter_context(root)
        root.put("inbox/a.json", {"type": "echo"})
        claimed = root.claim("alice")
        until(lambda: root.events("claimed"), "the claim")
        full = fill(small)
        for number in range(8):
            root.put(f"inbox/b{number}.json", {"type": "echo", "input": LARGE})
        until(lambda: "the index cannot be used" in root.said(), "a word about it")
        assert not root.ended()
        root.finish(claimed, {"status": "ok", "output": 1})
        full.unlink()
        until(lambda: root.names("done") == ["a.json"], "the result")
        until(lambda: len(root.offered()) == 8, "all offers")
        assert "work goes on" in root.said()
        assert root.stop() == 0
        assert (said := taskdir("check", root=root.path)).returncode == 0, said.stderr


@needs_root
def test_a_start_with_an_index_without_space_waits(tmp_path: Path) -> None:
    with ExitStack() as stack:
        root, small = index_on_its_own(tmp_path, stack)
        full = fill(small)
        stack.callback(root.__exit__)
        root.spawn()
        until(lambda: "the index cannot be used" in root.said(), "a word about it")
        assert len(root.events("started")) == 1
        full.unlink()
        until(lambda: len(root.events("started")) == 2, "the start")
        assert root.stop() == 0


@needs_root
def test_a_daemon_that_sqlite_ends_is_noticed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        root, small = index_on_its_own(tmp_path, stack)
        root.program = [sys.executable, "-c", FRAIL]
        stack.enter_context(root)
        until(lambda: root.names("ready"), "the first pass")
        fill(small)
        for number in range(8):
            root.put(f"inbox/b{number}.json", {"type": "echo", "input": LARGE})
        until(root.ended, "the fault planted")


def test_no_descriptors_cost_time_alone(tmp_path: Path) -> None:
    with Root(tmp_path / "root", scan_seconds=0.05, settle_seconds=0) as root:
        root.put("inbox/a.json", {"type": "echo"})
        claimed = root.claim("alice")
        until(lambda: root.events("claimed"), "the claim")
        assert root.daemon is not None
        with no_descriptors(root.daemon.pid):
            root.put("inbox/b.json", {"type": "echo"})
            root.finish(claimed, {"status": "ok", "output": 1})
            until(lambda: "Too many open files" in root.said(), "a word about it")
            assert not root.ended()
        until(lambda: root.names("done") == ["a.json"], "the result")
        root.finish(root.claim("alice"), {"status": "ok", "output": 2})
        until(lambda: len(root.names("done")) == 2, "both")
        assert not root.events("rejected", "returned"), "no fault of any file"
        assert root.stop() == 0
        assert (said := taskdir("check", root=root.path)).returncode == 0, said.stderr
