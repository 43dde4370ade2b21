"""Run the daemon, and tell where its time went: seconds in each part of its passes, its waits for the disk aside.

    python bench/phases.py OUT -m taskdir --root DIR run      writes OUT, JSON, when the daemon ends

Each part is timed alone: what it calls of another part counts there. A pass calls a part once, so that to look at the
clock costs nothing that shows.
"""

from __future__ import annotations

import atexit
import json
import runpy
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import taskdir.daemon
from taskdir import disk, index, journal, observe, records, view, watch, window

PARTS: tuple[tuple[Any, str, str], ...] = (
    (watch.Hints, "pace", "waiting for work"),
    (taskdir.daemon.Daemon, "one_pass", "the rest of a pass, SQLite's commits"),
    (observe.Observer, "look", "looking: listing, reading, checking the form"),
    (taskdir.daemon, "decide", "deciding, checking contracts"),
    (journal.Journal, "append", "the log: making and writing its lines"),
    (disk.Disk, "datasync", "the log: waiting for its sync"),
    (index.Index, "apply", "the index: its rows"),
    (records.Records, "publish", "records: writing them"),
    (records.Records, "sync", "records: waiting for their sync"),
    (view.View, "publish", "taking away what was answered"),
    (window.Window, "reconcile", "offers: writing them"),
)


class Clock:
    """Seconds by part; a part that runs within another one stops the other's clock."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._open: list[str] = []
        self._since = time.perf_counter()

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.spent[self._open[-1]] += now - self._since  # type: ignore[assignment]  # Counters count seconds, too
        self._since = now

    def timed(self, real: Callable[..., Any], part: str) -> Callable[..., Any]:
        """Return a function that does the same, and is timed."""

        def run(*given: Any, **named: Any) -> Any:
            self._turn()
            self._open.append(part)
            try:
                return real(*given, **named)
            finally:
                self._turn()
                self._open.pop()

        return run


def main() -> None:
    """Time the parts of whatever the rest of the command line runs."""
    clock, out = Clock(), Path(sys.argv[1])
    for owner, name, part in PARTS:
        setattr(owner, name, clock.timed(getattr(owner, name), part))
    atexit.register(lambda: out.write_text(json.dumps(clock.spent), encoding="utf-8"))
    assert sys.argv[2] == "-m"
    sys.argv = sys.argv[3:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
