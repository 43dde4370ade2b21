"""The command ``taskdir``: one module a verb, loaded only when it is called (SPEC section 1.3 has the exit codes).

A verb module has HELP, ``configure(parser)`` and ``run(args, env) -> exit code``; it raises TaskdirError for all else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol, cast

from taskdir.cli.frame import Env, plain
from taskdir.errors import TaskdirError, Usage

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
    "doctor": "look for trouble in the surroundings",
    "conformance": "hold another agent or daemon against the protocol",
    "demo": "show a whole run with several agents",
}
"""Every verb and what it does: literal, so that ``taskdir --help`` loads none of them."""

_USAGE = "usage: taskdir [--root DIR] [--json] VERB …\n       taskdir VERB --help\n"


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = [*(sys.argv[1:] if argv is None else argv)]  # not list(): the verb of that name is bound here once loaded
    as_json = "--json" in words
    for stream in (sys.stdout, sys.stderr):  # file names may hold any byte
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more, as with `| head -1`
        return 141
    except TaskdirError as error:
        return _tell(error, as_json)
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:  # argparse, after --help
        return stop.code if isinstance(stop.code, int) else 0
    except OSError as error:
        name = str(error.filename) if error.filename else None
        return _tell(TaskdirError("os-error", error.strerror or str(error), path=name), as_json)
    return code


def _run(words: list[str]) -> int:
    before, name, after = _split(words)
    if name is None:
        return _about_all(before)
    if name not in VERBS:
        from taskdir.nearby import nearby

        raise Usage("usage", f"there is no verb {name!a}", hint=nearby(name, [*VERBS]) or "`taskdir --help`")
    from importlib import import_module

    verb = cast("Verb", import_module(f"taskdir.cli.{name}"))
    parser = _Parser(prog=f"taskdir {name}", description=verb.HELP, allow_abbrev=False)
    verb.configure(parser)
    parser.add_argument("--root", metavar="DIR", help="the root; else $TASKDIR, else the nearest with taskdir.json")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, errors as JSON on stderr")
    command: list[str] = []
    if "--" in after and parser.get_default("command") is not None:  # a verb that runs a program: that is behind --
        cut = after.index("--")
        after, command = after[:cut], after[cut + 1 :]
    # What stood before the verb is parsed with what stands behind it: both places mean the same.
    args = parser.parse_args([*before, *after])
    args.command = command
    return verb.run(args, Env(args.root, as_json=args.json))


def _split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Take a command line apart at its verb, the first word that is neither an option nor --root's value."""
    place = 0
    while place < len(words) and words[place].startswith("-"):
        place += 2 if words[place] == "--root" else 1
    if place >= len(words):
        return words, None, []
    return words[:place], words[place], words[place + 1 :]


def _about_all(words: list[str]) -> int:
    if "--version" in words:
        from taskdir import __version__

        print(f"taskdir {__version__}")
        return 0
    if not {"-h", "--help"} & {*words}:
        raise Usage(
            "usage", "a verb is missing", expected="taskdir [--root DIR] [--json] VERB …", hint="`taskdir --help`"
        )
    width = max(map(len, VERBS))
    lines = [f"  {name:{width}}  {about}" for name, about in VERBS.items()]
    print(_USAGE + "\nMaildir for agent work: a directory is a task queue.\n\n" + "\n".join(lines))
    return 0


def _tell(error: TaskdirError, as_json: bool) -> int:
    """Print an error for people, or as one JSON object; returns its exit code."""
    if as_json:
        from taskdir.strictjson import dumps

        print(dumps({"error": error.as_dict()}), file=sys.stderr)
    else:
        print(plain(f"taskdir: {error}"), file=sys.stderr)
    return error.exit
