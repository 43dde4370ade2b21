"""Checkpoints: a line of the log by its hash, kept elsewhere, and the log held against them (SPEC section 9.6, P11).

A chain proves nothing against whoever may write all of it; a hash that lies where they cannot write does. Nothing here
changes a file.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from taskdir import logread, strictjson, validate
from taskdir.audit import Finding
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.documents import Now
from taskdir.errors import Invalid, Missing
from taskdir.logread import GENESIS, Batch, Follower

_LARGEST = 1 << 28


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One line as it was: its seq, its hash, and the hash of the first line, which names the log."""

    seq: int
    hash: str
    log: str
    time: str

    def as_dict(self) -> dict[str, Any]:
        """Return the document."""
        return {"seq": self.seq, "hash": self.hash, "log": self.log, "time": self.time}


def take(root: str, now: Now) -> Checkpoint:
    """Return a checkpoint of the last line that a batch's end covers. Only the last segments are read.

    Raises Missing without any event, LogDamaged when the end of the log is.
    """
    files = logread.segments(root)
    follower = Follower(root, logread.mark_before(files, max((first for first, _ in files), default=0)))
    for _ in follower.news():
        pass
    if follower.damage is not None and not follower.damage.torn:
        logread.raise_damage(follower.damage)
    if follower.mark.seq == 0 or follower.mark.hash == GENESIS:
        raise Missing("no-event", "nothing is logged here yet", path=root, hint="start `taskdir run`")
    return Checkpoint(follower.mark.seq, follower.mark.hash, logread.first_hash(files[0][1]), now.text)


def read(path: str) -> list[Checkpoint]:
    """Read a file of checkpoints, one a line; a document of more lines is one. Raises Missing, Invalid."""
    try:
        data = read_regular(path, _LARGEST)
    except FileNotFoundError:
        raise Missing("no-file", "there is no such file of checkpoints", path=path) from None
    except NotRegular as error:
        raise Invalid("not-regular", f"this is a {error.kind}, not a regular file", path=path) from None
    except TooLarge as error:
        raise Invalid("too-large", f"{error.size} bytes are too many", path=path) from None
    except OSError as error:
        raise Invalid("unreadable", f"the file cannot be read: {error.strerror}", path=path) from None
    lines = [(number, line) for number, line in enumerate(io.BytesIO(data), 1) if line.strip()]
    if not lines:
        raise Invalid("json-syntax", "the file holds no checkpoint", path=path)
    try:
        return [parse(strictjson.loads(data))]
    except Invalid as error:
        if len(lines) == 1:
            raise Invalid(error.code, error.message, path=path, pointer=error.pointer) from None
    found = []
    for number, line in lines:
        try:
            found.append(parse(strictjson.loads(line)))
        except Invalid as error:
            raise Invalid(error.code, error.message, path=f"{path}:{number}", pointer=error.pointer) from None
    return found


def parse(value: Any) -> Checkpoint:
    """Turn a document into a checkpoint. Raises Invalid."""
    fault = validate.document("checkpoint").check(value)
    if fault is None and isinstance(value["seq"], float):
        fault = Invalid("wrong-type", "seq is no integer written as digits", pointer="/seq")
    if fault is not None:
        raise fault
    return Checkpoint(value["seq"], value["hash"], value["log"], value["time"])


class Witness:
    """Compares a log with checkpoints while it is read: show it each batch, or put hashes into ``known`` yourself."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        self._checkpoints = sorted(set(checkpoints), key=lambda each: (each.seq, each.time))
        self.wanted = frozenset({1, *(each.seq for each in self._checkpoints)} if self._checkpoints else ())
        self.known: dict[int, str] = {}
        """seq → hash of that line, of those wanted that were seen."""

    def __len__(self) -> int:
        return len(self._checkpoints)

    def see(self, batch: Batch) -> None:
        """Note the hashes that are wanted: a line's hash stands in the next one, or in the mark."""
        first = batch.mark.seq - len(batch.events) + 1
        for seq in self.wanted:
            if first <= seq <= batch.mark.seq:
                after = seq - first + 1
                self.known[seq] = batch.mark.hash if seq == batch.mark.seq else batch.events[after]["prev"]

    def findings(self, place: str, last: int) -> list[Finding]:
        """Say which checkpoints the log does not bear out; ``place`` is its last file, ``last`` the last seq in it."""
        return [
            Finding("log-checkpoint", said, place)
            for each in self._checkpoints
            if (said := self._fault(each, last)) is not None
        ]

    def _fault(self, each: Checkpoint, last: int) -> str | None:
        name = f"the checkpoint of seq {each.seq} from {each.time}"
        if each.seq > last:
            return f"{name}: the log ends at seq {last}, so what came after it was cut off, or this is another log"
        if 1 in self.known and self.known[1] != each.log:
            return f"{name} is of another log, or this one was written anew from its first line"
        if each.seq not in self.known:
            return f"{name}: its line is not in these files, so nothing is proven"
        if self.known[each.seq] != each.hash:
            return f"{name}: line {each.seq} is another one now, so it or what came before it was changed"
        return None
