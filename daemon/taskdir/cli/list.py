"""taskdir list: tasks, by state, queue, type or agent."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import Any

from taskdir import facts, story
from taskdir.cli.frame import Env, plain
from taskdir.clock import Clock
from taskdir.errors import Usage

HELP = """List tasks, oldest first; with --json as one array. --state rejected lists refused messages instead."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--state", choices=story.STATES, help="only tasks in this state")
    parser.add_argument("--queue", help="only tasks of this queue")
    parser.add_argument("--type", help="only tasks of this type")
    parser.add_argument("--agent", help="only what this agent holds or held last")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the first N (default: all)")


def run(args: argparse.Namespace, env: Env) -> int:
    """Print one line a task."""
    if args.limit < 0:
        raise Usage("usage", "--limit is 0 or more")
    given = {name: getattr(args, name) for name in ("state", "queue", "type", "agent")}
    wanted = {name: value for name, value in given.items() if value is not None}
    if wanted.get("state") == "rejected" and len(wanted) > 1:
        raise Usage("usage", "a refused message has no queue, type or agent", hint="--state rejected alone")
    now = Clock().now()
    with closing(facts.open_facts(str(env.root()), now)) as known:
        found = story.tasks(known, wanted, args.limit)
        if env.json:
            env.out(list(found))
            return 0
        for each in found:
            env.out(plain(_line(each)))
    return 0


def _line(told: dict[str, Any]) -> str:
    if "file" in told:
        return f"rejected  {told['file']}  {told['message']} [{told['code']}]"
    agent = f"  {told['agent']}" if "agent" in told else ""
    attempt = f"  attempt {told['attempt']}" if told["attempt"] > 1 else ""
    return f"{told['state']:8}  {told['id']}  {told['type']}  {told['queue']}  p{told['priority']}{attempt}{agent}"
