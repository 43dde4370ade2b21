"""taskdir log: events, from every segment, and as they come (SPEC section 9)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

from taskdir import checkpoint, logread, strictjson, terminal
from taskdir.cli.frame import Env, plain
from taskdir.clock import Clock
from taskdir.documents import Event
from taskdir.errors import Usage
from taskdir.logread import Follower

HELP = """Print events, one a line, oldest first; with --json as they stand in the log. -f goes on until interrupted. In
colour on a terminal, unless NO_COLOR is set; FORCE_COLOR wants colour everywhere. `log checkpoint` prints seq and hash
of the last line, as JSON to be kept elsewhere: `taskdir check --checkpoint FILE` holds the log against it, and finds
any later change of what came before."""

_POLL = 0.2
"""Seconds between two looks of ``-f``."""

_STYLES = {
    "done": "green",
    "accepted": "bold",
    "redriven": "bold",
    "claimed": "cyan",
    "set": "blue",
    **dict.fromkeys(("returned", "refused", "canceled", "benched", "unbenched"), "yellow"),
    **dict.fromkeys(("errored", "expired", "abandoned", "timed_out", "failed", "rejected", "late", "breach"), "red"),
}
"""The colour of an event's name: what went well, what went wrong, what to look at."""

_HIDDEN = frozenset({"seq", "time", "event", "id", "attempt", "agent", "prev", "end", "sha256", "contract"})


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("what", nargs="?", choices=("checkpoint",), help="print a checkpoint, no events")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("--id", help="only events about this task or message")
    parser.add_argument("--event", action="append", metavar="NAME", help="only these events; may be repeated")
    parser.add_argument("--agent", help="only events of this agent")
    parser.add_argument("--key", help="only changes of this key of the shared state")
    parser.add_argument("--since-seq", type=int, default=1, metavar="N", help="start at event N")


def run(args: argparse.Namespace, env: Env) -> int:
    """Print, and with -f wait for more."""
    if args.since_seq < 1:
        raise Usage("usage", "--since-seq is 1 or more")
    root = str(env.root())
    if args.what == "checkpoint":
        if args.follow or args.id or args.event or args.agent or args.key or args.since_seq > 1:
            raise Usage("usage", "a checkpoint is of the whole log", hint="taskdir log checkpoint >> FILE")
        env.out(strictjson.dumps(checkpoint.take(root, Clock().now()).as_dict()))
        return 0
    follower = Follower(root, logread.mark_before(logread.segments(root), args.since_seq))
    coloured = not env.json and terminal.has_colours(sys.stdout)
    while True:
        for event in _wanted(args, follower):
            env.out(strictjson.dumps(event) if env.json else _line(event, coloured=coloured))
        if follower.damage is not None and not follower.damage.torn:
            logread.raise_damage(follower.damage)
        if not args.follow:
            return 0
        flush()
        time.sleep(_POLL)


def flush() -> None:
    """Let a reader at the other end of a pipe see what there is so far."""
    print(end="", flush=True)


def _wanted(args: argparse.Namespace, follower: Follower) -> Iterator[Event]:
    for batch in follower.news():
        for event in batch.events:
            about = (event.get("id"), event.get("by"), str(event.get("file", "")).removesuffix(".json"))
            if (
                event["seq"] >= args.since_seq
                and (args.id is None or args.id in about)
                and (args.event is None or event["event"] in args.event)
                and (args.agent is None or event.get("agent") == args.agent)
                and (args.key is None or event.get("key") == args.key)
            ):
                yield event


def _line(event: Event, *, coloured: bool) -> str:
    who = f" #{event['attempt']}" if "attempt" in event else ""
    who += f" {event['agent']}" if "agent" in event else ""
    rest = plain(" ".join(f"{name}={_short(value)}" for name, value in event.items() if name not in _HIDDEN))
    when, name = f"{event['seq']:>6} {event['time']}", f"{event['event']:9}"
    if coloured:
        when, name = terminal.paint(when, "dim"), terminal.paint(name, _STYLES.get(event["event"], ""))
    return f"{when} {name} {plain(event.get('id', '') + who)} {rest}".rstrip()


def _short(value: Any) -> str:
    if isinstance(value, dict) and "code" in value and "message" in value:
        value = f"{value['code']}: {value['message']}"
    elif isinstance(value, dict) and "type" in value and "queue" in value:
        value = f"{value['type']} in {value['queue']}"
    text = value if isinstance(value, str) else strictjson.dumps(value)
    text = text.replace("\n", " ")
    return text if len(text) <= 100 else f"{text[:99]}…"
