"""taskdir contract: the types of tasks (SPEC section 6.3)."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from taskdir import contracts, names, validate, vet
from taskdir.cli import findings
from taskdir.cli.frame import Env, plain, read_file
from taskdir.disk import Disk, NotRegular, TooLarge, read_regular
from taskdir.errors import CannotCreate, Invalid, Missing, Usage

KEYS = "state"
"""The directory in contracts/ for the contracts of keys of the shared state."""

HELP = """List the types that exist; check contracts before they are used; add a contract, checked first and published
in one step. Exit code 65: a contract is invalid; 73: the type exists with another text."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=("list", "check", "add"))
    parser.add_argument("words", nargs="*", metavar="TYPE|FILE", help="check: FILE… (default: all); add: TYPE [FILE]")
    findings.configure(parser)
    parser.add_argument("--replace", action="store_true", help="add: replace a contract that exists")


def run(args: argparse.Namespace, env: Env) -> int:
    """Do what was asked."""
    if args.action == "list":
        return _list(args.words, env)
    if args.action == "check":
        return _check(args.words, env, args.format)
    return _add(args.words, env, replace=args.replace)


def _files(env: Env) -> list[str]:
    """Return the files of all contracts: those of types, then those of keys of the shared state."""
    types = env.places().contracts
    return [
        os.path.join(directory, name)
        for directory in (types, os.path.join(types, KEYS))
        if directory == types or os.path.isdir(directory)
        for name in sorted(os.listdir(directory))
        if names.is_message_name(name)
    ]


def _list(words: list[str], env: Env) -> int:
    if words:
        raise Usage("usage", "contract list takes no names")
    found = list(_described(env))
    if env.json:
        env.out(found)
    for each in found if not env.json else ():
        fault = f"  BAD: {each['error']['message']} [{each['error']['code']}]" if "error" in each else ""
        name = each["type"] if "type" in each else f"{KEYS}/{each['key']}"
        env.out(plain(f"{name}  {each.get('description', '')}{fault}".rstrip()))
    return 0


def _described(env: Env) -> Iterator[dict[str, Any]]:
    own = validate.document("contract")
    for path in _files(env):
        word = os.path.basename(path).removesuffix(names.TASK)
        told: dict[str, Any] = {"key" if os.path.basename(os.path.dirname(path)) == KEYS else "type": word}
        try:
            contract = contracts.parse(word, read_regular(path, vet.LARGEST), own)
            told["sha256"] = contract.sha256
            told |= {name: contract.document[name] for name in ("description", "defaults") if name in contract.document}
            told["checks"] = [side for side in ("input", "output") if side in contract.document]
        except Invalid as fault:
            told["error"] = fault.as_dict()
        except (OSError, NotRegular, TooLarge) as error:
            told["error"] = {"code": "unreadable", "message": f"cannot be read: {error}"}
        yield told


def _check(words: list[str], env: Env, form: str) -> int:
    paths = words or _files(env)
    found = [verdict for path in paths for verdict in vet.vet(path, "contract")]
    if env.json:
        env.out([verdict.as_dict() for verdict in found])
    else:
        findings.tell(env, form, found)
    if not found:
        env.say(f"{len(paths)} contracts can be used")
    return Invalid.exit if found else 0


def _add(words: list[str], env: Env, *, replace: bool) -> int:
    if len(words) not in (1, 2):
        raise Usage("usage", "contract add TYPE [FILE]; without FILE, it is read from stdin")
    type, places = words[0], env.places()
    if not names.is_word(type):
        raise Usage("usage", f"{type!a} is no name for a type", hint="1 to 64 of a-z 0-9 _ -")
    data = read_file(words[1]) if len(words) == 2 and words[1] != "-" else sys.stdin.buffer.read()
    try:
        contracts.parse(type, data)
    except Invalid as fault:
        fault.path = words[1] if len(words) == 2 else "stdin"
        raise
    path, disk = os.path.join(places.contracts, type + names.TASK), Disk()
    aside = os.path.join(places.contracts, f".{type}.{os.getpid()}")
    if not os.path.isdir(places.contracts):
        raise Missing("no-directory", "there is no contracts/ here", path=places.contracts)
    if replace:
        disk.publish(path, data, aside=aside, sync=True)
    elif not disk.publish_new(path, data, aside=aside) and _hash(path) != hashlib.sha256(data).hexdigest():
        raise CannotCreate("exists", f"the type {type} exists with another text", path=path, hint="--replace")
    env.out({"type": type, "sha256": hashlib.sha256(data).hexdigest()} if env.json else type)
    return 0


def _hash(path: str) -> str | None:
    try:
        return hashlib.sha256(read_regular(path, vet.LARGEST)).hexdigest()
    except (OSError, NotRegular, TooLarge):
        return None
