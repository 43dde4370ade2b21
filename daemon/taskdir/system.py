"""What differs between operating systems, chosen here and nowhere else (SPEC section 11.1): HERE is ours.

Each class is one system's answer; all of them can be made and tried anywhere, with ``libc`` in place of the real one.
Changes files for ``disk`` alone, after its hook. Standard library only, loaded late: the agent-side commands use it.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY})
_AT_FDCWD, _RENAME_NOREPLACE, _RENAME_EXCL, _F_FULLFSYNC = -100, 1, 4, 51
_SET_CHILD_SUBREAPER = 36
_FAR = 1 << 30
"""Where a lock lies in a file that others read: locks of Windows keep readers out of the bytes they cover."""


class Posix:
    """Any Unix that is neither Linux nor macOS: what POSIX has, and nothing more."""

    name = "posix"
    own_flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    """To open any file: no child inherits it, and no newline is translated."""
    read_flags = os.O_RDONLY | own_flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    """To read what others wrote: follow no link, wait on no FIFO."""

    def __init__(self, libc: Any = None) -> None:
        """``libc``: the C library, or what stands in for it; loaded when it is needed."""
        self._libc = libc

    def rename_new(self, source: str, target: str) -> bool | None:
        """Rename without replacing; False when the target is there; None when this system or file system cannot."""
        return None

    def fsync(self, fd: int) -> None:
        """Wait until a file's bytes and its size are on the device."""
        os.fsync(fd)

    def datasync(self, fd: int) -> None:
        """Wait until a file's bytes are on the device, and what is needed to read them."""
        self.fsync(fd)

    def sync_directory(self, path: str) -> None:
        """Wait until the names in a directory are on the device."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fsync(fd)
        finally:
            os.close(fd)

    def sync_file_system(self, path: str) -> bool:
        """Wait until all that was written to the file system of a directory is on the device; False: cannot."""
        return False

    def open_root(self, root: str, *, make: bool = False) -> int:
        """Open what the daemon of a root locks: the directory itself. ``make``: as that daemon."""
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def is_root(self, fd: int, root: str) -> bool:
        """Say whether what ``open_root`` opened is what ``root`` names now; of an error that tells nothing, True."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(root))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def try_lock(self, fd: int, *, shared: bool = False) -> bool | None:
        """Lock an open file without waiting; False when another has it, None when it cannot be locked at all."""
        import fcntl

        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def adopt_orphans(self) -> bool:
        """Become the parent of every descendant that loses its own; False when this system cannot."""
        return False

    def _library(self) -> Any:
        if self._libc is None:
            import ctypes

            self._libc = ctypes.CDLL(None, use_errno=True)
        return self._libc


class Linux(Posix):
    """The system on which all of this was run."""

    name = "linux"

    def rename_new(self, source: str, target: str) -> bool | None:
        """renameat2(2) with RENAME_NOREPLACE: since Linux 3.15, glibc 2.28, and not on every file system."""
        return _verdict(self._library(), "renameat2", source, target, _AT_FDCWD, _RENAME_NOREPLACE)

    def datasync(self, fd: int) -> None:
        """fdatasync(2)."""
        os.fdatasync(fd)

    def sync_file_system(self, path: str) -> bool:
        """syncfs(2): no other file system is waited for, and since Linux 5.8 it tells what could not be written."""
        import ctypes

        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if self._library().syncfs(fd) == 0:
                return True
            number = ctypes.get_errno()
        finally:
            os.close(fd)
        if number in _UNSUPPORTED:
            return False
        raise OSError(number, os.strerror(number), path)

    def adopt_orphans(self) -> bool:
        """prctl(2) with PR_SET_CHILD_SUBREAPER: since Linux 3.4."""
        return bool(self._library().prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


class MacOS(Posix):
    """fsync leaves bytes in the drive's cache here; F_FULLFSYNC does not."""

    name = "macos"

    def rename_new(self, source: str, target: str) -> bool | None:
        """renamex_np(2) with RENAME_EXCL: APFS and HFS+."""
        return _verdict(self._library(), "renamex_np", source, target, None, _RENAME_EXCL)

    def fsync(self, fd: int) -> None:
        """F_FULLFSYNC, or where a file system has none, fsync."""
        import fcntl

        try:
            fcntl.fcntl(fd, _F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            os.fsync(fd)


class Windows(Posix):
    """Directories cannot be opened: nothing makes names durable, and the lock is on a file."""

    name = "windows"

    def rename_new(self, source: str, target: str) -> bool | None:
        """MoveFileEx without MOVEFILE_REPLACE_EXISTING, which is what ``os.rename`` is there."""
        try:
            os.rename(source, target)
        except FileExistsError:
            return False
        return True

    def sync_directory(self, path: str) -> None:
        """Nothing: NTFS keeps its own journal of names, and offers no way to wait for it."""

    def open_root(self, root: str, *, make: bool = False) -> int:
        """Open the file .taskdir/lock."""
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | (os.O_CREAT if make else 0)
        return os.open(os.path.join(root, ".taskdir", "lock"), flags, 0o644)

    def is_root(self, fd: int, root: str) -> bool:
        """True: nobody moves a directory in which a file is open."""
        return True

    def try_lock(self, fd: int, *, shared: bool = False) -> bool | None:
        """Lock one byte far behind the end. There is no shared kind: a probe is in a daemon's way for a moment."""
        import msvcrt

        locking: Any = vars(msvcrt)["locking"]
        os.lseek(fd, _FAR, os.SEEK_SET)
        try:
            locking(fd, vars(msvcrt)["LK_NBLCK"], 1)
        except PermissionError:
            return False
        except OSError:
            return None
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True


def _verdict(libc: Any, call: str, source: str, target: str, place: int | None, flag: int) -> bool | None:
    """Call a rename of the C library; ``place``: the directory that relative names start from, where it wants one."""
    import ctypes

    function = getattr(libc, call, None)
    if function is None:
        return None
    names = (os.fsencode(source), os.fsencode(target))
    arguments = names if place is None else (place, names[0], place, names[1])
    if function(*arguments, ctypes.c_uint(flag)) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.EEXIST:
        return False
    if number in _UNSUPPORTED:
        return None
    raise OSError(number, os.strerror(number), source, None, target)


def of(platform: str) -> Posix:
    """Return the system that ``sys.platform`` names."""
    if platform.startswith("linux"):
        return Linux()
    return {"darwin": MacOS, "win32": Windows}.get(platform, Posix)()


HERE = of(sys.platform)
