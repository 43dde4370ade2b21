"""A disk that remembers, under a real file system: what it was told, and what a power cut leaves of that.

``Recorded`` puts ext4, xfs or btrfs on a loop device over the file of ``blockdisk.c``, which notes every write, every
flush and every mark of the story. ``Cutter`` makes the disk as it would be after a power cut: what was flushed is
there; of what was not, any part may be lost, sector by sector (a drive with a cache keeps no order). ``mounted`` mounts
it. All is done in a mount namespace of its own (``python -m faults.power``), so that nothing stays after a kill.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parent / "blockdisk.c"
MIB = 1 << 20


class FileSystem(NamedTuple):
    """How one is made: its size in bytes, its command, what it is mounted with. Small, since each cut is a copy.

    ``whole``: so many bytes reach the medium all or none. No kernel mounts a btrfs whose superblock is torn; as that
    has 4 KiB, the drive under it has to write as many at once, as drives of today do.
    """

    size: int
    make: str
    options: str = ""
    whole: int = 512


KINDS = {
    "ext4": FileSystem(16 * MIB, "mkfs.ext4 -q -F -b 4096 -J size=4 -N 2048 -E lazy_itable_init=0,nodiscard"),
    "xfs": FileSystem(16 * MIB, "mkfs.xfs -q -f --unsupported", "nouuid"),  # the option: so small an xfs
    "btrfs": FileSystem(128 * MIB, "mkfs.btrfs -q -f", whole=4096),
}


def missing(kind: str) -> str | None:
    """Say what this machine lacks to record a disk under such a file system; None when it has all."""
    if os.geteuid() != 0:
        return "no root, who alone may mount"
    if not os.path.exists("/dev/fuse") or not os.path.exists("/dev/loop-control"):
        return "no /dev/fuse or no loop devices"
    for tool in ("gcc", "pkg-config", "unshare", KINDS[kind].make.split()[0]):
        if shutil.which(tool) is None:
            return f"no {tool}"
    if subprocess.run(["pkg-config", "--exists", "fuse3"], check=False).returncode:
        return "no libfuse3 to build with"
    known = Path("/proc/filesystems").read_text().split()
    modules = Path(f"/lib/modules/{os.uname().release}")
    return None if kind in known or modules.exists() else f"a kernel without {kind}"


def build(home: Path) -> Path:
    """Compile the disk, unless that was done; returns the program."""
    program = home / "blockdisk"
    if not program.exists():
        asked = ["pkg-config", "--cflags", "--libs", "fuse3"]
        flags = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
        made = [f"{program}.new", str(SOURCE), *flags]
        subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", *made], check=True)
        os.rename(f"{program}.new", program)
    return program


# --- system calls that Python does not have

_LIBC = ctypes.CDLL(None, use_errno=True)
_GET_FREE, _CONFIGURE, _AUTOCLEAR, _FLAGS_AT = 0x4C82, 0x4C0A, 4, 60


def _mount(device: str, at: Path, kind: str, options: str) -> None:
    words = [os.fsencode(each) for each in (device, at, kind)]
    if _LIBC.mount(*words, ctypes.c_ulong(0), options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}", device)


def _unmount(at: Path) -> None:
    for _ in range(200):
        if _LIBC.umount2(os.fsencode(at), 0) == 0:
            return
        if ctypes.get_errno() != 16:
            break
        time.sleep(0.01)  # busy: a process that was killed is still being buried
    raise OSError(ctypes.get_errno(), f"umount: {os.strerror(ctypes.get_errno())}", str(at))


def _attach(path: Path) -> tuple[str, int]:
    """Put a loop device on a file; it goes with its last user. Returns its name, and a descriptor that keeps it."""
    control, backing = os.open("/dev/loop-control", os.O_RDWR), os.open(path, os.O_RDWR)
    try:
        for _ in range(200):
            name = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            device = os.open(name, os.O_RDWR | os.O_CLOEXEC)
            config = bytearray(304)  # struct loop_config
            struct.pack_into("=I", config, 0, backing)
            struct.pack_into("=I", config, _FLAGS_AT, _AUTOCLEAR)
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
                return name, device
            except OSError:  # somebody else was first
                os.close(device)
                time.sleep(0.005)
    finally:
        os.close(control)
        os.close(backing)
    raise OSError("no loop device to be had")


@contextmanager
def mounted(image: Path, kind: str, at: Path) -> Iterator[Path]:
    """Mount an image for the block, the journal of its file system being replayed. Raises OSError."""
    device, kept = _attach(image)
    try:
        _mount(device, at, kind, KINDS[kind].options)
    finally:
        os.close(kept)
    try:
        yield at
    finally:
        _unmount(at)


# --- recording


class Entry(NamedTuple):
    """One thing that the disk was told: ``kind`` is W, F or M."""

    kind: str
    offset: int
    data: bytes


def entries(journal: Path) -> list[Entry]:
    """Read what a disk remembers; half an entry at the end is none."""
    data, at, found = journal.read_bytes(), 0, []
    while at + 13 <= len(data):
        kind, offset, length = struct.unpack_from("=cQI", data, at)
        if at + 13 + length > len(data):
            break
        found.append(Entry(kind.decode(), offset, data[at + 13 : at + 13 + length]))
        at += 13 + length
    return found


def fresh(home: Path, kind: str) -> Path:
    """Make an image with an empty file system."""
    image = home / "base.img"
    with image.open("wb") as file:
        file.truncate(KINDS[kind].size)
    subprocess.run([*KINDS[kind].make.split(), image], check=True, capture_output=True)
    return image


class Recorded:
    """A mounted file system whose disk remembers; a context. ``root`` is where it is mounted."""

    def __init__(self, home: Path, kind: str, base: Path, program: Path) -> None:
        """``home``: a directory for this one alone; ``base``: the image to begin with, which stays as it is;
        ``program``: the disk, compiled."""
        self.base, self.kind, self.home = base, kind, home
        self.journal, self.root = home / "journal", home / "mnt"
        self._front, self._image, self._program = home / "fuse", home / "live.img", program
        for place in (self._front, self.root):
            place.mkdir(exist_ok=True)
        copy_sparse(base, self._image)
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Recorded:
        command = [self._program, self._image, self.journal, self._front]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n", "the disk did not come up"
        self._control = os.open(self._front / "control", os.O_WRONLY | os.O_CLOEXEC)
        self.mount()
        return self

    def mount(self) -> None:
        """Mount (again)."""
        device, kept = _attach(self._front / "disk")
        try:
            _mount(device, self.root, self.kind, KINDS[self.kind].options)
        finally:
            os.close(kept)

    def unmount(self) -> None:
        """Unmount the file system; the disk stays."""
        _unmount(self.root)

    def tell(self, text: str) -> None:
        """Send the disk a line (see blockdisk.c); any process may."""
        os.write(self._control, text.encode())

    def mark(self, text: str) -> None:
        """Note what somebody has been told, between the writes before and those after."""
        self.tell(f"mark {text}")

    def remembered(self) -> list[Entry]:
        """Return what the disk was told so far."""
        return entries(self.journal)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a file system that was shut down
            self.tell("heal")
            self.unmount()
        os.close(self._control)
        assert self._server is not None
        _LIBC.umount2(os.fsencode(self._front), 2)
        self._server.wait(30)
        assert self._server.stdout is not None
        self._server.stdout.close()
        self._image.unlink()


# --- cutting


class Cut(NamedTuple):
    """A power cut before entry ``at``; ``lot`` draws what is kept of what was not flushed: 0 all, 1 nothing."""

    at: int
    lot: int

    def __str__(self) -> str:
        """Return the word that names it on a command line."""
        return f"{self.at}:{self.lot}"

    @classmethod
    def parse(cls, word: str) -> Cut:
        """Read such a word. Raises ValueError."""
        at, lot = map(int, word.split(":"))
        return cls(at, lot)


class Cutter:
    """Makes images of cuts, quickest in ascending order."""

    def __init__(self, base: Path, kind: str, told: list[Entry], home: Path) -> None:
        self._base, self._told, self._sector = base, told, KINDS[kind].whole
        self._durable, self.image = home / "durable.img", home / "cut.img"
        self._flushed = -1
        self._flushes = [at for at, entry in enumerate(told) if entry.kind == "F"]

    def make(self, cut: Cut) -> Path:
        """Return the image of a cut; it lasts until the next one."""
        flushed = max((at for at in self._flushes if at < cut.at), default=-1)
        if self._flushed < 0 or flushed < self._flushed:
            copy_sparse(self._base, self._durable)
            self._flushed = -1
        self._apply(self._durable, [each for each in self._told[self._flushed + 1 : flushed + 1] if each.kind == "W"])
        self._flushed = flushed
        copy_sparse(self._durable, self.image)
        kept = [each for each in self._told[flushed + 1 : cut.at] if each.kind == "W"]
        self._apply(self.image, kept if cut.lot == 0 else [] if cut.lot == 1 else self._drawn(kept, cut))
        return self.image

    def _drawn(self, writes: list[Entry], cut: Cut) -> list[Entry]:
        """Keep some, lose some, tear some: of a torn one only some sectors are kept."""
        draw, kept = random.Random(f"{cut.at} {cut.lot}"), []
        share = draw.choice((0.1, 0.5, 0.9))
        for entry in writes:
            sectors = len(entry.data) // self._sector
            if draw.random() < 0.2 and sectors > 1:
                first = draw.randrange(sectors)
                begin, end = first * self._sector, draw.randrange(first + 1, sectors + 1) * self._sector
                kept.append(Entry("W", entry.offset + begin, entry.data[begin:end]))
            elif draw.random() < share:
                kept.append(entry)
        return kept

    def _apply(self, image: Path, writes: list[Entry]) -> None:
        if not writes:
            return
        fd = os.open(image, os.O_WRONLY)
        for entry in writes:
            os.pwrite(fd, entry.data, entry.offset)
        os.close(fd)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file, its holes left out."""
    old, new = os.open(source, os.O_RDONLY), os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    size, at = os.fstat(old).st_size, 0
    os.ftruncate(new, size)
    try:
        while at < size:
            begin = os.lseek(old, at, os.SEEK_DATA)
            at = os.lseek(old, begin, os.SEEK_HOLE)
            os.lseek(new, begin, os.SEEK_SET)
            while begin < at:
                begin += os.sendfile(new, old, begin, at - begin)
    except OSError as error:
        if error.errno != 6:  # ENXIO: no data up to the end
            raise
    finally:
        os.close(old)
        os.close(new)
