"""The loop of a worker: take up or claim a task, have it done, hand in, again (SPEC sections 7.4 to 7.9).

It waits for no verdict. A refused result is met again as unfinished work with a refusal beside it, before the next
claim: the attempt is then given up as failed, and another one may do better.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from taskdir import gestures, names, roots
from taskdir.disk import Disk, is_there
from taskdir.errors import Missing
from taskdir.held import Claim, failure
from taskdir.places import Places

LOOK_SECONDS = 0.3
"""How often to look whether a claim is lost while its task is being done."""


class Shift:
    """When to end: after ``tasks`` tasks, after ``idle`` seconds without one (None: never), or once ``stop()``."""

    def __init__(self, tasks: int | None, idle: float | None, stop: Callable[[], bool] | None) -> None:
        self.done = 0
        self._tasks, self._idle, self._stop = tasks, idle, stop
        self._nothing_since: float | None = None
        self._pause = 0.0

    def goes_on(self) -> bool:
        """Say whether to look for another task."""
        if (self._stop is not None and self._stop()) or self.done == self._tasks:
            return False
        since = self._nothing_since
        return self._idle is None or since is None or time.monotonic() - since < self._idle

    def rest(self) -> float:
        """Take down that there was nothing; returns the seconds until the next look."""
        if self._nothing_since is None:
            self._nothing_since, self._pause = time.monotonic(), 0.01
        self._pause = min(self._pause * 1.2, 0.25)
        return self._pause

    def begin(self) -> None:
        """Count a task."""
        self.done += 1
        self._nothing_since = None


def take(places: Places, disk: Disk, agent: str, queue: str, hold: bool) -> Claim | None:
    """Take up what the agent left unfinished, else claim; None when there is nothing now. Raises as ``claim``.

    An attempt whose result was refused is failed. What another process of the same agent holds is let be.
    """
    gestures.check_names(agent, queue)
    for path in gestures.unfinished(places, agent):
        if (offer := roots.read_json(path)) is not None and (claim := _mine(path, offer, disk, hold)):
            return claim
    found = gestures.claim(places, disk, agent, queue, roots.max_claims(places.root))
    return _mine(found.path, found.offer, disk, hold) if isinstance(found, gestures.Claimed) else None


def work(
    places: Places, disk: Disk, agent: str, handler: Callable[[Claim], Any], shift: Shift, queue: str, hold: bool
) -> int:
    """Do tasks until the shift is over; returns their number. See ``client.Taskdir.work``."""
    while shift.goes_on():
        claim = take(places, disk, agent, queue, hold)
        if claim is None:
            time.sleep(shift.rest())
            continue
        shift.begin()
        try:
            with claim:  # an exception hands in an error result
                output = handler(claim)
                if handed_in(claim.path):
                    claim.leave()
                elif not claim.over:
                    claim.finish(output, wait=0)
        except Exception as error:  # whatever a handler raises is an error result by now
            tell(agent, claim.path, error)
            if not settled(claim.path):
                raise  # nothing can be written here: to go on would do the task again and again
    return shift.done


def settled(path: str) -> bool:
    """Say whether a claim came to an end, by a result, its refusal, or the claimed file's going."""
    return not is_there(path) or handed_in(path) or refused(path)


def handed_in(path: str) -> bool:
    """Say whether a result lies beside a claimed file, be it from a program that the handler ran: it stands."""
    return is_there(gestures.stem_path(path) + names.RESULT)


def refused(path: str) -> bool:
    """Say whether a result of a claimed file was refused."""
    return is_there(gestures.stem_path(path) + names.REFUSED)


def tell(agent: str, path: str, error: Exception) -> None:
    """Log what went wrong with a claimed task; the worker goes on to the next."""
    import logging

    lost = isinstance(error, Missing) and error.code == "claim-lost"
    said = "%s lost a claim: %s" if lost else "%s failed in %s"
    logging.getLogger("taskdir").error(said, agent, os.path.basename(path), exc_info=None if lost else error)


def _give_up(disk: Disk, path: str) -> None:
    with suppress(Missing):  # the attempt has ended meanwhile
        gestures.finish(disk, path, failure("the result was refused", "refused", retry=True))


def _mine(path: str, offer: dict[str, Any], disk: Disk, hold: bool) -> Claim | None:
    claim = Claim(path, offer, disk=disk, hold=hold)
    if not claim.elsewhere and not settled(path):  # a twin may have finished it before we got the lock
        return claim
    if not claim.elsewhere and refused(path) and not handed_in(path):
        _give_up(disk, path)
    claim.leave()
    return None
