"""The parsers of the verbs: the one source of --help, and through ``described`` of completion and manual page."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from taskdir.errors import Usage

if TYPE_CHECKING:
    from taskdir.cli.frame import Env

VERBS = {
    "init": "make a root",
    "run": "run the daemon in the foreground",
    "submit": "submit tasks and other messages",
    "claim": "take the next task of a queue",
    "finish": "hand in the output or the error of a claimed task",
    "work": "do tasks by a command, in workspaces",
    "note": "add a note to a claimed task, or to the log",
    "wait": "wait until tasks have ended",
    "cancel": "end tasks that wait or run",
    "show": "show a task as a record",
    "list": "list tasks",
    "status": "say how the root is doing",
    "log": "print events",
    "state": "read and change the shared state",
    "report": "write the log as one HTML page",
    "contract": "list, check or add task types",
    "validate": "check documents before they are used",
    "check": "compare the directories with the log",
    "restore": "write a pruned record again",
    "service": "have systemd, launchd or the Task Scheduler run the daemon",
    "completion": "print the completion for a shell",
    "man": "print the manual page",
    "doctor": "look for trouble in the surroundings",
    "conformance": "hold another agent or daemon against the protocol",
    "mcp": "serve the root to language models as MCP tools",
    "demo": "show a whole run with several agents",
}
"""Every verb and what it does: literal, so that ``taskdir --help`` loads none of them."""


class Verb(Protocol):
    """What each module of this package offers."""

    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, args: argparse.Namespace, env: Env) -> int:
        """Do it; returns the exit code."""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others, so that --json covers them too."""

    def error(self, message: str) -> NoReturn:
        raise Usage("usage", message, hint=f"`{self.prog} --help`")


class _Formatter(argparse.HelpFormatter):
    """Help as wide as the terminal; argparse, asked for every argument, loads shutil to learn that."""

    def __init__(self, prog: str) -> None:
        try:
            width = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(1).columns
        except (ValueError, OSError):
            width = 80
        super().__init__(prog, width=width - 2)


def verb(name: str) -> tuple[Verb, argparse.ArgumentParser]:
    """Load a verb and make its parser."""
    found = cast("Verb", import_module(f"taskdir.cli.{name}"))
    parser = _Parser(prog=f"taskdir {name}", description=found.HELP, allow_abbrev=False, formatter_class=_Formatter)
    found.configure(parser)
    parser.add_argument("--root", metavar="DIR", help="the root; else $TASKDIR, else the nearest with taskdir.json")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, errors as JSON on stderr")
    return found, parser
