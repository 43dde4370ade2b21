"""A claim in a Python program's hands: it keeps itself while the work lasts (SPEC sections 7.5 to 7.9).

The claimed file is locked, so that the daemon learns at once when the process dies, and touched, where locks do not
work. Standard library only; a thread starts with each claim.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from taskdir import gestures, names, roots
from taskdir.disk import Disk, is_there
from taskdir.errors import Missing, TaskdirError, Usage, claim_lost
from taskdir.system import HERE

VERDICT_SECONDS = 5.0
"""How long ``finish`` waits for a running daemon to judge the result."""

LOCK_SECONDS = 1.0
"""How long a claim tries for its lock, which the daemon's probe may hold for a moment."""


class Hold:
    """Keeps the lease of a claimed file fresh until it is closed: by a lock, and by touching the file (SPEC 7.5, 7.6).

    ``lease`` in seconds: a thread touches the file after every third of it, but never makes it again.
    """

    def __init__(self, disk: Disk, path: str, lease: float, *, lock: bool = True) -> None:
        import threading

        self.fd: int | None = None
        """The descriptor that is locked, None if there is none: gone, no locks here, or locked by another process."""
        self.elsewhere = False
        """Whether another process has the lock: then it does the work."""
        if lock:
            try:
                self.fd = _lock(path)
            except BlockingIOError:
                self.elsewhere = True
        self._stop, interval = threading.Event(), min(lease / 3, threading.TIMEOUT_MAX)

        def keep() -> None:
            while not self._stop.wait(interval) and gestures.renew(disk, path):
                pass

        threading.Thread(target=keep, name=f"taskdir {os.path.basename(path)}", daemon=True).start()

    def close(self) -> None:
        """Keep it no longer. After the result is written, not before: a lock dropped without one is a failure."""
        self._stop.set()
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)


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
        self._hold = Hold(disk, path, lease_of(offer), lock=hold)

    @property
    def input(self) -> Any:
        """The task's input."""
        return self.task.get("input")

    @property
    def over(self) -> bool:
        """Whether you have finished it or given it back, or know that it is lost."""
        return not self._open

    @property
    def elsewhere(self) -> bool:
        """Whether another process holds it: one of the same agent, or of somebody who resumed it."""
        return self._hold.elsewhere

    @property
    def lost(self) -> bool:
        """Whether the task is no longer yours though you did not finish it: stop."""
        return self._open and not is_there(self.path)

    def finish(self, output: Any = None, *, wait: float = VERDICT_SECONDS) -> None:
        """Hand in the output. With a daemon running, waits up to ``wait`` seconds for its verdict.

        Raises Invalid when the result was refused: the claim goes on, hand in another; Missing when the claim is lost.
        """
        self._hand_in(gestures.encode({"status": "ok", "output": output}), wait)

    def finish_json(self, output: bytes, *, wait: float = VERDICT_SECONDS) -> None:
        """Hand in an output that is JSON already, byte for byte. Raises as ``finish``."""
        self._hand_in(success(output), wait)

    def fail(self, message: str, code: str = "error", retry: bool = False, *, wait: float = VERDICT_SECONDS) -> None:
        """Hand in an error, ``retry`` if another attempt may help. Raises as ``finish``."""
        self._hand_in(gestures.encode(failure(message, code, retry)), wait)

    def give_back(self) -> None:
        """Let another agent have it, at once. No failure; nothing happens when the claim is over already."""
        if self._open:
            gestures.give_back(self._disk, self.path)
            self._release()

    def leave(self) -> None:
        """Let go of it and leave it as it is: without a lock its lease goes on, with one the attempt counts as lost."""
        self._release()

    def note(self, text: str | dict[str, Any]) -> None:
        """Add a note for people and viewers, which renews the lease. Raises Missing when the claim is lost."""
        if not self._open or not gestures.note(self._disk, self.path, text):
            raise claim_lost(self.path)

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
            if is_there(gestures.stem_path(self.path) + names.RESULT):
                return  # handed in by somebody else, as `taskdir finish` in the block does: it stands
            if not isinstance(error, Exception):
                self.give_back()
                return
            with suppress(TaskdirError, OSError):  # the block's own exception is the one to tell
                said = f"{type(error).__name__}: {error}"
                self.fail(said, _code_of(error), retry=True, wait=0)
        finally:
            self._release()

    def _hand_in(self, data: bytes, wait: float) -> None:
        if not self._open:
            raise Usage("finished", "this claim is over", path=self.path, hint="claim the next task")
        try:
            gestures.finish_bytes(self._disk, self.path, data)
        except Missing:
            self._release()
            raise
        verdict = gestures.Verdict("waiting")
        try:
            if wait > 0 and roots.daemon_runs(roots.of_claim(self.path).root):
                verdict = gestures.verdict(partial(gestures.finish_verdict, self.path, data), wait)
        except BaseException:
            self._release()  # interrupted: the result is handed in, nothing may be put in its place
            raise
        if verdict.word != "refused" or not is_there(self.path):
            self._release()
        if verdict.word in ("refused", "late"):
            raise verdict.error()

    def _release(self) -> None:
        """End the claim on our side."""
        self._open = False
        self._hold.close()


def success(output: bytes) -> bytes:
    """Make the result that has an output which is JSON already; the daemon judges whether it is."""
    return b'{"status":"ok","output":' + output + b"}\n"


def failure(message: str, code: str | None, retry: bool) -> dict[str, Any]:
    """Make the result that is an error, within the bounds of SPEC section 6.5. Raises Invalid for a bad code."""
    if code is not None and not names.is_word(code):
        raise gestures.bad_word("error code", code)
    told = message[:8192].encode("utf-8", "replace").decode() or "no message"
    return {"status": "error", "error": {**({"code": code} if code else {}), "message": told}, "retry": retry}


def lease_of(offer: dict[str, Any]) -> float:
    """Return an offer's lease in seconds."""
    return float(offer.get("lease_seconds", 1800))


def _lock(path: str) -> int | None:
    """Lock a claimed file; None if it is gone or cannot be locked. Raises BlockingIOError if another process has it."""
    try:
        fd = os.open(path, HERE.read_flags)
    except OSError:
        return None
    until = time.monotonic() + LOCK_SECONDS
    while (got := HERE.try_lock(fd)) is False and time.monotonic() < until:
        time.sleep(0.005)
    if got:
        return fd
    os.close(fd)
    if got is False:
        raise BlockingIOError
    return None  # no locks here: renewing does


def _code_of(error: Exception) -> str:
    """Return the name of an exception's type as an error code."""
    code = type(error).__name__.lower().strip("_")[:64]
    return code if names.is_word(code) else "exception"
