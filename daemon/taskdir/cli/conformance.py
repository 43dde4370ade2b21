"""taskdir conformance: hold somebody's agent or daemon against the protocol, as adapters/CONTRACT.md says."""

from __future__ import annotations

import argparse
import json
import os
from contextlib import AbstractContextManager

from taskdir.cli.frame import Env, plain
from taskdir.conformance import agent, cases, report
from taskdir.disk import Disk
from taskdir.errors import Missing, Usage

HELP = """Run a program as a black box: `agent -- CMD…` calls it with the verbs of adapters/CONTRACT.md section 1. The
report goes to stderr. Exit code 1: something is not as expected, be it a listed failure that passes."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("kit", choices=("agent",))
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
    with _kit(args.kit, args.command) as every:
        chosen = cases.chosen(every, args.only)
        if args.list:
            _list(chosen, env)
            return 0
        expected = _expected(args.expect_fail, every)
        outcomes = []
        with env.progress(len(chosen), "cases") as progress:
            for outcome in cases.play(chosen, expected, args.jobs or agent.JOBS):
                outcomes.append(outcome)
                progress.step()
    told = report.whole(args.kit, args.command, {}, outcomes)
    if args.badge:
        text = json.dumps(report.badge(told)) + "\n"
        Disk().publish(args.badge, text.encode(), aside=f"{args.badge}.new")
    if env.json:
        env.out(told)
    for line in report.words(told):
        env.say(plain(line))
    return 0 if told["ok"] else 1


def _kit(name: str, command: list[str]) -> AbstractContextManager[list[cases.Case]]:
    return agent.cases(command)


def _expected(path: str | None, every: list[cases.Case]) -> frozenset[str]:
    if path is None:
        return frozenset()
    if not os.path.isfile(path):
        raise Missing("no-file", "there is no such list", path=path)
    with open(path, encoding="utf-8") as file:
        return cases.expected_failures(file.read(), path, every)


def _list(chosen: list[cases.Case], env: Env) -> None:
    if env.json:
        env.out(
            [{"name": case.name, "about": case.about, **({"rule": case.rule} if case.rule else {})} for case in chosen]
        )
        return
    for case in chosen:
        env.out(f"{case.name}  {case.about}" + (f" [{case.rule}]" if case.rule else ""))
