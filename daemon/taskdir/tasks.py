"""The table of tasks in the index (SPEC section 10.4): what a task is now, who holds what, what may start now.

Tasks that were of interest lately are kept at hand, the claimed ones always. Changes of a batch are gathered and
written together by ``write``, one row a task however often it changed; SQL sees them only then.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from operator import attrgetter
from typing import Any

from taskdir import strictjson
from taskdir.documents import Task

FIELDS = [field.name for field in dataclasses.fields(Task)]
RUNNABLE = "state = 'queued' AND wake_at IS NULL AND blocked = 0 AND stalled = 0"
TABLES = f"""
CREATE TABLE tasks({", ".join(FIELDS).replace("id,", "id TEXT PRIMARY KEY,", 1)}, delay REAL, accepted TEXT,
  blocked INTEGER DEFAULT 0, stalled INTEGER DEFAULT 0);
CREATE INDEX line ON tasks(queue, priority, seq) WHERE {RUNNABLE};
CREATE INDEX asleep ON tasks(wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX live ON tasks(agent) WHERE state = 'claimed';
CREATE INDEX finals ON tasks(final) WHERE final IS NOT NULL;
"""

_FIXED = {"id", "priority", "queue", "type", "contract", "lease_seconds", "timeout_seconds", "backoff_seconds"}
_CHANGING = [name for name in FIELDS if name not in _FIXED and name != "max_attempts"]
_READ = f"SELECT {', '.join(FIELDS)} FROM tasks WHERE"
_PUT = f"INSERT INTO tasks({', '.join(FIELDS)}, delay, accepted) VALUES({', '.join('?' * len(FIELDS))}, ?, ?)"
_SET = f"UPDATE tasks SET {', '.join(name + ' = ?' for name in _CHANGING)}, delay = ? WHERE id = ?"
_WINDOW = f"SELECT id FROM tasks WHERE queue = ? AND {RUNNABLE} ORDER BY priority, seq LIMIT ?"
_NEXT_QUEUE = f"SELECT queue FROM tasks WHERE {RUNNABLE} AND queue > ? ORDER BY queue LIMIT 1"
_CLAMP = "UPDATE tasks SET wake_at = MIN(wake_at, ? + delay) WHERE wake_at IS NOT NULL AND delay IS NOT NULL"
_KEPT = 8192
"""So many tasks are kept at hand beside the claimed ones."""


class Tasks:
    """The bookkeeping. A task that was handed out is not to be changed."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.forget()

    def forget(self) -> None:
        """Drop what is at hand, and what was gathered and not written."""
        self._near: dict[str, Task] = {}
        self._live: dict[str, Task] | None = None
        self._new: dict[str, str] = {}
        self._delays: dict[str, float | None] = {}

    def put(self, task: Task, accepted: str | None, delay: float | None) -> None:
        """Take over what a task is now; ``accepted`` is the time of a new one, ``delay`` the backoff that began."""
        self._near[task.id], self._delays[task.id] = task, delay
        if accepted is not None:
            self._new[task.id] = accepted
        if task.state == "claimed":
            self.live[task.id] = task
        else:
            self.live.pop(task.id, None)

    def write(self) -> None:
        """Put what was gathered into the table."""
        delays, new, near = self._delays, self._new, self._near
        if new:
            rows = [(*_columns(_ALL(near[id])), delays[id], accepted) for id, accepted in new.items()]
            self._db.executemany(_PUT, rows)
        if len(delays) > len(new):
            rows = [(*_columns(_SOME(near[id])), delay, id) for id, delay in delays.items() if id not in new]
            self._db.executemany(_SET, rows)
        self._new, self._delays = {}, {}
        if len(near) > len(self.live) + _KEPT:
            self._near = dict(self.live)

    @property
    def live(self) -> dict[str, Task]:
        """The claimed tasks by id, in the order of their recording; not to be changed."""
        if self._live is None:
            self._live = {task.id: task for task in self.where("state = 'claimed' ORDER BY since")}
        return self._live

    def near(self, id: str) -> Task | None:
        """Return a task if it is at hand."""
        return self._near.get(id)

    def get(self, id: str) -> Task | None:
        """Return a task, None when it was never accepted."""
        found = self._near.get(id)
        if found is None:
            row = self._db.execute(f"{_READ} id = ?", (id,)).fetchone()
            if row is None:
                return None
            found = self._near[id] = _task(row)
        return found

    def where(self, condition: str, values: tuple[Any, ...] = ()) -> list[Task]:
        """Return the tasks that meet a condition on the columns of the table."""
        return [_task(row) for row in self._db.execute(f"{_READ} {condition}", values)]

    def window(self, queue: str, size: int) -> list[Task]:
        """Return the first ``size`` tasks of a queue that may start now, in exact order."""
        ids = self._db.execute(_WINDOW, (queue, size)).fetchall()
        return [task for (id,) in ids if (task := self.get(id)) is not None]

    def queues(self) -> list[str]:
        """Return the queues that have something to offer now."""
        found, at = [], ""
        while row := self._db.execute(_NEXT_QUEUE, (at,)).fetchone():
            at = row[0]
            found.append(at)
        return found

    def due(self, now: float) -> list[str]:
        """Return the ids of the tasks whose delay is over."""
        return [row[0] for row in self._db.execute("SELECT id FROM tasks WHERE wake_at <= ?", (now,))]

    def awaken(self, ids: list[str]) -> list[Task]:
        """End the delay of these tasks; returns them as they are now."""
        self._db.executemany("UPDATE tasks SET wake_at = NULL WHERE id = ?", [(id,) for id in ids])
        for id in ids:
            self._near.pop(id, None)
        return [task for id in ids if (task := self.get(id)) is not None]

    def next_wake(self) -> float | None:
        """Return the daemon time at which the next delay is over, None when none is running."""
        row = self._db.execute("SELECT MIN(wake_at) FROM tasks WHERE wake_at IS NOT NULL").fetchone()
        return float(row[0]) if row[0] is not None else None

    def clamp(self, now: float) -> None:
        """No delay lasts longer from ``now`` than it was to last in all."""
        self._db.execute(_CLAMP, (now,))
        self._near.clear()


def _columns(fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a task's fields as columns: the last two, last_error and refusal, are JSON."""
    if fields[-1] is None and fields[-2] is None:
        return fields
    return (*fields[:-2], *(None if each is None else strictjson.dumps(each) for each in fields[-2:]))


def _task(row: tuple[Any, ...]) -> Task:
    if row[-1] is None and row[-2] is None:
        return Task(*row)
    return Task(*row[:-2], *(json.loads(text) if text else None for text in row[-2:]))


_ALL, _SOME = attrgetter(*FIELDS), attrgetter(*_CHANGING)
