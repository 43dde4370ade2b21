"""The only place that asks what time it is (SPEC section 8).

``seconds`` is a clock of our own: the wall clock at start plus monotonic time since. It never jumps, so no lease or
backoff ends early when somebody sets the clock; ``text`` is the wall clock, for people who read the log.
"""

from __future__ import annotations

import time

from taskdir.documents import Now, timestamp


class Clock:
    """The daemon's clock. Tests pass their own object with the same ``now``."""

    def __init__(self) -> None:
        self._offset = time.time() - _steady()

    def now(self) -> Now:
        """Return this instant."""
        return Now(self._offset + _steady(), timestamp(time.time()))


def _steady() -> float:
    """Seconds that nobody sets; counts time asleep where the system can, so that ``not_before`` is met after it."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
