"""The only module that changes files (SQLite's own in .taskdir/ aside). Every operation is announced to a hook first.

Nothing here decides anything: a missing file or a lost race comes back as a value, every other OSError as itself.
Standard library only: the agent-side commands use it too. SPEC section 11 says what we assume of the file system.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from taskdir.system import HERE, Posix

Hook = Callable[[str, str], None]

NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Errors that say something about this process, and nothing about the file that it wanted."""
SYNC_ERRORS = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a failed fsync says; other errors come before it, at the open."""


class NotRegular(Exception):
    """What should be read is no regular file: a link, FIFO, directory or device. ``kind`` says which."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class TooLarge(Exception):
    """A file is larger than the reader may take. ``size`` in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def read_regular(path: str, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes without following a link or waiting on a FIFO. Raises NotRegular,
    TooLarge, FileNotFoundError, or another OSError."""
    return read_shaped(path, limit)[0]


def read_shaped(path: str, limit: int) -> tuple[bytes, os.stat_result]:
    """Read as ``read_regular`` does; returns how the file looked before, too."""
    try:
        fd = os.open(path, HERE.read_flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK):
            raise NotRegular(kind_of(os.lstat(path).st_mode)) from None
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegular(kind_of(found.st_mode))
        if found.st_size > limit:
            raise TooLarge(found.st_size)
        data = os.read(fd, found.st_size + 1)
        if len(data) != found.st_size:  # it is being written, or is more than one read gives
            while chunk := os.read(fd, limit + 1 - len(data)):
                data += chunk
        if len(data) > limit:
            raise TooLarge(len(data))
        return data, found
    finally:
        os.close(fd)


def read_again(path: str, size: int) -> bytes:
    """Read a file that had ``size`` bytes when it was read before; one that changed since gives other bytes, or raises
    OSError. What kind of file it is now, it need not be asked: no other reads the same."""
    fd = os.open(path, HERE.read_flags)
    try:
        return os.read(fd, size + 1)
    finally:
        os.close(fd)


def is_there(path: str) -> bool:
    """Say whether there is a file, be it a link. Raises OSError when that cannot be told, which means nothing (7.9)."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def holds(path: str, data: bytes) -> bool:
    """Say whether a regular file has exactly these bytes; what cannot be read has not."""
    try:
        return read_regular(path, len(data)) == data
    except (OSError, NotRegular, TooLarge):
        return False


def kind_of(mode: int) -> str:
    """Name the kind of file that a mode tells, in words for an error message."""
    names = ((stat.S_ISLNK, "symbolic link"), (stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "FIFO"))
    return next((name for test, name in names if test(mode)), "device or socket")


class Disk:
    """All changes of files. ``hook(operation, path)`` runs before each one; a test may raise from it or kill there."""

    def __init__(self, hook: Hook | None = None, system: Posix = HERE) -> None:
        self._hook = hook or _no_hook
        self._system = system

    def create(self, path: str, data: bytes, *, mode: int | None = None, sync: bool = False) -> os.stat_result:
        """Make a new file with these bytes; returns how it looks then, before anybody else can have changed it.

        ``mode``: exactly this one, else 0644 less the umask. Raises FileExistsError; removes what is half written.
        """
        self._hook("create", path)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | HERE.own_flags, 0o644 if mode is None else mode)
        try:
            self._hook("write", path)
            write_all(fd, data)
            if mode is not None:
                os.fchmod(fd, mode)
            if sync:
                self._hook("fsync", path)
                self._system.fsync(fd)
            made = os.fstat(fd)
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise
        os.close(fd)
        return made

    def publish(
        self, path: str, data: bytes, *, aside: str, mode: int | None = None, sync: bool = False
    ) -> os.stat_result:
        """Put a whole file at ``path``, replacing what is there: write ``aside``, then rename. No reader sees half.

        Returns how the file looked before the rename; inode, size and time of change stay so until somebody edits it.
        """
        try:
            made = self.create(aside, data, mode=mode, sync=sync)
        except FileExistsError:
            self.unlink(aside)
            made = self.create(aside, data, mode=mode, sync=sync)
        self.rename(aside, path)
        return made

    def publish_new(self, path: str, data: bytes, *, aside: str, sync: bool = True) -> bool:
        """Put a whole file at ``path`` unless something is there already; says whether it did (SPEC section 7.1)."""
        self.create(aside, data, sync=sync)
        try:
            return self.link(aside, path)
        finally:
            self.unlink(aside)

    def link(self, source: str, target: str) -> bool:
        """Give a file a second name without replacing; False when the name is taken.

        Without hard links: rename without replacing. Without that too: look, then rename, which leaves a short moment
        for a race.
        """
        self._hook("link", target)
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS or not os.path.lexists(source):
                raise
            renamed = self._system.rename_new(source, target)
            if renamed is False or (renamed is None and os.path.lexists(target)):
                return False
            if renamed is None:
                os.rename(source, target)
        return True

    def rename(self, source: str, target: str) -> bool:
        """Rename, replacing; False when the source is gone (somebody else was first)."""
        self._hook("rename", target)
        try:
            os.replace(source, target)
        except FileNotFoundError:
            if os.path.lexists(source):
                raise
            return False
        return True

    def unlink(self, path: str) -> bool:
        """Remove a file; False when it is gone already."""
        self._hook("unlink", path)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        return True

    def touch(self, path: str) -> bool:
        """Set a file's times to now; False when it is gone. Never makes one."""
        self._hook("touch", path)
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def mkdir(self, path: str, mode: int = 0o755) -> bool:
        """Make a directory with exactly this mode; False when it is there already."""
        self._hook("mkdir", path)
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            return False
        os.chmod(path, mode)
        return True

    def remove_tree(self, path: str) -> None:
        """Remove a directory and all in it, following no link; what cannot be removed, or is gone already, is left."""
        import shutil

        self._hook("rmtree", path)
        shutil.rmtree(path, ignore_errors=True)

    def chmod(self, path: str, mode: int, group: int = -1) -> None:
        """Set the mode of a file or directory, and the ``group`` that it belongs to, if one is named."""
        self._hook("chmod", path)
        if group >= 0:
            os.chown(path, -1, group)
        os.chmod(path, mode)

    def append_text(self, path: str, data: bytes) -> None:
        """Append to a file in one write, making it when absent (an agent's notes)."""
        self._hook("append", path)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | HERE.own_flags, 0o644)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)

    def open_log(self, path: str, mode: int = 0o644) -> int:
        """Open the log for appending and for cutting its tail, making it when absent; returns the descriptor."""
        self._hook("open", path)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | HERE.own_flags, mode)

    def append_log(self, fd: int, path: str, data: bytes) -> None:
        """Append one batch to the open log: one write. Raises OSError, ENOSPC too, on a short write."""
        self._hook("append", path)
        done = os.write(fd, data)
        if done < len(data):
            raise OSError(errno.ENOSPC, "the disk took only part of the batch", path)

    def datasync(self, fd: int, path: str) -> None:
        """Wait until the log's bytes are on the device. Never repeated after a failure (SPEC section 10)."""
        self._hook("datasync", path)
        self._system.datasync(fd)

    def truncate(self, fd: int, size: int, path: str) -> None:
        """Cut an open file to ``size`` bytes and sync it."""
        self._hook("truncate", path)
        os.ftruncate(fd, size)
        self._system.fsync(fd)

    def sync_file(self, path: str) -> None:
        """Wait until a published file's bytes are on the device; one that is gone or was replaced by a link, FIFO,
        socket or file of another user needs none."""
        self._hook("fsync", path)
        try:
            fd = os.open(path, self._system.read_flags)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EMLINK):
                return
            raise
        try:
            if stat.S_ISREG((found := os.fstat(fd)).st_mode) and found.st_uid == getattr(os, "geteuid", int)():
                self._system.fsync(fd)
        finally:
            os.close(fd)

    def sync_file_system(self, path: str) -> bool:
        """Wait until all that was written to a directory's file system is on the device; False where one cannot."""
        self._hook("sync", path)
        return self._system.sync_file_system(path)

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        self._hook("fsync", path)
        self._system.sync_directory(path)


def write_all(fd: int, data: bytes) -> None:
    """Write all bytes, however many calls it takes."""
    view = memoryview(data)[os.write(fd, data) :]
    while view:
        view = view[os.write(fd, view) :]


def _no_hook(operation: str, path: str) -> None:
    """Do nothing: the hook outside tests."""
