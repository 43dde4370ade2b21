"""What any program can learn about a root without asking the daemon: where it is, who runs, how a task stands.

Reads only, and only the standard library, so that the agents' path stays light (SPEC sections 4, 3.3 and 10.1).
Files come first; the daemon's index is asked, read-only, about what no file shows.
"""

from __future__ import annotations

import os
import time
from collections import namedtuple
from collections.abc import Iterable, Iterator

from taskdir import names, strictjson
from taskdir.disk import NotRegular, TooLarge, is_there, read_regular
from taskdir.errors import ConfigError, Invalid, Missing, TimedOut
from taskdir.places import Places
from taskdir.system import HERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARKER = "taskdir.json"
PROTOCOL = 1
FINAL = frozenset({"done", "failed", "canceled"})
ENDED = FINAL | {"rejected"}
LARGEST = 1 << 28
"""Bytes: no document of the daemon's is larger; a bound on what is read into memory."""


def find(given: str | None = None) -> str:
    """Return the root's absolute path: ``given``, else $TASKDIR, else the nearest parent that holds taskdir.json.

    Raises Missing when there is none, or when the one that was named is none.
    """
    named = given or os.environ.get("TASKDIR")
    if named:
        path = os.path.abspath(named)
        if os.path.exists(os.path.join(path, MARKER)):
            return path
        who = "--root names it" if given else "$TASKDIR names it"
        hint = "`taskdir init` makes a root there, or name another"
        raise Missing("no-root", f"there is no taskdir.json here, and {who}", path=path, hint=hint)
    here = os.getcwd()
    found = _above(here)
    if found is None:
        hint = "`taskdir init DIR` makes a root; name one with --root or $TASKDIR"
        raise Missing("no-root", "no taskdir.json here or in a directory above", path=here, hint=hint)
    return found


def _above(path: str) -> str | None:
    """Look for a root here and upwards; from the top of a linked git worktree, first in the main one, at this place."""
    here = path
    while not os.path.exists(os.path.join(path, MARKER)):
        if (main := _main_worktree(path)) is not None and (found := _above(main + here[len(path) :])) is not None:
            return found
        path, below = os.path.dirname(path), path
        if path == below:
            return None
    return path


def _main_worktree(path: str) -> str | None:
    """Return the main worktree of the linked one whose top is ``path``; None when it is none. Git need not be there.

    There, .git is a file that names a directory of the repository, which tells by ``commondir`` where the others are.
    """
    try:
        own = os.path.join(path, _line(os.path.join(path, ".git")).removeprefix("gitdir:").strip())
        common = os.path.realpath(os.path.join(own, _line(os.path.join(own, "commondir"))))
    except (OSError, ValueError, NotRegular, TooLarge):
        return None
    main, name = os.path.split(common)
    return main if name == ".git" and main != os.path.realpath(path) else None


def _line(path: str) -> str:
    return os.fsdecode(read_regular(path, 65536)).strip("\n")


def settings(root: str) -> dict[str, Any]:
    """Return taskdir.json as it is, an empty object when it cannot be read: an agent needs little of it.

    Raises ConfigError for a root of another protocol, whose gestures may be others.
    """
    path = os.path.join(root, MARKER)
    found = read_json(path) or {}
    if found.get("protocol", PROTOCOL) != PROTOCOL:
        told = f"this root is of another protocol than {PROTOCOL}"
        hint = "use the taskdir that made it"
        raise ConfigError("protocol-version", told, path=path, pointer="/protocol", hint=hint)
    return found


def place(root: str, found: dict[str, Any] | None = None) -> Places:
    """Return a root's paths as this user sees them: behind walls an agent has a room, the operator all (docs/walls.md).

    ``found`` are its settings, if they were read already. Raises Missing for a user that is neither, ConfigError.
    """
    places = Places(root)
    if (settings(root) if found is None else found).get("walls") is not True or os.access(places.inbox, os.W_OK):
        return places
    for agent in sorted(_listed(places.agents)):
        if os.access(places.room(agent, "inbox"), os.W_OK | os.X_OK):
            return Places(root, agent)
    told = f"user {os.geteuid()} is no agent here, and this root keeps its agents apart"
    raise Missing("no-room", told, path=root, hint="`taskdir agent add NAME --user U`, as root, makes it one")


def of_claim(path: str) -> Places:
    """Return the root that a claimed file lies in, as the agent sees it whose claim it is."""
    mine = os.path.dirname(os.path.abspath(path))
    places, agent = Places(os.path.dirname(os.path.dirname(mine))), os.path.basename(mine)
    return Places(places.root, agent) if os.path.isdir(places.room(agent)) else places


def max_claims(root: str) -> int:
    """Return how many unfinished claims an agent may hold (settings, default 1)."""
    found = settings(root).get("max_claims", 1)
    return found if isinstance(found, int) and found >= 1 else 1


def queues(root: str) -> list[str]:
    """Return the queues that exist by name: ``default`` and the declared ones."""
    found = settings(root).get("queues", [])
    return ["default", *(name for name in found if isinstance(name, str))] if isinstance(found, list) else ["default"]


def daemon_runs(root: str) -> bool:
    """Say whether a daemon holds the root: probe its lock *shared*, let go at once (SPEC section 10.1)."""
    try:
        fd = HERE.open_root(root)
    except PermissionError:
        return True  # behind walls nobody but the daemon's user can tell: take it for running
    except OSError:
        return False
    try:
        return HERE.try_lock(fd, shared=True) is False  # None: no locks on this file system, so no daemon of ours
    finally:
        os.close(fd)


def mint_id(agent: str | None = None) -> str:
    """Return a fresh id, as UUIDv7 does: the time in microseconds, so that ids sort by age, then 48 random bits.

    ``agent``: behind walls, whose it is to be.
    """
    return f"{f'{agent}-' if agent else ''}t-{time.time_ns() // 1000:013x}-{os.urandom(6).hex()}"


def read_json(path: str) -> dict[str, Any] | None:
    """Read a JSON object; None when there is none: absent, no regular file, or torn by a power cut (SPEC P2)."""
    try:
        found = strictjson.loads(read_regular(path, LARGEST))
    except (OSError, NotRegular, TooLarge, Invalid):
        return None
    return found if isinstance(found, dict) else None


class Standing(namedtuple("Standing", "state body", defaults=(None,))):
    """How a task stands: submitted, queued, claimed, done, failed, canceled, rejected, or unknown; or, of one that is
    waited for, blocked.

    ``body`` is its record when it is final (None: pruned by its reader, or not published yet), the reason when it
    was rejected, and what it waits for (``by``) when it is blocked.
    """

    state: str
    body: dict[str, Any] | None


def standing(places: Places, id: str, *, thorough: bool = True) -> Standing | None:
    """Say how a task stands. Not ``thorough``: a few direct looks, None when they do not tell.

    The order of the looks is that of a task's way, so that one that moves meanwhile is met again further on.
    """
    file = id + names.TASK
    if (record := read_json(os.path.join(places.done, file))) is not None:
        return Standing("done", record)
    if is_there(os.path.join(places.inbox, file)):
        return Standing("submitted")
    if (record := read_json(os.path.join(places.failed, file))) is not None:
        return Standing("canceled" if record.get("state") == "canceled" else "failed", record)
    reason_path = os.path.join(places.rejected, id + names.REASON)
    if not thorough and not os.path.lexists(reason_path):
        return None
    if (state := _shown(places, id) or indexed(places, id)) is not None:
        return Standing(state, _record(places, id) if state in FINAL else None)
    # Last, since a refusal of another message under the same id says nothing about the task that has it.
    reason = read_json(reason_path)
    if reason is None and places.agent is not None and names.is_own(places.agent, id):
        return Standing("queued")  # behind walls no file of ours tells of a task of ours that others may hold
    return Standing("rejected", reason) if reason is not None else Standing("unknown")


def _record(places: Places, id: str) -> dict[str, Any] | None:
    file = id + names.TASK
    return read_json(os.path.join(places.done, file)) or read_json(os.path.join(places.failed, file))


def _shown(places: Places, id: str) -> str | None:
    """Look for a task's file in ready/ and claimed/, in the order of its way."""
    for state, place in (("queued", places.ready), ("claimed", places.claimed)):
        for directory in _listed(place):
            for name in _listed(os.path.join(place, directory)):
                if f".{id}." in name and (parts := names.split_claimed(name)) and parts[0].id == id:
                    return state
    return None


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def indexed(places: Places, id: str) -> str | None:
    """Ask the daemon's index, read-only, for a task's state; None when it knows no such task or is not there."""
    from taskdir import asking

    return asking.state(places.index, id)


def ended(places: Places, ids: Iterable[str], timeout: float | None = None) -> Iterator[tuple[str, Standing]]:
    """Yield (id, standing) of each task as it ends or turns out rejected; at the end those that are ``blocked``.

    Blocked is what waits for a failed or canceled task: told once nothing else is left to wait for, since a redrive may
    free it until then. ``timeout`` in seconds, None: for ever. Raises Missing for ids that nobody knows, TimedOut for
    what is left.
    """
    until = None if timeout is None else time.monotonic() + timeout
    left, doubtful = dict.fromkeys(ids), set[str]()
    pause, interval, next_thorough = 0.01, 0.1, 0.0
    while left:
        began = time.monotonic()
        thorough = began >= next_thorough
        unknown: list[str] = []
        queued: list[str] = []
        for id in list(left):
            found = standing(places, id, thorough=thorough)
            if found is None or found.state not in ENDED | {"unknown"}:
                queued += [id] if found is not None and found.state == "queued" else []
                continue
            if found.body is None and id not in doubtful:
                doubtful.add(id)  # the index may be a moment ahead of the files, or behind: conclude it the next time
            elif found.state == "unknown":
                unknown.append(id)
            else:
                del left[id]
                yield id, found
        if unknown:
            raise _unknown(places, unknown)
        if left and len(queued) == len(left) and len(stuck := blocked(places, queued)) == len(left):
            yield from ((id, Standing("blocked", {"by": stuck[id]})) for id in left)
            return
        if left and until is not None and time.monotonic() >= until:
            raise _timed_out(places, list(left))
        if thorough:  # of many tasks it takes long: it shall not take all the time
            now = time.monotonic()
            next_thorough, interval = now + max(interval, 4 * (now - began)), min(interval * 2, 1.0)
        if left:
            time.sleep(pause if until is None else max(0.0, min(pause, until - time.monotonic())))
            pause = min(pause * 1.2, 0.25)


def blocked(places: Places, ids: list[str]) -> dict[str, list[dict[str, str]]]:
    """Return those of the queued tasks that wait for a failed or canceled one, each with these: id and state.

    One that lies in inbox/ is being redriven, and blocks nobody.
    """
    from taskdir import asking

    found: dict[str, list[dict[str, str]]] = {}
    for id, by in asking.blocked(places.index, ids).items():
        stuck = [each for each in by if not is_there(os.path.join(places.inbox, each + names.TASK))]
        if stuck:
            found[id] = [{"id": each, "state": by[each]} for each in stuck]
    return found


def _unknown(places: Places, ids: list[str]) -> Missing:
    hint = "look for a typo; a task has the id of its message, or its own in a batch"
    return Missing("unknown-task", f"nobody knows a task of the id {', '.join(ids[:5])}", path=places.root, hint=hint)


def _timed_out(places: Places, ids: list[str]) -> TimedOut:
    told = f"not ended yet: {', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}"
    hint = "wait again" if daemon_runs(places.root) else "no daemon is running here; start `taskdir run`"
    return TimedOut("timed-out", told, hint=hint)
