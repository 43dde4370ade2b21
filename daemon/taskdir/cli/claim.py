"""taskdir claim: take the next task of a queue (SPEC section 7.4). Needs no daemon."""

from __future__ import annotations

import time

from taskdir import gestures, roots
from taskdir.cli.frame import Env
from taskdir.disk import Disk
from taskdir.errors import Busy, Usage
from taskdir.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = """Take the next task of a queue and print the path of its file. Exit code 75: there is nothing, or the agent
still holds a task, which it has to finish or give back (delete) first."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--agent", required=True, help="who you are: the directory in claimed/")
    parser.add_argument("--queue", default="default", help="default: default")
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="wait so many seconds for a task")


def run(args: argparse.Namespace, env: Env) -> int:
    """Claim and print."""
    if not args.wait >= 0:
        raise Usage("usage", "--wait is a number of seconds, 0 or more")
    places = env.places()
    found = _look(places, args.agent, args.queue, args.wait)
    if isinstance(found, gestures.Unfinished):
        told = f"{args.agent} still holds an unfinished task; nothing else was claimed"
        hint = "resume it, or delete the file to give it back; then claim again"
        raise Busy("unfinished", told, path=found.paths[0], hint=hint)
    if isinstance(found, gestures.Nothing):
        runs = roots.daemon_runs(places.root)
        hint = "--wait S waits for one" if runs else "no daemon is running here; start `taskdir run`"
        raise Busy("nothing", f"there is nothing to claim in ready/{args.queue}/", hint=hint)
    env.out({"path": found.path, "task": found.offer} if env.json else found.path)
    return 0


def _look(
    places: Places, agent: str, queue: str, seconds: float
) -> gestures.Claimed | gestures.Nothing | gestures.Unfinished:
    """Claim; as long as there is nothing, look again until the time is up."""
    disk, until, pause = Disk(), time.monotonic() + seconds, 0.01
    while True:
        found = gestures.claim(places, disk, agent, queue, roots.max_claims(places.root))
        left = until - time.monotonic()
        if not isinstance(found, gestures.Nothing) or left <= 0:
            return found
        time.sleep(min(pause, left))
        pause = min(pause * 1.2, 0.25)
