"""The client for asyncio: the same methods, each handed to a thread. Imported only when asked for.

What may take long, waiting for a task to claim, sleeps in the event loop, so that cancelling it ends at once.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any

from taskdir import roots
from taskdir.client import UPDATE_SECONDS, Taskdir
from taskdir.disk import Disk
from taskdir.errors import claim_lost
from taskdir.held import VERDICT_SECONDS, Claim
from taskdir.work import LOOK_SECONDS, Shift, handed_in, settled, take, tell


class AsyncTaskdir:
    """A root, as ``client.Taskdir``; the methods are coroutines."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        """Find the root as Taskdir does. Raises Missing, ConfigError."""
        self._sync = Taskdir(root)
        self.root = self._sync.root

    async def submit(
        self,
        type: str,
        input: Any = None,
        *,
        id: str | None = None,
        **fields: Any,
    ) -> str:
        """Submit a task; returns its id."""
        return await asyncio.to_thread(self._sync.submit, type, input, id=id, **fields)

    async def submit_batch(self, tasks: Iterable[dict[str, Any]]) -> list[str]:
        """Submit tasks, accepted all or none; returns their ids in order."""
        return await asyncio.to_thread(self._sync.submit_batch, list(tasks))

    async def claim(
        self, agent: str, queue: str = "default", wait: float = 0.0, hold: bool = True
    ) -> AsyncClaim | None:
        """Claim the next task, looking for at most ``wait`` seconds; None when there is nothing. Raises Busy."""
        until, pause = time.monotonic() + wait, 0.01
        while True:
            found = await self._claim_now(agent, queue, hold)
            left = until - time.monotonic()
            if found is not None or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.2, 0.25)

    async def _claim_now(self, agent: str, queue: str, hold: bool) -> AsyncClaim | None:
        return await _handed_over(partial(self._sync.claim, agent, queue, 0.0, hold))

    async def resume(self, path: str | os.PathLike[str], hold: bool = True) -> AsyncClaim:
        """Go on with a claimed file. Raises Missing, Usage."""
        found = await _handed_over(partial(self._sync.resume, path, hold))
        assert found is not None, "resume returns a claim or raises"
        return found

    async def work(
        self,
        agent: str,
        handler: Callable[[AsyncClaim], Awaitable[Any]],
        queue: str = "default",
        *,
        tasks: int | None = None,
        idle: float | None = None,
        stop: Callable[[], bool] | None = None,
        hold: bool = True,
    ) -> int:
        """Do one task after the other by ``handler``, as ``client.Taskdir.work``; several may run at once.

        The handler is cancelled when the claim is lost. Cancelling the worker gives back the task in hand.
        """
        places, disk, shift = roots.place(self.root), Disk(), Shift(tasks, idle, stop)
        while shift.goes_on():
            claim = await _handed_over(partial(take, places, disk, agent, queue, hold))
            if claim is None:
                await asyncio.sleep(shift.rest())
                continue
            shift.begin()
            try:
                async with claim:
                    output = await _unless_lost(claim, handler)
                    if handed_in(claim.path):
                        claim.leave()
                    elif not claim.over:
                        await claim.finish(output, wait=0)
            except Exception as error:  # whatever a handler raises is an error result by now
                tell(agent, claim.path, error)
                if not settled(claim.path):
                    raise
        return shift.done

    async def cancel(self, id: str, dependants: bool = False) -> str:
        """Ask for a task to be canceled; returns the id of the message that asks."""
        return await asyncio.to_thread(self._sync.cancel, id, dependants)

    async def note(self, text: str, task: str | None = None) -> str:
        """Put a remark into the log; returns the id of the message."""
        return await asyncio.to_thread(self._sync.note, text, task)

    async def record(self, id: str) -> dict[str, Any]:
        """Return the record of a task that has ended. Raises Missing."""
        return await asyncio.to_thread(self._sync.record, id)

    async def wait(self, id: str, timeout: float | None = None) -> dict[str, Any]:
        """Wait until a task has ended; returns its record. Raises TimedOut, Missing, Invalid, Busy."""
        return await asyncio.to_thread(self._sync.wait, id, timeout)

    async def output(self, id: str) -> Any:
        """Return the output of a task that is done. Raises Missing, TaskdirError."""
        return await asyncio.to_thread(self._sync.output, id)

    async def state(self, key: str) -> tuple[Any, int] | None:
        """Return (value, version) of a key of the shared state, None when it was never set."""
        return await asyncio.to_thread(self._sync.state, key)

    async def set_state(
        self, key: str, value: Any, if_version: int | None = None, *, wait: float = VERDICT_SECONDS
    ) -> int | None:
        """Set a key, ``if_version``: only if it is at this version; returns its new version. Raises Invalid."""
        return await asyncio.to_thread(self._sync.set_state, key, value, if_version, wait=wait)

    async def update_state(
        self, key: str, change: Callable[[Any], Any], *, timeout: float = UPDATE_SECONDS
    ) -> tuple[Any, int]:
        """Set a key to ``change(value)``, called in a thread, again whenever others were faster."""
        return await asyncio.to_thread(self._sync.update_state, key, change, timeout=timeout)


class AsyncClaim:
    """A claim, as ``client.Claim``; use it in an ``async with`` block."""

    def __init__(self, claim: Claim) -> None:
        self._sync = claim
        self.path, self.task = claim.path, claim.task
        self.id, self.attempt, self.input = claim.id, claim.attempt, claim.input

    @property
    def over(self) -> bool:
        """Whether you have finished it or given it back, or know that it is lost."""
        return self._sync.over

    @property
    def lost(self) -> bool:
        """Whether the task is no longer yours though you did not finish it: stop."""
        return self._sync.lost

    async def finish(self, output: Any = None, *, wait: float = VERDICT_SECONDS) -> None:
        """Hand in the output. Raises Invalid when it was refused, Missing when the claim is lost."""
        await asyncio.to_thread(self._sync.finish, output, wait=wait)

    async def fail(
        self, message: str, code: str = "error", retry: bool = False, *, wait: float = VERDICT_SECONDS
    ) -> None:
        """Hand in an error. Raises as ``finish``."""
        await asyncio.to_thread(self._sync.fail, message, code, retry, wait=wait)

    async def give_back(self) -> None:
        """Let another agent have it, at once."""
        await asyncio.to_thread(self._sync.give_back)

    def leave(self) -> None:
        """Let go of it and leave it as it is. Waits for nothing."""
        self._sync.leave()

    async def note(self, text: str | dict[str, Any]) -> None:
        """Add a note for people and viewers, which renews the lease. Raises Missing when the claim is lost."""
        await asyncio.to_thread(self._sync.note, text)

    async def renew(self) -> bool:
        """Renew the lease now; False when the claim is lost."""
        return await asyncio.to_thread(self._sync.renew)

    async def __aenter__(self) -> AsyncClaim:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not in a thread: it waits for nothing, and a cancelled task must not lose its claim on the way out.
        self._sync.__exit__(kind, error, trace)


class _Handover:
    """Carries a claim out of a thread: to whoever awaits it, or back to the queue if that one was cancelled."""

    def __init__(self) -> None:
        self.claim: Claim | None = None
        self._refused = False
        self._lock = threading.Lock()

    def fetch(self, ask: Callable[[], Claim | None]) -> None:
        """Claim, in the thread."""
        claim = ask()
        with self._lock:
            self.claim = claim
            refused = self._refused
        if refused and claim is not None:
            claim.give_back()

    def refuse(self) -> None:
        """Want it no more, now or when it comes."""
        with self._lock:
            self._refused = True
            claim = self.claim
        if claim is not None:
            claim.give_back()


async def _handed_over(ask: Callable[[], Claim | None]) -> AsyncClaim | None:
    """Claim in a thread; a claim that nobody awaits any more is given back, for its lock would keep it for ever."""
    handover = _Handover()
    try:
        await asyncio.to_thread(handover.fetch, ask)
    except asyncio.CancelledError:
        handover.refuse()
        raise
    return AsyncClaim(handover.claim) if handover.claim is not None else None


async def _unless_lost(claim: AsyncClaim, handler: Callable[[AsyncClaim], Awaitable[Any]]) -> Any:
    """Return what the handler returns; cancel it when the claim is lost, or we are. Raises Missing for the former."""
    job = asyncio.ensure_future(handler(claim))
    asked = False
    try:
        while not job.done():
            await asyncio.wait([job], timeout=None if asked else LOOK_SECONDS)
            if claim.lost and not asked:
                asked = job.cancel()
    except asyncio.CancelledError:
        job.cancel()
        await asyncio.wait([job])
        raise
    if job.cancelled():
        raise claim_lost(claim.path)
    return job.result()
