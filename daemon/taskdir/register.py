"""Who sent what, as tables of the index: ids taken, refusals, redrives, contracts used (SPEC sections 5, 6.3 and 7.2).

Ids of all messages share one namespace and are never forgotten; a refused message does not take its id.
"""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from taskdir import strictjson
from taskdir.documents import Event

TABLES = """
CREATE TABLE messages(id TEXT PRIMARY KEY, sha256 TEXT, seq INTEGER) WITHOUT ROWID;
CREATE TABLE redrives(sha256 TEXT PRIMARY KEY, id TEXT) WITHOUT ROWID;
CREATE TABLE refusals(file TEXT PRIMARY KEY, sha256 TEXT, reason TEXT, seq INTEGER, stale INTEGER DEFAULT 0)
  WITHOUT ROWID;
CREATE TABLE contracts(sha256 TEXT, type TEXT, contract TEXT, seq INTEGER, PRIMARY KEY(sha256, type)) WITHOUT ROWID;
CREATE INDEX stale ON refusals(stale) WHERE stale = 1;
"""

_TOLD = frozenset({"rejected", "late", "breach", "redriven", "contract"})
_KEPT = 2048
"""So many ids that were taken lately are kept at hand."""
_OVERTAKE = "UPDATE refusals SET stale = 1 WHERE file = ?"


class Register:
    """The bookkeeping of what came in."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.forget()

    def forget(self) -> None:
        """Drop what was gathered and not written."""
        self._accepted: list[tuple[str, str, int]] = []
        self._near: dict[str, str] = {}
        self._used: set[tuple[str, str]] = set()
        self._refusals: bool | None = None

    def write(self) -> None:
        """Put the ids that were gathered into the table."""
        if self._accepted:
            self._db.executemany("INSERT OR IGNORE INTO messages VALUES(?, ?, ?)", self._accepted)
            if self._refusals is None:
                self._refusals = self._db.execute("SELECT 1 FROM refusals LIMIT 1").fetchone() is not None
            if self._refusals:
                self._db.executemany(_OVERTAKE, [(f"{id}.json",) for id, _, _ in self._accepted])
            self._accepted = []
        if len(self._near) > _KEPT:
            self._near.clear()

    def apply(self, event: Event) -> None:
        """Take over what an event says about messages, refusals and contracts."""
        name = event["event"]
        if name == "accepted":
            self._accepted.append((event["id"], event["sha256"], event["seq"]))
            self._near[event["id"]] = event["sha256"]
            return
        sent = "by" in event and "sha256" in event
        if not sent and name not in _TOLD:
            return
        self.write()
        if sent:
            self._take(event["by"], event)
        if name in ("rejected", "late", "breach"):
            self._refusals = True
            self._db.execute(
                "INSERT OR REPLACE INTO refusals(file, sha256, reason, seq) VALUES(?, ?, ?, ?)",
                (event["reason"]["file"], event.get("sha256", ""), strictjson.dumps(event["reason"]), event["seq"]),
            )
        elif name == "redriven":
            self._db.execute("INSERT OR REPLACE INTO redrives VALUES(?, ?)", (event["sha256"], event["id"]))
            self._overtake(event["id"])
        elif name == "contract":
            text = strictjson.dumps(event["contract"])
            values = (event["sha256"], event["type"], text, event["seq"])
            self._db.execute("INSERT OR IGNORE INTO contracts VALUES(?, ?, ?, ?)", values)

    def _take(self, id: str, event: Event) -> None:
        values = (id, event["sha256"], event["seq"])
        if self._db.execute("INSERT OR IGNORE INTO messages VALUES(?, ?, ?)", values).rowcount:
            self._overtake(id)

    def _overtake(self, id: str) -> None:
        """An accepted message makes an earlier refusal under its name stale."""
        self._db.execute(_OVERTAKE, (f"{id}.json",))

    def message(self, id: str) -> str | None:
        """Return the SHA-256 of the message that took an id, None when the id is free."""
        found = self._near.get(id)
        if found is None:
            row = self._db.execute("SELECT sha256 FROM messages WHERE id = ?", (id,)).fetchone()
            found = row[0] if row else None
        return found

    def redriven(self, sha256: str) -> str | None:
        """Return the id of the task that a record with this hash brought back, None when none did."""
        row = self._db.execute("SELECT id FROM redrives WHERE sha256 = ?", (sha256,)).fetchone()
        return row[0] if row else None

    def refusal(self, file: str) -> tuple[str, dict[str, Any], int] | None:
        """Return (SHA-256, reason, seq) of the last refusal under a file name, None when there is none."""
        query = "SELECT sha256, reason, seq FROM refusals WHERE file = ? AND stale = 0"
        row = self._db.execute(query, (file,)).fetchone()
        return (row[0], json.loads(row[1]), row[2]) if row else None

    def shown(self, stored: str) -> dict[str, Any] | None:
        """Return the reason that rejected/``stored``.reason.json is to hold, None when the log knows of none."""
        number = int(stored.removeprefix("bad-")) if re.fullmatch("bad-[0-9]{1,18}", stored) else 0
        file = f"{stored}.json"  # of a breach, its place stands before it
        where = "stale = 0 AND (seq = ?1 OR file = ?2 OR substr(file, ?3) = '/' || ?2) ORDER BY seq = ?1 DESC, seq DESC"
        query = f"SELECT reason FROM refusals WHERE {where}"
        row = self._db.execute(query, (number, file, -len(file) - 1)).fetchone()
        return json.loads(row[0]) if row else None

    def stale_refusals(self) -> list[str]:
        """Return the file names whose refusal was overtaken by an acceptance; their reasons are to go."""
        return [row[0] for row in self._db.execute("SELECT file FROM refusals WHERE stale = 1")]

    def forget_refusal(self, file: str) -> None:
        """Drop a stale refusal once its reason file is gone."""
        self._db.execute("DELETE FROM refusals WHERE file = ? AND stale = 1", (file,))

    def contract(self, type: str, sha256: str) -> Any:
        """Return the contract with this hash that a type used, None when it used none."""
        query = "SELECT contract FROM contracts WHERE sha256 = ? AND type = ?"
        row = self._db.execute(query, (sha256, type)).fetchone()
        return json.loads(row[0]) if row else None

    def has_contract(self, type: str, sha256: str) -> bool:
        """Say whether a type has used this contract; another type may have used the same text."""
        if (type, sha256) not in self._used:
            query = "SELECT 1 FROM contracts WHERE sha256 = ? AND type = ?"
            if self._db.execute(query, (sha256, type)).fetchone() is None:
                return False
            self._used.add((type, sha256))
        return True

    def last_contract(self, type: str) -> tuple[str, Any] | None:
        """Return (hash, contract) that a type used last, None when it never was used."""
        query = "SELECT sha256, contract FROM contracts WHERE type = ? ORDER BY seq DESC LIMIT 1"
        row = self._db.execute(query, (type,)).fetchone()
        return (row[0], json.loads(row[1])) if row else None
