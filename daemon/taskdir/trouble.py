"""What SQLite may say, sorted: the disk's fault, damage, or our own (SPEC section 10.4)."""

from __future__ import annotations

import sqlite3

Unreadable = sqlite3.DatabaseError
"""What using an index raises that is damaged, or whose files the disk does not give or take."""
_DAMAGE = frozenset((sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_LOST = frozenset((sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS))


def is_outside(error: sqlite3.DatabaseError) -> bool:
    """Say whether an error is one of the disk or of the file: not of a value, nor of how we use the connection.

    A statement that asks for what is not there counts, for the file may be another program's.
    """
    return type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Say whether only another index helps: this one cannot be read, or is none."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _DAMAGE or code in _LOST
