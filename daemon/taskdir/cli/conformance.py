"""taskdir conformance: hold somebody's agent or daemon against the protocol, as adapters/CONTRACT.md says."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from taskdir.cli.frame import Env, plain
from taskdir.conformance import agent, cases, daemon, report
from taskdir.disk import Disk
from taskdir.errors import Missing, Usage

HELP = """Run a program as a black box: `agent -- CMD…` calls CMD with the verbs of adapters/CONTRACT.md section 1,
`daemon -- CMD…` asks it by section 2. The report goes to stderr. Exit code 1: something is not as expected, be it that
a case passes which is listed as failing."""


class Kit(Protocol):
    """What the two kits offer."""

    JOBS: int

    def cases(self, command: Sequence[str]) -> AbstractContextManager[tuple[list[cases.Case], dict[str, Any]]]:
        """Yield the cases for a program, and what it said about itself."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("kit", choices=("agent", "daemon"))
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="only cases of these names")
    parser.add_argument("--expect-fail", metavar="FILE", help="the cases that are expected to fail, one a line")
    parser.add_argument("--badge", metavar="FILE", help="write a badge: the JSON that a shields.io endpoint serves")
    parser.add_argument("--jobs", type=int, metavar="N", help="cases at once")
    parser.add_argument("--list", action="store_true", help="print the cases and what they are about; needs no CMD")
    parser.set_defaults(command=[])


def run(args: argparse.Namespace, env: Env) -> int:
    """Play the cases and tell."""
    if not args.command and not args.list:
        raise Usage("usage", "the program is missing", expected=f"taskdir conformance {args.kit} … -- CMD…")
    if args.jobs is not None and args.jobs < 1:
        raise Usage("usage", "at least one case is played at a time", expected="--jobs 1 or more")
    kit: Kit = agent if args.kit == "agent" else daemon
    with _quietly(), kit.cases(args.command) as (every, told):
        chosen = cases.chosen(every, args.only)
        if args.list:
            _list(chosen, env)
            return 0
        expected = _expected(args.expect_fail, every)
        outcomes = []
        with env.progress(len(chosen), "cases") as progress:
            for outcome in cases.play(chosen, expected, args.jobs or kit.JOBS):
                outcomes.append(outcome)
                progress.step()
    whole = report.whole(args.kit, args.command, told, outcomes)
    if args.badge:
        text = json.dumps(report.badge(whole)) + "\n"
        Disk().publish(args.badge, text.encode(), aside=f"{args.badge}.new")
    if env.json:
        env.out(whole)
    for line in report.words(whole):
        env.say(plain(line))
    return 0 if whole["ok"] else 1


@contextmanager
def _quietly() -> Iterator[None]:
    """Let SIGTERM end what was started, as Ctrl-C does; our own daemon's warnings are nobody's news here."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    log, silence = logging.getLogger("taskdir"), logging.NullHandler()
    log.addHandler(silence)
    try:
        yield
    finally:
        log.removeHandler(silence)
        signal.signal(signal.SIGTERM, before)


def _expected(path: str | None, every: list[cases.Case]) -> frozenset[str]:
    if path is None:
        return frozenset()
    if not os.path.isfile(path):
        raise Missing("no-file", "there is no such list", path=path)
    with open(path, encoding="utf-8", errors="replace") as file:
        return cases.expected_failures(file.read(), path, every)


def _list(chosen: list[cases.Case], env: Env) -> None:
    if env.json:
        env.out(
            [{"name": case.name, "about": case.about, **({"rule": case.rule} if case.rule else {})} for case in chosen]
        )
        return
    for case in chosen:
        env.out(f"{case.name}  {case.about}" + (f" [{case.rule}]" if case.rule else ""))
