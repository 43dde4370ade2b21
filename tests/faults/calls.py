"""The system calls by which the package touches files, each seen before and after it is made.

``Calls`` stands in for the module ``os`` in the few modules that touch a root. A watcher gets each call that may change
something or fail: it may look, make it, make half of it, or raise instead. One layer below ``disk``'s own hook: here
``create`` is an open and writes, and reading can fail too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from taskdir import daemon, disk, holdings, observe, papers, system

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
MODULES = (daemon, disk, holdings, observe, papers, system)
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
            caller = sys._getframe(1).f_code.co_qualname
            with self.watch(None):
                return watcher(Call(name, args, caller, lambda: real(*args, **named)))

        self.__dict__[name] = call
        return call

    @contextmanager
    def watch(self, watcher: Watcher | None) -> Iterator[None]:
        """Show the calls of this block to ``watcher`` alone; None: to nobody."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.pop()


@contextmanager
def tapped() -> Iterator[Calls]:
    """Put one stand-in into all of ``MODULES`` for the block."""
    calls = Calls()
    before = [(module, vars(module)["os"]) for module in MODULES]
    for module, _ in before:
        vars(module)["os"] = calls
    try:
        yield calls
    finally:
        for module, real in before:
            vars(module)["os"] = real
