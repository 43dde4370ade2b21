"""What a daemon is given by whoever runs it: the time, a way to wait, somebody who hears how the loop goes."""

from __future__ import annotations

from typing import Protocol

from taskdir.documents import Now


class Ticker(Protocol):
    """Anything that tells the time as ``clock.Clock`` does."""

    def now(self) -> Now:
        """Return this instant."""


class Waiter(Protocol):
    """Anything that waits as ``watch.Hints`` does."""

    def pace(self, worked: bool, seconds: float) -> bool:
        """Wait for a hint, at most ``seconds``, unless the last pass found work; True: nothing was heard."""


class Listener(Protocol):
    """Anything that hears how the loop goes, as ``notify.Manager`` does; ``patience``: seconds until it worries."""

    patience: float

    def passed(self, status: str) -> None:
        """A pass is over."""

    def reloading(self) -> None:
        """The next pass reads settings and contracts again."""
