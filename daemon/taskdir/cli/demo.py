"""`taskdir demo`: play a whole run, tell it from the log, prove that nothing was lost. Exits 1 when something was."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from taskdir import demo
from taskdir.cli.frame import Env, plain

HELP = """Show a whole run: a daemon on a fresh root and three workers, in Python, shell and Node, that index a source
tree. One is killed with -9, one hands in an invalid result; the story is told from the log, and checked."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="the source tree (default: taskdir's own)")
    parser.add_argument("--keep", action="store_true", help="leave the root there afterwards, and say where")


def run(args: argparse.Namespace, env: Env) -> int:
    """Play, tell, prove."""
    plan = demo.gather(args.folder or demo.default_folder())
    total = len(plan.expected())
    with ExitStack() as stack:
        stack.enter_context(_told_to_end())
        home = _home(stack, keep=args.keep)
        node = shutil.which("node")
        env.say(f"working on {plan}")
        if node is None:
            env.say("there is no node here: a second shell worker takes its place")
        if args.keep:
            env.say(f"the root stays: {home}/root")
        progress = stack.enter_context(env.progress(total, "tasks done"))
        shown = 0

        def advance(done: int) -> None:
            nonlocal shown
            progress.step(done - shown)
            shown = done

        outcome = demo.perform(plan, os.path.join(home, "root"), node, advance)
    if env.json:
        env.out({"tasks": outcome.tasks, "story": outcome.story, "faults": outcome.faults})
    else:
        env.out(plain("\n".join(outcome.story)))
        env.out("")
        env.out(plain("\n".join(f"WRONG: {fault}" for fault in outcome.faults)) or _proof(outcome.tasks))
        last = "nothing was lost" if not outcome.faults else f"{len(outcome.faults)} things went wrong"
        env.out(f"demo: {outcome.tasks} tasks, {last}")
    return 1 if outcome.faults else 0


def _proof(tasks: int) -> str:
    return (
        f"proof: {tasks} accepted, each done once; done/ holds each record as logged; every output, computed again,\n"
        "       is equal; `taskdir check` finds nothing"
    )


def _home(stack: ExitStack, *, keep: bool) -> str:
    if keep:
        return tempfile.mkdtemp(prefix="taskdir-demo-")
    return stack.enter_context(tempfile.TemporaryDirectory(prefix="taskdir-demo-"))


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does, so that its processes go with it."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
