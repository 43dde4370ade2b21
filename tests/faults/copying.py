"""A root as it lies, copied fast: what a test of crashes does thousands of times."""

from __future__ import annotations

import os
import stat

LARGE = 1 << 20
"""Bytes: a larger file is copied by its size alone; what the stories make so large are zeros."""


def copy(source: str, target: str, made: dict[int, str] | None = None) -> None:
    """Copy a directory: files with their modes, times and second names, links and FIFOs as they are."""
    made = {} if made is None else made
    os.mkdir(target)
    with os.scandir(source) as entries:
        for entry in entries:
            at = os.path.join(target, entry.name)
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                copy(entry.path, at, made)
            elif found.st_ino in made:
                os.link(made[found.st_ino], at, follow_symlinks=False)
            else:
                _copy_file(entry.path, at, found)
                if found.st_nlink > 1:
                    made[found.st_ino] = at
    os.chmod(target, stat.S_IMODE(os.lstat(source).st_mode))


def _copy_file(source: str, target: str, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(source), target)
        return
    if stat.S_ISREG(found.st_mode) and found.st_size <= LARGE:
        with open(source, "rb", buffering=0) as old, open(target, "wb", buffering=0) as new:
            if data := old.read(LARGE):
                new.write(data)
    else:
        os.mknod(target, stat.S_IFMT(found.st_mode) | 0o600)
        if stat.S_ISREG(found.st_mode):
            os.truncate(target, found.st_size)
    os.chmod(target, stat.S_IMODE(found.st_mode))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def remove(root: str) -> None:
    """Remove a copy, whatever modes its directories have."""
    os.chmod(root, 0o755)
    with os.scandir(root) as entries:
        inside = list(entries)
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            remove(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(root)
