"""Small file systems to fill up, and processes to squeeze: for tests of what a machine does to a daemon. Root only."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0, reason="NOT TESTED: only root may mount a file system"
)


@contextlib.contextmanager
def mounted(at: Path, *words: str) -> Iterator[Path]:
    """Mount a file system at ``at`` for the block; skips where even root may not."""
    at.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *words, at], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED: mount {' '.join(words)}: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def tmpfs(at: Path, **options: object) -> contextlib.AbstractContextManager[Path]:
    """Mount a tmpfs with these options: ``size="1m"``, ``nr_inodes=50``."""
    return mounted(at, "-t", "tmpfs", "-o", ",".join(f"{name}={value}" for name, value in options.items()), "tmpfs")


@contextlib.contextmanager
def ext4(at: Path, image: Path) -> Iterator[Path]:
    """Mount an image, made when it is not there; checked, as at boot, when it is."""
    words = ["e2fsck", "-p", str(image)]
    if not image.exists():
        with open(image, "wb") as file:
            file.truncate(32 << 20)
        words = ["mkfs.ext4", "-q", "-F", str(image)]
    if shutil.which(words[0]) is None:
        pytest.skip(f"NOT TESTED: there is no {words[0]} (apt install e2fsprogs)")
    assert subprocess.run(words, check=False, capture_output=True).returncode in (0, 1)
    with mounted(at, "-o", "loop,errors=remount-ro", str(image)):
        yield at


def break_ext4(at: Path) -> None:
    """Let the kernel meet an error in a mounted ext4: it takes no more writes until it is mounted anew."""
    found = subprocess.run(["findmnt", "-no", "SOURCE", at], capture_output=True, text=True, check=True).stdout
    trigger = Path("/sys/fs/ext4", Path(found.strip()).name, "trigger_fs_error")
    if not trigger.exists():
        pytest.skip("NOT TESTED: this kernel's ext4 cannot be told to fail")
    trigger.write_text("x")


def fill(directory: Path) -> Path:
    """Take all space that is left, down to the last page; returns the file to delete."""
    path = directory / ".filler"
    with open(path, "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 14, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    return path


def use_up_inodes(directory: Path) -> list[Path]:
    """Make files until there are no more; returns them."""
    made: list[Path] = []
    while True:
        try:
            (directory / f".filler-{len(made)}").touch(exist_ok=False)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return made
        made.append(directory / f".filler-{len(made)}")


@contextlib.contextmanager
def no_descriptors(pid: int) -> Iterator[None]:
    """Let a process open nothing more than what it has open now, for the block."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir(f"/proc/{pid}/fd")))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
