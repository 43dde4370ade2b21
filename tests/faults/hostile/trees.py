"""Files that are no files, and trees that are not as they should be: links, FIFOs, sockets, devices, modes, loops.

Each ``Tree`` is made by ``make(path)`` at a place of a living root. What becomes of it is told by ``code``: the reason
or breach that the daemon logs, or the finding of ``check``; "" where nothing is wrong and nothing may change.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass

Make = Callable[[str], None]


def link(to: str) -> Make:
    """A symbolic link."""
    return lambda path: os.symlink(to, path)


def fifo(path: str) -> None:
    """A pipe that nobody writes to: whoever opens it to read waits for ever."""
    os.mkfifo(path)


def sock(path: str) -> None:
    """A socket that nobody listens at; its name may be longer than an address can be."""
    here = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/.s")
        os.rename(os.path.join(os.path.dirname(path), ".s"), path)
    finally:
        os.close(here)


def directory(path: str) -> None:
    """An empty directory."""
    os.mkdir(path)


def full(path: str) -> None:
    """A directory that is not empty, so that rmdir fails."""
    os.makedirs(f"{path}/a/b/c")
    text('{"type": "echo"}')(f"{path}/a/x.json")


def deep(path: str) -> None:
    """Directories below each other, deeper than a recursive reader goes."""
    os.mkdir(path)
    here = os.open(path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def sparse(size: int) -> Make:
    """A file of ``size`` bytes of which none is on the disk."""

    def make(path: str) -> None:
        with open(path, "wb") as file:
            file.truncate(size)

    return make


def device(major: int, minor: int, kind: int = stat.S_IFCHR) -> Make:
    """A device; making one needs root."""
    return lambda path: os.mknod(path, kind | 0o666, os.makedev(major, minor))


def text(value: str, mode: int = 0o644) -> Make:
    """A plain file."""

    def make(path: str) -> None:
        with open(path, "w") as file:
            file.write(value)
        os.chmod(path, mode)

    return make


def hard(value: str) -> Make:
    """A file with a second name beside it."""

    def make(path: str) -> None:
        aside = os.path.join(os.path.dirname(path), ".second-name")
        if not os.path.exists(aside):
            text(value)(aside)
        os.link(aside, path)

    return make


@dataclass(frozen=True, slots=True)
class Tree:
    """One thing at ``place``, a path below the root; ``check``: ``code`` is a finding of check, not of the daemon."""

    place: str
    make: Make
    code: str
    check: bool = False


_GOOD = '{"type": "echo"}'
_SPECIAL: list[tuple[str, Make]] = [
    ("to-passwd", link("/etc/passwd")), ("to-nothing", link("nothing")), ("to-itself", link("t-to-itself.json")), ("to-root", link("/")), ("to-up", link("..")),
    ("to-inbox", link(".")), ("to-proc", link("/proc/self/environ")), ("to-null", link("/dev/null")), ("to-zero", link("/dev/zero")), ("to-tty", link("/dev/tty")),
    ("to-empty-name", link(" ")), ("to-long", link("a/" * 2000)), ("to-good", link(".second-name")), ("to-log", link("../log.jsonl")), ("to-settings", link("../taskdir.json")),
    ("fifo", fifo), ("socket", sock), ("directory", directory), ("full", full), ("deep", deep),
]  # fmt: skip
_DEVICES: list[tuple[str, Make]] = [
    ("null", device(1, 3)), ("zero", device(1, 5)), ("full", device(1, 7)), ("random", device(1, 8)), ("tty", device(5, 0)), ("none", device(250, 99)),
    ("loop", device(7, 250, stat.S_IFBLK)), ("whiteout", device(0, 0)),
]  # fmt: skip
INBOX = [Tree(f"inbox/t-{name}.json", make, "not-regular") for name, make in _SPECIAL] + [
    Tree("inbox/s-tib.json", sparse(1 << 40), "too-large"), Tree("inbox/s-exb.json", sparse((1 << 42) - 1), "too-large"), Tree("inbox/s-over.json", sparse((1 << 24) + 1), "too-large"),
    Tree("inbox/s-zeros.json", sparse(4096), "json-syntax"), Tree("inbox/s-mib.json", sparse(1 << 20), "json-syntax"), Tree("inbox/h-one.json", hard('{"type": "no-such"}'), "unknown-type"),
    Tree("inbox/h-two.json", hard('{"type": "no-such"}'), "unknown-type"), Tree("inbox/m-suid.json", text('{"type": "nope"}', 0o6755), "unknown-type"),
    Tree("inbox/m-sticky.json", text('{"type": "nope"}', 0o1644), "unknown-type"), Tree("inbox/d.json", directory, "not-regular"), Tree("inbox/\udcff.json", fifo, "not-regular"),
    Tree("inbox/" + "n" * 250 + ".json", directory, "not-regular"), Tree("inbox/d.reason.json", full, "not-regular"), Tree("inbox/\n.json", link("/"), "not-regular"),
]  # fmt: skip
INBOX_ROOT = [Tree(f"inbox/dev-{name}.json", make, "not-regular") for name, make in _DEVICES]
"""Only root can make these."""

_OFFER = "5-000000000999.ghost.1.json"
READY = [Tree(f"ready/default/t-{name}.json", make, "ready-stranger") for name, make in _SPECIAL[:3] + _SPECIAL[12:]] + [
    Tree(f"ready/default/{_OFFER}", text('{"id": "ghost"}'), "ready-stranger"), Tree("ready/default/0-000000000001.fixed.9.json", text("{}"), "ready-stranger"),
    Tree("ready/default/huge.json", sparse(1 << 40), "ready-stranger"), Tree("ready/default/\udcff.json", text("{}"), "ready-stranger"),
    Tree("ready/default/a b.json", text("{}"), "ready-stranger"), Tree("ready/default/" + "n" * 250 + ".json", text("{}"), "ready-stranger"),
]  # fmt: skip
STATE = [Tree(f"state/t-{name}.json", make, "state-stranger") for name, make in _SPECIAL[:3] + _SPECIAL[12:]] + [
    Tree("state/forged.json", text('{"key": "forged", "version": 1, "value": 1}'), "state-stranger"), Tree("state/A.json", text("{}"), "state-stranger"),
    Tree("state/\udcff.json", text("{}"), "state-stranger"), Tree("state/huge.json", sparse(1 << 40), "state-stranger"), Tree("state/deep.json", text("[" * 99_999), "state-stranger"),
]  # fmt: skip
CLAIMED = [
    Tree(f"claimed/mallory/{_OFFER}", text('{"id": "ghost"}'), "claim-unknown"), Tree("claimed/mallory/0-000000000001.nobody.1.json", fifo, "claim-unknown"),
    Tree("claimed/mallory/0-000000000002.nobody.1.json", directory, "claim-unknown"), Tree("claimed/mallory/0-000000000003.nobody.1.json", link("/etc/passwd"), "claim-unknown"),
    Tree("claimed/mallory/0-000000000004.nobody.1.json", sparse(1 << 40), "claim-unknown"), Tree("claimed/mallory/0-000000000005.nobody.999999999.json", text("{}"), "claim-unknown"),
    Tree("claimed/mallory/9-999999999999.nobody.1.json", sock, "claim-unknown"), Tree("claimed/mallory/0-000000000006.nobody.1.json", full, "claim-unknown"),
    Tree("claimed/mallory/0-000000000007.nobody.1.json", hard("{}"), "claim-unknown"),
]  # fmt: skip
QUIET = [
    Tree("claimed/mallory/own.json", fifo, ""), Tree("claimed/mallory/own", deep, ""), Tree("claimed/mallory/\udcff", link("/"), ""), Tree("claimed/Mallory", full, ""),
    Tree("claimed/.mallory", directory, ""), Tree("claimed/a-file", text("x"), ""), Tree("claimed/a-link", link(".."), ""), Tree("claimed/a-loop", link("a-loop"), ""),
    Tree("claimed/a-pipe", fifo, ""), Tree("claimed/\udcff", directory, ""), Tree("claimed/" + "a" * 65, directory, ""), Tree("ready/default/.hidden", fifo, ""),
    Tree("ready/default/no-suffix", full, ""), Tree("ready/a-file", text("x"), ""), Tree("ready/a-pipe", fifo, ""), Tree("ready/a-loop", link("a-loop"), ""),
    Tree("inbox/.link.json", link("/etc/passwd"), ""), Tree("inbox/.pipe.json", fifo, ""), Tree("inbox/no-suffix", fifo, ""), Tree("inbox/sub", full, ""),
    Tree("contracts/.hidden.json", fifo, ""), Tree("contracts/Upper.json", fifo, ""), Tree("contracts/a b.json", text("{"), ""), Tree("contracts/no-suffix", deep, ""),
    Tree("state/no-suffix", fifo, ""), Tree("state/.hidden.json", link("/"), ""), Tree(".taskdir/stranger", fifo, ""), Tree("stranger", deep, ""), Tree("stranger.json", link("/"), ""),
    Tree("done/.hidden", fifo, ""), Tree("rejected/no-suffix", directory, ""), Tree("log/stranger", fifo, ""), Tree("done/no-suffix", full, ""),
]  # fmt: skip
"""What is nobody's business: it stays, is not read, and delays nothing."""
FOUND = [
    Tree(f"{place}/{name}.json", make, "view-stranger", check=True)
    for place in ("done", "failed", "rejected")
    for name, make in (("forged", text('{"kind": "record"}')), ("pipe", fifo), ("linked", link("/etc/passwd")), ("dir", full), ("big", sparse(1 << 40)), ("loop", link("loop.json")))
]  # fmt: skip
"""What the daemon does not look at, and ``check`` finds."""
CONTRACTS = [
    Tree("contracts/c-pipe.json", fifo, "not-regular"), Tree("contracts/c-dir.json", full, "not-regular"), Tree("contracts/c-link.json", link("echo.json"), "not-regular"),
    Tree("contracts/c-null.json", link("/dev/null"), "not-regular"), Tree("contracts/c-loop.json", link("c-loop.json"), "not-regular"), Tree("contracts/c-sock.json", sock, "not-regular"),
    Tree("contracts/c-big.json", sparse(1 << 40), "too-large"), Tree("contracts/state/c-pipe.json", fifo, "not-regular"), Tree("contracts/state/c-big.json", sparse(1 << 40), "too-large"),
    Tree("contracts/state/c-link.json", link("/etc/passwd"), "not-regular"), Tree("contracts/c-zeros.json", sparse(100), "json-syntax"),
]  # fmt: skip


def data(value: bytes) -> Make:
    """A plain file of any bytes."""

    def make(path: str) -> None:
        with open(path, "wb") as file:
            file.write(value)

    return make


NOTES: list[tuple[str, Make, str | None]] = [
    *[(name, make, None) for name, make in _SPECIAL], ("empty", data(b""), None), ("nul", data(b"\x00" * 10), "\x00" * 10), ("a-mib", data(b"n" * (1 << 20)), "n" * 65536),
    ("latin", data(b"caf\xe9"), "caf\ufffd"), ("surrogates", data(b"\xed\xa0\x80"), "\ufffd" * 3), ("escapes", data(b"\x1b[2J\x07\r\n"), "\x1b[2J\x07\r\n"),
    ("cut", data(b"a" * 65535 + "é".encode()), "a" * 65535 + "\ufffd"), ("bom", data(b"\xef\xbb\xbfx"), "\ufeffx"), ("json", data(b'{"a": 1, "a": NaN}\n'), '{"a": 1, "a": NaN}\n'),
    ("sparse", sparse(1 << 40), "\x00" * 65536), ("brackets", data(b"[" * 70_000), "[" * 65536), ("hard", hard("a note"), "a note"),
    ("forged", data(b'{"event": "done", "id": "w"}\n'), '{"event": "done", "id": "w"}\n'), ("unreadable bytes", data(bytes(range(128, 256)) * 4), "\ufffd" * 512),
]  # fmt: skip
"""In place of notes: name, what lies there, and what of it the end of the claim carries."""


def _replace(make: Make) -> Make:
    def act(path: str) -> None:
        aside = os.path.join(os.path.dirname(path), ".aside")
        make(aside)
        os.rename(aside, path)

    return act


def _times(seconds: int) -> Make:
    return lambda path: os.utime(path, (seconds, seconds))


def _twice(path: str) -> None:
    os.link(path, os.path.join(os.path.dirname(path), "second.json"))


def _grow(path: str) -> None:
    os.truncate(path, 1 << 40)


def _copy(path: str) -> None:
    shutil.copyfile(path, f"{path}.aside")
    os.rename(f"{path}.aside", path)


RENEWALS: list[tuple[str, Make]] = [
    ("times before 1970", _times(-(1 << 31))), ("times at 0", _times(0)), ("times in 2446", _times(15_000_000_000)), ("emptied", lambda path: os.truncate(path, 0)), ("grown to a TiB", _grow),
    ("a second name", _twice), ("mode 000", lambda path: os.chmod(path, 0)), ("mode 7777", lambda path: os.chmod(path, 0o7777)), ("rubbish inside", _replace(data(b"\xff" * 100))),
    ("forged inside", _replace(text('{"id": "other", "attempt": 99, "result_file": "../../log.jsonl"}'))), ("a link", _replace(link("/etc/passwd"))), ("a link to itself", _replace(link("loop"))),
    ("a FIFO", _replace(fifo)), ("a socket", _replace(sock)), ("a sparse one", _replace(sparse(1 << 40))), ("a copy", _copy),
]  # fmt: skip
"""What an agent may do to the file that it claimed: a renewal, whatever it is."""
