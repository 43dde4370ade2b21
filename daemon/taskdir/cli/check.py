"""taskdir check: the log by itself, and everything else against it (SPEC section 10.7)."""

from __future__ import annotations

import argparse
import os
import time

from taskdir import check, logread
from taskdir.cli.frame import Env, plain

HELP = """Check the hash chain, the events and their order, and compare the directories and the index with what the log
says. Changes nothing; works with and without a daemon. Exit code 1: something is not as it should be."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--log", nargs="+", metavar="FILE", help="check these log files alone; needs no root")


def run(args: argparse.Namespace, env: Env) -> int:
    """Print the findings."""
    files = args.log if args.log is not None else [path for _, path in logread.segments(str(env.root()))]
    total = sum(os.path.getsize(path) for path in files if os.path.isfile(path))
    with env.progress(total, "bytes of log read") as progress:
        if args.log is not None:
            report = check.check_files(args.log, progress.step)
        else:
            report = check.check_root(str(env.root()), progress.step, time.sleep)
    counts = {"events": report.events, "tasks": report.tasks, "records": report.records, "pruned": report.pruned}
    if env.json:
        found = {"ok": not report.failed, "findings": [finding.as_dict() for finding in report.findings]}
        env.out(found | {"remarks": report.remarks} | counts | {"held": report.held})
        return int(report.failed)
    for finding in report.findings:
        env.out(plain(f"{finding.level}: {finding}"))
    for remark in report.remarks:
        env.say(remark)
    env.say(", ".join(f"{count} {name}" for name, count in counts.items()) + f": {_verdict(len(report.findings))}")
    return int(report.failed)


def _verdict(count: int) -> str:
    return "all is as it should be" if count == 0 else f"{count} finding{'s' if count > 1 else ''}"
