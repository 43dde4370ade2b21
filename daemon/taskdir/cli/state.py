"""taskdir state: the shared state, read from files and changed by compare-and-set (SPEC section 7.17)."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from taskdir import roots, shared, strictjson
from taskdir.cli.frame import VERDICT_SECONDS, Env, json_argument, plain, why_waiting
from taskdir.disk import Disk
from taskdir.errors import Missing, TimedOut, Usage

HELP = """get prints a value as JSON (exit code 66: never set). set changes it, with --if-version only if nobody else
did since (0: never set); with a daemon running it waits up to 5 seconds for the verdict (exit code 65: refused) and
prints the new version. list prints all keys. watch prints a value, then each change that it sees."""

_POLL = 0.1
"""Seconds between two looks of ``watch``."""

_COUNTS = {"get": 1, "set": 2, "list": 0, "watch": 1}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=tuple(_COUNTS))
    parser.add_argument("words", nargs="*", metavar="KEY [VALUE]", help="VALUE is JSON, @FILE, or - for stdin")
    parser.add_argument("--if-version", type=int, metavar="N", help="set: only if the key is at this version; 0: unset")
    parser.add_argument("--from", dest="from_", metavar="NAME", help="set: who asks")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="watch: end after N lines")
    parser.add_argument("--timeout", type=float, metavar="S", help="watch: exit code 124 after so many seconds")


def run(args: argparse.Namespace, env: Env) -> int:
    """Do what was asked."""
    words = ["KEY", "VALUE"][: _COUNTS[args.action]]
    if len(args.words) != len(words):
        usage = " ".join(["taskdir state", args.action, *words])
        raise Usage("usage", f"state {args.action} takes {' and '.join(words) or 'nothing more'}", expected=usage)
    if args.action == "list":
        return _list(env)
    key = shared.checked(args.words[0])
    if args.action == "set":
        return _set(args, env, key)
    return _watch(args, env, key) if args.action == "watch" else _get(env, key)


def _get(env: Env, key: str) -> int:
    entry = shared.read(env.places(), key)
    if entry is None:
        raise Missing("no-key", f"the key {key} was never set", path=env.places().state, hint="`taskdir state list`")
    env.out(entry if env.json else strictjson.dumps(entry["value"]))
    return 0


def _list(env: Env) -> int:
    entries = shared.entries(env.places())
    if env.json:
        env.out(entries)
    for entry in entries if not env.json else ():
        env.out(plain(_line(entry)))
    return 0


def _line(entry: dict[str, Any]) -> str:
    value = strictjson.dumps(entry["value"])
    return f"{entry['key']}  v{entry['version']}  {value if len(value) <= 100 else value[:99] + '…'}"


def _set(args: argparse.Namespace, env: Env, key: str) -> int:
    places, value = env.places(), json_argument(args.words[1], "VALUE")
    sent = shared.send(places, Disk(), key, value, args.if_version, args.from_)
    runs = roots.daemon_runs(places.root)
    verdict = shared.judged(places, sent, VERDICT_SECONDS if runs else 0.0)
    version = shared.version_of(places, sent) if verdict.word == "accepted" else None
    if env.json:
        told = {"id": sent.id, "verdict": verdict.word, "key": key, "version": version, "reason": verdict.reason}
        env.out({name: each for name, each in told.items() if each is not None})
    elif version is not None:
        env.out(str(version))
    if verdict.word == "waiting":
        env.say(f"{sent.id} in inbox/, not judged yet: {why_waiting(runs)}")
    if verdict.word == "refused":
        raise verdict.error()
    return 0


def _watch(args: argparse.Namespace, env: Env, key: str) -> int:
    if args.timeout is not None and not args.timeout >= 0:
        raise Usage("usage", "--timeout is a number of seconds, 0 or more")
    until = None if args.timeout is None else time.monotonic() + args.timeout
    shown, version = 0, 0
    while True:
        entry = shared.read(env.places(), key)
        if entry is not None and entry["version"] != version:
            shown, version = shown + 1, entry["version"]
            env.out(entry if env.json else plain(_line(entry)))
            sys.stdout.flush()
            if shown == args.count:
                return 0
        if until is not None and time.monotonic() >= until:
            raise TimedOut("timed-out", f"{key} did not change any more", hint="wait again")
        time.sleep(_POLL)
