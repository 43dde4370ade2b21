"""Builds tree vectors: the life of a root, played once and kept, then damage to a copy of it (tree-vector.schema.json).

The clock of a life stands still but for its ``wait`` operations, so each name and each line of the log is known. Damage
happens with nobody running; ``running`` only holds the lock, as a daemon between two passes does.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from taskdir import checkpoint, logread
from taskdir.conformance.files import Files, Step
from taskdir.conformance.stage import Stage
from taskdir.documents import Now
from taskdir.lock import RootLock

TIME = "2027-01-15T08:00:00.000000Z"
"""When appended events say they happened, if they do not say it themselves."""


def live(life: Step, daemon: str, base: Path) -> Path:
    """Play a life in a directory of its own and return the root as its daemon left it: stopped, or as by kill -9."""
    stage = Stage(base / "root", life)
    for operation in life["do"]:
        stage.do(operation)
    stage.rest()
    if daemon == "stopped":
        stage.close()
        return stage.root
    left = base / "left"
    shutil.copytree(stage.root, left, symlinks=True)  # before SQLite tidies up behind itself
    stage.daemon({"daemon": "kill"})
    return left


@contextmanager
def running(root: Path, daemon: str) -> Iterator[None]:
    """Hold the root's lock meanwhile, if the daemon is to seem to run."""
    lock = RootLock(str(root)) if daemon == "running" else None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


class Damage(Files):
    """What no agent does: changes of files line by line, and of rows of the index; ``checkpoints`` that were taken."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.checkpoints: list[Step] = []

    def replace(self, op: Step) -> None:
        """Replace a text where it stands first: in one line, or in the whole file."""
        old, new = str(op["text"]).encode(), str(op["by"]).encode()

        def change(lines: list[bytes]) -> None:
            at = _place(op, lines) if "line" in op else next(n for n, line in enumerate(lines) if old in line)
            assert old in lines[at], f"nothing to replace: {op}"
            lines[at] = lines[at].replace(old, new, 1)

        self._edit(op["replace"], change)

    def drop_line(self, op: Step) -> None:
        self._edit(op["drop_line"], lambda lines: lines.pop(_place(op, lines)))

    def swap_lines(self, op: Step) -> None:
        """Exchange a line and the next."""

        def change(lines: list[bytes]) -> None:
            at = _place(op, lines)
            lines[at], lines[at + 1] = lines[at + 1], lines[at]

        self._edit(op["swap_lines"], change)

    def repeat_line(self, op: Step) -> None:
        self._edit(op["repeat_line"], lambda lines: lines.insert(_place(op, lines), lines[_place(op, lines)]))

    def insert_line(self, op: Step) -> None:
        """Put a line before another."""
        self._edit(op["insert_line"], lambda lines: lines.insert(_place(op, lines), str(op["text"]).encode() + b"\n"))

    def cut(self, op: Step) -> None:
        """Cut so many bytes off a file's end."""
        path = self.root / op["cut"]
        path.write_bytes(path.read_bytes()[: -op["bytes"]])

    def gzip(self, op: Step) -> None:
        """Compress a file, as an operator may do with closed segments."""
        path = self.root / op["gzip"]
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()

    def log(self, op: Step) -> None:
        """Append these events to the log as one batch, well chained."""
        events = [{"seq": 0, "time": TIME, **event, "prev": ""} for event in op["log"]]
        events[-1]["end"] = 0
        with (self.root / "log.jsonl").open("ab") as file:
            file.writelines(_line(event) for event in events)
        self.rechain({})

    def rechain(self, op: Step) -> None:
        """Make seq, prev and end of the whole log right again, as somebody would who knows how."""
        seq, prev = 0, logread.GENESIS
        for _, path in logread.segments(str(self.root)):
            lines, first = [], seq + 1
            for old in Path(path).read_bytes().splitlines():
                seq += 1
                event = json.loads(old) | {"seq": seq, "prev": prev}
                if "end" in event:
                    event["end"], first = first, seq + 1
                lines.append(_line(event))
                prev = hashlib.sha256(lines[-1][:-1]).hexdigest()
            Path(path).write_bytes(b"".join(lines))

    def checkpoint(self, op: Step) -> None:
        """Take a checkpoint of the log as it is."""
        self.checkpoints.append(checkpoint.take(str(self.root), Now(0.0, TIME)).as_dict())

    def index(self, op: Step) -> None:
        """Change rows of the index with a statement of SQL."""
        with closing(sqlite3.connect(self.root / ".taskdir" / "index.sqlite")) as db:
            assert db.execute(op["index"]).rowcount > 0, f"no row was changed: {op}"
            db.commit()

    def _edit(self, name: str, change: Callable[[list[bytes]], Any]) -> None:
        path = self.root / name
        lines = path.read_bytes().splitlines(keepends=True)
        change(lines)
        path.write_bytes(b"".join(lines))


def _place(op: Step, lines: list[bytes]) -> int:
    """Return the index of the line that an operation names: 1 is the first, -1 the last."""
    line = int(op["line"])
    assert 1 <= abs(line) <= len(lines), f"there is no such line: {op}"
    return line - 1 if line > 0 else len(lines) + line


def _line(event: Step) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"
