"""Who waits for what: unmet dependencies and lines before resources, as tables of the index (SPEC 7.15, 7.16).

A task may be offered when it is queued, awake, ``blocked`` by no dependency and ``stalled`` by no resource. Both are
counts that change only with a neighbour's change, so a pass costs the same however many wait. A task is at the front of
a resource's line if it is among the first ``capacity``: holders first, then queue order. No line is ever overtaken, so
there is no deadlock (the first task in order is first in all its lines) and no starvation.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from taskdir import asking
from taskdir.documents import Task

TABLES = """
CREATE TABLE waits(dep TEXT, id TEXT, PRIMARY KEY(dep, id)) WITHOUT ROWID;
CREATE INDEX waits_of ON waits(id);
CREATE TABLE needs(resource TEXT, id TEXT, held INTEGER, priority INTEGER, seq INTEGER, front INTEGER DEFAULT 0,
  PRIMARY KEY(resource, id)) WITHOUT ROWID;
CREATE INDEX needs_of ON needs(id);
CREATE INDEX in_line ON needs(resource, held DESC, priority, seq) WHERE held IS NOT NULL;
CREATE INDEX in_front ON needs(resource) WHERE front = 1;
"""

_FRONT = "SELECT id FROM needs WHERE resource = ? AND held IS NOT NULL ORDER BY held DESC, priority, seq LIMIT ?"

_WAS_FRONT = "SELECT id FROM needs INDEXED BY in_front WHERE resource = ? AND front = 1"
_AHEAD = "SELECT count(*) FROM needs WHERE resource = ? AND (held = 1 OR (held = 0 AND (priority, seq) < (?, ?)))"


class Lines:
    """The bookkeeping. ``place`` after each change of a task, ``settle`` at the end of a batch."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.capacities: Mapping[str, int] = {}
        self.forget()

    def forget(self) -> None:
        """Drop what is known beyond the tables."""
        self._touched: set[str] = set()
        self._some: dict[str, bool] = {}

    def _has(self, table: str) -> bool:
        """Say whether there may be rows in ``waits`` or ``needs``: where nobody waits, no event has to look."""
        if table not in self._some:
            self._some[table] = self._db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None
        return self._some[table]

    def enter(self, task: Task, body: dict[str, Any]) -> None:
        """Take a newly accepted task in: note what it waits for and which resources it names."""
        unmet = [dep for dep in body.get("after", ()) if not self._is_done(dep)]
        self._db.executemany("INSERT INTO waits VALUES(?, ?)", [(dep, task.id) for dep in unmet])
        resources = body.get("resources", ())
        self._some.clear()
        self._db.executemany("INSERT INTO needs(resource, id) VALUES(?, ?)", [(name, task.id) for name in resources])
        if unmet or resources:
            values = (len(unmet), len(resources), task.id)
            self._db.execute("UPDATE tasks SET blocked = ?, stalled = ? WHERE id = ?", values)
            self.place(task)

    def _is_done(self, id: str) -> bool:
        return self._db.execute("SELECT 1 FROM tasks WHERE id = ? AND state = 'done'", (id,)).fetchone() is not None

    def place(self, task: Task) -> None:
        """Put a task where it belongs in its lines: holding, waiting, or in none."""
        resources = self.resources(task.id)
        if not resources:
            return
        self._touched.update(resources)
        held = self._held(task)
        values = (held, task.priority, task.seq, task.id)
        self._db.execute("UPDATE needs SET held = ?, priority = ?, seq = ? WHERE id = ?", values)

    def _held(self, task: Task) -> int | None:
        if task.state == "claimed":
            return 1
        (blocked,) = self._db.execute("SELECT blocked FROM tasks WHERE id = ?", (task.id,)).fetchone()
        return 0 if task.state == "queued" and task.wake_at is None and blocked == 0 else None

    def release(self, done: str) -> list[str]:
        """Free those who waited for a task that is done; returns the ids that wait for nothing more."""
        waiting = self.dependants(done)
        if not waiting:
            return []
        self._db.execute("DELETE FROM waits WHERE dep = ?", (done,))
        self._db.executemany("UPDATE tasks SET blocked = blocked - 1 WHERE id = ?", [(id,) for id in waiting])
        free = "SELECT id FROM tasks WHERE id = ? AND blocked = 0"
        return [id for id in waiting if self._db.execute(free, (id,)).fetchone()]

    def settle(self) -> None:
        """Find the front of every line that was touched, and count again how many fronts its tasks lack."""
        for resource in sorted(self._touched):
            capacity = self.capacities.get(resource, 1)
            front = {row[0] for row in self._db.execute(_FRONT, (resource, capacity))}
            before = {row[0] for row in self._db.execute(_WAS_FRONT, (resource,))}
            for ids, now, step in ((before - front, 0, 1), (front - before, 1, -1)):
                moved = [(now, resource, id) for id in ids]
                self._db.executemany("UPDATE needs SET front = ? WHERE resource = ? AND id = ?", moved)
                self._db.executemany("UPDATE tasks SET stalled = stalled + ? WHERE id = ?", [(step, id) for id in ids])
        self._touched.clear()

    def use(self, capacities: Mapping[str, int]) -> None:
        """Take over the operator's capacities; every line is counted anew."""
        if capacities != self.capacities or not self.capacities:
            self.capacities = dict(capacities)
            self._touched.update(row[0] for row in self._db.execute("SELECT DISTINCT resource FROM needs"))
            self._db.execute("BEGIN IMMEDIATE")  # fronts and the counts of them change together or not at all
            self.settle()
            self._db.execute("COMMIT")

    def resources(self, id: str) -> list[str]:
        """Return the resources that a task names, sorted."""
        query = "SELECT resource FROM needs WHERE id = ? ORDER BY 1"
        return [row[0] for row in self._db.execute(query, (id,))] if self._has("needs") else []

    def holders(self, resource: str) -> list[str]:
        """Return the tasks that hold a resource, in the order of their names."""
        query = "SELECT id FROM needs INDEXED BY in_line WHERE resource = ? AND held = 1 ORDER BY id"
        return [row[0] for row in self._db.execute(query, (resource,))]

    def unmet(self, id: str) -> list[str]:
        """Return the dependencies that a task still waits for, sorted."""
        query = "SELECT dep FROM waits WHERE id = ? ORDER BY 1"
        return [row[0] for row in self._db.execute(query, (id,))] if self._has("waits") else []

    def dependants(self, id: str) -> list[str]:
        """Return the tasks that wait for a task directly, sorted."""
        query = "SELECT id FROM waits WHERE dep = ? ORDER BY 1"
        return [row[0] for row in self._db.execute(query, (id,))] if self._has("waits") else []

    def blockers(self, id: str, most: int) -> dict[str, str]:
        """Return up to ``most`` failed and canceled tasks that keep a task waiting, however indirectly: id → state."""
        return dict(self._db.execute(asking.BLOCKERS, (id, most)))

    def causes(self) -> dict[str, dict[str, str]]:
        """Return every queued task that failed or canceled ones keep waiting, with some of these: id → state."""
        return asking.causes(self._db)

    def stalls(self, id: str) -> list[tuple[str, int]]:
        """Return (resource, how many stand before it) for each line in which a waiting task is not in front."""
        query = "SELECT resource, priority, seq FROM needs WHERE id = ? AND held = 0 AND front = 0 ORDER BY resource"
        rows = self._db.execute(query, (id,)).fetchall()
        return [(row[0], int(self._db.execute(_AHEAD, row).fetchone()[0])) for row in rows]

    def next_up(self, resource: str) -> list[str]:
        """Return the waiting tasks at the front of a resource's line: they may be offered."""
        return [row[0] for row in self._db.execute(f"{_WAS_FRONT} AND held = 0 ORDER BY priority, seq", (resource,))]
