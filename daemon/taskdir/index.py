"""What is known, in SQLite: a replay of the log that can be thrown away (SPEC section 10.4).

One transaction a batch, holding the mark of the last batch applied. Live work and replay use the same ``apply``.
Only this module knows the tables; only SQLite changes its files.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from taskdir import lifecycle, lines, register, shelf, strictjson
from taskdir.documents import Event, Task, compact, parse_timestamp
from taskdir.logread import Batch, Mark

_LAYOUT = "3"
_TASK_FIELDS = [field.name for field in dataclasses.fields(Task)]
Unreadable = sqlite3.DatabaseError
"""What reading a damaged index raises."""
_RUNNABLE = "state = 'queued' AND wake_at IS NULL AND blocked = 0 AND stalled = 0"
_TABLES = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE tasks({", ".join(_TASK_FIELDS).replace("id,", "id TEXT PRIMARY KEY,", 1)}, delay REAL, accepted TEXT,
  blocked INTEGER DEFAULT 0, stalled INTEGER DEFAULT 0);
CREATE TABLE bodies(id TEXT PRIMARY KEY, task TEXT, ended TEXT);
CREATE TABLE attempts(id TEXT, attempt INTEGER, agent TEXT, claimed TEXT, ended TEXT, outcome TEXT, error TEXT,
  notes TEXT, judged TEXT, PRIMARY KEY(id, attempt)) WITHOUT ROWID;
CREATE INDEX line ON tasks(queue, priority, seq) WHERE {_RUNNABLE};
CREATE INDEX asleep ON tasks(wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX live ON tasks(agent) WHERE state = 'claimed';
CREATE INDEX finals ON tasks(final) WHERE final IS NOT NULL;
"""
_PUT_TASK = (
    f"INSERT OR REPLACE INTO tasks({', '.join(_TASK_FIELDS)}, delay, accepted) "
    f"VALUES({', '.join('?' * len(_TASK_FIELDS))}, ?, ?)"
)
_SET_TASK = f"UPDATE tasks SET {', '.join(name + ' = ?' for name in _TASK_FIELDS[1:])}, delay = ? WHERE id = ?"

_END_ATTEMPT = (
    "UPDATE attempts SET ended = ?, outcome = ?, error = ?, notes = ?, judged = ? WHERE id = ? AND attempt = ?"
)
_FACTS = dict.fromkeys(("attempts", "bodies", "contracts", "messages", "redrives", "shelf", "waits"), "*") | {
    "refusals": "file, sha256, reason, seq",
    "needs": "resource, id, held IS 1",
    "standing": "agent, streak, until IS NULL",
    "tasks": ", ".join([name for name in _TASK_FIELDS if name != "wake_at"] + ["delay", "accepted", "blocked"]),
}
"""What a replay of the log gives again, table by table. Left out is what follows the clock: ``wake_at``, ``until``, and
with them who stands in line for a resource."""
_NEXT_QUEUE = f"SELECT queue FROM tasks WHERE {_RUNNABLE} AND queue > ? ORDER BY queue LIMIT 1"


class Index:
    """The open index. Reading methods return plain values; ``apply`` is the only writer of facts."""

    def __init__(self, path: str, *, db: sqlite3.Connection | None = None) -> None:
        """Open or make the index at ``path`` (":memory:" works too). What is no index of this layout is made anew."""
        self.path = path
        self._db = db or self._connect()
        if db is None:
            self._prepare()
        self.register = register.Register(self._db)
        self.lines, self.shelf, self.standing = lines.Lines(self._db), shelf.Shelf(self._db), shelf.Standing(self._db)

    def _prepare(self) -> None:
        fresh = self.meta("layout") != _LAYOUT
        if fresh:
            self._db.close()
            for suffix in ("", "-wal", "-shm"):
                if self.path != ":memory:" and os.path.exists(self.path + suffix):
                    os.unlink(self.path + suffix)
            self._db = self._connect()
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;")
        if fresh:
            tables = _TABLES + register.TABLES + lines.TABLES + shelf.TABLES
            self._db.executescript(f"BEGIN; {tables} INSERT INTO meta VALUES('layout', '{_LAYOUT}'); COMMIT;")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, cached_statements=256)

    def meta(self, key: str) -> str | None:
        """Return one remembered value, None when there is none."""
        try:
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError:
            return None
        return row[0] if row else None

    def ids_like(self, start: str) -> list[str]:
        """Return up to 500 ids of tasks that begin with ``start``."""
        query = "SELECT id FROM tasks WHERE id >= ? AND id < ? ORDER BY id LIMIT 500"
        return [row[0] for row in self._db.execute(query, (start, start + "~"))]

    def set_meta(self, key: str, value: str) -> None:
        """Remember one value that is no fact: how far the views are synced, say."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    @property
    def mark(self) -> Mark:
        """The place in the log up to which everything is applied."""
        text = self.meta("mark")
        return Mark(**json.loads(text)) if text else Mark()

    def apply(self, batch: Batch, now: float | None = None) -> None:
        """Apply one batch in one transaction. ``now`` is the daemon's clock; replay passes None: then an event's own
        time starts its delay. Raises lifecycle.IllegalEvent for a log that breaks the table."""
        with self.batch(batch.mark):
            for event in batch.events:
                self.add(event, now)

    @contextmanager
    def batch(self, mark: Mark) -> Iterator[None]:
        """One transaction, for ``add``; ``mark`` stands after the last event of the batch."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.lines.settle()
            self.set_meta("mark", strictjson.dumps(dataclasses.asdict(mark)))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def add(self, event: Event, now: float | None = None) -> None:
        """Apply one event, as ``apply`` does. Raises ValueError, and changes nothing, for one that cannot be true."""
        now = now if now is not None else parse_timestamp(event["time"])
        name = event["event"]
        if name == "accepted" or (name in _ABOUT_TASKS and "id" in event):
            self._about_task(event, now)
        self.standing.apply(event, now)
        self.register.apply(event)
        if name == "set":
            self.shelf.apply(event)

    def _about_task(self, event: Event, now: float) -> None:
        name, id = event["event"], event["id"]
        before = self.task(id)
        after = lifecycle.fold(before, event, now)
        values = [getattr(after, field) for field in _TASK_FIELDS]
        for place in (-2, -1):  # last_error and refusal
            values[place] = None if values[place] is None else strictjson.dumps(values[place])
        if before is None:
            self._db.execute(_PUT_TASK, (*values, None, event["time"]))
            self._db.execute("INSERT INTO bodies VALUES(?, ?, NULL)", (id, strictjson.dumps(event["task"])))
            self.lines.enter(after, event["task"])
            return
        self._db.execute(_SET_TASK, (*values[1:], event.get("delay"), id))
        self.lines.place(after)
        if name == "done":
            self._release(id)
        if name == "claimed":
            self._db.execute(
                "INSERT INTO attempts(id, attempt, agent, claimed) VALUES(?, ?, ?, ?)",
                (id, event["attempt"], event["agent"], event["time"]),
            )
        elif before.state == "claimed" and name != "refused":
            error = strictjson.dumps(event["error"]) if "error" in event else None
            self._db.execute(
                _END_ATTEMPT,
                (event["time"], name, error, event.get("notes"), event.get("sha256"), id, before.attempt),
            )
        if name in ("done", "failed", "redriven"):
            ended = {key: event[key] for key in ("output", "error") if key in event}
            self._db.execute("UPDATE bodies SET ended = ? WHERE id = ?", (strictjson.dumps(ended), id))

    def task(self, id: str) -> Task | None:
        """Return what is known of a task, None when it was never accepted."""
        row = self._db.execute(f"SELECT {', '.join(_TASK_FIELDS)} FROM tasks WHERE id = ?", (id,)).fetchone()
        return _task(row) if row else None

    def tasks(self, where: str, values: tuple[Any, ...] = ()) -> list[Task]:
        """Return the tasks that meet a condition on the columns of ``tasks`` (our own code's SQL, never a user's)."""
        rows = self._db.execute(f"SELECT {', '.join(_TASK_FIELDS)} FROM tasks WHERE {where}", values)
        return [_task(row) for row in rows]

    def window(self, queue: str, size: int) -> list[Task]:
        """Return the first ``size`` tasks of a queue that may start now, in exact order."""
        condition = f"queue = ? AND {_RUNNABLE} ORDER BY priority, seq LIMIT ?"
        return self.tasks(condition, (queue, size))

    def queues(self) -> list[str]:
        """Return the queues that have something to offer now."""
        found, at = [], ""
        while row := self._db.execute(_NEXT_QUEUE, (at,)).fetchone():
            at = row[0]
            found.append(at)
        return found

    def wake(self, now: float, but: Collection[str] = ()) -> bool:
        """Let the tasks whose delay is over, ``but`` these, be offered; says whether there were any."""
        due = self._db.execute("SELECT id FROM tasks WHERE wake_at <= ?", (now,))
        woken = [row[0] for row in due if row[0] not in but]
        if woken:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE tasks SET wake_at = NULL WHERE id = ?", [(id,) for id in woken])
            self._replace(woken)
            self.lines.settle()
            self._db.execute("COMMIT")
        return bool(woken)

    def _release(self, done: str) -> None:
        self._replace(self.lines.release(done))

    def _replace(self, ids: list[str]) -> None:
        for id in ids:
            task = self.task(id)
            if task is not None:
                self.lines.place(task)

    def next_wake(self) -> float | None:
        """Return the daemon time at which the next delay is over, None when none is running."""
        row = self._db.execute("SELECT MIN(wake_at) FROM tasks WHERE wake_at IS NOT NULL").fetchone()
        return float(row[0]) if row[0] is not None else None

    def clamp_delays(self, now: float) -> None:
        """After a start: no delay lasts longer from now than it was to last in all (clock set back meanwhile)."""
        self._db.execute(
            "UPDATE tasks SET wake_at = MIN(wake_at, ? + delay) WHERE wake_at IS NOT NULL AND delay IS NOT NULL", (now,)
        )

    def body(self, id: str) -> dict[str, Any]:
        """Return the task as it was accepted, all defaults filled in."""
        row = self._db.execute("SELECT task FROM bodies WHERE id = ?", (id,)).fetchone()
        found: dict[str, Any] = json.loads(row[0])
        return found

    def ended(self, id: str) -> dict[str, Any]:
        """Return ``output`` or ``error`` of a task that has ended, else an empty object."""
        row = self._db.execute("SELECT ended FROM bodies WHERE id = ?", (id,)).fetchone()
        found: dict[str, Any] = json.loads(row[0]) if row and row[0] else {}
        return found

    def attempts(self, id: str) -> list[dict[str, Any]]:
        """Return a task's attempts in order, as its record tells them."""
        names = ("attempt", "agent", "claimed", "ended", "outcome", "error", "notes")
        rows = self._db.execute(f"SELECT {', '.join(names)} FROM attempts WHERE id = ? ORDER BY attempt", (id,))
        found = [compact(**dict(zip(names, row, strict=True))) for row in rows]
        return [attempt | ({"error": json.loads(attempt["error"])} if "error" in attempt else {}) for attempt in found]

    def judged(self, id: str, attempt: int) -> str | None:
        """Return the SHA-256 of the result that ended an attempt, None when none did."""
        query = "SELECT judged FROM attempts WHERE id = ? AND attempt = ?"
        row = self._db.execute(query, (id, attempt)).fetchone()
        return row[0] if row else None

    def facts(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Yield (table, row) of all that follows from the log, tables by name, rows by key. Raises Unreadable."""
        for table, columns in sorted(_FACTS.items()):
            where = "WHERE stale = 0" if table == "refusals" else ""
            for row in self._db.execute(f"SELECT {columns} FROM {table} {where} ORDER BY 1, 2"):
                yield table, row

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Run a reading query of our own for ``status`` and ``list``."""
        return iter(self._db.execute(query, values))

    def close(self) -> None:
        """Close the database, folding its write-ahead log in."""
        self._db.close()


def open_for_reading(path: str) -> Index | None:
    """Open an index as it is at this instant, without leaving anything beside it; None when there is none to read."""
    mode = "mode=ro" if os.path.exists(path + "-wal") else "mode=ro&immutable=1"
    try:
        db = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{mode}", uri=True, isolation_level=None)
        db.execute("BEGIN")
    except sqlite3.Error:
        return None
    index = Index(path, db=db)
    if index.meta("layout") != _LAYOUT:
        index.close()
        return None
    return index


def _task(row: tuple[Any, ...]) -> Task:
    parsed = (json.loads(text) if text else None for text in row[-2:])  # last_error and refusal
    return Task(*(*row[:-2], *parsed))


_ABOUT_TASKS = frozenset(event for _, event in lifecycle.NEXT)
