"""taskdir work: do tasks by a command, each attempt in a workspace of its own (docs/runner.md)."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from taskdir.cli.frame import Env, plain
from taskdir.errors import Missing, Usage
from taskdir.strictjson import dumps

HELP = """Claim tasks and have CMD do them, each attempt in a fresh directory or git worktree. CMD finds the task at
$TASKDIR_TASK, a prompt at $TASKDIR_PROMPT, and writes its result to $TASKDIR_RESULT; in CMD {prompt}, {task}, {result},
{schema}, {workspace}, {id} and others are replaced. The result is checked before it is handed in; what is wrong is told
to CMD for another try. The first SIGTERM, SIGINT or SIGHUP ends it after the task in hand, the second at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--agent", required=True, help="who you are; every runner has a name of its own")
    parser.add_argument("--queue", default="default", help="default: default")
    parser.add_argument("--slots", type=int, default=1, metavar="N", help="do N tasks at once, as AGENT-1 to AGENT-N")
    parser.add_argument("--once", action="store_true", help="end as soon as there is nothing to claim")
    parser.add_argument("--max-tasks", type=int, metavar="N", help="end after N tasks (each slot)")
    parser.add_argument("--worktree", metavar="REPO", help="workspaces are git worktrees of REPO, a branch each")
    parser.add_argument(
        "--base", default="HEAD", metavar="REF", help="where the branches begin (default: HEAD of REPO)"
    )
    parser.add_argument(
        "--workspaces", metavar="DIR", help="where workspaces lie (default: beside the root, ROOT.work)"
    )
    parser.add_argument("--keep", type=int, default=10, metavar="N", help="keep N workspaces of failed attempts (10)")
    parser.add_argument("--profile", metavar="NAME", help="claude, codex, gemini …, or a file; default: by CMD's name")
    parser.add_argument("--commands", metavar="FILE", help="a JSON object: type of task → command")
    parser.add_argument("--tries", type=int, default=3, metavar="N", help="run CMD so often in one attempt (3)")
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="S", help="stop CMD after S seconds (3600)")
    parser.add_argument("--max-output", type=int, default=64 << 20, metavar="BYTES", help="stop CMD after it (64 MiB)")
    parser.add_argument("--grace", type=float, default=5.0, metavar="S", help="from SIGTERM to SIGKILL (5)")
    parser.add_argument("--sandbox", action="store_true", help="CMD may write in its workspace only, without network")
    parser.add_argument("--network", action="store_true", help="with --sandbox: CMD has the network")
    told = "with --sandbox: CMD may write here, too; repeatable"
    parser.add_argument("--writable", action="append", default=[], metavar="PLACE", help=told)
    parser.set_defaults(command=[])


def run(args: argparse.Namespace, env: Env) -> int:
    """Work until it is over."""
    from taskdir import roots
    from taskdir.runner import commands, loop
    from taskdir.runner.options import Options

    if os.name != "posix":
        raise Usage("usage", "the runner needs a POSIX system", hint="from Python: Taskdir().work(…)")
    _check(args)
    places = env.places()
    work = os.path.abspath(args.workspaces or f"{places.root}.work")
    if work == places.root or work.startswith(places.root + os.sep):
        raise Usage("usage", "workspaces cannot lie in the root, which holds files of the protocol only", path=work)
    options = Options(
        agent=args.agent,
        commands=commands.choose(args.command, args.profile, args.commands),
        work=work,
        queue=args.queue,
        repo=os.path.abspath(args.worktree) if args.worktree else None,
        base=args.base,
        keep=args.keep,
        tries=args.tries,
        seconds=args.timeout,
        output=args.max_output,
        grace=args.grace,
        once=args.once,
        max_tasks=args.max_tasks,
        sandbox=args.sandbox,
        network=args.network,
        writable=tuple(map(os.path.abspath, args.writable)),
    )

    def tell(event: dict[str, Any]) -> None:
        line, stream = (dumps(event), sys.stdout) if env.json else (plain(_words(event)), sys.stderr)
        stream.write(line + "\n")  # one call, so that the lines of slots do not mix
        stream.flush()

    if not roots.daemon_runs(places.root):
        env.say("no daemon is running here: nothing new is offered until `taskdir run`")
    if args.slots > 1:
        return loop.slots(places, options, args.slots, tell)
    loop.run(places, options, tell, loop.Signals())
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in ("slots", "tries", "max_output"):
        if getattr(args, name) < 1:
            raise Usage("usage", f"--{name.replace('_', '-')} is a number from 1")
    if not args.timeout > 0 or not args.grace >= 0 or args.keep < 0 or (args.max_tasks or 1) < 1:
        raise Usage("usage", "--timeout, --grace, --keep and --max-tasks are numbers that are not negative")
    if (args.network or args.writable) and not args.sandbox:
        raise Usage("usage", "--network and --writable go with --sandbox")
    if missing := [place for place in args.writable if not os.path.exists(place)]:
        raise Missing("no-file", "--writable names a place that is not there", path=missing[0])
    if args.sandbox:
        from taskdir.runner import sandbox

        sandbox.mechanism()  # before anything is claimed: without walls nothing is done


def _words(event: dict[str, Any]) -> str:
    """Say what happened in a line."""
    kind, agent = event["event"], event["agent"]
    name = event.get("name") or f"{event.get('id')}.{event.get('attempt')}"
    if kind == "swept":
        killed = f"; ended what it left running: {', '.join(map(str, event['killed']))}"
        end = "removed" if event["removed"] else "left"
        return f"{agent}: {end} {name}: {event['why']}{killed if event['killed'] else ''}"
    if kind == "ended":
        code = f" ({event['code']}: {event.get('message', '')})" if event.get("code") else ""
        kept = f"; kept: {event['workspace']}" if event.get("workspace") else ""
        return f"{agent}: {name} {event['outcome']}{code}{kept}"
    return f"{agent}: {name if 'id' in event else event.get('message')} {kind}"
