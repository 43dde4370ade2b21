"""Errors that a call may end with, and a watcher that lets one call do so."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import Any

from faults.calls import Call

SHORT = 0
"""In place of an error number: the write takes only half."""
_SQL = {
    -sqlite3.SQLITE_FULL: ("SQL_FULL", "database or disk is full"),
    -sqlite3.SQLITE_IOERR_WRITE: ("SQL_IOERR_WRITE", "disk I/O error"),
    -sqlite3.SQLITE_IOERR_READ: ("SQL_IOERR_READ", "disk I/O error"),
    -sqlite3.SQLITE_CANTOPEN: ("SQL_CANTOPEN", "unable to open database file"),
    -sqlite3.SQLITE_CORRUPT: ("SQL_CORRUPT", "database disk image is malformed"),
    -sqlite3.SQLITE_READONLY: ("SQL_READONLY", "attempt to write a readonly database"),
}
"""SQLite's codes, below zero so that they are no errno."""
_DISK = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR)
_ERRORS: dict[str, tuple[int, ...]] = {
    "open": (*_DISK, errno.EMFILE),
    "open to read": (errno.EIO, errno.EINTR, errno.EMFILE),
    "write": (*_DISK, SHORT),
    "read": (errno.EIO, errno.EINTR),
    "listdir": (errno.EIO, errno.EMFILE),
    "scandir": (errno.EIO, errno.EMFILE),
    "lstat": (errno.EIO,),
    "stat": (errno.EIO,),
    "sql": tuple(each for each in _SQL if each != -sqlite3.SQLITE_READONLY),
}
"""What a call fails with; those not named, with what a full or broken disk says."""
SPELLS = {
    errno.ENOSPC: -sqlite3.SQLITE_FULL,
    errno.EDQUOT: -sqlite3.SQLITE_FULL,
    errno.EROFS: -sqlite3.SQLITE_READONLY,
    errno.EMFILE: -sqlite3.SQLITE_CANTOPEN,
    errno.EIO: -sqlite3.SQLITE_IOERR_WRITE,
}
"""What may last for a while, and what SQLite makes of it."""
_NEED_SPACE = frozenset(("open", "write", "mkdir", "link"))
_WRITES = ("COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "PRAGMA")
Fault = tuple[int, int]
"""Which call of a story, from 0, and the error number."""


def name_of(number: int) -> str:
    """Name an error number as errno.h does."""
    return "SHORT" if number == SHORT else _SQL[number][0] if number < 0 else errno.errorcode[number]


def error_of(name: str) -> int:
    """Return the number that ``name_of`` names so."""
    return next(each for each in (SHORT, *_SQL, *errno.errorcode) if name_of(each) == name)


def commit(call: Call, number: int) -> Any:
    """Let a call fail; what it returns if it did half. Raises the error."""
    if number == SHORT:
        return os.write(call.args[0], call.args[1][: len(call.args[1]) // 2])
    if number > 0:
        raise OSError(number, os.strerror(number))
    if number == -sqlite3.SQLITE_FULL and call.args[1].in_transaction:
        call.args[1].execute("ROLLBACK")  # as SQLite does; after other errors the transaction may stand open
    error = (sqlite3.DatabaseError if number == -sqlite3.SQLITE_CORRUPT else sqlite3.OperationalError)(_SQL[number][1])
    error.sqlite_errorcode = -number
    raise error


def faults_of(calls: list[str]) -> list[Fault]:
    """Return every fault of a story with these calls."""
    return [(number, error) for number, name in enumerate(calls) for error in _ERRORS.get(name, _DISK)]


def kind_of(call: Call) -> str:
    """Name a call as ``faults_of`` wants it."""
    return call.name if call.changes or call.name != "open" else "open to read"


def _suffers(call: Call, number: int) -> bool:
    """Say whether a call fails while that error lasts."""
    if call.name == "sql":
        return number != errno.EMFILE and call.args[0].startswith(_WRITES)
    if number == errno.EMFILE:
        return call.name in ("open", "listdir", "scandir")
    return call.changes and (number in (errno.EIO, errno.EROFS) or call.name in _NEED_SPACE)


class Mishap:
    """A watcher that counts ``calls``, and lets one of them fail: then ``failed`` names it.

    ``lasts``: for so many calls from that one on, each fails that a full disk, say, would fail.
    """

    def __init__(self, fault: Fault | None, lasts: int = 0) -> None:
        self._fault, self._lasts = fault, lasts
        self.calls: list[str] = []
        self.failed: Call | None = None

    @property
    def spoilt(self) -> bool:
        """Whether something may rightly have come of it: a file of somebody's that the disk did not give may have been
        refused, as a bad one is; an index made anew publishes all records again (SPEC 10.4)."""
        if self.failed is None or self._fault is None:
            return False
        unread = self.failed.caller == "read_shaped" and self._fault[1] == errno.EIO
        return unread or self._fault[1] in (-sqlite3.SQLITE_CORRUPT, -sqlite3.SQLITE_IOERR_READ)

    def __call__(self, call: Call) -> Any:
        number = len(self.calls)
        self.calls.append(kind_of(call))
        if self._fault is None:
            return call.make()
        begins, error = self._fault
        if self._lasts and begins <= number < begins + self._lasts and _suffers(call, error):
            self.failed = call
            return commit(call, SPELLS[error] if call.name == "sql" else error)
        if self._lasts or number != begins or self.failed is not None:
            return call.make()
        self.failed = call
        return commit(call, error)
