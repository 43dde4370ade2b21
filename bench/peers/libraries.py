"""Peers that are libraries over SQLite: huey, persist-queue, litequeue."""

from __future__ import annotations

import os
import time
from typing import Any

from bench.peers import Client, Peer, need


class Library(Peer):
    """A queue in one SQLite file; ``start`` makes its tables before two processes could do so at once."""

    module = ""
    _home = ""

    def start(self, home: str) -> None:
        """Remember where, and let one client come and go."""
        need(self.module)
        self._home = home
        self.client().close()


class Huey(Library):
    """huey's storage as its consumer uses it: dequeue, then store the result."""

    name = "huey (SQLite, FULL)"
    promise = "each commit is synced; a task leaves the file when it is taken"
    package, module = "huey", "huey.storage"

    def client(self) -> Client:
        """Open the file."""
        return _Huey(need(self.module).SqliteStorage("w", filename=f"{self._home}/q.db", fsync=True, timeout=30))


class _Huey(Client):
    def __init__(self, storage: Any) -> None:
        self._storage, self._taken = storage, 0

    def put(self, body: bytes) -> None:
        self._storage.enqueue(body)

    def try_get(self) -> tuple[Any, bytes] | None:
        body = self._storage.dequeue()
        self._taken += 1
        return None if body is None else (f"{os.getpid()}-{self._taken}", bytes(body))

    def done(self, handle: Any) -> None:
        self._storage.put_data(handle, b'{"ok": true}', is_result=True)


class PersistQueue(Library):
    """persist-queue's SQLiteAckQueue, used by several processes though it promises threads alone."""

    name = "persist-queue"
    promise = "each commit is synced; made for the threads of one process"
    package, module = "persist-queue", "persistqueue"

    def client(self) -> Client:
        """Open the file."""
        library = need(self.module)
        return _Persist(library, library.SQLiteAckQueue(f"{self._home}/q", multithreading=True, auto_resume=False))


class _Persist(Client):
    def __init__(self, library: Any, queue: Any) -> None:
        self._empty, self._queue = library.exceptions.Empty, queue

    def put(self, body: bytes) -> None:
        self._queue.put(body)

    def try_get(self) -> tuple[Any, bytes] | None:
        try:
            row = self._queue.get(block=False, raw=True)
        except self._empty:
            return None
        return (row["pqid"], row["data"]) if row else None

    def done(self, handle: Any) -> None:
        self._queue.ack(id=handle)


class LiteQueue(Library):
    """litequeue with SQLite told to sync each commit."""

    name = "litequeue (FULL)"
    promise = "each commit is synced (synchronous = FULL, set by hand)"
    package, module = "litequeue", "litequeue"

    def client(self) -> Client:
        """Open the file; SQLite may be busy when several come at once."""
        library = need(self.module)
        for _ in range(50):
            try:
                queue = library.LiteQueue(f"{self._home}/q.db", timeout=30)
            except library.sqlite3.OperationalError:
                time.sleep(0.05)
            else:
                queue.conn.execute("PRAGMA synchronous=FULL")
                return _Lite(queue)
        raise OSError("litequeue's file stays locked")


class _Lite(Client):
    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def put(self, body: bytes) -> None:
        self._queue.put(body.decode())

    def try_get(self) -> tuple[Any, bytes] | None:
        message = self._queue.pop()
        return (message.message_id, message.data.encode()) if message else None

    def done(self, handle: Any) -> None:
        self._queue.done(handle)
