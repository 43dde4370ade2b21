"""The only hands that change files: what each does, what it returns when it comes too late, and that it says so first.

Each case runs twice: once as it is, once stopped by the hook before its first operation."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from taskdir import disk
from taskdir.disk import Disk, NotRegular, TooLarge, kind_of, read_again, read_regular, write_all
from taskdir.system import HERE

# --- reading


def test_read_regular(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for data in (b"", b"x", b"x" * 10, b"\0" * 100_000):
        path.write_bytes(data)
        assert read_regular(str(path), len(data)) == data
        assert read_regular(str(path), 200_000) == data


@pytest.mark.parametrize("limit", [0, 9])
def test_too_large(tmp_path: Path, limit: int) -> None:
    (tmp_path / "f").write_bytes(b"x" * 10)
    with pytest.raises(TooLarge) as caught:
        read_regular(str(tmp_path / "f"), limit)
    assert caught.value.size == 10


def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "f", os.read
    path.write_bytes(b"x" * 10)

    def grow_then_read(fd: int, size: int) -> bytes:
        data = read(fd, min(size, 4))
        with path.open("ab") as file:
            file.write(b"y")
        return data

    monkeypatch.setattr(os, "read", grow_then_read)
    with pytest.raises(TooLarge) as caught:
        read_regular(str(path), 10)
    assert caught.value.size == 11


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


SPECIAL: list[tuple[str, Callable[[Path], Any]]] = [
    ("symbolic link", lambda path: path.symlink_to(__file__)),
    ("symbolic link", lambda path: path.symlink_to("nowhere")),
    ("symbolic link", lambda path: path.symlink_to(path)),
    ("directory", Path.mkdir),
    ("FIFO", os.mkfifo),
    ("device or socket", make_socket),
]


@pytest.mark.parametrize(("kind", "make"), SPECIAL)
def test_what_is_no_regular_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, make: Callable[[Path], Any]
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    make(Path("f"))
    with pytest.raises(NotRegular) as caught:
        read_regular("f", 10_000_000)
    assert caught.value.kind == kind


def test_a_device_is_not_read() -> None:
    with pytest.raises(NotRegular, match="device or socket"):
        read_regular(os.devnull, 10)
    assert kind_of(os.stat(os.devnull).st_mode) == "device or socket"


def test_what_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(str(tmp_path / "f"), 10)
    (tmp_path / "f").write_text("")
    with pytest.raises(NotADirectoryError):
        read_regular(str(tmp_path / "f" / "g"), 10)


@pytest.mark.parametrize("now", [b"", b"abcd", b"abx", b"ab"])
def test_what_changed_is_not_read_as_before(tmp_path: Path, now: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert read_again(str(path), 3) == b"abc"
    path.write_bytes(now)
    assert read_again(str(path), 3) != b"abc"


@pytest.mark.parametrize(("kind", "make"), [special for special in SPECIAL if special[0] != "FIFO"])
def test_what_is_something_else_now_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, make: Callable[[Path], Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("f"))
    with pytest.raises(OSError, match=r"\[Errno"):
        read_again("f", 3)


def test_a_fifo_reads_as_nothing_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    assert read_again(str(tmp_path / "f"), 3) == b""


# --- changing


class Case(NamedTuple):
    """One call on a directory that holds ``here`` (name → content): what it returns, announces and leaves."""

    here: dict[str, str]
    call: Callable[[Disk, str], Any]
    returns: Any
    announced: list[str]
    left: dict[str, str]


A, B, DATA = {"a": "old"}, {"b": "other"}, b"new"
CASES = {
    "create": Case({}, lambda d, at: d.create(at + "a", DATA).st_size, 3, ["create a", "write a"], {"a": "new"}),
    "create, synced": Case(
        {},
        lambda d, at: d.create(at + "a", DATA, sync=True).st_size,
        3,
        ["create a", "write a", "fsync a"],
        {"a": "new"},
    ),
    "publish": Case(
        A,
        lambda d, at: d.publish(at + "a", DATA, aside=at + ".a").st_size,
        3,
        ["create .a", "write .a", "rename a"],
        {"a": "new"},
    ),
    "publish over its own leavings": Case(
        {".a": "half"},
        lambda d, at: d.publish(at + "a", DATA, aside=at + ".a", sync=True).st_size,
        3,
        ["create .a", "unlink .a", "create .a", "write .a", "fsync .a", "rename a"],
        {"a": "new"},
    ),
    "publish new": Case(
        {},
        lambda d, at: d.publish_new(at + "a", DATA, aside=at + ".a"),
        True,
        ["create .a", "write .a", "fsync .a", "link a", "unlink .a"],
        {"a": "new"},
    ),
    "publish new, too late": Case(
        A,
        lambda d, at: d.publish_new(at + "a", DATA, aside=at + ".a", sync=False),
        False,
        ["create .a", "write .a", "link a", "unlink .a"],
        A,
    ),
    "link": Case(A, lambda d, at: d.link(at + "a", at + "b"), True, ["link b"], A | {"b": "old"}),
    "link, too late": Case(A | B, lambda d, at: d.link(at + "a", at + "b"), False, ["link b"], A | B),
    "rename": Case(A | B, lambda d, at: d.rename(at + "a", at + "b"), True, ["rename b"], {"b": "old"}),
    "rename, too late": Case(B, lambda d, at: d.rename(at + "a", at + "b"), False, ["rename b"], B),
    "unlink": Case(A | B, lambda d, at: d.unlink(at + "a"), True, ["unlink a"], B),
    "unlink, too late": Case(B, lambda d, at: d.unlink(at + "a"), False, ["unlink a"], B),
    "touch": Case(A, lambda d, at: d.touch(at + "a"), True, ["touch a"], A),
    "touch, too late": Case({}, lambda d, at: d.touch(at + "a"), False, ["touch a"], {}),
    "mkdir": Case({}, lambda d, at: d.mkdir(at + "a"), True, ["mkdir a"], {"a/": "755"}),
    "mkdir, too late": Case({"a/": "700"}, lambda d, at: d.mkdir(at + "a"), False, ["mkdir a"], {"a/": "700"}),
    "mkdir, whatever the umask": Case({}, lambda d, at: d.mkdir(at + "a", 0o1777), True, ["mkdir a"], {"a/": "1777"}),
    "remove a tree": Case({"a/": "755"}, lambda d, at: d.remove_tree(at + "a"), None, ["rmtree a"], {}),
    "chmod": Case({"a/": "755"}, lambda d, at: d.chmod(at + "a", 0o555), None, ["chmod a"], {"a/": "555"}),
    "create, for others too": Case(
        {},
        lambda d, at: oct(d.create(at + "a", DATA, mode=0o666).st_mode & 0o777),
        "0o666",
        ["create a", "write a"],
        {"a": "new"},
    ),
    "chmod, with a group": Case(
        {"a/": "755"}, lambda d, at: d.chmod(at + "a", 0o770, os.getgid()), None, ["chmod a"], {"a/": "770"}
    ),
    "append text": Case(A, lambda d, at: d.append_text(at + "a", DATA), None, ["append a"], {"a": "oldnew"}),
    "append text, the first": Case({}, lambda d, at: d.append_text(at + "a", DATA), None, ["append a"], {"a": "new"}),
    "sync a file": Case(A, lambda d, at: d.sync_file(at + "a"), None, ["fsync a"], A),
    "sync a directory in its place": Case(
        {"a/": "755"}, lambda d, at: d.sync_file(at + "a"), None, ["fsync a"], {"a/": "755"}
    ),
    "sync a file, too late": Case({}, lambda d, at: d.sync_file(at + "a"), None, ["fsync a"], {}),
    "sync a file system": Case(
        {"a/": "755"}, lambda d, at: d.sync_file_system(at + "a"), HERE.name == "linux", ["sync a"], {"a/": "755"}
    ),
    "sync a directory": Case({"a/": "755"}, lambda d, at: d.sync_dir(at + "a"), None, ["fsync a"], {"a/": "755"}),
    "the log": Case(
        {},
        lambda d, at: with_log(d, at + "a"),
        3,
        ["open a", "append a", "datasync a", "append a", "truncate a"],
        {"a": "new"},
    ),
}


def with_log(d: Disk, path: str) -> int:
    fd = d.open_log(path)
    d.append_log(fd, path, DATA)
    d.datasync(fd, path)
    d.append_log(fd, path, b"torn")
    d.truncate(fd, 3, path)
    size = os.fstat(fd).st_size
    os.close(fd)
    return size


def lay(root: Path, here: dict[str, str]) -> None:
    for name, content in here.items():
        if name.endswith("/"):
            (root / name).mkdir(mode=int(content, 8))
        else:
            (root / name).write_text(content)


def tree(root: Path) -> dict[str, str]:
    """Show what lies there: files with their content, directories with their mode."""
    return {
        path.name + ("/" if path.is_dir() else ""): f"{path.stat().st_mode & 0o7777:o}"
        if path.is_dir()
        else path.read_text()
        for path in root.iterdir()
    }


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_operation(tmp_path: Path, case: Case) -> None:
    lay(tmp_path, case.here)
    announced: list[str] = []
    made = Disk(lambda operation, path: announced.append(f"{operation} {os.path.basename(path)}"))
    assert case.call(made, f"{tmp_path}/") == case.returns
    assert announced == case.announced
    assert tree(tmp_path) == case.left


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_nothing_happens_before_it_is_announced(tmp_path: Path, case: Case) -> None:
    """The first hook sees the directory as it was, and can stop the operation there."""
    lay(tmp_path, case.here)
    before = tree(tmp_path)

    def stop(operation: str, path: str) -> None:
        raise KeyboardInterrupt(operation)

    with pytest.raises(KeyboardInterrupt):
        case.call(Disk(stop), f"{tmp_path}/")
    assert tree(tmp_path) == before


def test_every_operation_has_a_case() -> None:
    told = {name for case in CASES.values() for name in case.call.__code__.co_names}
    told |= set(with_log.__code__.co_names)
    assert {name for name in vars(Disk) if not name.startswith("_")} <= told


def test_times_are_set_to_now_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    os.utime(path, (1, 1))
    Disk().touch(str(path))
    assert path.stat().st_mtime > 1_000_000_000


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    lay(tmp_path, A)
    with pytest.raises(FileExistsError):
        Disk().create(str(tmp_path / "a"), DATA)
    assert tree(tmp_path) == A


def test_modes(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        Disk().create(str(tmp_path / "a"), DATA, mode=0o600)
        Disk().publish(str(tmp_path / "b"), DATA, aside=str(tmp_path / ".b"))
    finally:
        os.umask(old)
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o600, 0o644]


@pytest.mark.parametrize("at", ["write", "fsync"])
def test_half_a_file_is_taken_back(tmp_path: Path, at: str) -> None:
    def full(operation: str, path: str) -> None:
        if operation == at:
            raise OSError(errno.ENOSPC, "full", path)

    with pytest.raises(OSError, match="full"):
        Disk(full).publish(str(tmp_path / "a"), DATA, aside=str(tmp_path / ".a"), sync=True)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda d, at: d.rename(at + "a", at + "none/b"),
        lambda d, at: d.link(at + "none", at + "b"),
        lambda d, at: d.unlink(at + "sub"),
        lambda d, at: d.mkdir(at + "none/sub"),
        lambda d, at: d.chmod(at + "none", 0o700),
        lambda d, at: d.sync_dir(at + "a"),
        lambda d, at: d.sync_file(at + "a/b"),
        lambda d, at: d.append_text(at + "sub", DATA),
    ],
)
def test_any_other_error_is_raised(tmp_path: Path, call: Callable[[Disk, str], Any]) -> None:
    """Only a lost race is a value."""
    lay(tmp_path, A | {"sub/": "755"})
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(OSError, match="Errno"):
        call(Disk(), f"{tmp_path}/")


def test_a_link_is_linked_itself(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/etc/hostname")
    assert Disk().link(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "b").is_symlink()


@pytest.mark.parametrize("number", sorted(disk.NO_LINKS))
def test_without_hard_links_a_rename_must_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def no_links(source: str, target: str, **options: object) -> None:
        raise OSError(number, os.strerror(number), target)

    monkeypatch.setattr(os, "link", no_links)
    made, a, b, aside = Disk(), str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / ".aside")
    lay(tmp_path, A)
    assert made.link(a, b)
    assert tree(tmp_path) == {"b": "old"}
    assert not made.publish_new(b, DATA, aside=aside), "taken"
    assert tree(tmp_path) == {"b": "old"}
    assert made.publish_new(a, DATA, aside=aside)
    assert tree(tmp_path) == {"a": "new", "b": "old"}
    with pytest.raises(OSError, match=os.strerror(number)):
        made.link(str(tmp_path / "none"), str(tmp_path / "c"))


def test_an_error_of_a_link_that_is_no_lack_of_links_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: str, target: str, **options: object) -> None:
        raise OSError(errno.EIO, "broken", target)

    monkeypatch.setattr(os, "link", broken)
    lay(tmp_path, A)
    with pytest.raises(OSError, match="broken"):
        Disk().link(str(tmp_path / "a"), str(tmp_path / "b"))
    assert tree(tmp_path) == A


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_batch_goes_in_one_write_or_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """Anything else goes in as many as it takes."""
    made, path, write = Disk(), str(tmp_path / "a"), os.write
    fd = made.open_log(path)
    with monkeypatch.context() as slow:
        slow.setattr(os, "write", lambda fd, data: write(fd, data[:taken]))
        with pytest.raises(OSError, match="only part") as caught:
            made.append_log(fd, path, DATA)
        assert caught.value.errno == errno.ENOSPC
    os.close(fd)
    with monkeypatch.context() as slow:
        slow.setattr(os, "write", lambda fd, data: write(fd, data[:1]))
        made.publish(path, DATA, aside=path + ".new")
    assert tree(tmp_path) == {"a": "new"}


def test_write_all(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        write_all(file.fileno(), b"")
        write_all(file.fileno(), DATA)
    assert tree(tmp_path) == {"a": "new"}
