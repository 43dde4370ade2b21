"""taskdir agent: who works here behind walls, each as a user of its own (docs/walls.md)."""

from __future__ import annotations

import argparse
import os

from taskdir import roots, walls
from taskdir.cli.frame import Env
from taskdir.disk import Disk
from taskdir.errors import CannotCreate, ConfigError, Invalid, Missing, Usage
from taskdir.places import Places

HELP = """Behind walls (docs/walls.md): add an agent that is a user of its own, or give its directories their group and
modes again; list all. Adding is done as root, or as the daemon's user if that is in the agent's group."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=("list", "add"))
    parser.add_argument("name", nargs="?", metavar="NAME", help="add: the agent")
    parser.add_argument(
        "--user", metavar="USER[:GROUP]", help="add: names or numbers; the group is the user's own, else said here"
    )


def run(args: argparse.Namespace, env: Env) -> int:
    """Do what was asked."""
    places = Places(roots.find(env.named_root))
    if roots.settings(places.root).get("walls") is not True:
        hint = 'set "walls": true in taskdir.json and start the daemon again, or `taskdir init --walls` another root'
        raise ConfigError("no-walls", "this root has no walls", path=places.settings, pointer="/walls", hint=hint)
    if args.action == "list":
        if args.name or args.user:
            raise Usage("usage", "agent list takes no names")
        _list(places, env)
        return 0
    if not args.name or not args.user:
        raise Usage("usage", "agent add needs NAME and --user", hint="taskdir agent add NAME --user USER")
    _add(places, args.name, *_user(args.user))
    if env.json:
        env.out({"agent": args.name, "group": walls.agents(places)[args.name]})
    else:
        env.say(f"{args.name} may submit, and claim by `taskdir claim --agent {args.name}`")
    return 0


def _list(places: Places, env: Env) -> None:
    found = {name: (group, walls.members(group)) for name, group in walls.agents(places).items()}
    if env.json:
        env.out([{"agent": name, "group": group, "users": users} for name, (group, users) in found.items()])
        return
    for name, (group, users) in found.items():
        env.out(f"{name}  {', '.join(users) or group}")


def _user(text: str) -> tuple[int, int]:
    """Return the user and group that are meant. Raises Missing."""
    import grp
    import pwd

    user, mark, group = text.partition(":")
    try:
        known = None if user.isdecimal() else pwd.getpwnam(user)
        uid = int(user) if known is None else known.pw_uid
        if mark:
            return uid, int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        return uid, (known or pwd.getpwuid(uid)).pw_gid
    except KeyError:
        hint = "make it first, say by adduser --system --group; or give numbers, as 2001:2001"
        raise Missing("no-user", f"this machine has no user or group {text!a}", hint=hint) from None


def _add(places: Places, name: str, user: int, group: int) -> None:
    """Make the agent's directories as the daemon's user, so that even root does here only what that user may."""
    others = {other: gid for other, gid in walls.agents(places).items() if other != name}
    if (said := walls.in_the_way(name, others)) is not None:
        raise Invalid("name-grammar", f"{name[:80]!a} cannot be an agent here: {said}", hint="choose another name")
    house = os.stat(places.root)
    if house.st_uid == 0:
        told = "this root is root's, and the daemon behind walls is not root"
        raise ConfigError("walls-user", told, path=places.root, hint="make it as a user of the daemon's own")
    crowd = [each for each in walls.members(group) if each != _name(user)]
    shared = next((other for other, gid in others.items() if gid == group), None)
    if user in (0, house.st_uid) or group in (0, house.st_gid) or shared or crowd:
        whose = (
            f"{shared}'s" if shared else f"shared with {', '.join(crowd[:5])}" if crowd else "the daemon's or root's"
        )
        hint = "give the agent a user and a group of its own: adduser --system --group NAME"
        raise ConfigError("walls-group", f"the user {user} or its group {group} is {whose}", hint=hint)
    if os.geteuid() == 0:
        os.setgroups([group])
        os.setresgid(house.st_gid, house.st_gid, house.st_gid)
        os.setresuid(house.st_uid, house.st_uid, house.st_uid)
    try:
        walls.build(places, Disk(), name, group)
    except OSError as error:
        hint = f"sudo taskdir --root {places.root} agent add {name} --user {user}:{group}"
        told = f"the directories of {name} cannot be made: {error.strerror}"
        raise CannotCreate("cannot-write", told, path=error.filename, hint=hint) from None


def _name(user: int) -> str | None:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return None
