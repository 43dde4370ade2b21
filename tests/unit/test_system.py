"""Each operating system's answers, tried on this one: the real calls of Linux, stand-ins for those of the others."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskdir import system
from taskdir.daemon import Daemon
from taskdir.disk import Disk
from taskdir.system import HERE, Linux, MacOS, Posix, Windows

ALL = (Posix, Linux, MacOS, Windows)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="NOT TESTED: the real calls of Linux")


def answers(number: int) -> tuple[list[tuple[Any, ...]], Callable[..., int]]:
    """Return a C function that fails with this errno, or succeeds for 0, and the list of its calls' arguments."""
    calls: list[tuple[Any, ...]] = []

    def function(*arguments: Any) -> int:
        calls.append(tuple(getattr(each, "value", each) for each in arguments))
        ctypes.set_errno(number)
        return -1 if number else 0

    return calls, function


def test_each_platform_has_its_system() -> None:
    names = {name: system.of(name).name for name in ("linux", "linux2", "darwin", "win32", "freebsd14", "aix", "")}
    assert names == {"linux": "linux", "linux2": "linux", "darwin": "macos", "win32": "windows"} | dict.fromkeys(
        ("freebsd14", "aix", ""), "posix"
    )
    assert type(HERE) is type(system.of(sys.platform))


@linux
def test_linux_renames_without_replacing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "ä two"
    one.write_text("1")
    assert Linux().rename_new(str(one), str(two)) is True
    one.write_text("new")
    assert Linux().rename_new(str(one), str(two)) is False
    assert (one.read_text(), two.read_text()) == ("new", "1")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert Linux().rename_new(str(one), str(tmp_path / "dangling")) is False, "a link that leads nowhere is there too"
    with pytest.raises(FileNotFoundError):
        Linux().rename_new(str(tmp_path / "none"), str(tmp_path / "three"))


RACE = """
import os, sys
from taskdir.system import HERE
mine = os.path.join(sys.argv[1], f"mine-{os.getpid()}")
open(mine, "w").close()
print(flush=True)
sys.stdin.readline()
print(sum(bool(HERE.rename_new(mine, os.path.join(sys.argv[1], f"t{n}"))) for n in range(200) if os.path.exists(mine)
          or not open(mine, "w").close()))
"""


@linux
def test_of_two_that_rename_to_one_name_one_wins(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, tmp_path], stdin=-1, stdout=-1, text=True) for _ in range(2)
    ]
    for each in racers:
        assert each.stdout is not None
        each.stdout.readline()
    for each in racers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    assert sum(int(each.communicate(timeout=30)[0]) for each in racers) == 200


@pytest.mark.parametrize(
    ("made", "call", "arguments"),
    [
        (Linux, "renameat2", (-100, b"a", -100, b"b", 1)),
        (MacOS, "renamex_np", (b"a", b"b", 4)),
    ],
)
@pytest.mark.parametrize(
    ("number", "verdict"),
    [(0, True), (errno.EEXIST, False), (errno.EINVAL, None), (errno.ENOSYS, None), (errno.ENOTSUP, None)],
)
def test_what_the_kernel_says(
    made: type[Posix], call: str, arguments: tuple[Any, ...], number: int, verdict: bool | None
) -> None:
    calls, function = answers(number)
    assert made(SimpleNamespace(**{call: function})).rename_new("a", "b") is verdict
    assert calls == [arguments]
    assert made(SimpleNamespace()).rename_new("a", "b") is None, "a C library without the call"
    _, function = answers(errno.EACCES)
    with pytest.raises(PermissionError):
        made(SimpleNamespace(**{call: function})).rename_new("a", "b")


def test_windows_renames_without_replacing(monkeypatch: pytest.MonkeyPatch) -> None:
    renamed: list[tuple[str, str]] = []

    def rename(source: str, target: str) -> None:  # as os.rename is there
        if target == "taken":
            raise FileExistsError(errno.EEXIST, "exists", source, 183, target)
        renamed.append((source, target))

    monkeypatch.setattr(os, "rename", rename)
    assert (Windows().rename_new("a", "taken"), Windows().rename_new("a", "free")) == (False, True)
    assert renamed == [("a", "free")]


@pytest.mark.parametrize(("number", "also"), [(0, 0), (errno.ENOTTY, 1), (errno.ENOTSUP, 1), (errno.EIO, None)])
def test_macos_flushes_the_drive(number: int, also: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, plain = list[tuple[int, int]](), list[int]()

    def control(fd: int, command: int) -> int:
        asked.append((fd, command))
        if number:
            raise OSError(number, os.strerror(number))
        return 0

    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", plain.append)
    if also is None:
        with pytest.raises(OSError, match="Input/output"):
            MacOS().datasync(7)  # a flush that failed is a flush that failed: never asked for again
        assert plain == []
    else:
        MacOS().datasync(7)
        assert plain == [7] * also
    assert asked == [(7, 51)]


def test_windows_locks_a_byte_that_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = set[int]()

    def locking(fd: int, mode: int, count: int) -> None:
        place = os.lseek(fd, 0, os.SEEK_CUR)
        if place in taken:
            raise PermissionError(errno.EACCES, "locked")
        taken.add(place)
        assert (mode, count) == (2, 1)

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    (tmp_path / ".taskdir").mkdir()
    with pytest.raises(FileNotFoundError):
        Windows().open_root(str(tmp_path))  # as a probe: no daemon was ever here
    fd = Windows().open_root(str(tmp_path), make=True)
    assert (Windows().try_lock(fd), Windows().try_lock(fd, shared=True)) == (True, False)
    assert (taken, os.lseek(fd, 0, os.SEEK_CUR)) == ({1 << 30}, 0)
    os.close(fd)


def test_locks_of_this_system(tmp_path: Path) -> None:
    first, second = HERE.open_root(str(tmp_path), make=True), HERE.open_root(str(tmp_path))
    assert (HERE.try_lock(first), HERE.try_lock(second, shared=True), HERE.try_lock(second)) == (True, False, False)
    os.close(first)
    assert HERE.try_lock(second, shared=True) is True
    os.close(second)
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    assert HERE.try_lock(read) is None


@pytest.mark.parametrize(("verdict", "made"), [(True, True), (False, False), (None, True)])
def test_publishing_where_there_are_no_links(
    verdict: bool | None, made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ground(Posix):
        def rename_new(self, source: str, target: str) -> bool | None:
            if verdict:
                os.rename(source, target)
            return verdict

    def link(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    target, aside = str(tmp_path / "a.json"), str(tmp_path / ".a")
    assert Disk(system=Ground()).publish_new(target, b"{}", aside=aside) is made
    assert os.listdir(tmp_path) == (["a.json"] if made else [])


@pytest.mark.parametrize("made", ALL)
def test_a_task_lives_under_every_system(made: type[Posix], tmp_path: Path) -> None:
    """The rest of the daemon is one for all: a whole life with each system's choices, on this kernel."""
    for place in "inbox ready claimed done failed rejected state contracts .taskdir".split():
        (tmp_path / place).mkdir()
    (tmp_path / "taskdir.json").write_text('{"protocol": 1, "log_segment_bytes": 4096}')
    (tmp_path / "contracts/echo.json").write_text("{}")
    for number in range(20):
        (tmp_path / f"inbox/t{number}.json").write_text('{"type": "echo"}')
    daemon = Daemon(str(tmp_path), disk=Disk(system=made()))
    daemon.open()
    (tmp_path / "claimed/me").mkdir()
    for _ in range(20):
        while daemon.one_pass():
            pass
        name = min(os.listdir(tmp_path / "ready/default"))
        os.rename(tmp_path / "ready/default" / name, tmp_path / "claimed/me" / name)
        daemon.one_pass()
        result = tmp_path / "claimed/me" / name.replace(".json", ".result.json")
        result.write_text('{"status": "ok", "output": 1}')
    while daemon.one_pass():
        pass
    daemon.close()
    assert len(os.listdir(tmp_path / "done")) == 20
    assert json.loads((tmp_path / "done/t7.json").read_text())["state"] == "done"
    assert os.listdir(tmp_path / "log"), "the log was never cut into segments"
