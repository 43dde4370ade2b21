"""The parsers of the verbs: the one source of --help, and through ``described`` of completion and manual page."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Protocol

    from taskdir.cli.frame import Env

    class Verb(Protocol):
        """What each module of a verb offers."""

        HELP: str

        def configure(self, parser: argparse.ArgumentParser) -> None:
            """Add the verb's arguments."""

        def run(self, args: argparse.Namespace, env: Env) -> int:
            """Do it; returns the exit code."""


VERBS = {
    "init": "make a root",
    "run": "run the daemon in the foreground",
    "submit": "submit tasks and other messages",
    "claim": "take the next task of a queue",
    "finish": "hand in the output or the error of a claimed task",
    "work": "do tasks by a command, in workspaces",
    "note": "add a note to a claimed task, or to the log",
    "wait": "wait until tasks have ended",
    "import": "make tasks of another program's list",
    "cancel": "end tasks that wait or run",
    "show": "show a task as a record",
    "list": "list tasks",
    "status": "say how the root is doing",
    "log": "print events",
    "state": "read and change the shared state",
    "export": "print the log as CloudEvents or as OpenTelemetry spans",
    "report": "write the log as one HTML page",
    "agent": "list or add agents that are users of their own",
    "contract": "list, check or add task types",
    "validate": "check documents before they are used",
    "check": "compare the directories with the log",
    "restore": "write a pruned record again",
    "service": "have systemd, launchd or the Task Scheduler run the daemon",
    "completion": "print the completion for a shell",
    "man": "print the manual page",
    "doctor": "look for trouble in the surroundings",
    "conformance": "hold another agent or daemon against the protocol",
    "hook": "answer a hook of a coding agent",
    "mcp": "serve the root to language models as MCP tools",
    "demo": "show a whole run with several agents",
}
"""Every verb and what it does: literal, so that ``taskdir --help`` loads none of them."""


def load(name: str) -> Verb:
    """Load a verb's module."""
    return import_module(f"taskdir.cli.{name}")


def configure(found: Verb, parser: argparse.ArgumentParser) -> None:
    """Add a verb's arguments, and those of all verbs."""
    found.configure(parser)
    parser.add_argument("--root", metavar="DIR", help="the root; else $TASKDIR, else the nearest with taskdir.json")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, errors as JSON on stderr")


def verb(name: str) -> tuple[Verb, argparse.ArgumentParser]:
    """Load a verb and make its parser."""
    from taskdir.cli.argparser import Formatter, Parser

    found = load(name)
    parser = Parser(prog=f"taskdir {name}", description=found.HELP, allow_abbrev=False, formatter_class=Formatter)
    configure(found, parser)
    return found, parser
