"""taskdir validate: documents of any kind, before they are handed in (SPEC section 6)."""

from __future__ import annotations

import argparse

from taskdir import rules, vet
from taskdir.cli.frame import Env, plain
from taskdir.errors import Invalid

HELP = """Check documents: messages, results, contracts, settings, and all that the daemon writes; logs line by line.
What a file is, its $schema, its place or its name tells. Needs no root. Exit code 65: something is invalid."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--as", dest="kind", choices=rules.DOCUMENTS, metavar="KIND", help=", ".join(rules.DOCUMENTS))


def run(args: argparse.Namespace, env: Env) -> int:
    """Print what is wrong; with --json as one array, empty when all is well."""
    found = [verdict for path in args.files for verdict in vet.vet(path, args.kind)]
    if env.json:
        env.out([verdict.as_dict() for verdict in found])
    else:
        for verdict in found:
            env.out(plain(str(verdict)))
        if not found:
            env.say(f"{len(args.files)} files are valid")
    return Invalid.exit if found else 0
