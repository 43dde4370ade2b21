"""Shared state from a program's side: read an entry, change it by compare-and-set (SPEC section 7.17).

Standard library only. Reading is reading state/<key>.json; writing is a message, and its verdict is read from files:
the entry is written before its message goes, so that whoever was accepted reads what he wrote, or something later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from taskdir import gestures, names, roots
from taskdir.disk import Disk
from taskdir.errors import Missing, NoDaemon, TimedOut
from taskdir.gestures import Verdict
from taskdir.places import Places

CONFLICT = "state-conflict"


@dataclass(frozen=True, slots=True)
class Sent:
    """A change on its way: the message's id and bytes, the key, and the version that was asked for, if any."""

    id: str
    data: bytes
    key: str
    if_version: int | None


def checked(key: str) -> str:
    """Return a key. Raises Invalid when it is outside the grammar of names."""
    if not names.is_word(key):
        raise gestures.bad_word("key", key)
    return key


def read(places: Places, key: str) -> dict[str, Any] | None:
    """Return a key's entry: key, version, value, by, time; None when it was never set."""
    found = roots.read_json(os.path.join(places.state, checked(key) + names.TASK))
    return found if found is not None and isinstance(found.get("version"), int) and "value" in found else None


def entries(places: Places) -> list[dict[str, Any]]:
    """Return every entry, by key. Raises Missing when there is no state/."""
    try:
        listed = os.listdir(places.state)
    except FileNotFoundError:
        raise Missing("no-directory", "a directory of the root is missing", path=places.state) from None
    keys = sorted(name.removesuffix(names.TASK) for name in listed if names.is_message_name(name))
    return [entry for key in keys if names.is_word(key) and (entry := read(places, key)) is not None]


def send(
    places: Places, disk: Disk, key: str, value: Any, if_version: int | None = None, sender: str | None = None
) -> Sent:
    """Submit a change; ``if_version``: only if the key is at this version then, 0 if it is unset."""
    id = roots.mint_id(places.agent)
    message = {"kind": "state", "key": checked(key), "value": value}
    message |= {} if if_version is None else {"if_version": if_version}
    message |= {} if sender is None else {"from": sender}
    return Sent(id, gestures.submit(places, disk, message, id), key, if_version)


def judged(places: Places, sent: Sent, seconds: float) -> Verdict:
    """Wait at most so many seconds for the verdict on a change."""
    return gestures.verdict(partial(gestures.submit_verdict, places, sent.id, sent.data), seconds)


def version_of(places: Places, sent: Sent) -> int | None:
    """Return the version that an accepted change got; None when only the log knows: it was overwritten since."""
    if sent.if_version is not None:
        return sent.if_version + 1
    entry = read(places, sent.key)
    return int(entry["version"]) if entry is not None and entry.get("by") == sent.id else None


def update(places: Places, disk: Disk, key: str, change: Callable[[Any], Any], seconds: float) -> tuple[Any, int]:
    """Set a key to ``change(value)``, None for an unset one; again as long as others are faster.

    Returns (value, version). Raises NoDaemon, Invalid when the value is refused, or the last conflict once ``seconds``
    are over, TimedOut when there was no verdict: then it may still be carried out.
    """
    if not roots.daemon_runs(places.root):
        said = "a change by compare-and-set needs a daemon"
        raise NoDaemon("no-daemon", said, path=places.root, hint="start `taskdir run`")
    until, pause, refused = time.monotonic() + seconds, 0.01, list[str]()
    while True:
        entry = read(places, key)
        value = change(entry["value"] if entry is not None else None)
        version = int(entry["version"]) if entry is not None else 0
        sent = send(places, disk, key, value, version)
        verdict = judged(places, sent, max(0.0, until - time.monotonic()))
        while refused and verdict.word != "waiting":
            _forget(places, disk, refused.pop())  # only now: a verdict is read before the message lies in rejected/
        if verdict.word == "accepted":
            return value, version + 1
        if verdict.word == "waiting":
            raise TimedOut("timed-out", f"no verdict on {sent.id} yet: it may still be carried out", hint=_look(key))
        error = verdict.error()
        if error.code != CONFLICT or time.monotonic() >= until:
            raise error
        refused.append(sent.id)
        time.sleep(pause * os.urandom(1)[0] / 255)  # so that those who collided do not all come back at once
        pause = min(pause * 2, 0.25)


def _look(key: str) -> str:
    return f"look at state/{key}.json before trying again"


def _forget(places: Places, disk: Disk, id: str) -> None:
    """Remove a refused try of our own from rejected/: nobody will repair it."""
    for name in (id + names.TASK, id + names.REASON):
        disk.unlink(os.path.join(places.rejected, name))
