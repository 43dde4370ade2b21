"""Reading what others handed in: bytes once, parsed strictly, with patience for writers that do not rename (SPEC 8.4).

A JSON syntax error may be a file that is still being written: it is judged only when it has not changed for
settle_seconds. Every other file is read and judged at once, so one slow writer delays nobody.
"""

from __future__ import annotations

import hashlib
import logging
import os

from taskdir import strictjson
from taskdir.disk import OURS, NotRegular, TooLarge, read_shaped
from taskdir.errors import Invalid
from taskdir.seen import Paper, Signature, Slot

log = logging.getLogger("taskdir")

NO_BYTES = hashlib.sha256(b"").hexdigest()
"""The hash of what was judged of a result that is no readable file."""

_UNFINISHED = frozenset({"json-syntax", "json-encoding", "unreadable"})


def signature(path: str) -> Signature | None:
    """Return what tells one state of a file from the next, without following links; None when it is gone."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return shape_of(found)


def shape_of(found: os.stat_result) -> Signature:
    """Return the signature that a stat result tells."""
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Papers:
    """Reads messages and results; remembers which are still being written and which could not be removed."""

    def __init__(self, *, walls: bool = False) -> None:
        """``walls``: what agents hand in is theirs, never a second name of a file of the daemon's."""
        self.walls = walls
        self._waiting: dict[str, tuple[Signature, float]] = {}
        self._stuck: dict[str, Signature] = {}
        self._first_seen: dict[str, tuple[Signature, float]] = {}
        self.count = self.bytes = 0

    def read(
        self,
        path: str,
        name: str,
        limit: int,
        now: float,
        settle: float,
        slot: Slot | None = None,
        sender: str = "",
    ) -> Paper | None:
        """Read one file of at most ``limit`` bytes; None while it is unfinished, or when it is gone or stuck.

        ``now`` and ``settle`` in seconds.
        """
        known, since = self._waiting.get(path, (None, now))
        if known is not None or path in self._stuck:
            shape = signature(path)
            if shape is None or self._stuck.get(path) == shape or (known == shape and now - since < settle):
                return None
        paper = Paper(path, name, slot=slot, sender=sender)
        try:
            _fill(paper, limit, own=not (self.walls and (slot or sender)))
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s: cannot be read now: %s", path, error)
            return None
        shape = paper.shape
        if shape is None:
            return None
        waits_for_others = self._first_seen.get(path, (None, now))[0] == shape  # what it names may lie behind it
        self.count += not waits_for_others
        self.bytes += paper.size
        if paper.special and slot is not None:
            paper.sha256 = NO_BYTES
        if paper.fault is not None and paper.fault.code in _UNFINISHED and known != shape:
            self._waiting[path] = (shape, now)
            if settle > 0:
                return None
        self._waiting.pop(path, None)
        if isinstance(paper.value, dict) and ("after" in paper.value or "messages" in paper.value):
            first, at = self._first_seen.get(path, (shape, now))
            self._first_seen[path] = (shape, now if first != shape else at)
            paper.settled = now - self._first_seen[path][1] >= settle
        return paper

    def is_unfinished(self, path: str) -> bool:
        """Say whether a file is waited for: it may still be being written."""
        return path in self._waiting

    def set_stuck(self, path: str) -> None:
        """Do not read a file again until it changes: it was judged, and could not be taken away."""
        shape = signature(path)
        self._first_seen.pop(path, None)
        if shape is not None:
            self._stuck[path] = shape

    def forget_gone(self) -> None:
        """Drop what is remembered of files that are gone."""
        self._waiting = {path: found for path, found in self._waiting.items() if os.path.lexists(path)}
        self._first_seen = {path: found for path, found in self._first_seen.items() if os.path.lexists(path)}
        self._stuck = {path: found for path, found in self._stuck.items() if os.path.lexists(path)}

    def next_deadline(self, settle: float) -> float | None:
        """Return the daemon time at which the next unfinished file will be judged, None when there is none."""
        waiting = [*self._waiting.values(), *self._first_seen.values()]
        return min((since + settle for _, since in waiting), default=None)


def is_foreign(found: os.stat_result) -> bool:
    """Say whether a file is no second name of one of ours, such as the log: it is another user's, or has one name."""
    return found.st_uid != os.geteuid() or found.st_nlink == 1


def not_regular(error: NotRegular) -> Invalid:
    """Say that something is no regular file."""
    return Invalid("not-regular", f"this is a {error.kind}, not a regular file", hint="write a plain file")


def too_large(error: TooLarge, limit: int) -> Invalid:
    """Say that a file has more bytes than ``limit``."""
    return Invalid("too-large", f"{error.size} bytes are too many", expected=f"at most {limit} bytes")


def unreadable(error: OSError) -> Invalid:
    """Say that a file cannot be read, whoever tries."""
    return Invalid("unreadable", f"the daemon cannot read the file: {error.strerror}", hint="chmod a+r")


def _fill(paper: Paper, limit: int, *, own: bool = True) -> None:
    try:
        data, found = read_shaped(paper.path, limit)
    except NotRegular as error:
        fault = not_regular(error)
    except TooLarge as error:
        paper.size = error.size
        fault = too_large(error, limit)
    except OSError as error:
        if error.errno in OURS or isinstance(error, FileNotFoundError):
            raise
        fault = unreadable(error)
    else:
        if own or is_foreign(found):
            paper.shape = shape_of(found)
            _judge(paper, data)
            return
        fault = Invalid("unreadable", "this file is the daemon's own", hint="write a file of your own")
    paper.special, paper.fault, paper.shape = True, fault, signature(paper.path)


def _judge(paper: Paper, data: bytes) -> None:
    paper.size, paper.sha256 = len(data), hashlib.sha256(data).hexdigest()
    try:
        paper.value = strictjson.loads(data)
    except Invalid as fault:
        paper.fault = fault
