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
        self._offset = time.time() - time.monotonic()

    def now(self) -> Now:
        """Return this instant."""
        return Now(self._offset + time.monotonic(), timestamp(time.time()))
