"""Taskdir for Python programs: submit, claim, finish and wait without a thought for files (SPEC section 7).

Standard library only; threads start with the first claim. A claim keeps itself: the claimed file is locked while the
work lasts, so that the daemon learns at once when the process dies, and touched, where locks do not work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from taskdir import gestures, names, roots
from taskdir.disk import Disk
from taskdir.errors import Busy, Missing, TaskdirError, Usage
from taskdir.places import Places

VERDICT_SECONDS = 5.0
"""How long ``finish`` waits for a running daemon to judge the result."""

LOCK_SECONDS = 1.0
"""How long a claim tries for its lock, which the daemon's probe may hold for a moment."""


class Taskdir:
    """A root, for any side of the work. Safe to share between threads; it keeps nothing open."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        """Use ``root``, else $TASKDIR, else the nearest parent with taskdir.json. Raises Missing, ConfigError."""
        self.root = roots.find(None if root is None else os.fspath(root))
        """The root's absolute path."""
        roots.settings(self.root)
        self._places = Places(self.root)
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

        Does not wait for the verdict: ``wait`` raises Invalid when the task was refused. Raises CannotCreate when a
        message of this id waits in inbox/.
        """
        id = id or roots.mint_id()
        given = {name.removesuffix("_"): value for name, value in fields.items()}
        message = {"type": type, **({} if input is None else {"input": input}), **given}
        gestures.submit(self._places, self._disk, message, id)
        return id

    def submit_batch(self, tasks: Iterable[dict[str, Any]]) -> list[str]:
        """Submit tasks, each a dictionary as in SPEC section 6.2, accepted all or none; returns their ids in order."""
        members = [{"id": roots.mint_id(), **task} for task in tasks]
        gestures.submit(self._places, self._disk, {"kind": "batch", "messages": members}, roots.mint_id())
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
            raise gestures.lost(path)
        return Claim(path, offer, disk=self._disk, hold=hold)

    def cancel(self, id: str) -> str:
        """Ask for a task to be canceled; returns the id of the message that asks."""
        return self._say({"kind": "cancel", "task": id})

    def note(self, text: str, task: str | None = None) -> str:
        """Put a remark into the log, about a task or not; returns the id of the message."""
        return self._say({"kind": "note", "message": text} | ({"task": task} if task is not None else {}))

    def record(self, id: str) -> dict[str, Any]:
        """Return the record of a task that is done, failed or canceled. Raises Missing when it is neither (yet)."""
        found = roots.standing(self._places, id)
        return _record_of(id, found or roots.Standing("unknown"))

    def wait(self, id: str, timeout: float | None = None) -> dict[str, Any]:
        """Wait until a task is done, failed or canceled; returns its record: look at ``state``.

        Raises TimedOut after ``timeout`` seconds, Missing when nobody knows the id, Invalid when it was refused.
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

    def _say(self, message: dict[str, Any]) -> str:
        id = roots.mint_id()
        gestures.submit(self._places, self._disk, message, id)
        return id


class Claim:
    """A task that is yours until it is finished, given back or lost. Use it in a ``with`` block.

    Leaving the block by an exception reports a failure that may be retried, otherwise, without a result, gives the
    task back; so do KeyboardInterrupt and the like, which are no fault of the task.
    """

    def __init__(self, path: str, offer: dict[str, Any], *, disk: Disk, hold: bool) -> None:
        stem = names.parse_stem(os.path.basename(gestures.stem_path(path)))
        assert stem is not None, "stem_path refuses other names"
        self.path, self.task = path, offer
        """The claimed file, and the offer as it was read from it."""
        self.id = stem.id
        """The task's id: the idempotency key for what you do outside."""
        self.attempt = stem.attempt
        """The attempt: the fencing token for what you do outside."""
        self._disk = disk
        self._open = True
        self._fd = _lock(path) if hold else None
        self._stop = self._start_renewing(float(offer.get("lease_seconds", 1800)) / 3)

    @property
    def input(self) -> Any:
        """The task's input."""
        return self.task.get("input")

    @property
    def lost(self) -> bool:
        """Whether the task is no longer yours though you did not finish it: stop."""
        return self._open and not os.path.lexists(self.path)

    def finish(self, output: Any = None, *, wait: float = VERDICT_SECONDS) -> None:
        """Hand in the output. With a daemon running, waits up to ``wait`` seconds for its verdict.

        Raises Invalid when the result was refused: the claim goes on, hand in another; Missing when the claim is lost.
        """
        self._hand_in({"status": "ok", "output": output}, wait)

    def fail(self, message: str, code: str = "error", retry: bool = False, *, wait: float = VERDICT_SECONDS) -> None:
        """Hand in an error, ``retry`` if another attempt may help. Raises as ``finish``."""
        if not names.is_word(code):
            raise gestures.bad_word("error code", code)
        message = message[:8192].encode("utf-8", "replace").decode() or "no message"
        self._hand_in({"status": "error", "error": {"code": code, "message": message}, "retry": retry}, wait)

    def give_back(self) -> None:
        """Let another agent have it, at once. No failure; nothing happens when the claim is over already."""
        if self._open:
            gestures.give_back(self._disk, self.path)
            self._release()

    def note(self, text: str | dict[str, Any]) -> None:
        """Add a note for people and viewers, which renews the lease. Raises Missing when the claim is lost."""
        if not self._open or not gestures.note(self._disk, self.path, text):
            raise gestures.lost(self.path)

    def renew(self) -> bool:
        """Renew the lease now; False when the claim is lost."""
        return self._open and gestures.renew(self._disk, self.path)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return
        try:
            if os.path.lexists(gestures.stem_path(self.path) + names.RESULT):
                return  # handed in by somebody else, as `taskdir finish` in the block does: it stands
            if not isinstance(error, Exception):
                self.give_back()
                return
            with suppress(TaskdirError, OSError):  # the block's own exception is the one to tell
                said = f"{type(error).__name__}: {error}"
                self.fail(said, _code_of(error), retry=True, wait=0)
        finally:
            self._release()

    def _hand_in(self, result: dict[str, Any], wait: float) -> None:
        if not self._open:
            raise Usage("finished", "this claim is over", path=self.path, hint="claim the next task")
        try:
            data = gestures.finish(self._disk, self.path, result)
        except Missing:
            self._release()
            raise
        verdict = gestures.Verdict("waiting")
        try:
            if wait > 0 and roots.daemon_runs(gestures.places_of(self.path).root):
                verdict = gestures.verdict(partial(gestures.finish_verdict, self.path, data), wait)
        except BaseException:
            self._release()  # interrupted: the result is handed in, nothing may be put in its place
            raise
        if verdict.word != "refused" or not os.path.lexists(self.path):
            self._release()
        if verdict.word in ("refused", "late"):
            raise verdict.error()

    def _start_renewing(self, interval: float) -> Any:
        """Touch the claimed file every ``interval`` seconds, a third of its lease, until the event is set."""
        import threading

        stop = threading.Event()
        touch = partial(gestures.renew, self._disk, self.path)

        def keep() -> None:
            while not stop.wait(min(interval, threading.TIMEOUT_MAX)) and touch():
                pass

        threading.Thread(target=keep, name=f"taskdir {self.id}", daemon=True).start()
        return stop

    def _release(self) -> None:
        """End the claim on our side. Only after the result is written: a lock dropped without one is a failure."""
        self._open = False
        self._stop.set()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _lock(path: str) -> int | None:
    """Lock a claimed file (SPEC section 7.6); None when it is gone, locked by another or cannot be locked."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.005)
                continue
        except OSError:
            pass  # no locks here: renewing does
        os.close(fd)
        return None


def _record_of(id: str, found: roots.Standing) -> dict[str, Any]:
    """Return the record of a task that has ended; else raise what tells how it stands."""
    if found.state == "rejected":
        raise gestures.refusal(found.body or {})
    if found.state == "unknown":
        raise Missing("unknown-task", f"nobody knows a task of the id {id}", hint="look for a typo")
    if found.state not in roots.FINAL:
        raise Missing("not-ended", f"the task {id} is {found.state}: it has no record yet", hint="wait for it")
    if found.body is None:
        raise Missing("pruned", f"the record of {id} was removed", hint=f"`taskdir restore {id}` writes it again")
    return found.body


def _code_of(error: Exception) -> str:
    """Return the name of an exception's type as an error code."""
    code = type(error).__name__.lower().strip("_")[:64]
    return code if names.is_word(code) else "exception"
