"""taskdir check: the log by itself, and everything else against it (SPEC section 10.7)."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace

from taskdir import check, checkpoint, logread
from taskdir.check import Report
from taskdir.cli import findings
from taskdir.cli.frame import Env, plain
from taskdir.errors import Usage

HELP = """Check the hash chain, the events and their order, and compare the directories and the index with what the log
says. Changes nothing; works with and without a daemon. Exit code 1: something is not as it should be. --log FILE… reads
log files alone, and of them the chain: whole lines, seq, prev, end, segments. --deep judges each event too, as a check
of a root does."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--log", action="store_true", help="check log files alone, FILE…; needs no root")
    parser.add_argument("--whole", action="store_true", help="with --log: each with the segments that lie beside it")
    parser.add_argument("--deep", action="store_true", help="with --log: judge each event too, by form and by state")
    said = "hold the log against the checkpoints in FILE (`taskdir log checkpoint`); may be repeated"
    parser.add_argument("--checkpoint", action="append", default=[], metavar="FILE", help=said)
    parser.add_argument("files", nargs="*", metavar="FILE", help="log files, with --log")
    findings.configure(parser)


def run(args: argparse.Namespace, env: Env) -> int:
    """Print the findings."""
    if args.log != bool(args.files) or ((args.whole or args.deep) and not args.log):
        said = "log files are named behind --log; --whole and --deep go with them"
        raise Usage("usage", said, hint="check --log FILE…")
    checkpoints = [each for path in args.checkpoint for each in checkpoint.read(path)]
    files = args.files or [path for _, path in logread.segments(str(env.root()))]
    total = sum(os.path.getsize(path) for path in files if os.path.isfile(path))
    with env.progress(total, "bytes of log read") as progress:
        if args.log:
            judge = check.check_logs if args.whole else check.check_files
            report = judge(args.files, progress.step, checkpoints, deep=args.deep)
        else:
            report = check.check_root(str(env.root()), progress.step, time.sleep, checkpoints)
    counts = _counts(report)
    if env.json:
        found = {"ok": not report.failed, "findings": [finding.as_dict() for finding in report.findings]}
        env.out(found | {"remarks": report.remarks, "level": report.level} | counts | {"held": report.held})
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
    env.say(", ".join(f"{count} {name}" for name, count in counts.items()) + f": {_verdict(report)}")
    return int(report.failed)


def _counts(report: Report) -> dict[str, int]:
    """Return what was counted on this level: an unread event may be of any task."""
    counts = {"events": report.events}
    if report.level != "chain":
        counts |= {"tasks": report.tasks, "records": report.records, "pruned": report.pruned}
    return counts | {"checkpoints": report.checkpoints}


def _verdict(report: Report) -> str:
    count = len(report.findings)
    if count:
        return f"{count} finding{'s' if count > 1 else ''}"
    return "the chain is whole; --deep judges the events" if report.level == "chain" else "all is as it should be"
