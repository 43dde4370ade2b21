"""taskdir hook: answer a coding agent's hook (docs/agents.md). Standard library alone, and never an exit code 2.

Vendors take 2 for "block", and any other failure for a warning; so whatever is wrong with us is a warning.
"""

from __future__ import annotations

import json
import os
import sys

from taskdir import names
from taskdir.errors import Missing, TaskdirError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from taskdir.cli.frame import Env

HELP = """Answer a hook of a coding agent: its JSON on stdin, the answer on stdout. At a session's start it tells the
agent who it is, what it holds and what waits; before a tool it denies writing into the log and others' places; after
one it renews; at the end it reminds, once, of an unfinished claim. `taskdir init --agent` registers it."""

AGENT = "TASKDIR_AGENT"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--dialect", required=True, help="how to speak: claude, codex, gemini or cursor")
    parser.add_argument("--agent", help=f"who it is; else ${AGENT}, else a name made from the session")


def run(args: argparse.Namespace, env: Env) -> int:
    """Answer."""
    from taskdir.dialects import DIALECTS

    if args.dialect not in DIALECTS:
        raise TaskdirError("usage", f"there is no dialect {args.dialect!a}", expected=", ".join(DIALECTS))
    agent = args.agent or os.environ.get(AGENT) or None
    if agent is not None and not names.is_word(agent):
        raise TaskdirError("name-grammar", f"{agent[:80]!a} cannot be the name of an agent")
    try:
        given = json.loads(sys.stdin.buffer.read() or b"{}")
    except ValueError:
        raise TaskdirError("json-syntax", "what came on stdin is no JSON", hint="this is called by hooks") from None
    try:
        places = env.places()
    except Missing as error:
        env.say(f"taskdir: {error.message}: nothing to tell")  # settings may be shared by people who have no root
        env.out({})
        return 0
    from taskdir.hooks import respond

    env.out(respond(places, args.dialect, given if isinstance(given, dict) else {}, agent))
    return 0
