"""What is known, in SQLite: a replay of the log that can be thrown away (SPEC section 10.4).

One transaction a batch, holding the mark of the last batch applied. Live work and replay use the same ``apply``.
Only this module knows the tables; only SQLite changes its files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

from taskdir import lifecycle, lines, register, shelf, stories, strictjson, tasks, trouble
from taskdir.documents import Event, Task, parse_timestamp
from taskdir.logread import Batch, Mark

_LAYOUT = "4"
_TABLES = "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;" + "".join(
    part.TABLES for part in (tasks, stories, register, lines, shelf)
)
_WHOLE = ("attempts", "bodies", "contracts", "endings", "messages", "redrives", "shelf", "waits")
_FACTS = dict.fromkeys(_WHOLE, "*") | {
    "refusals": "file, sha256, reason, seq",
    "needs": "resource, id, held IS 1",
    "standing": "agent, streak, until IS NULL",
    "tasks": ", ".join([name for name in tasks.FIELDS if name != "wake_at"] + ["delay", "accepted", "blocked"]),
}
"""What a replay of the log gives again, table by table. Left out is what follows the clock: ``wake_at``, ``until``, and
with them who stands in line for a resource."""
_ABOUT_TASKS = frozenset(event for _, event in lifecycle.NEXT) | {"accepted"}


class Index:
    """The open index. Reading methods return plain values; ``apply`` is the only writer of facts."""

    def __init__(self, path: str, *, db: sqlite3.Connection | None = None) -> None:
        """Open or make the index at ``path`` (":memory:" works too). What is no index of this layout is made anew."""
        self.path = path
        self._db = db or self._connect()
        if db is None:
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        self._tasks, self.stories = tasks.Tasks(self._db), stories.Stories(self._db)
        self.register, self.lines = register.Register(self._db), lines.Lines(self._db)
        self.shelf, self.standing = shelf.Shelf(self._db), shelf.Standing(self._db)
        self._mark: Mark | None = None
        self._entering: list[Event] = []
        self._depth = 0

    def _forget(self) -> None:
        """Drop what is kept at hand and what was gathered and not written: the tables are right again."""
        self._mark, self._entering = None, []
        for part in (self._tasks, self.stories, self.register, self.lines, self.standing):
            part.forget()

    def _prepare(self) -> None:
        fresh = self._layout() != _LAYOUT
        if fresh:
            self.discard()
            self._db = self._connect()
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;")
        if fresh:
            self._db.executescript(f"BEGIN; {_TABLES} INSERT INTO meta VALUES('layout', '{_LAYOUT}'); COMMIT;")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, cached_statements=256)

    def _layout(self) -> str | None:
        """Return the layout of the tables, None of what is damaged or no index at all."""
        try:
            return self.meta("layout")
        except sqlite3.DatabaseError as error:
            if trouble.is_damage(error):
                return None
            raise

    def discard(self) -> None:
        """Close the index and delete it: the log makes another."""
        self._db.close()
        for suffix in ("", "-wal", "-shm"):
            if self.path != ":memory:" and os.path.exists(self.path + suffix):
                os.unlink(self.path + suffix)

    def meta(self, key: str) -> str | None:
        """Return one remembered value, None when there is none."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
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
        if self._mark is None:
            text = self.meta("mark")
            self._mark = Mark(**json.loads(text)) if text else Mark()
        return self._mark

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Read and write in here as one transaction, which nobody else sees half of; inner ones are part of it."""
        if self._depth == 0:
            self._db.execute("BEGIN")
        self._depth += 1
        try:
            yield
            if self._depth == 1:
                self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._forget()
            raise
        finally:
            self._depth -= 1

    def apply(self, batch: Batch, now: float | None = None) -> None:
        """Apply one batch in one transaction. ``now`` is the daemon's clock; replay passes None: then an event's own
        time starts its delay. Raises lifecycle.IllegalEvent for a log that breaks the table."""
        with self.batch(batch.mark):
            for event in batch.events:
                self.add(event, now)

    @contextlib.contextmanager
    def batch(self, mark: Mark) -> Iterator[None]:
        """One transaction, for ``add``; ``mark`` stands after the last event of the batch.

        Raises IllegalEvent when the batch accepts a task of before; ``add`` tells so only after ``task`` was asked.
        """
        with self.transaction():
            yield
            try:
                self._write()
            except sqlite3.IntegrityError as error:
                raise lifecycle.IllegalEvent(f"accepted twice, up to seq {mark.seq}: {error}") from error
            self.lines.settle()
            self.set_meta("mark", strictjson.dumps(dataclasses.asdict(mark)))
            self._mark = mark

    def add(self, event: Event, now: float | None = None) -> None:
        """Apply one event, as ``apply`` does. Raises ValueError, and changes nothing, for one that cannot be true."""
        name = event["event"]
        now = parse_timestamp(event["time"]) if now is None else now
        if name in _ABOUT_TASKS and "id" in event:
            self._about_task(event, now)
        self.standing.apply(event, now)
        self.register.apply(event)
        if name == "set":
            self.shelf.apply(event)

    def _about_task(self, event: Event, now: float) -> None:
        name, id = event["event"], event["id"]
        before = self._tasks.near(id) if name == "accepted" else self.task(id)  # an id taken long ago: see ``batch``
        after = lifecycle.fold(before, event, now)
        self._tasks.put(after, event["time"] if before is None else None, event.get("delay"))
        if before is None:
            self.stories.accepted(event)
            if "after" in event["task"] or "resources" in event["task"]:
                self._entering.append(event)
            return
        if name == "claimed":
            self.stories.claimed(event)
        elif before.state == "claimed" and name != "refused":
            self.stories.over(event, before.attempt)
        if name == "redriven":
            self.stories.redriven(before, event["seq"])
        elif name in ("done", "failed"):
            self.stories.finished(event)
        self.lines.place(after)
        if name == "done":
            self._place(self.lines.release(id))

    def _write(self) -> None:
        """Put what was gathered from events into the tables; then those take their places whose rows are there now."""
        for part in (self._tasks, self.stories, self.register, self.standing):
            part.write()
        for event in self._entering:
            task = self.task(event["id"])
            if task is not None:
                self.lines.enter(task, event["task"])
        self._entering = []

    def _place(self, ids: list[str]) -> None:
        for id in ids:
            task = self.task(id)
            if task is not None:
                self.lines.place(task)

    def unmet(self, id: str) -> list[str]:
        """Return the dependencies that a task still waits for, sorted; in the middle of a batch, too."""
        if self._entering:
            self._write()
        return self.lines.unmet(id)

    def wake(self, now: float, but: Collection[str] = ()) -> bool:
        """Let the tasks whose delay is over, ``but`` these, be offered; says whether there were any."""
        due = [id for id in self._tasks.due(now) if id not in but]
        if due:
            with self.transaction():
                for task in self._tasks.awaken(due):
                    self.lines.place(task)
                self.lines.settle()
        return bool(due)

    def next_wake(self) -> float | None:
        """Return the daemon time at which the next delay is over, None when none is running."""
        return self._tasks.next_wake()

    def clamp_delays(self, now: float) -> None:
        """After a start: no delay lasts longer from now than it was to last in all (clock set back meanwhile)."""
        self._tasks.clamp(now)

    @property
    def live(self) -> dict[str, Task]:
        """The claimed tasks by id, in the order of their recording; not to be changed."""
        return self._tasks.live

    def task(self, id: str) -> Task | None:
        """Return what is known of a task, None when it was never accepted; not to be changed."""
        return self._tasks.get(id)

    def tasks(self, where: str, values: tuple[Any, ...] = ()) -> list[Task]:
        """Return the tasks that meet a condition on the columns of ``tasks`` (our own code's SQL, never a user's)."""
        return self._tasks.where(where, values)

    def window(self, queue: str, size: int) -> list[Task]:
        """Return the first ``size`` tasks of a queue that may start now, in exact order."""
        return self._tasks.window(queue, size)

    def queues(self) -> list[str]:
        """Return the queues that have something to offer now."""
        return self._tasks.queues()

    def body(self, id: str) -> dict[str, Any]:
        """Return the task as it was accepted, all defaults filled in; not to be changed."""
        task = self.task(id)
        return self.stories.body(task) if task else {}

    def ended(self, id: str) -> dict[str, Any]:
        """Return ``output`` or ``error`` of a task that has ended, else an empty object; not to be changed."""
        task = self.task(id)
        return self.stories.ended(task) if task else {}

    def attempts(self, id: str) -> list[dict[str, Any]]:
        """Return a task's attempts in order, as its record tells them."""
        return self.stories.attempts(id)

    def judged(self, id: str, attempt: int) -> str | None:
        """Return the SHA-256 of the result that ended an attempt, None when none did."""
        return self.stories.judged(id, attempt)

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
    with contextlib.suppress(sqlite3.Error):
        if index.meta("layout") == _LAYOUT:
            return index
    index.close()
    return None
