"""Walls between agents that run as users of their own: who owns what, and with which mode (docs/walls.md).

Every directory belongs to the daemon's user. What an agent enters it enters by its group, which has one member; so no
agent can change the mode of a directory, move one, or put a link in its place.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection

from taskdir import names
from taskdir.disk import Disk
from taskdir.errors import ConfigError
from taskdir.places import ROOM, Places

LONGEST = 32
"""Characters of an agent's name behind walls: its ids begin with it."""
HOME, DOOR, CLOSED, PASSAGE, SHOWN = 0o770, 0o750, 0o700, 0o711, 0o755
LOG = 0o600


def own(places: Places) -> dict[str, int]:
    """Return the daemon's own files and directories with the most that their modes may allow."""
    closed = (places.inbox, places.done, places.failed, places.rejected, places.own, places.join("log"))
    shown = (places.ready, places.state, places.contracts, places.agents)
    found = {places.root: PASSAGE, places.claimed: PASSAGE, places.settings: 0o644, places.log: LOG}
    return found | dict.fromkeys(closed, CLOSED) | dict.fromkeys(shown, SHOWN)


def rooms(places: Places, agent: str) -> dict[str, int]:
    """Return an agent's directories with their modes, in the order in which they are made: its claims come last."""
    door = {places.room(agent): DOOR} | {places.room(agent, part): HOME for part in ROOM}
    return door | {places.join("claimed", agent): HOME}


def close(places: Places, disk: Disk) -> None:
    """Take from the daemon's own places what their modes allow beyond ``own``; what it makes from now on is readable
    where it lies in a directory that can be entered. Raises OSError."""
    os.umask(0o022)
    if not os.path.isdir(places.agents):
        disk.mkdir(places.agents)
    for path, most in own(places).items():
        try:
            mode = stat.S_IMODE(os.lstat(path).st_mode)
        except FileNotFoundError:
            continue
        if mode & ~most:
            disk.chmod(path, mode & most)


def check_user(places: Places) -> None:
    """Raise ConfigError unless this process may be the daemon: the user that owns the root, and never root."""
    owner, user = os.stat(places.root).st_uid, getattr(os, "geteuid", int)()
    if user == 0 or owner != user:
        told = f"behind walls the daemon runs as the user that owns the root ({owner}), which is not root"
        raise ConfigError("walls-user", told, path=places.root, hint="make the root as a user of the daemon's own")


def agents(places: Places) -> dict[str, int]:
    """Return every agent's name with the group of its directory in claimed/: by it the agent enters."""
    found = {}
    for name in sorted(os.listdir(places.agents) if os.path.isdir(places.agents) else ()):
        if names.is_word(name):
            try:
                found[name] = os.lstat(places.join("claimed", name)).st_gid
            except FileNotFoundError:
                found[name] = -1
    return found


def members(group: int) -> list[str]:
    """Return the users that the system's lists put into a group, sorted."""
    import grp
    import pwd

    found = {user.pw_name for user in pwd.getpwall() if user.pw_gid == group}
    with contextlib.suppress(KeyError):  # a group without a name has no members but by birth
        found.update(grp.getgrgid(group).gr_mem)
    return sorted(found)


def in_the_way(name: str, others: Collection[str]) -> str | None:
    """Return why an agent cannot have a name behind walls, given the other agents' names; None if it can."""
    if not names.is_word(name) or len(name) > LONGEST:
        return f"a name has 1 to {LONGEST} of a-z 0-9 _ -, the first no _ or -"
    for other in others:
        if names.is_own(name, other) or names.is_own(other, name):
            return f"its ids could be those of the agent {other}"
    return None


def build(places: Places, disk: Disk, agent: str, group: int) -> None:
    """Make an agent's directories, or give them their group and modes again. Raises OSError."""
    disk.mkdir(places.agents)
    for path, mode in rooms(places, agent).items():
        disk.mkdir(path, CLOSED)
        disk.chmod(path, mode, group)
