"""taskdir list: tasks, by state, queue, type, agent, or what they wait for."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from taskdir import facts, story, terminal
from taskdir.cli import words
from taskdir.cli.frame import Env, plain
from taskdir.clock import Clock
from taskdir.errors import Usage
from taskdir.terminal import Table

HELP = """List tasks, oldest first; with --json as one array. --state rejected lists refused messages instead; --blocked
lists what waits for a failed or canceled task, so that only a redrive or cancel of that one helps."""

_FILTERS = ("state", "queue", "type", "agent", "after")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--state", choices=story.STATES, help="only tasks in this state")
    parser.add_argument("--queue", help="only tasks of this queue")
    parser.add_argument("--type", help="only tasks of this type")
    parser.add_argument("--agent", help="only what this agent holds or held last")
    parser.add_argument("--after", metavar="ID", help="only tasks that name this one as a dependency")
    parser.add_argument("--blocked", action="store_true", help="only tasks that a failed or canceled one blocks")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the first N (default: all)")


def run(args: argparse.Namespace, env: Env) -> int:
    """Print one line a task."""
    if args.limit < 0:
        raise Usage("usage", "--limit is 0 or more")
    given = {name: getattr(args, name) for name in _FILTERS}
    wanted = {name: value for name, value in given.items() if value is not None}
    if wanted.get("state") == "rejected" and (len(wanted) > 1 or args.blocked):
        raise Usage("usage", "a refused message has no queue, type or agent", hint="--state rejected alone")
    now = Clock().now()
    with closing(facts.open_facts(str(env.root()), now)) as known:
        found = story.tasks(known, wanted, args.limit, stuck=args.blocked)
        if env.json:
            env.out(list(found))
        elif terminal.has_tables(sys.stdout):
            rows = [[plain(cell) for cell in _cells(each)] for each in found]
            heads = "state file message" if wanted.get("state") == "rejected" else "state id type queue rank what"
            terminal.draw(sys.stdout, [Table("", heads.split(), list(rows))] if rows else [])
        else:
            for each in found:
                state, *rest = _cells(each)
                env.out(plain(f"{state:8}  " + "  ".join(cell for cell in rest if cell)))
    return 0


def _cells(told: dict[str, Any]) -> list[str]:
    if "file" in told:
        return ["rejected", told["file"], f"{told['message']} [{told['code']}]"]
    more = [f"attempt {told['attempt']}"] if told["attempt"] > 1 else []
    more += [told["agent"]] if "agent" in told else []
    if "by" in told:
        more.append(f"blocked by {words.causes(told['by'])}")
    elif told["state"] == "queued" and "unmet" in told:
        more.append(f"waits for {words.count(told['unmet'], 'task')}")
    elif told["state"] == "queued" and "stalled" in told:
        more.append(f"waits for {words.count(told['stalled'], 'resource')}")
    return [told["state"], told["id"], told["type"], told["queue"], f"p{told['priority']}", "  ".join(more)]
