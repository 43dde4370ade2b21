"""make bench: every part in one run, one table, one JSON file.

    make bench                    everything, about 20 minutes      make bench QUICK=1     a small run, a few minutes
    make bench ARGS="--parts a,c --fs here --out FILE"              make bench ARGS=--publish   renews docs/, too

As root it measures on an ext4 with a journal, mounted from an image for the run and unmounted at the end.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import page, table
from bench.ground import commit, ground, machine, stoppable, today
from bench.install import HOUSE
from bench.judge import judge
from bench.parts import backlog, latency, rates, rest, starts
from bench.progress import Progress
from bench.sizes import FULL, QUICK, Bench, Sizes

PARTS: tuple[tuple[str, Callable[[Bench], None]], ...] = (
    ("abc", rates.rivals),
    ("a", rates.few),
    ("dh", starts.starts),
    ("d", latency.latency),
    ("j", backlog.batches),
    ("i", rates.many),
    ("ai", rates.phases),
    ("g", rest.rest),
    ("ef", backlog.waiting),
    ("f", backlog.history),
    ("a", rates.beside),
)
"""Each with the letters of the questions that it answers, in the order that they run."""
FAILURES = (OSError, AssertionError, RuntimeError, ValueError, subprocess.SubprocessError)
RESULTS = HOUSE / "bench" / "results"


def measure(bench: Bench, letters: str, after: Callable[[], object]) -> None:
    """Run the parts that answer one of the letters; ``after`` each there is something to keep."""
    for answers, part in PARTS:
        if set(answers) & set(letters):
            try:
                part(bench)
            except FAILURES as failure:  # the other parts still have something to say
                bench.skip(f"part {part.__name__}", f"it failed: {failure!r}")
            after()
    bench.progress.end()


def result(bench: Bench, *, quick: bool, before: dict[str, Any]) -> dict[str, Any]:
    """Return the document that a run ends in. ``before``: the machine, as it was when the run began."""
    fast = importlib.util.find_spec("jsonschema_rs") is not None
    verdicts = judge(bench.figures, disk=bench.ground.judged, fast=fast)
    return {
        "date": today(),
        "commit": commit(),
        "quick": quick,
        "rounds": bench.sizes.rounds,
        "machine": before,
        "file_system": bench.ground.words,
        "fast": fast,
        "goals": [
            {"part": each.goal.part, "what": each.goal.what, "figure": each.goal.figure, "goal": each.goal.words,
             "unit": each.goal.unit, "value": each.value, "verdict": each.verdict, "why": each.why}
            for each in verdicts
        ],
        "figures": bench.figures,
        "series": bench.series,
        "skipped": bench.skipped,
    }  # fmt: skip


def run(
    sizes: Sizes, kind: str, under: str, letters: str, *, quick: bool, keep: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Measure on a file system of a kind; returns the result, and gives what there is to ``keep`` after each part."""
    progress, before = Progress(), machine()
    with stoppable(), ground(kind, under, progress.say) as where:
        bench = Bench(where, sizes, under, progress)
        progress.say(f"on {where.words}")
        measure(bench, letters, lambda: keep(result(bench, quick=quick, before=before)))
        return result(bench, quick=quick, before=before)


def write(path: Path, told: dict[str, Any]) -> None:
    """Write a result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(argv: list[str]) -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--quick", action="store_true", default=os.environ.get("QUICK", "") not in ("", "0"))
    parser.add_argument("--fs", choices=["ext4", "xfs", "tmpfs", "here"], default="ext4")
    parser.add_argument("--under", default=tempfile.gettempdir(), help="where the image lies, or what is measured")
    parser.add_argument("--parts", default="a,b,c,d,e,f,g,h,i,j", help="letters, with commas")
    parser.add_argument("--rounds", type=int, help="repetitions of everything that is repeated (default: 5, quick: 2)")
    parser.add_argument("--tasks", type=int, help="tasks a lap, end to end (default: 6,000, quick: 2,000)")
    parser.add_argument("--out", type=Path, default=RESULTS / "latest.json")
    parser.add_argument("--publish", action="store_true", help="write docs/performance.json, .md, plots, README")
    args = parser.parse_args(argv)
    sizes = QUICK if args.quick else FULL
    sizes = replace(sizes, rounds=args.rounds or sizes.rounds, tasks=args.tasks or sizes.tasks)
    told = run(sizes, args.fs, args.under, args.parts, quick=args.quick, keep=partial(write, args.out))
    print(table.table(told))
    if args.publish:
        write(page.RESULT, told)
        page.publish()
    return 0
