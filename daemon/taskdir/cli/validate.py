"""taskdir validate: documents of any kind, before they are handed in (SPEC section 6)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from taskdir import recognise, rules, vet
from taskdir.cli import findings
from taskdir.cli.frame import Env
from taskdir.cli.words import count
from taskdir.errors import Invalid, Usage

HELP = """Check documents: messages, results, contracts, settings, and all that the daemon writes; logs line by line.
What a file is, its place, its $schema or its name tells; a directory stands for the documents in it. Needs no root.
Exit code 65: something is invalid."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--as", dest="kind", choices=rules.DOCUMENTS, metavar="KIND", help=", ".join(rules.DOCUMENTS))
    parser.add_argument("--skip-unknown", action="store_true", help="pass over what is no document of taskdir")
    said = "for a repository: name files that belong to a live root, and check nothing else; exit code 1 if there are"
    parser.add_argument("--no-live-state", action="store_true", help=said)
    findings.configure(parser)


def run(args: argparse.Namespace, env: Env) -> int:
    """Print what is wrong; with --json as one array, empty when all is well."""
    if args.no_live_state and (args.kind or args.skip_unknown):
        raise Usage("usage", "--no-live-state goes with neither --as nor --skip-unknown")
    total = 0
    found: list[vet.Verdict] = []
    for path, swept in _files(args):
        total += 1
        if args.no_live_state:
            found += vet.vet_live(path)
        else:
            found += vet.vet(path, args.kind, skip_unknown=swept or args.skip_unknown)
    if env.json:
        env.out([verdict.as_dict() for verdict in found])
    else:
        findings.tell(env, args.format, found)
    if not found:
        env.say(f"{count(total, 'file')} looked at, nothing is wrong")
        return 0
    return 1 if args.no_live_state else Invalid.exit


def _files(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """Yield each file to look at, and whether it was found in a directory."""
    for path in args.files:
        if os.path.isdir(path) and not args.kind:
            yield from ((each, True) for each in recognise.sweep(path))
        else:
            yield path, False
