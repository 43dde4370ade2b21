"""The parsers of the verbs: the one source of --help, of shell completion and of the manual page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol, cast

from taskdir.errors import Usage

if TYPE_CHECKING:
    from taskdir.cli.frame import Env

VERBS = {
    "init": "make a root",
    "run": "run the daemon in the foreground",
    "submit": "submit tasks and other messages",
    "claim": "take the next task of a queue",
    "finish": "hand in the output or the error of a claimed task",
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


def verb(name: str) -> tuple[Verb, argparse.ArgumentParser]:
    """Load a verb and make its parser."""
    found = cast("Verb", import_module(f"taskdir.cli.{name}"))
    parser = _Parser(prog=f"taskdir {name}", description=found.HELP, allow_abbrev=False)
    found.configure(parser)
    parser.add_argument("--root", metavar="DIR", help="the root; else $TASKDIR, else the nearest with taskdir.json")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, errors as JSON on stderr")
    return found, parser


class Argument(NamedTuple):
    """One argument of a verb. ``flags`` is empty for a positional one, ``value`` None for an option that takes none;
    ``shown``: how a positional one stands in the usage."""

    flags: tuple[str, ...]
    value: str | None
    choices: tuple[str, ...]
    help: str
    shown: str


class Described(NamedTuple):
    """A verb as text: name, what it does in a line, the usage, the description and its arguments."""

    name: str
    about: str
    usage: str
    help: str
    arguments: list[Argument]

    @property
    def options(self) -> list[Argument]:
        """Those with flags."""
        return [each for each in self.arguments if each.flags]

    @property
    def actions(self) -> tuple[str, ...]:
        """The choices of its first positional argument."""
        return next((each.choices for each in self.arguments if not each.flags), ())


def described() -> Iterator[Described]:
    """Yield every verb. Loads them all."""
    for name, about in VERBS.items():
        found, parser = verb(name)
        told = [*_arguments(parser)]
        words = ["taskdir", name, "[OPTION ...]", *(each.shown for each in told if not each.flags)]
        words += ["-- CMD ..."] if parser.get_default("command") is not None else []
        yield Described(name, about, " ".join(words), " ".join(found.HELP.split()), told)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        choices = tuple(map(str, action.choices or ()))
        value = None if action.nargs == 0 else "|".join(choices) or name
        shown = {"?": f"[{value}]", "*": f"[{value} ...]", "+": f"{value} [{value} ...]"}.get(
            str(action.nargs), value or ""
        )
        about = (action.help or "").replace("%%", "%")
        yield Argument(tuple(action.option_strings), value, choices, about, shown)
