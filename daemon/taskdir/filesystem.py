"""What a root lies on, and what that kind of file system cannot promise (SPEC section 11). Asks, and changes nothing.

Where the system does not tell (no Linux, no /proc), the answer is "unknown": no reason to refuse, none to praise.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import NamedTuple

_MAGIC = {
    0xEF53: "ext",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x794C7630: "overlay",
    0x61756673: "aufs",
    0x6969: "nfs",
    0x517B: "smb",
    0xFE534D42: "smb",
    0xFF534D42: "smb",
    0x01021997: "9p",
    0x786F4256: "vboxsf",
    0x65735546: "fuse",
    0x00C36400: "ceph",
    0x5346414F: "afs",
    0x4D44: "fat",
    0x2011BAB0: "exfat",
    0x5346544E: "ntfs",
    0x7366746E: "ntfs",
}
"""``f_type`` of statfs(2) → name."""

_REMOTE = "a rename may report failure after success, locks are emulated, events of other hosts are unseen"
_MEMORY = "nothing survives a reboot: it lives in memory"
_FOREIGN = "no hard links, coarse file times, no durable names"
_LAYERED = "two mounts of one lower directory share no locks, changes below give no events"
_WEAK = {
    **dict.fromkeys(("nfs", "smb", "9p", "vboxsf", "ceph", "afs"), _REMOTE),
    **dict.fromkeys(("tmpfs", "ramfs"), _MEMORY),
    **dict.fromkeys(("overlay", "aufs"), _LAYERED),
    **dict.fromkeys(("fat", "exfat", "ntfs"), _FOREIGN),
    "fuse": "what rename, locks and fsync promise depends on the program behind it; shared folders keep none of it",
}


class Kind(NamedTuple):
    """A file system's name and, in words, what it cannot promise; ``weakness`` is None where nothing is known."""

    name: str
    weakness: str | None


def kind(path: str) -> Kind:
    """Return the kind of file system that ``path`` lies on."""
    name = _MAGIC.get(magic(path), "unknown")
    weakness = _WEAK.get(name)
    if name == "ext" and has_journal(os.stat(path).st_dev) is False:
        weakness = "an ext file system without a journal: a power cut may leave its directories damaged"
    return Kind(name, weakness)


def magic(path: str) -> int:
    """Return ``f_type`` as statfs(2) tells it, 0 when it does not. Python's own statvfs leaves it out."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        buffer = ctypes.create_string_buffer(512)  # larger than any struct statfs; f_type is its first word
        if ctypes.CDLL(None).statfs(os.fsencode(path), buffer) == 0:
            return int(ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF)
    return 0


def has_journal(device: int, proc: str = "/proc") -> bool | None:
    """Say whether the ext file system on ``device`` (``st_dev``) keeps a journal; None when the kernel does not tell.

    With a journal its options name the mode, ``data=ordered`` as a rule.
    """
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
        with open(os.path.join(proc, "fs", "ext4", name, "options"), encoding="ascii", errors="replace") as file:
            return any(line.startswith("data=") for line in file)
    except OSError:
        return None
