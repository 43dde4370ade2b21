"""The five gestures of an agent as plain functions: submit, claim, keep, finish, give back (SPEC section 7).

No state, no threads, no daemon needed; every change of a file goes through Disk. A lost race is a value, and so is an
empty queue. What the daemon made of it, the verdict, is read from files too.
"""

from __future__ import annotations

import os
import stat
import time
from collections import namedtuple
from collections.abc import Callable

from taskdir import names, roots, strictjson
from taskdir.disk import Disk, is_there
from taskdir.errors import CannotCreate, Invalid, Missing, Telling, Usage, claim_lost
from taskdir.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Claimed(namedtuple("Claimed", "path offer")):
    """A task that is ours now: the path of its file, and what the offer says."""

    path: str
    offer: dict[str, Any]


class Nothing:
    """There was nothing to claim, or the agent is benched."""


class Unfinished(namedtuple("Unfinished", "paths")):
    """The agent still holds what it has to finish or give back first: the paths of the claimed files."""

    paths: list[str]


class Verdict(namedtuple("Verdict", "word reason", defaults=(None,))):
    """What the daemon made of a message or result: accepted, refused, late; or waiting, when it has not judged yet."""

    word: str
    reason: dict[str, Any] | None

    def error(self) -> Invalid:
        """Return the refusal as the error that it is for whoever wrote the file."""
        return refusal(self.reason or {"code": self.word, "message": "refused, and the reason is gone"})


def refusal(reason: dict[str, Any]) -> Invalid:
    """Make a reason document (SPEC section 6.7) the error that it is for whoever wrote the file."""
    known = {"path": "file", "pointer": "pointer", "expected": "expected", "hint": "hint"}
    told = {name: str(reason[field]) for name, field in known.items() if field in reason}
    return Invalid(str(reason.get("code", "refused")), str(reason.get("message", "refused")), **told)


def submit(places: Places, disk: Disk, message: dict[str, Any], id: str) -> bytes:
    """Publish a message as inbox/ID.json; returns its bytes. Raises as ``submit_bytes``, Invalid if it is no JSON."""
    data = encode(message)
    submit_bytes(places, disk, data, id)
    return data


def submit_bytes(places: Places, disk: Disk, data: bytes, id: str) -> None:
    """Publish ready-made bytes as inbox/ID.json, never in place of another, durably (SPEC section 7.1).

    Raises CannotCreate when the name is taken or the place cannot be written, Invalid for a bad id, Missing.
    """
    if not names.is_word(id):
        raise bad_word("id", id)
    path = os.path.join(places.inbox, id + names.TASK)
    with Telling(places.inbox):
        if not disk.publish_new(path, data, aside=_aside(places.inbox, id)):
            hint = "a message of this id waits to be judged; take an id of your own"
            raise CannotCreate("name-taken", "there is such a message already", path=path, hint=hint)
        disk.sync_dir(places.inbox)


def offers(places: Places, queue: str = "default") -> list[str]:
    """Return the names in ready/<queue>/ in the order of work, byte order. Raises Missing for an unknown queue."""
    try:
        listed = _files(os.path.join(places.ready, queue))
    except FileNotFoundError:
        there = roots.queues(places.root)
        if queue.startswith("@") or queue in there:
            return []
        told, expected = f"there is no queue {queue!a}", f"one of {', '.join(there)}"
        hint = "declare it in taskdir.json, under queues"
        raise Missing("unknown-queue", told, path=places.ready, expected=expected, hint=hint) from None
    return sorted(name for name in listed if name.endswith(names.TASK) and names.parse_stem(name[:-5]))


def unfinished(places: Places, agent: str) -> list[str]:
    """Return the paths of the claimed files beside which no result lies yet, in byte order."""
    mine = places.join("claimed", agent)
    try:
        listed = set(_files(mine))
    except (FileNotFoundError, NotADirectoryError):
        return []
    split = ((name, names.split_claimed(name)) for name in sorted(listed))
    tasks = [(name, parts[0]) for name, parts in split if parts is not None and parts[1] == names.TASK]
    return [os.path.join(mine, name) for name, stem in tasks if f"{stem}{names.RESULT}" not in listed]


def claim(
    places: Places, disk: Disk, agent: str, queue: str = "default", max_claims: int = 1
) -> Claimed | Nothing | Unfinished:
    """Take the first offer of a queue for ``agent`` by renaming it, making claimed/<agent>/ if need be.

    Lists once; a name that somebody else took leads to the next in byte order, the end of the list to a new one.
    Raises Invalid for bad names, Usage for the queue of another agent, Missing, CannotCreate.
    """
    check_names(agent, queue)
    if places.agent is not None:
        return _ask(places, disk, agent, queue, max_claims)
    held = unfinished(places, agent)
    if len(held) >= max_claims:
        return Unfinished(held)
    mine = places.join("claimed", agent)
    with Telling(mine):
        if not os.path.isdir(mine):
            disk.mkdir(mine)
        if _benched(mine):
            return Nothing()
        while listed := offers(places, queue):
            for name in listed:
                path = os.path.join(mine, name)
                try:
                    if not disk.rename(places.join("ready", queue, name), path):
                        continue
                except PermissionError:
                    if _benched(mine):
                        return Nothing()  # in this very moment
                    raise
                if (offer := roots.read_json(path)) is not None:
                    return Claimed(path, offer)
                disk.unlink(path)  # torn by a power cut, or taken back already: the daemon offers it again
    return Nothing()


def _ask(places: Places, disk: Disk, agent: str, queue: str, max_claims: int) -> Claimed | Nothing | Unfinished:
    """Ask for a task, behind walls."""
    from taskdir import taken

    with Telling(mine := places.join("claimed", agent)):
        offers(places, queue)  # none: but it tells when there is no such queue
        held, came = taken.ask(disk, mine, queue, max_claims, lambda: unfinished(places, agent))
    got = [(path, offer) for path in came if (offer := roots.read_json(path)) is not None]
    return Unfinished(held) if len(held) >= max_claims else Claimed(*got[0]) if got else Nothing()


def _benched(mine: str) -> bool:
    """Say whether an agent may not claim for a while (SPEC section 7.18); by the mode, as root could write anyway."""
    return not os.stat(mine).st_mode & stat.S_IWUSR


def check_names(agent: str, queue: str) -> None:
    """Raise Invalid for bad names, Usage for the queue of another agent."""
    if not names.is_word(agent):
        raise bad_word("agent", agent)
    if not names.is_queue(queue):
        raise bad_word("queue", queue)
    if queue.startswith("@") and queue != f"@{agent}":
        raise Usage("wrong-queue", f"the queue {queue} is for the agent {queue[1:]} alone", hint="claim from your own")


def renew(disk: Disk, path: str) -> bool:
    """Touch the claimed file, which renews the lease; False when it is gone: then the task is no longer ours."""
    return disk.touch(path)


def note(disk: Disk, path: str, text: str | dict[str, Any]) -> bool:
    """Append a note, text or a JSON object, beside the claimed file, which renews the lease; False when it is gone."""
    stem = stem_path(path)
    if not is_there(path):
        return False
    line = text.rstrip("\n").encode("utf-8", "replace") + b"\n" if isinstance(text, str) else encode(text)
    with Telling(path):
        disk.append_text(stem + names.NOTES, line)
    return True


def finish(disk: Disk, path: str, result: dict[str, Any]) -> bytes:
    """Write the result beside the claimed file; returns its bytes. Raises as ``finish_bytes``, Invalid if no JSON."""
    data = encode(result)
    finish_bytes(disk, path, data)
    return data


def finish_bytes(disk: Disk, path: str, data: bytes) -> None:
    """Write a ready-made result beside the claimed file, durably.

    Raises Missing when the claimed file is gone: then the task is no longer ours, and nothing is written.
    """
    stem = stem_path(path)
    if not is_there(path):
        raise claim_lost(path)
    mine = os.path.dirname(path) or "."
    with Telling(mine):
        disk.publish(stem + names.RESULT, data, aside=_aside(mine, os.path.basename(stem)), sync=True)
        disk.sync_dir(mine)


def give_back(disk: Disk, path: str) -> bool:
    """Delete the claimed file: the task is offered again at once; False when it was gone. Raises Usage after finish."""
    if is_there(stem_path(path) + names.RESULT):
        raise Usage("finished", "a result lies beside the claimed file", path=path, hint="remove the result first")
    return disk.unlink(path)


def submit_verdict(places: Places, id: str, data: bytes) -> Verdict | None:
    """Look what became of a message; None while it is not judged. The reason comes before the message goes."""
    if is_there(os.path.join(places.inbox, id + names.TASK)):
        return None
    reason = _reason(os.path.join(places.rejected, id + names.REASON), data)
    return Verdict("refused", reason) if reason else Verdict("accepted")


def finish_verdict(path: str, data: bytes) -> Verdict | None:
    """Look what became of the result beside a claimed file; None while it is not judged (SPEC section 7.8).

    The order that the daemon keeps: done/ID.json, then the task file goes, then the result; a refusal first writes
    refused.json, a late result first its reason in rejected/.
    """
    stem, places = stem_path(path), roots.of_claim(path)
    if is_there(stem + names.RESULT):
        return None
    if is_there(path):
        return Verdict("refused", roots.read_json(stem + names.REFUSED))
    late = os.path.join(places.rejected, os.path.basename(stem) + names.RESULT.removesuffix(".json") + names.REASON)
    if (reason := _reason(late, data)) is not None:
        return Verdict("late", reason)
    parts = names.parse_stem(os.path.basename(stem))
    if places.agent or parts is None or strictjson.loads(data).get("status") != "ok":
        return Verdict("accepted")
    if is_there(os.path.join(places.done, parts.id + names.TASK)) or roots.indexed(places, parts.id) == "done":
        return Verdict("accepted")
    told = "refused, and it was the last refusal that this attempt may have"
    hint = "the attempt is over; the task's last_error says why"
    return Verdict("refused", {"code": "refusal-cap", "message": told, "file": path, "hint": hint})


def verdict(look: Callable[[], Verdict | None], seconds: float) -> Verdict:
    """Look until there is a verdict, for at most so many seconds; ``waiting`` when none came."""
    until, pause = time.monotonic() + seconds, 0.01
    while (found := look()) is None:
        left = until - time.monotonic()
        if left <= 0:
            return Verdict("waiting")
        time.sleep(min(pause, left))
        pause = min(pause * 1.1, 0.1)
    return found


def stem_path(path: str) -> str:
    """Return a claimed file's path without .json. Raises Usage when it is not named as a claimed file is."""
    base = os.path.basename(path)
    if not base.endswith(names.TASK) or names.parse_stem(base.removesuffix(names.TASK)) is None:
        expected = "claimed/<agent>/<priority>-<number>.<id>.<attempt>.json"
        raise Usage("no-claim", "this is no claimed task", path=path, expected=expected)
    return path.removesuffix(names.TASK)


def bad_word(what: str, text: str) -> Invalid:
    """Return the error for a name outside the grammar (SPEC section 5)."""
    expected = "1 to 64 of a-z 0-9 _ -, the first no _ or -"
    return Invalid("name-grammar", f"{text[:80]!a} cannot be the name of an {what}", expected=expected)


def encode(value: object) -> bytes:
    """Write a value as one line of JSON. Raises Invalid when it is none."""
    try:
        return (strictjson.dumps(value) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid("json-syntax", f"this cannot be written as JSON: {error}") from None


def _files(directory: str) -> list[str]:
    """Return the names of the regular files in a directory; whatever else has the name of an offer is none."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]


def _reason(path: str, data: bytes) -> dict[str, Any] | None:
    """Read a reason, unless it is about other bytes: one of an older file may still lie there."""
    reason = roots.read_json(path)
    if reason is None or "sha256" not in reason:
        return reason
    from hashlib import sha256

    return reason if reason["sha256"] == sha256(data).hexdigest() else None


def _aside(directory: str, stem: str) -> str:
    """Return a dot-name for writing, nobody else's: a crash may have left one, another process may be at it."""
    return os.path.join(directory, f".{stem}.{os.urandom(6).hex()}")
