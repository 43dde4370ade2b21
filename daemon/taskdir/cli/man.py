"""taskdir man: the manual page, made from the verbs' own parsers."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator

from taskdir import __version__
from taskdir.cli import described
from taskdir.cli.described import Described
from taskdir.cli.frame import Env

HELP = """Print the manual page, for `man -l -` or a packager: share/man/man1/taskdir.1 is this text."""

_ABOUT = """Any program that can write and rename a file can submit work, claim it and hand in results. A daemon checks
what comes in and logs what happened. Data goes to standard output, words to standard error."""
_CODES = {
    "0": "done",
    "1": "findings, or a failed task",
    "2": "the command line makes no sense",
    "65": "a document is invalid, or was refused",
    "66": "a root, file or task is missing",
    "69": "no daemon, or no service manager, where one is needed",
    "73": "something cannot be created",
    "75": "nothing to claim, blocked, or busy",
    "78": "taskdir.json or a contract is wrong",
    "124": "timed out",
}
_PLACES = {
    "taskdir.json": "marks a root; its settings",
    "inbox/": "messages: anyone adds, the daemon judges",
    "ready/<queue>/": "checked work, to be claimed by one rename",
    "claimed/<agent>/": "work in hand, its notes and results",
    "done/, failed/, rejected/": "how it ended",
    "state/": "shared state, changed by messages alone",
    "contracts/": "a JSON Schema for input and output of each type of task",
    "log.jsonl, log/": "every fact, in order, hash-chained",
}
_ENVIRONMENT = {
    "TASKDIR": "the root, when --root does not name one",
    "NO_COLOR, FORCE_COLOR": "no colours at all; colours though no terminal reads",
    "NOTIFY_SOCKET, WATCHDOG_USEC": "run: where and how often a service manager wants to hear from the daemon",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: none of its own."""


def run(args: argparse.Namespace, env: Env) -> int:
    """Print it."""
    page = "\n".join(_page([*described.described()]))
    env.out({"page": page + "\n"} if env.json else page)
    return 0


def _page(verbs: list[Described]) -> Iterator[str]:
    yield f'.TH TASKDIR 1 "" "taskdir {__version__}" "User Commands"'
    yield from (".SH NAME", "taskdir \\- a directory as a checked, logged and crash\\-safe task queue", ".SH SYNOPSIS")
    yield from (".B taskdir", ".RB [ \\-\\-root", ".IR DIR ]", ".RB [ \\-\\-json ]", ".I VERB", ".RI [ ARGUMENT ...]")
    yield from (".SH DESCRIPTION",)
    yield from _lines(_ABOUT)
    yield from (".TP", ".BI \\-\\-root \\~DIR", "The root; else", ".BR $TASKDIR ,")
    yield from ("else the nearest directory upwards with a", ".I taskdir.json\\fR.")
    yield from (".TP", ".B \\-\\-json", "JSON on standard output, errors as JSON on standard error.")
    yield from (".TP", ".B \\-\\-version", "Print the version.", ".SH VERBS")
    for verb in verbs:
        yield from _verb(verb)
    yield ".SH EXIT STATUS"
    yield from _table(_CODES)
    yield ".SH ENVIRONMENT"
    yield from _table(_ENVIRONMENT)
    yield ".SH FILES"
    yield from _table(_PLACES)
    yield from (".SH SEE ALSO", "The protocol, SPEC.md, and README.md of the project.")


def _verb(verb: Described) -> Iterator[str]:
    yield from (f".SS {_text(verb.name)}", f".B {_text(verb.usage)}", ".PP", *_lines(verb.help))
    for each in verb.arguments:
        if {*each.flags} & {"--root", "--json", "--help"} or (not each.flags and not each.help):
            continue
        yield ".TP"
        flags = ", ".join(f"\\fB{_text(flag)}\\fR" for flag in each.flags)
        yield f"{flags} \\fI{_text(each.value)}\\fR".strip() if each.value else flags
        yield from _lines(each.help) if each.help else ["\\&"]


def _table(rows: dict[str, str]) -> Iterator[str]:
    for name, about in rows.items():
        yield from (".TP", f".B {_text(name)}", *_lines(about))


def _lines(text: str) -> list[str]:
    """Break a text into lines of the page's source, each escaped."""
    return [_text(line) for line in textwrap.wrap(text, 66, break_long_words=False, break_on_hyphens=False)]


def _text(text: str) -> str:
    """Escape for roff: backslashes, hyphens as typed, leading dots and quotes, and what is not ASCII."""
    plain = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("~", "\\(ti")
    )
    plain = re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", plain.replace("^", "\\(ha"))
    return f"\\&{plain}" if plain.startswith(".") else plain
