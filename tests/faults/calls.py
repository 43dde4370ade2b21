"""The system calls by which the package touches files, each seen before and after it is made; SQLite's statements too.

``Calls`` stands in for the module ``os`` in the few modules that touch a root. A watcher gets each call that may change
something or fail: it may look, make it, make half of it, or raise instead. One layer below ``disk``'s own hook: here
``create`` is an open and writes, and reading can fail too. A statement of the index is a call named "sql".
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from taskdir import daemon, disk, holdings, observe, opening, papers, system
from taskdir.index import Index

CHANGES = frozenset(
    (
        "write",
        "link",
        "replace",
        "rename",
        "unlink",
        "utime",
        "mkdir",
        "chmod",
        "ftruncate",
        "fsync",
        "fdatasync",
        "sync",
    )
)
LOOKS = frozenset(("read", "listdir", "scandir", "lstat", "stat"))
MODULES = (daemon, disk, holdings, observe, opening, papers, system)
"""Who touches files of a root, SQLite and the reader of the log aside."""

_WRITING = os.O_CREAT | os.O_WRONLY | os.O_RDWR


@dataclass(slots=True)
class Call:
    """One call on its way: ``name`` and arguments as for ``os``, and the function of the package that wants it."""

    name: str
    args: tuple[Any, ...]
    caller: str
    make: Callable[[], Any]

    @property
    def changes(self) -> bool:
        """Whether it may change a file or its name, or wait for a device."""
        return self.name in CHANGES or (self.name == "open" and bool(self.args[1] & _WRITING))

    def __str__(self) -> str:
        """Say what is called, by whom."""
        words = [os.path.basename(os.path.normpath(arg)) for arg in self.args if isinstance(arg, str)]
        return f"{self.name}({', '.join(words)}) by {self.caller}"


Watcher = Callable[[Call], Any]


class Calls:
    """The stand-in. ``watch`` puts a watcher on top; while it works itself, calls are made unseen."""

    def __init__(self) -> None:
        self._watchers: list[Watcher | None] = [None]

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGES and name not in LOOKS and name != "open":
            return real

        def call(*args: Any, **named: Any) -> Any:
            watcher = self._watchers[-1]
            if watcher is None:
                return real(*args, **named)
            return self.show(Call(name, args, sys._getframe(1).f_code.co_qualname, lambda: real(*args, **named)))

        self.__dict__[name] = call
        return call

    def show(self, call: Call) -> Any:
        """Give a call to the watcher, if there is one."""
        watcher = self._watchers[-1]
        if watcher is None:
            return call.make()
        with self.watch(None):
            return watcher(call)

    @contextmanager
    def watch(self, watcher: Watcher | None) -> Iterator[None]:
        """Show the calls of this block to ``watcher`` alone; None: to nobody."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.pop()


class Statements(sqlite3.Connection):
    """A connection that shows its statements to ``calls``."""

    calls: ClassVar[Calls]

    def execute(self, sql: str, /, *values: Any) -> sqlite3.Cursor:
        made: sqlite3.Cursor = self._show(sql, lambda: super(Statements, self).execute(sql, *values))
        return made

    def executemany(self, sql: str, values: Any, /) -> sqlite3.Cursor:
        made: sqlite3.Cursor = self._show(sql, lambda: super(Statements, self).executemany(sql, values))
        return made

    def executescript(self, sql: str, /) -> sqlite3.Cursor:
        made: sqlite3.Cursor = self._show(sql, lambda: super(Statements, self).executescript(sql))
        return made

    def _show(self, sql: str, make: Callable[[], Any]) -> Any:
        if sql == "ROLLBACK":  # what SQLite does itself when a disk fails it
            return make()
        return self.calls.show(Call("sql", (sql, self), sys._getframe(2).f_code.co_qualname, make))


@contextmanager
def tapped(*, sql: bool = False) -> Iterator[Calls]:
    """Put one stand-in into all of ``MODULES`` for the block; with ``sql``, show the statements of an index, too."""
    calls = Calls()
    connect = Index._connect
    if sql:
        shown = type("Shown", (Statements,), {"calls": calls})
        Index._connect = lambda self: sqlite3.connect(self.path, isolation_level=None, factory=shown)  # type: ignore[method-assign]
    before = [(module, vars(module)["os"]) for module in MODULES]
    for module, _ in before:
        vars(module)["os"] = calls
    try:
        yield calls
    finally:
        Index._connect = connect  # type: ignore[method-assign]
        for module, real in before:
            vars(module)["os"] = real
