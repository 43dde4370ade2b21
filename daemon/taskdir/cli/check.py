"""taskdir check: the log by itself, and everything else against it (SPEC section 10.7)."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace

from taskdir import check, logread
from taskdir.cli import findings
from taskdir.cli.frame import Env, plain
from taskdir.errors import Usage

HELP = """Check the hash chain, the events and their order, and compare the directories and the index with what the log
says. Changes nothing; works with and without a daemon. Exit code 1: something is not as it should be."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--log", action="store_true", help="check log files alone, FILE…; needs no root")
    parser.add_argument("--whole", action="store_true", help="with --log: each with the segments that lie beside it")
    parser.add_argument("files", nargs="*", metavar="FILE", help="log files, with --log")
    findings.configure(parser)


def run(args: argparse.Namespace, env: Env) -> int:
    """Print the findings."""
    if args.log != bool(args.files) or (args.whole and not args.log):
        raise Usage("usage", "log files are named behind --log, and --whole goes with them", hint="check --log FILE…")
    files = args.files or [path for _, path in logread.segments(str(env.root()))]
    total = sum(os.path.getsize(path) for path in files if os.path.isfile(path))
    with env.progress(total, "bytes of log read") as progress:
        if args.log:
            report = (check.check_logs if args.whole else check.check_files)(args.files, progress.step)
        else:
            report = check.check_root(str(env.root()), progress.step, time.sleep)
    counts = {"events": report.events, "tasks": report.tasks, "records": report.records, "pruned": report.pruned}
    if env.json:
        found = {"ok": not report.failed, "findings": [finding.as_dict() for finding in report.findings]}
        env.out(found | {"remarks": report.remarks} | counts | {"held": report.held})
        return int(report.failed)
    if args.format == "text":
        for finding in report.findings:
            env.out(plain(f"{finding.level}: {finding}"))
    else:
        base = "" if args.log else env.places().root
        told = [replace(each, file=os.path.join(base, each.file)) for each in report.findings]
        findings.tell(env, args.format, told)
    for remark in report.remarks:
        env.say(remark)
    env.say(", ".join(f"{count} {name}" for name, count in counts.items()) + f": {_verdict(len(report.findings))}")
    return int(report.failed)


def _verdict(count: int) -> str:
    return "all is as it should be" if count == 0 else f"{count} finding{'s' if count > 1 else ''}"
