"""taskdir wait: wait until tasks have ended. Looks at files, and at the index only for what no file shows."""

from __future__ import annotations

import argparse
from typing import Any

from taskdir import gestures, names, roots
from taskdir.cli.frame import Env, plain
from taskdir.errors import Busy, Usage
from taskdir.places import Places

HELP = """Wait until all of the tasks have ended, printing each as it does. Exit code 0: all are done; 1: one failed,
was canceled or rejected; 75: what is left is blocked by a task that failed or was canceled; 66: nobody knows an id;
124: the time is up."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="the task")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds (default: for ever)")


def run(args: argparse.Namespace, env: Env) -> int:
    """Wait and print: id and state, with --json the record, one a line."""
    if args.timeout is not None and not args.timeout >= 0:
        raise Usage("usage", "--timeout is a number of seconds, 0 or more")
    for id in args.ids:
        if not names.is_word(id):
            raise gestures.bad_word("id", id)
    places, states = env.places(), set[str]()
    if any(_is_open(places, id) for id in args.ids) and not roots.daemon_runs(places.root):
        env.say("no daemon is running here: what has not ended waits for `taskdir run`")
    with env.progress(len(set(args.ids)), "ended") as progress:
        for id, found in roots.ended(places, args.ids, args.timeout):
            env.out(_data(id, found) if env.json else _line(id, found))
            progress.step()
            states.add(found.state)
    if states <= {"done", "blocked"}:
        return Busy.exit if "blocked" in states else 0
    return 1


def _is_open(places: Places, id: str) -> bool:
    found = roots.standing(places, id, thorough=False)
    return found is None or found.state not in roots.ENDED


def _data(id: str, found: roots.Standing) -> dict[str, Any]:
    if found.state == "blocked" and found.body is not None:
        return {"id": id, "state": found.state, **found.body}
    if found.state == "rejected" or found.body is None:
        return {"id": id, "state": found.state} | ({"reason": found.body} if found.body is not None else {})
    return found.body


def _line(id: str, found: roots.Standing) -> str:
    body = found.body or {}
    if found.state == "blocked":
        return f"{id} blocked by " + ", ".join(f"{each['id']} ({each['state']})" for each in body["by"])
    said = (body if found.state == "rejected" else body.get("error") or {}).get("message")
    return f"{id} {found.state}" + (plain(f": {said}").replace("\n", " ") if said else "")
