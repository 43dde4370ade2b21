"""Shared state and agents' standing, as tables of the index (SPEC sections 7.17 and 7.18).

State is one value a key that changes by compare-and-set only; standing is how many attempts an agent lost in a row.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from taskdir import strictjson
from taskdir.documents import Event
from taskdir.lifecycle import FAILURES

TABLES = """
CREATE TABLE shelf(key TEXT PRIMARY KEY, version INTEGER, value TEXT, by TEXT, time TEXT) WITHOUT ROWID;
CREATE TABLE standing(agent TEXT PRIMARY KEY, streak INTEGER, until REAL) WITHOUT ROWID;
"""


_SLIPS = ("max-claims", "wrong-queue")
"""Why a claim was given back by the daemon when that was the agent's doing; a lost race for a resource is not."""


class Shelf:
    """The entries of state/: read by key, changed by ``set`` events."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def apply(self, event: Event) -> None:
        """Take over a ``set`` event."""
        values = (event["key"], event["version"], strictjson.dumps(event["value"]), event["by"], event["time"])
        self._db.execute("INSERT OR REPLACE INTO shelf VALUES(?, ?, ?, ?, ?)", values)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the entry of a key as state/<key>.json shows it, None when it was never set."""
        row = self._db.execute("SELECT * FROM shelf WHERE key = ?", (key,)).fetchone()
        return _entry(row) if row else None

    def version(self, key: str) -> int:
        """Return the version of a key, 0 when it was never set."""
        row = self._db.execute("SELECT version FROM shelf WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def entries(self) -> list[dict[str, Any]]:
        """Return every entry, by key."""
        return [_entry(row) for row in self._db.execute("SELECT * FROM shelf ORDER BY key")]

    def keys(self) -> set[str]:
        """Return every key that was set."""
        return {row[0] for row in self._db.execute("SELECT key FROM shelf")}


class Standing:
    """Who lost how many attempts in a row, and who is benched until when (seconds of the daemon's clock).

    There are as many rows as agents that ever lost an attempt: they are all kept at hand.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.forget()

    def forget(self) -> None:
        """Drop what is at hand and not written."""
        self._rows: dict[str, tuple[int, float | None]] | None = None
        self._changed: set[str] = set()

    @property
    def _all(self) -> dict[str, tuple[int, float | None]]:
        if self._rows is None:
            self._rows = {row[0]: row[1:] for row in self._db.execute("SELECT agent, streak, until FROM standing")}
        return self._rows

    def _set(self, agent: str, streak: int, until: float | None) -> None:
        self._all[agent] = (streak, until)
        self._changed.add(agent)

    def write(self) -> None:
        """Put what changed into the table."""
        if self._changed:
            rows = [(agent, *self._all[agent]) for agent in self._changed]
            self._db.executemany("INSERT OR REPLACE INTO standing VALUES(?, ?, ?)", rows)
            self._changed.clear()

    def apply(self, event: Event, now: float) -> None:
        """Take over the end of a claim, ``benched`` or ``unbenched``; other events change nothing."""
        name, agent = event["event"], event.get("agent")
        if agent is None:
            return
        streak, until = self._all.get(agent, (0, None))
        if name == "benched" and agent in self._all:
            self._set(agent, streak, now + event["seconds"])
        elif name == "unbenched" and agent in self._all:
            self._set(agent, 0, None)
        elif name == "done":
            if streak and until is None:
                self._set(agent, 0, None)
        elif name in FAILURES or event.get("reason") in _SLIPS:
            self._set(agent, streak + 1, until)

    def streaks(self, length: int) -> list[str]:
        """Return the agents that lost at least ``length`` attempts in a row and are not benched, sorted."""
        return sorted(agent for agent, (streak, until) in self._all.items() if until is None and streak >= length)

    def benched(self) -> dict[str, float]:
        """Return the benched agents with the daemon time at which each may work again."""
        return {agent: until for agent, (_, until) in self._all.items() if until is not None}

    def known(self) -> set[str]:
        """Return the agents that ever lost an attempt: only their doors are ever closed or opened."""
        return set(self._all)

    def clamp(self, now: float, seconds: float) -> None:
        """After a start: nobody stays benched longer from now than it was to be in all."""
        for agent, until in self.benched().items():
            self._set(agent, self._all[agent][0], min(until, now + seconds))
        self.write()


def _entry(row: tuple[Any, ...]) -> dict[str, Any]:
    key, version, value, by, time = row
    return {"key": key, "version": version, "value": json.loads(value), "by": by, "time": time}
