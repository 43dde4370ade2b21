"""Power cuts on real file systems: records a story on a disk that remembers, then plays what cuts leave of it.

    python -m faults.power cuts KIND --states 100 --seed 7 --home DIR      KIND: ext4, xfs, btrfs
    python -m faults.power again KIND DIR CUT                              one cut of a recording that was kept

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
from faults.power import cuts

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
    for name in ("cuts", "again"):
        verb = verbs.add_parser(name)
        verb.add_argument("kind", choices=sorted(cuts.KINDS))
        verb.add_argument("--plant", choices=sorted(plants.PLANTS), default="nothing", help="a fault to be found")
    verbs.choices["cuts"].add_argument("--states", type=int, default=100)
    verbs.choices["cuts"].add_argument("--seed", type=int, default=1)
    verbs.choices["cuts"].add_argument("--first", action="store_true", help="end at the first finding")
    verbs.choices["cuts"].add_argument("--home", type=Path)
    verbs.choices["again"].add_argument("home", type=Path)
    verbs.choices["again"].add_argument("cut")
    args = parser.parse_args(words)
    if _INSIDE not in os.environ:
        enter(words)
    plants.PLANTS[args.plant]()  # into this process, and so into all that it forks
    if args.verb == "again":
        at, lot = map(int, args.cut.split(":"))
        found = cuts.again(args.home, args.kind, cuts.Cut(at, lot))
        print(json.dumps({"findings": found}))
        return bool(found)
    home = args.home or Path(tempfile.mkdtemp(prefix="taskdir-power-", dir=room()))
    report: dict[str, Any] = cuts.explore(home, args.kind, args.states, args.seed, args.first)
    if not report["findings"] and args.home is None:
        shutil.rmtree(home)
    print(json.dumps(report))
    return bool(report["findings"])


def room() -> str | None:
    """Return a place in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
