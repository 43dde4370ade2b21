"""What a record tells beyond the task itself, as tables of the index: bodies, attempts, endings (SPEC section 6.6).

Rows of a batch are gathered and written together by ``write``; reading is right after that. Bodies and endings lie
under the seq of their events, so that new ones are appended however the ids run.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from taskdir import strictjson
from taskdir.documents import Event, Task, compact

TABLES = """
CREATE TABLE bodies(seq INTEGER PRIMARY KEY, task TEXT);
CREATE TABLE endings(seq INTEGER PRIMARY KEY, ended TEXT);
CREATE TABLE attempts(id TEXT, attempt INTEGER, agent TEXT, claimed TEXT, ended TEXT, outcome TEXT, error TEXT,
  notes TEXT, judged TEXT, PRIMARY KEY(id, attempt)) WITHOUT ROWID;
"""

_END = "UPDATE attempts SET ended = ?, outcome = ?, error = ?, notes = ?, judged = ? WHERE id = ? AND attempt = ?"
_KEPT, _SMALL = 1024, 4096
"""So many bodies and endings of at most so many characters are kept at hand: what comes in is often wanted soon."""


class Stories:
    """The bookkeeping. Events come in by the methods that are named after what happened."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._near: dict[int, dict[str, Any]] = {}
        self.forget()

    def forget(self) -> None:
        """Drop what was gathered and not written."""
        self._bodies: list[tuple[int, str]] = []
        self._endings: list[tuple[int, str]] = []
        self._begun: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._over: list[tuple[Any, ...]] = []
        self._near.clear()
        self._lives: dict[str, list[dict[str, Any]]] = {}

    def accepted(self, event: Event) -> None:
        """Take over a task's body."""
        self._bodies.append((event["seq"], self._remember(event["seq"], event["task"])))

    def claimed(self, event: Event) -> None:
        """Take over the begin of an attempt."""
        id, attempt = event["id"], event["attempt"]
        self._begun[id, attempt] = (event["agent"], event["time"], None, None, None, None, None)
        if attempt == 1:
            self._lives[id] = []
        if id in self._lives:
            self._lives[id].append({"attempt": attempt, "agent": event["agent"], "claimed": event["time"]})

    def over(self, event: Event, attempt: int) -> None:
        """Take over the end of an attempt, whatever ended it."""
        error = strictjson.dumps(event["error"]) if "error" in event else None
        end = (event["time"], event["event"], error, event.get("notes"), event.get("sha256"))
        key = (event["id"], attempt)
        if key in self._begun:
            self._begun[key] = self._begun[key][:2] + end
        else:
            self._over.append((*end, *key))
        if event["id"] in self._lives:
            last = {"error": event.get("error"), "notes": event.get("notes")}
            self._lives[event["id"]][-1] |= compact(ended=event["time"], outcome=event["event"], **last)

    def finished(self, event: Event) -> None:
        """Take over ``output`` or ``error`` of a task that is done or failed."""
        ended: dict[str, Any] = {key: event[key] for key in ("output", "error") if key in event}
        self._endings.append((event["seq"], self._remember(event["seq"], ended)))

    def redriven(self, before: Task, seq: int) -> None:
        """Give a task its new acceptance number; it has no ending any more."""
        self.write()
        self._db.execute("UPDATE bodies SET seq = ? WHERE seq = ?", (seq, before.seq))
        self._db.execute("DELETE FROM endings WHERE seq = ?", (before.final,))

    def _remember(self, seq: int, value: dict[str, Any]) -> str:
        text = strictjson.dumps(value)
        if len(text) <= _SMALL:
            self._near[seq] = value
        return text

    def write(self) -> None:
        """Put what was gathered into the tables."""
        if self._bodies:
            self._db.executemany("INSERT INTO bodies VALUES(?, ?)", self._bodies)
            self._bodies = []
        if self._begun:
            rows = [(*key, *row) for key, row in self._begun.items()]
            self._db.executemany("INSERT INTO attempts VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._begun = {}
        if self._over:
            self._db.executemany(_END, self._over)
            self._over = []
        if self._endings:
            self._db.executemany("INSERT INTO endings VALUES(?, ?)", self._endings)
            self._endings = []
        if len(self._near) > _KEPT:
            self._near.clear()
        if len(self._lives) > _KEPT:
            self._lives.clear()

    def body(self, task: Task) -> dict[str, Any]:
        """Return the task as it was accepted, all defaults filled in; not to be changed."""
        return self._read("SELECT task FROM bodies WHERE seq = ?", task.seq)

    def ended(self, task: Task) -> dict[str, Any]:
        """Return ``output`` or ``error`` of a task that has ended, else an empty object; not to be changed."""
        return self._read("SELECT ended FROM endings WHERE seq = ?", task.final) if task.final is not None else {}

    def _read(self, query: str, seq: int) -> dict[str, Any]:
        if seq not in self._near:
            row = self._db.execute(query, (seq,)).fetchone()
            value: dict[str, Any] = json.loads(row[0]) if row else {}
            if not row or len(row[0]) > _SMALL:
                return value
            if len(self._near) > 2 * _KEPT:
                self._near.clear()
            self._near[seq] = value
        return self._near[seq]

    def attempts(self, id: str) -> list[dict[str, Any]]:
        """Return a task's attempts in order, as its record tells them; not to be changed."""
        if id in self._lives:
            return self._lives[id]
        names = ("attempt", "agent", "claimed", "ended", "outcome", "error", "notes")
        rows = self._db.execute(f"SELECT {', '.join(names)} FROM attempts WHERE id = ? ORDER BY attempt", (id,))
        found = [compact(**dict(zip(names, row, strict=True))) for row in rows]
        return [attempt | ({"error": json.loads(attempt["error"])} if "error" in attempt else {}) for attempt in found]

    def judged(self, id: str, attempt: int) -> str | None:
        """Return the SHA-256 of the result that ended an attempt, None when none did."""
        query = "SELECT judged FROM attempts WHERE id = ? AND attempt = ?"
        row = self._db.execute(query, (id, attempt)).fetchone()
        return row[0] if row else None
