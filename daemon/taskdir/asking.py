"""The daemon's index, asked read-only by programs that must stay light: standard library, no tables of our own.

Whoever asks gets an answer or None, never an error: without an index, files tell what there is to tell (SPEC 10.4).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection
from contextlib import closing
from urllib.parse import quote

BLOCKERS = """
WITH RECURSIVE above(id) AS (
  SELECT dep FROM waits WHERE id = ?
  UNION
  SELECT w.dep FROM above JOIN tasks t ON t.id = above.id AND t.state IN ('queued', 'claimed')
    JOIN waits w ON w.id = above.id
  LIMIT 100000)
SELECT above.id, t.state FROM above JOIN tasks t ON t.id = above.id WHERE t.state IN ('failed', 'canceled') LIMIT ?
"""
"""The failed and canceled tasks that keep a task (its id; at most so many) waiting, however indirectly."""

MOST = 5
"""So many of them are named; one is enough to act."""


def state(path: str, id: str) -> str | None:
    """Return a task's state from the index at ``path``; None when it knows no such task or is not there."""
    try:
        db = _connect(path)
        if db is None:
            return None
        with closing(db):
            row = db.execute("SELECT state FROM tasks WHERE id = ?", (id,)).fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


FEW = 20
"""Of so many tasks each is looked at by itself; of more, all that wait are looked at once."""

_ROOTS = """
SELECT id, state FROM tasks WHERE final IS NOT NULL AND state IN ('failed', 'canceled')
  AND EXISTS (SELECT 1 FROM waits WHERE dep = tasks.id) ORDER BY final DESC
"""


def causes(db: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """Return every queued task that waits for a failed or canceled one, with MOST of these: id → state."""
    below: dict[str, list[str]] = {}
    for dep, id in db.execute("SELECT dep, w.id FROM waits w JOIN tasks t ON t.id = w.id AND t.state = 'queued'"):
        below.setdefault(dep, []).append(id)
    found: dict[str, dict[str, str]] = {}
    for root, state in db.execute(_ROOTS).fetchall():
        due = [root]
        for at in due:
            for id in below.get(at, ()):
                by = found.setdefault(id, {})
                if root not in by and len(by) < MOST:  # who has enough has handed on enough, too
                    by[root] = state
                    due.append(id)
    return found


def blocked(path: str, ids: Collection[str]) -> dict[str, dict[str, str]]:
    """Return those queued tasks that wait for a failed or canceled one: id → {id of that one: its state}."""
    found: dict[str, dict[str, str]] = {}
    try:
        db = _connect(path)
        if db is None:
            return found
        with closing(db):
            db.execute("BEGIN")  # all of one moment: a cancel of both between two looks would show one as blocked
            if len(ids) > FEW:
                every = causes(db)
                return {id: every[id] for id in ids if id in every}
            for id in ids:
                row = db.execute("SELECT state FROM tasks WHERE id = ? AND blocked > 0", (id,)).fetchone()
                if row is not None and row[0] == "queued" and (by := dict(db.execute(BLOCKERS, (id, MOST)))):
                    found[id] = by
    except sqlite3.Error:
        return {}
    return found


def _connect(path: str) -> sqlite3.Connection | None:
    if not os.path.exists(path):
        return None
    # Without a write-ahead log nobody has it open, and a file that nobody changes needs none of SQLite's locks.
    mode = "mode=ro" if os.path.exists(path + "-wal") else "immutable=1"
    return sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, timeout=1)
