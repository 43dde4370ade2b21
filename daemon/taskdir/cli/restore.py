"""taskdir restore: write records in done/ or failed/ again, from what the log knows (SPEC section 10.7)."""

from __future__ import annotations

import argparse
from contextlib import closing

from taskdir import facts, records
from taskdir.cli.frame import Env
from taskdir.clock import Clock
from taskdir.disk import Disk
from taskdir.errors import Missing
from taskdir.nearby import nearby
from taskdir.story import known_ids

HELP = """Write the records of ended tasks again, byte for byte, after a reader took them away or somebody changed them.
Works with and without a daemon. Exit code 66: an id is unknown, or its task has not ended."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="the task")


def run(args: argparse.Namespace, env: Env) -> int:
    """Restore all that are known, then complain about the first that is not."""
    missing: list[Missing] = []
    with closing(facts.open_facts(str(env.root()), Clock().now())) as known:
        for id in args.ids:
            task = known.index.task(id)
            if task is None:
                hint = nearby(id, known_ids(known, id)) or "`taskdir list` shows all"
                missing.append(Missing("unknown-task", f"nobody knows a task of the id {id}", hint=hint))
            elif task.final is None:
                said = f"the task {id} is {task.state}: it has no record yet"
                missing.append(Missing("not-ended", said, hint="wait for it"))
            else:
                path = records.restore(known.places, Disk(), known.index, task)
                env.out({"id": id, "state": task.state, "path": path} if env.json else path)
    for error in missing[1:]:
        env.say(str(error))
    if missing:
        raise missing[0]
    return 0
