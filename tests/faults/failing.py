"""Whole stories in which one call fails: the daemon warns and tries again, or stops as SPEC 10.6 says.

A story that goes on should come out as if nothing had happened, its events included. Where it strays, since something
came a pass later, it ends there, and what must hold of any root at rest has to hold. After a stop the next daemon
has to mend all.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from faults.calls import Call, Calls
from faults.crashes import Json, Tally, mark_of, rest
from faults.mishaps import Fault, Mishap, name_of
from faults.verdict import Before, Wrong, judge
from taskdir.conformance.cases import Broken
from taskdir.conformance.own import Own, Ticker
from taskdir.conformance.stage import play
from taskdir.daemon import Daemon
from taskdir.errors import LogDamaged, TaskdirError
from taskdir.journal import SyncFailed


class Over(Exception):
    """The daemon stopped, as it should; nothing more is played."""


class Failing(Own):
    """Our daemon as the subject of a story, one call of which fails. Without a fault it counts: ``calls``."""

    def __init__(self, calls: Calls, fault: Fault | None = None, lasts: int = 0) -> None:
        super().__init__()
        self._tap, self._mishap = calls, Mishap(fault, lasts)
        self._more = 2
        self._root, self._over = "", False

    @property
    def calls(self) -> list[str]:
        """The kinds of calls so far."""
        return self._mishap.calls

    @property
    def failed(self) -> Call | None:
        """The call that failed, None until one did."""
        return self._mishap.failed

    def ask(self, request: Json) -> Json:
        """Answer. Raises Wrong when the daemon ends otherwise than it may, Over when it ends as it may."""
        if self._over:
            return {"worked": False}
        self._root, self._request = request.get("root", self._root), request
        if request["do"] == "close" and self.failed is not None and self.daemon is not None:
            for seconds in range(1, 4):  # what could not be read or moved is tried again a scan or a settle time later
                late = {"do": "pass", "now": request["now"] + seconds, "wall": request["wall"] + seconds}
                while super().ask(late)["worked"]:
                    pass
            judge(self._root, Before(*mark_of(self.daemon)))
        try:
            with self._tap.watch(self._mishap):
                answer = super().ask(request)
        except (OSError, TaskdirError, sqlite3.Error) as error:
            if self.failed is None:
                raise
            return self._ended(error)
        if self.failed is not None and request["do"] == "pass" and not answer["worked"] and self._more:
            self._more -= 1
            return {"worked": True}  # what failed is tried again in the next pass
        return answer

    def _ended(self, error: Exception) -> Json:
        """The daemon raised: a start may fail, and what leaves the end of the log uncertain ends it. Start anew."""
        starting, self._over = self._request["do"] == "open", True
        if isinstance(error, LogDamaged) or not (starting or isinstance(error, SyncFailed)):
            raise Wrong(f"the daemon ended: {type(error).__name__}: {error}") from error
        before = Before(*mark_of(self.daemon))
        self.kill()
        if not os.path.exists(os.path.join(self._root, "taskdir.json")):
            raise Over
        before.look(self._root)
        daemon = Daemon(self._root, clock=Ticker(self._request["now"], self._request["wall"]))
        try:
            daemon.open()
            rest(daemon)
            judge(self._root, before)
        finally:
            daemon.abandon()
        raise Over


def fail(label: str, scene: Json, calls: Calls, tally: Tally, fault: Fault, lasts: int = 0) -> None:
    """Play a story with one fault, or one that lasts for so many calls, and judge it."""
    subject, at = Failing(calls, fault, lasts), Path(tally.room())
    replay = f"{label} @ {fault[0]}{f'+{lasts}' if lasts else ''} {name_of(fault[1])}"
    try:
        if found := play(scene, at, None, subject):
            raise Broken("what came out", "the story as ever", "\n".join(found))
    except Over:
        pass
    except (Broken, OSError, AssertionError, LookupError, ValueError) as error:
        if subject.failed is None:
            tally.fault(replay, f"{type(error).__name__}: {error}")
        tally.runs["strays"] += 1
    except Wrong as wrong:
        tally.fault(replay, f"{name_of(fault[1])} at {subject.failed}: {wrong}")
    finally:
        subject.kill()
    tally.runs["errors"] += 1
