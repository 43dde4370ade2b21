"""What a power cut left void is written again in the first pass: offers that were claimed, refusals, reasons (SPEC P2).

None of them waits for the disk when it is published, since the log has it all. What does not parse is void; what does
is left as it is, be it that its agent changed it.
"""

from __future__ import annotations

import logging
import os

from taskdir import names, strictjson
from taskdir.disk import Disk, NotRegular, TooLarge, read_regular
from taskdir.errors import Invalid
from taskdir.index import Index
from taskdir.places import Places
from taskdir.seen import Seen
from taskdir.window import Window

log = logging.getLogger("taskdir")

_LARGEST = 1 << 28


class Mends:
    """``publish`` does its work once in a daemon's life, and tries again while the disk does not take it."""

    def __init__(self, places: Places, disk: Disk, index: Index, window: Window, task_mode: int | None = None) -> None:
        self._places, self._disk, self._index, self._window = places, disk, index, window
        self._task_mode = task_mode
        self._done = False

    def publish(self, seen: Seen) -> None:
        """Write what is void again."""
        if self._done:
            return
        self._done = not seen.blind
        for slot, holding in seen.holdings.items():
            task = self._index.task(holding.stem.id)
            if task is None or (task.state, task.agent, task.stem) != ("claimed", slot.agent, slot.stem):
                continue
            base = f"{self._places.claimed}/{slot.agent}/{slot.stem}"
            if holding.has_task and _is_void(base + names.TASK):
                self._write(base + names.TASK, self._window.offer_bytes(task), self._task_mode)
            if task.refusal is not None and _is_void(base + names.REFUSED):
                self._write(base + names.REFUSED, strictjson.pretty(task.refusal))
        for name in os.listdir(self._places.rejected):
            path = f"{self._places.rejected}/{name}"
            if name.endswith(names.REASON) and _is_void(path):
                reason = self._index.register.shown(name.removesuffix(names.REASON))
                if reason is not None:
                    self._write(path, strictjson.pretty(reason))

    def _write(self, path: str, data: bytes, mode: int | None = None) -> None:
        try:
            aside = f"{self._places.staging}/{os.path.basename(path)}.mend"
            self._disk.publish(path, data, aside=aside, mode=mode)
            log.info("%s: was void, as a power cut leaves it, and is written again", path)
        except OSError as error:
            log.warning("%s: is void, and cannot be written again yet: %s", path, error)
            self._done = False


def _is_void(path: str) -> bool:
    try:
        return not isinstance(strictjson.loads(read_regular(path, _LARGEST)), dict)
    except Invalid:
        return True
    except (OSError, NotRegular, TooLarge):
        return False
