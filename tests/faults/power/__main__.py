"""Power cuts on real file systems: records a story on a disk that remembers, then plays what cuts leave of it.

    python -m faults.power cuts KIND --states 100 --seed 7 --home DIR      KIND: ext4, xfs, btrfs
    python -m faults.power again KIND DIR CUT                              one cut of a recording that was kept
    python -m faults.power eio KIND --states 5 --seed 7                    a disk that fails in the middle of the story
    python -m faults.power eio KIND --only log:submit:plain                one of these

Prints one line of JSON: how much was tried, what was found, and for each finding the line that plays it again. Runs in
a namespace of its own, so that no mount outlives it. As root, with PYTHONPATH=tests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from faults import plants
from faults.power import cuts, eio

_INSIDE = "TASKDIR_POWER_INSIDE"


def enter(words: list[str]) -> None:
    """Go on in a new mount and process namespace: nothing that is mounted or started there outlives this process."""
    os.environ[_INSIDE] = "1"
    walls = ["unshare", "--mount", "--pid", "--propagation", "private", "--fork", "--kill-child", "--mount-proc"]
    os.execvp(walls[0], [*walls, sys.executable, "-m", "faults.power", *words])


def main(words: list[str]) -> int:
    """Run one command; returns 0, or 1 when there are findings."""
    parser = argparse.ArgumentParser(prog="faults.power", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("cuts", "eio", "again"):
        verb = verbs.add_parser(name)
        verb.add_argument("kind", choices=sorted(cuts.KINDS))
        verb.add_argument("--plant", choices=sorted(plants.PLANTS), default="nothing", help="a fault to be found")
    for name in ("cuts", "eio"):
        verbs.choices[name].add_argument("--states", type=int, default=100)
        verbs.choices[name].add_argument("--seed", type=int, default=1)
        verbs.choices[name].add_argument("--first", action="store_true", help="end at the first finding")
        verbs.choices[name].add_argument("--home", type=Path)
    verbs.choices["eio"].add_argument("--only", type=eio.Fault.parse, metavar="BLOCKS:MARK:ID")
    verbs.choices["again"].add_argument("home", type=Path)
    verbs.choices["again"].add_argument("cut", type=cuts.Cut.parse)
    args = parser.parse_args(words)
    if _INSIDE not in os.environ:
        enter(words)
    plants.PLANTS[args.plant]()  # into this process, and so into all that it forks
    report: dict[str, Any]
    if args.verb == "again":
        report = {"findings": cuts.again(args.home, args.kind, args.cut)}
    else:
        home = args.home or Path(tempfile.mkdtemp(prefix="taskdir-power-", dir=room()))
        if args.verb == "cuts":
            report = cuts.explore(home, args.kind, args.states, args.seed, args.first)
        else:
            report = eio.explore(home, args.kind, args.states, args.seed, args.first, args.only)
        if args.home is None and (not report["findings"] or args.plant != "nothing"):
            shutil.rmtree(home)
    print(json.dumps(report))
    return bool(report["findings"])


def room() -> str | None:
    """Return a place in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
