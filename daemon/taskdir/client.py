"""Taskdir for Python programs: submit, claim, finish and wait without a thought for files (SPEC section 7).

Standard library only; threads start with the first claim, which keeps itself (``held``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from taskdir import gestures, roots, shared
from taskdir.disk import Disk
from taskdir.errors import Busy, Missing, TaskdirError, claim_lost
from taskdir.held import VERDICT_SECONDS, Claim

UPDATE_SECONDS = 30.0
"""How long ``update_state`` tries before it gives up."""


class Taskdir:
    """A root, for any side of the work. Safe to share between threads; it keeps nothing open."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        """Use ``root``, else $TASKDIR, else the nearest parent with taskdir.json. Raises Missing, ConfigError."""
        self.root = roots.find(None if root is None else os.fspath(root))
        """The root's absolute path."""
        self._places = roots.place(self.root)
        self._disk = Disk()

    def submit(
        self,
        type: str,
        input: Any = None,
        *,
        id: str | None = None,
        **fields: Any,
    ) -> str:
        """Submit a task, durably; returns its id. ``fields`` are those of SPEC section 6.2; ``from_`` stands for from.

        ``after`` names tasks that are to be done first, ``resources`` what it needs for itself, ``not_before`` the
        earliest time to offer it, as RFC 3339 in UTC or as a datetime. Does not wait for the verdict: ``wait`` raises
        Invalid when the task was refused. Raises CannotCreate when a message of this id waits in inbox/.
        """
        id = id or roots.mint_id(self._places.agent)
        given = {name.removesuffix("_"): _utc(value) for name, value in fields.items()}
        message = {"type": type, **({} if input is None else {"input": input}), **given}
        gestures.submit(self._places, self._disk, message, id)
        return id

    def submit_batch(self, tasks: Iterable[dict[str, Any]]) -> list[str]:
        """Submit tasks, each a dictionary as in SPEC section 6.2, accepted all or none; returns their ids in order."""
        members = [{"id": roots.mint_id(self._places.agent), **task} for task in tasks]
        gestures.submit(
            self._places, self._disk, {"kind": "batch", "messages": members}, roots.mint_id(self._places.agent)
        )
        return [str(member["id"]) for member in members]

    def claim(self, agent: str, queue: str = "default", wait: float = 0.0, hold: bool = True) -> Claim | None:
        """Claim the next task, looking for at most ``wait`` seconds; None when there is nothing.

        ``hold=False`` takes no lock, only renews: for file systems without locks. Raises Busy while the agent still
        holds unfinished work: ``resume`` it or delete it.
        """
        until, pause = time.monotonic() + wait, 0.01
        while True:
            limit = roots.max_claims(self.root)
            found = gestures.claim(self._places, self._disk, agent, queue, limit)
            if isinstance(found, gestures.Claimed):
                return Claim(found.path, found.offer, disk=self._disk, hold=hold)
            if isinstance(found, gestures.Unfinished):
                told = f"{agent} still holds {len(found.paths)} unfinished"
                raise Busy("unfinished", told, path=found.paths[0], hint="resume it, or delete it to give it back")
            if (left := until - time.monotonic()) <= 0:
                return None
            time.sleep(min(pause, left))
            pause = min(pause * 1.2, 0.25)

    def resume(self, path: str | os.PathLike[str], hold: bool = True) -> Claim:
        """Go on with a claimed file, after a restart or from ``taskdir claim``. Raises Missing, Usage."""
        path = os.path.abspath(os.fspath(path))
        gestures.stem_path(path)
        offer = roots.read_json(path)
        if offer is None:
            raise claim_lost(path)
        return Claim(path, offer, disk=self._disk, hold=hold)

    def work(
        self,
        agent: str,
        handler: Callable[[Claim], Any],
        queue: str = "default",
        *,
        tasks: int | None = None,
        idle: float | None = None,
        stop: Callable[[], bool] | None = None,
        hold: bool = True,
    ) -> int:
        """Do one task after the other by ``handler(claim)``, which returns the output; returns how many were done.

        First it takes up what the agent left unfinished. An exception of the handler hands in an error, to be retried,
        and goes to the logger ``taskdir``; a handler may also finish the claim, or give it back, by itself. Ends after
        ``tasks`` tasks, after ``idle`` seconds without one, or once ``stop()``, which is asked before each look, says
        so; without these, never. Waits for no verdict: an attempt whose result was refused is failed later.
        """
        from taskdir.work import Shift, work

        return work(self._places, self._disk, agent, handler, Shift(tasks, idle, stop), queue, hold)

    def cancel(self, id: str, dependants: bool = False) -> str:
        """Ask for a task to be canceled, ``dependants``: and all that wait for it; returns the id of the message."""
        return self._say({"kind": "cancel", "task": id} | ({"dependants": True} if dependants else {}))

    def note(self, text: str, task: str | None = None) -> str:
        """Put a remark into the log, about a task or not; returns the id of the message."""
        return self._say({"kind": "note", "message": text} | ({"task": task} if task is not None else {}))

    def record(self, id: str) -> dict[str, Any]:
        """Return the record of a task that is done, failed or canceled. Raises Missing when it is neither (yet)."""
        found = roots.standing(self._places, id)
        return _record_of(id, found or roots.Standing("unknown"))

    def wait(self, id: str, timeout: float | None = None) -> dict[str, Any]:
        """Wait until a task is done, failed or canceled; returns its record: look at ``state``.

        Raises TimedOut after ``timeout`` seconds, Missing when nobody knows the id, Invalid when it was refused, Busy
        when a task that failed or was canceled blocks it: only a redrive or a cancel of that one helps.
        """
        _, found = next(roots.ended(self._places, [id], timeout))
        return _record_of(id, found)

    def output(self, id: str) -> Any:
        """Return the output of a task that is done. Raises as ``record``, and TaskdirError when it failed."""
        record = self.record(id)
        if record.get("state") == "done":
            return record.get("output")
        error = record.get("error") or {}
        raise TaskdirError(str(error.get("code", record.get("state"))), str(error.get("message", "canceled")))

    def state(self, key: str) -> tuple[Any, int] | None:
        """Return (value, version) of a key of the shared state, None when it was never set."""
        entry = shared.read(self._places, key)
        return (entry["value"], int(entry["version"])) if entry is not None else None

    def set_state(
        self, key: str, value: Any, if_version: int | None = None, *, wait: float = VERDICT_SECONDS
    ) -> int | None:
        """Set a key; ``if_version``: only if it is at this version, 0 if it is unset. Returns its new version.

        With a daemon running, waits up to ``wait`` seconds for its verdict. None: not judged yet, or, without
        ``if_version``, overwritten since. Raises Invalid when it was refused: ``state-conflict`` if others were faster.
        """
        sent = shared.send(self._places, self._disk, key, value, if_version)
        verdict = shared.judged(self._places, sent, wait if roots.daemon_runs(self.root) else 0.0)
        if verdict.word == "refused":
            raise verdict.error()
        return shared.version_of(self._places, sent) if verdict.word == "accepted" else None

    def update_state(
        self, key: str, change: Callable[[Any], Any], *, timeout: float = UPDATE_SECONDS
    ) -> tuple[Any, int]:
        """Set a key to ``change(value)``, again whenever others were faster; returns (value, version).

        ``change`` gets None for an unset key and may be called more than once. Raises NoDaemon, TimedOut when there was
        no verdict, Invalid when the value is refused or ``timeout`` seconds brought only conflicts.
        """
        return shared.update(self._places, self._disk, key, change, timeout)

    def _say(self, message: dict[str, Any]) -> str:
        id = roots.mint_id(self._places.agent)
        gestures.submit(self._places, self._disk, message, id)
        return id


def _record_of(id: str, found: roots.Standing) -> dict[str, Any]:
    """Return the record of a task that has ended; else raise what tells how it stands."""
    if found.state == "rejected":
        raise gestures.refusal(found.body or {})
    if found.state == "blocked":
        by = ", ".join(f"{each['id']} ({each['state']})" for each in (found.body or {}).get("by", ()))
        raise Busy("blocked", f"the task {id} is blocked by {by}", hint="redrive or cancel what blocks it")
    if found.state == "unknown":
        raise Missing("unknown-task", f"nobody knows a task of the id {id}", hint="look for a typo")
    if found.state not in roots.FINAL:
        raise Missing("not-ended", f"the task {id} is {found.state}: it has no record yet", hint="wait for it")
    if found.body is None:
        raise Missing("pruned", f"the record of {id} was removed", hint=f"`taskdir restore {id}` writes it again")
    return found.body


def _utc(value: Any) -> Any:
    """Write a datetime as RFC 3339 in UTC; anything else stays as it is."""
    if not hasattr(value, "astimezone"):
        return value
    from datetime import UTC

    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
