"""taskdir init: make a root (SPEC section 4). Can be repeated: it makes what is missing and changes nothing else."""

from __future__ import annotations

import argparse
import json
import os

from taskdir import roots, walls
from taskdir.cli.frame import Env
from taskdir.disk import Disk
from taskdir.errors import CannotCreate, Usage
from taskdir.places import Places

HELP = "Make a root: the directories, taskdir.json, and one contract, echo. Prints the line that exports $TASKDIR."

ECHO = {"description": "anything in, anything out"}
OURS = "taskdir.json inbox/ ready/ claimed/ done/ failed/ rejected/ state/ log.jsonl log/ .taskdir/ .gitignore"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("dir", nargs="?", metavar="DIR", help="where; made if need be (default: here)")
    parser.add_argument("--walls", action="store_true", help="keep agents apart, each a user of its own: docs/walls.md")
    parser.add_argument(
        "--editor", choices=("vscode",), help="also write .vscode/: schemas, and a task that checks all"
    )
    told = "also tell a coding agent, in the current directory: hooks, MCP server, AGENTS.md; repeatable"
    parser.add_argument("--agent", action="append", choices=("claude", "codex", "gemini", "cursor"), help=told)


def run(args: argparse.Namespace, env: Env) -> int:
    """Make the root and print how to use it."""
    if args.dir and args.root and os.path.abspath(args.dir) != os.path.abspath(args.root):
        raise Usage("usage", "DIR and --root name two places", hint="name one")
    places = Places(args.dir or args.root or ".")
    disk = Disk()
    fresh = not os.path.lexists(places.settings)
    _make_parents(disk, places.root)
    if fresh:
        _refuse_strangers(places)
    # taskdir.json comes last: it marks the root, so that nobody finds one half made.
    for path in [*places.private(), *places.public()]:
        _make(disk, path)
    _make_ready(disk, places)
    _write(disk, os.path.join(places.contracts, "echo.json"), (json.dumps(ECHO) + "\n").encode())
    _write(disk, places.join(".gitignore"), _gitignore())
    _write(disk, places.settings, b'{"protocol": 1, "walls": true}\n' if args.walls else b'{"protocol": 1}\n')
    if roots.settings(places.root).get("walls") is True:
        walls.close(places, disk)
    elif args.walls:
        raise CannotCreate("in-the-way", "a root without walls", path=places.settings, hint='set "walls": true in it')
    disk.sync_dir(places.root)
    roots.settings(places.root)
    _report(env, places.root, fresh, _set_up(args, disk, places.root))
    return 0


def _set_up(args: argparse.Namespace, disk: Disk, root: str) -> dict[str, list[str]]:
    """Tell editor and coding agents of the root, if asked to; returns the files that were changed, for each."""
    written: dict[str, list[str]] = {}
    if args.editor:
        from taskdir import vscode

        written["editor"] = vscode.set_up(root, disk)
    if args.agent:
        from taskdir import agentfiles

        written["agents"] = agentfiles.set_up(os.getcwd(), root, args.agent, disk)
    return written


def _report(env: Env, root: str, fresh: bool, written: dict[str, list[str]]) -> None:
    from shlex import quote

    if env.json:
        env.out({"root": root, "created": fresh} | written)
        return
    env.out(f"export TASKDIR={quote(root)}")
    env.say("a new root; start its daemon with `taskdir run`" if fresh else "it is a root already")
    for whose, files in written.items():
        env.say(f"written: {', '.join(files)}" if files else f"the files for {whose} have it all already")


def _make_parents(disk: Disk, path: str) -> None:
    if not os.path.lexists(path):
        _make_parents(disk, os.path.dirname(path))
    _make(disk, path)


def _make(disk: Disk, path: str) -> None:
    if os.path.isdir(path):
        return
    try:
        if disk.mkdir(path):
            return
    except OSError as error:
        raise CannotCreate("cannot-write", os.strerror(error.errno or 0), path=path) from None
    raise _in_the_way(path, "no directory, which it must be")


def _make_ready(disk: Disk, places: Places) -> None:
    """Make ready/default/, then take ready/ its write bit: an empty variable in ``mv`` must not move a queue away."""
    default = os.path.join(places.ready, "default")
    if not os.path.isdir(default):
        disk.chmod(places.ready, 0o755)
        _make(disk, default)
    disk.chmod(places.ready, 0o555)


def _refuse_strangers(places: Places) -> None:
    """Refuse to turn directories of another use into ours. A root that was one, or was half made, is none."""
    if os.path.lexists(places.log) or os.path.lexists(places.own):
        return
    for path in places.public():
        if path != places.contracts and os.path.isdir(path) and os.listdir(path):
            raise _in_the_way(path, "a directory with something else in it")


def _write(disk: Disk, path: str, data: bytes) -> None:
    if os.path.isfile(path):
        return
    aside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.urandom(6).hex()}")
    try:
        made = disk.publish_new(path, data, aside=aside)
    except OSError as error:
        raise CannotCreate("cannot-write", os.strerror(error.errno or 0), path=path) from None
    if not made and not os.path.isfile(path):
        raise _in_the_way(path, "no file, which it must be")


def _in_the_way(path: str, what: str) -> CannotCreate:
    return CannotCreate("in-the-way", f"this is {what}", path=path, hint="move it away, or choose another directory")


def _gitignore() -> bytes:
    head = "# Only contracts/ is to be versioned: a tracked taskdir.json would make each work tree a root of its own.\n"
    return (head + "".join(f"/{name}\n" for name in OURS.split())).encode()
