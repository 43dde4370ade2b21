"""Probe of walls: who owns what, and with which mode, when agents are users of their own (docs/walls.md)."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator

from taskdir import walls
from taskdir.doctor.site import Finding, Site, error, listing, ok, warning

_LISTS = "system.posix_acl_access", "system.posix_acl_default"


def walls_stand(site: Site) -> Iterator[Finding]:
    """No agent can enter what is another's or the daemon's."""
    if not site.settings.walls:
        return
    found = [*_way_in(site), *_own(site), *_rooms(site), *_groups(site), *_links(site)]
    yield from found or [ok("d-walls", f"{len(walls.agents(site.places))} agents, each behind walls")]


def _way_in(site: Site) -> Iterator[Finding]:
    """The root is the daemon's, and nobody can put another directory in its place."""
    owner = os.stat(site.places.root).st_uid
    if owner == 0:
        fix = "make the root as a user of the daemon's own, and run the daemon as that"
        yield error("d-walls-owner", "the root belongs to root, as which the daemon does not run behind walls", fix)
    above = os.path.dirname(site.places.root)
    while True:
        seen = os.stat(above)
        if seen.st_uid not in (0, owner) or (seen.st_mode & 0o022 and not seen.st_mode & stat.S_ISVTX):
            message = f"others can write in {above}, and so put another directory in place of the root"
            yield error("d-walls-above", message, f"chmod go-w {shlex.quote(above)}, or move the root")
        if above == os.path.dirname(above):
            return
        above = os.path.dirname(above)


def _own(site: Site) -> Iterator[Finding]:
    owner = os.stat(site.places.root).st_uid
    for path, most in walls.own(site.places).items():
        if os.path.lexists(path):
            yield from _mode(site, path, most, owner)
    inner = [os.path.join(at, name) for at in (site.places.contracts, site.places.ready) for name in listing(at)]
    for path in inner:
        yield from _mode(site, path, 0o755 if os.path.isdir(path) else 0o644, owner)


def _rooms(site: Site) -> Iterator[Finding]:
    owner, known = os.stat(site.places.root).st_uid, walls.agents(site.places)
    for agent, group in known.items():
        if (said := walls.in_the_way(agent, [each for each in known if each != agent])) is not None:
            yield error(
                "d-walls-name", f"the agent {agent}: {said}", f"rename or remove agents/{agent} and claimed/{agent}"
            )
        for path, mode in walls.rooms(site.places, agent).items():
            again = f"sudo taskdir --root {shlex.quote(site.places.root)} agent add {agent} --user USER"
            if not os.path.isdir(path) or os.path.islink(path):
                yield error("d-walls-room", f"{_told(site, path)} is no directory", again)
                continue
            yield from _mode(site, path, mode, owner)
            if os.lstat(path).st_gid != group:
                message = f"{_told(site, path)} is of group {os.lstat(path).st_gid}, not of {agent}'s, {group}"
                yield error("d-walls-group", message, again)
            if missing := mode & ~os.lstat(path).st_mode & 0o777:
                yield error(
                    "d-walls-mode", f"{_told(site, path)} lacks the bits {missing:03o}", f"chmod {mode:o} {path}"
                )
    for agent in listing(site.places.claimed):
        if agent not in known:
            path = shlex.quote(site.places.join("claimed", agent))
            yield error("d-walls-room", f"claimed/{agent} is of no agent", f"move {path} away, or `taskdir agent add`")


def _mode(site: Site, path: str, most: int, owner: int) -> Iterator[Finding]:
    """Owner, mode and access list of one place."""
    seen, quoted = os.lstat(path), shlex.quote(path)
    if seen.st_uid != owner:
        message = f"{_told(site, path)} belongs to user {seen.st_uid}, not to the daemon's, {owner}"
        yield error("d-walls-owner", message, f"sudo chown {owner} {quoted}")
    if stat.S_ISLNK(seen.st_mode):
        yield error("d-walls-owner", f"{_told(site, path)} is a link", f"rm {quoted}")
    elif surplus := stat.S_IMODE(seen.st_mode) & ~most & 0o777:
        message = f"{_told(site, path)} has mode {stat.S_IMODE(seen.st_mode):04o}: {surplus:03o} is too much"
        yield error("d-walls-mode", message, f"chmod {most:o} {quoted}")
    if hasattr(os, "listxattr") and set(_LISTS) & set(os.listxattr(path, follow_symlinks=False)):
        yield error(
            "d-walls-acl", f"{_told(site, path)} has an access list, which may let others in", f"setfacl -bk {quoted}"
        )


def _groups(site: Site) -> Iterator[Finding]:
    """Each agent's group has one user, and is nobody else's here."""
    house, seen = os.stat(site.places.root), dict[int, str]()
    for agent, group in walls.agents(site.places).items():
        fix = f"give {agent} a user and a group of its own, then `taskdir agent add {agent} --user USER` again"
        if group in (0, house.st_gid):
            yield error("d-walls-group", f"the group {group} of {agent} is the daemon's or root's", fix)
        if group in seen:
            yield error("d-walls-group", f"{agent} and {seen[group]} have the same group, {group}", fix)
        seen.setdefault(group, agent)
        if group >= 0 and len(users := walls.members(group)) > 1:
            yield error("d-walls-group", f"the group {group} of {agent} has several users: {', '.join(users)}", fix)


def _links(site: Site) -> Iterator[Finding]:
    """The kernel refuses hard links to what one may not write: else files elsewhere could be handed in."""
    try:
        with open(os.path.join(site.proc, "sys", "fs", "protected_hardlinks"), encoding="ascii") as file:
            off = file.read().strip() == "0"
    except FileNotFoundError:
        return
    if off:
        message = "fs.protected_hardlinks is 0: an agent can hand in files of others that the daemon may read"
        yield warning("d-walls-links", message, "sudo sysctl fs.protected_hardlinks=1")


def _told(site: Site, path: str) -> str:
    return os.path.relpath(path, site.places.root)
