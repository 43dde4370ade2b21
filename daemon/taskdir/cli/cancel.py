"""taskdir cancel: end tasks that wait or run (SPEC section 7.13)."""

from __future__ import annotations

import argparse

from taskdir import gestures, names, roots
from taskdir.cli.frame import Env, report_submitted
from taskdir.disk import Disk

HELP = """Ask for tasks to be canceled. With a daemon running, waits up to 5 seconds for its verdict: exit code 65 if
one of them is unknown or has ended already. An agent that works on one learns it by its missing file."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="the task")
    parser.add_argument("--dependants", action="store_true", help="and all that wait for it, however indirectly")
    parser.add_argument("--from", dest="from_", metavar="NAME", help="who asks")


def run(args: argparse.Namespace, env: Env) -> int:
    """Submit one message a task, then report the verdicts."""
    for id in args.ids:
        if not names.is_word(id):
            raise gestures.bad_word("id", id)
    places, disk = env.places(), Disk()
    asks = {"from": args.from_, "dependants": args.dependants or None}
    asks = {name: value for name, value in asks.items() if value is not None}
    sent = []
    for task in args.ids:
        id = roots.mint_id(places.agent)
        sent.append((id, gestures.submit(places, disk, {"kind": "cancel", "task": task, **asks}, id)))
    report_submitted(env, sent, shown=False)
    return 0
