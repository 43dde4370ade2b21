"""Reading the facts without being the daemon: the index when it can be trusted, else a replay (SPEC section 10.4).

Changes nothing, and needs neither a daemon nor .taskdir/. The index is trusted when the log shows its mark, and, while
no daemon runs, nothing after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from taskdir import lifecycle, lock, logread, settings
from taskdir.documents import Now
from taskdir.errors import ConfigError, LogDamaged
from taskdir.index import Index, open_for_reading
from taskdir.logread import Batch, Damage, Follower, Mark
from taskdir.places import Places
from taskdir.settings import Settings

Progress = Callable[[int], None]


@dataclass(slots=True)
class Facts:
    """What is known of a root at one instant.

    ``live``: a daemon runs. ``damage``: where the log stops being readable, if it does; the facts end there.
    ``bad_settings``: why taskdir.json cannot be used; then ``settings`` are the defaults.
    """

    places: Places
    index: Index
    live: bool
    settings: Settings
    bad_settings: ConfigError | None = None
    damage: Damage | None = None

    def close(self) -> None:
        """Let go of the index."""
        self.index.close()


def open_facts(root: str, now: Now, progress: Progress | None = None) -> Facts:
    """Return the facts of ``root``; ``progress`` is told the bytes of the log as they are replayed, if they are."""
    places = Places(root)
    live = is_live(places)
    kept, fault = read_settings(places)
    index = open_for_reading(places.index)
    if index is not None:
        if _can_trust(places, index.mark, live):
            return Facts(places, index, live, kept, fault)
        index.close()
    index = Index(":memory:")
    index.lines.use(kept.resources)
    damage = replay(places.root, index, progress)
    index.wake(now.seconds)
    return Facts(places, index, live, kept, fault, damage)


def is_live(places: Places) -> bool:
    """Say whether a daemon runs: whether somebody holds the root's lock (SPEC section 10.1)."""
    probe = lock.is_held(places.root)
    return probe is not None and probe[0]


def read_settings(places: Places) -> tuple[Settings, ConfigError | None]:
    """Return the settings and what is wrong with them; the defaults when something is."""
    try:
        return settings.load(places.settings), None
    except OSError as error:
        return Settings(), ConfigError("unreadable", f"taskdir.json: {error.strerror}", path=places.settings)
    except ConfigError as fault:
        return Settings(), fault


def replay(root: str, index: Index, progress: Progress | None = None) -> Damage | None:
    """Apply the whole log to an empty index; returns where the log could not be read on.

    Raises LogDamaged for an event that the life cycle does not allow.
    """
    follower, at = Follower(root), Mark()
    for batch in follower.news():
        try:
            index.apply(batch)
        except (lifecycle.IllegalEvent, KeyError) as error:
            raise impossible(batch, error) from error
        if progress is not None:
            progress(batch.mark.offset - (at.offset if at.first == batch.mark.first else 0))
        at = batch.mark
    return follower.damage


def impossible(batch: Batch, error: Exception) -> LogDamaged:
    """Return the error for a batch whose events are well chained and yet cannot be true."""
    return LogDamaged(
        "log-event",
        f"an event up to seq {batch.mark.seq} breaks the rules of the log: {error}",
        hint="`taskdir check` names each such event; restore the log from a copy",
    )


def _can_trust(places: Places, mark: Mark, live: bool) -> bool:
    """Say whether an index at ``mark`` tells what the log tells. A running daemon may be a batch ahead of it."""
    files = logread.segments(places.root)
    path = dict(files).get(mark.first)
    if path is None or mark.seq == 0 or logread.line_hash_before(path, mark.offset) != mark.hash:
        return False
    return live or next(logread.Reader(files, mark).batches(), None) is None
