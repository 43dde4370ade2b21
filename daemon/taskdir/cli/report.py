"""taskdir report: the log as one self-contained page (SPEC section 9)."""

from __future__ import annotations

import argparse
import os
import sys

from taskdir import logread, report
from taskdir.cli.frame import Env
from taskdir.disk import Disk
from taskdir.errors import CannotCreate, LogDamaged, Usage
from taskdir.places import Places

HELP = """Write one HTML page from the log alone: agents' lanes, throughput, queue, life cycle, dead letters, refusals,
resources, shared state, benches. It needs no network and no script. FILE - is stdout. With --json, print the figures
behind it; FILE may then be left out. Exit code 1: the log is damaged, and the page ends there."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", nargs="?", metavar="FILE.html", help="where to write the page; - is stdout")


def run(args: argparse.Namespace, env: Env) -> int:
    """Read, draw, write."""
    if args.file is None and not env.json:
        raise Usage("usage", "FILE.html is missing", hint="`taskdir report report.html`, - for stdout, or --json")
    if args.file == "-" and env.json:
        raise Usage("usage", "the page and the figures cannot both go to stdout", hint="name a file, or leave it out")
    places = env.places()
    target = _target(places, args.file) if args.file not in (None, "-") else None
    size = sum(os.path.getsize(path) for _, path in logread.segments(places.root))
    with env.progress(size, "bytes of the log") as progress:
        ledger = report.read(places.root, progress.step)
    told = report.figures(ledger, places.root)
    if args.file is not None:
        _write(target, report.page(ledger, told).encode("utf-8", "replace"))
    if env.json:
        env.out(told)
    damage = ledger.damage
    if damage is not None and not damage.torn:
        said = f"the log is damaged at seq {damage.seq}: {damage.message}; the report ends before it"
        raise LogDamaged(damage.code, said, path=damage.path, hint="`taskdir check` tells more")
    if target is not None:
        env.say(f"{target}: {ledger.events} events, {len(ledger.stories)} tasks")
    return 0


def _target(places: Places, file: str) -> str:
    """Return where to write, links resolved. Raises CannotCreate for what must not be overwritten."""
    path = os.path.realpath(file)
    inside = os.path.relpath(path, os.path.realpath(places.root)).split(os.sep)
    ours = {os.path.basename(each) for each in (*places.public(), places.own, places.log, places.settings)} | {"log"}
    if inside[0] in ours:
        raise CannotCreate("not-a-place", "that belongs to the root", path=file, hint="name a file elsewhere")
    if os.path.lexists(path) and not os.path.isfile(path):
        raise CannotCreate("not-a-place", "that is no regular file", path=file, hint="name a file, or - for stdout")
    return path


def _write(target: str | None, page: bytes) -> None:
    if target is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(page)
        return
    folder, name = os.path.split(target)
    aside = os.path.join(folder, f".{name[:100]}.{os.getpid()}.tmp")
    try:
        Disk().publish(target, page, aside=aside)
    except OSError as error:
        raise CannotCreate("cannot-write", os.strerror(error.errno or 0), path=target) from None
