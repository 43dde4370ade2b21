"""Whole stories in which one call fails: the daemon warns and tries again, or stops as SPEC 10.6 says.

A story that goes on should come out as if nothing had happened, its events included. Where it strays, since something
came a pass later, it ends there, and what must hold of any root at rest has to hold. After a stop the next daemon
has to mend all.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

from faults.calls import Call, Calls
from faults.crashes import Json, Tally, mark_of, rest
from faults.verdict import Before, Wrong, judge
from taskdir.conformance.cases import Broken
from taskdir.conformance.own import Own, Ticker
from taskdir.conformance.stage import play
from taskdir.daemon import Daemon
from taskdir.errors import TaskdirError
from taskdir.journal import SyncFailed

SHORT = 0
"""In place of an error number: the write takes only half."""
_SQL = {
    -sqlite3.SQLITE_FULL: ("SQL_FULL", "database or disk is full"),
    -sqlite3.SQLITE_IOERR_WRITE: ("SQL_IOERR_WRITE", "disk I/O error"),
    -sqlite3.SQLITE_IOERR_READ: ("SQL_IOERR_READ", "disk I/O error"),
    -sqlite3.SQLITE_CANTOPEN: ("SQL_CANTOPEN", "unable to open database file"),
    -sqlite3.SQLITE_CORRUPT: ("SQL_CORRUPT", "database disk image is malformed"),
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
    "sql": tuple(_SQL),
}
"""What a call fails with; those not named, with what a full or broken disk says."""
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


class Over(Exception):
    """The daemon stopped, as it should; nothing more is played."""


class Failing(Own):
    """Our daemon as the subject of a story, one call of which fails. Without a fault it counts: ``calls``."""

    def __init__(self, calls: Calls, fault: Fault | None = None) -> None:
        super().__init__()
        self._tap, self._fault = calls, fault
        self.calls: list[str] = []
        self.failed: Call | None = None
        self._more = 2
        self._root, self._over = "", False

    def ask(self, request: Json) -> Json:
        """Answer. Raises Wrong when the daemon ends otherwise than it may, Over when it ends as it may."""
        if self._over:
            return {"worked": False}
        self._root, self._request = request.get("root", self._root), request
        if request["do"] == "close" and self.failed is not None and self.daemon is not None:
            for seconds in range(1, 4):  # what could not be read or moved is tried again a scan or a settle time later
                late = {"do": "pass", "now": request["now"] + seconds, "wall": request["wall"] + seconds}
                while super().ask(late)["worked"]:
                    pass
            judge(self._root, Before(*mark_of(self.daemon)))
        try:
            with self._tap.watch(self._see):
                answer = super().ask(request)
        except (OSError, TaskdirError, sqlite3.Error) as error:
            if self.failed is None:
                raise
            return self._ended(error)
        if self.failed is not None and request["do"] == "pass" and not answer["worked"] and self._more:
            self._more -= 1
            return {"worked": True}  # what failed is tried again in the next pass
        return answer

    def _see(self, call: Call) -> Any:
        number = len(self.calls)
        self.calls.append(call.name if call.changes or call.name != "open" else "open to read")
        if self._fault is None or number != self._fault[0] or self.failed is not None:
            return call.make()
        self.failed = call
        return commit(call, self._fault[1])

    def _ended(self, error: Exception) -> Json:
        """The daemon raised: a start may fail, and what leaves the end of the log uncertain ends it. Start anew."""
        starting, self._over = self._request["do"] == "open", True
        if not starting and not isinstance(error, SyncFailed):
            raise Wrong(f"the daemon ended: {type(error).__name__}: {error}") from error
        before = Before(*mark_of(self.daemon))
        self.kill()
        if not os.path.exists(os.path.join(self._root, "taskdir.json")):
            raise Over
        before.look(self._root)
        daemon = Daemon(self._root, clock=Ticker(self._request["now"], self._request["wall"]))
        try:
            daemon.open()
            rest(daemon)
            judge(self._root, before)
        finally:
            daemon.abandon()
        raise Over


def faults_of(calls: list[str]) -> list[Fault]:
    """Return every fault of a story with these calls."""
    return [(number, error) for number, name in enumerate(calls) for error in _ERRORS.get(name, _DISK)]


def fail(label: str, scene: Json, calls: Calls, tally: Tally, fault: Fault) -> None:
    """Play a story with one fault, and judge it."""
    subject, at = Failing(calls, fault), Path(tally.room())
    replay = f"{label} @ {fault[0]} {name_of(fault[1])}"
    try:
        if found := play(scene, at, None, subject):
            raise Broken("what came out", "the story as ever", "\n".join(found))
    except Over:
        pass
    except (Broken, OSError, AssertionError, LookupError) as error:
        if subject.failed is None:
            tally.fault(replay, f"{type(error).__name__}: {error}")
        tally.runs["strays"] += 1
    except Wrong as wrong:
        tally.fault(replay, f"{name_of(fault[1])} at {subject.failed}: {wrong}")
    finally:
        subject.kill()
    tally.runs["errors"] += 1


def draw(faults: list[Fault], chance: float, lot: random.Random) -> list[Fault]:
    """Return those that the lot falls on."""
    return [fault for fault in faults if lot.random() < chance]
