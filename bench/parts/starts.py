"""What an agent's verbs cost to start, against a bare interpreter. Parts (d), first half, and (h).

Modules are compiled by the first, uncounted start and kept, as an installed package has them, whatever
PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from typing import Any

from bench import drive
from bench.parts import median
from bench.race import home
from bench.sizes import Bench

BARE = [sys.executable, "-c", "pass"]
IMPORT = """import sys, time
before, start = set(sys.modules), time.perf_counter()
import taskdir.cli.{verb}
print([len(set(sys.modules) - before), time.perf_counter() - start])
"""
AGAIN = 9
VERBS = ("claim", "note", "finish", "submit")
ENV = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _seconds(argv: list[str], root: str) -> tuple[float, str]:
    """Run a command to its good end; returns its wall time and what it said."""
    start = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**ENV, "TASKDIR": root})
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {done.returncode} {done.stderr}")
    return seconds, done.stdout.strip()


def _session(program: str, root: str, number: int) -> dict[str, float]:
    """Be an agent once through, each verb a command; returns the seconds of each, and of a bare interpreter."""
    took = {"bare interpreter": _seconds(BARE, root)[0]}
    took["claim"], path = _seconds([program, "claim", "--agent", f"agent-{number}"], root)
    took["note"], _ = _seconds([program, "note", path, "half way"], root)
    took["finish"], _ = _seconds([program, "finish", path, "--output", '{"n": 1}'], root)
    took["submit"], _ = _seconds([program, "submit", "--type", "echo", "--input", '{"n": 1}'], root)
    return took


def starts(bench: Bench) -> None:
    """(d), (h): whole sessions, interleaved with bare starts; and what each verb imports."""
    program = os.path.join(sysconfig.get_path("scripts"), "taskdir")
    times: dict[str, list[float]] = {}
    bench.progress.part("(d) (h) starts of the agents' verbs", bench.sizes.starts)
    with home(bench.on) as on, drive.fresh_root(on) as root, drive.daemon(root):
        drive.fill(root, bench.sizes.starts + 2)
        for number in range(bench.sizes.starts + 1):
            for name, seconds in _session(program, root, number).items():
                if number:  # the first one warms the caches
                    times.setdefault(name, []).append(seconds)
            bench.progress.step()
    bare = times["bare interpreter"]
    rows = list[dict[str, Any]]()
    for name, values in times.items():
        ratio = median([each / other for each, other in zip(values, bare, strict=True)])
        modules, seconds = _imports(name)
        row = {"name": name, "ms": median(values) * 1e3, "ratio": ratio}
        rows.append(row | {"imports": modules, "import ms": seconds * 1e3})
    bench.series["starts"] = rows
    bench.figures["ratio claim start"] = next(row["ratio"] for row in rows if row["name"] == "claim")


def _imports(verb: str) -> tuple[int, float]:
    """Return how many modules a verb imports, and in how many seconds, the median of some times."""
    if verb not in VERBS:
        return 0, 0.0
    argv = [sys.executable, "-c", IMPORT.format(verb=verb)]
    said = [subprocess.run(argv, capture_output=True, text=True, check=True, env=ENV).stdout for _ in range(AGAIN)]
    found = [json.loads(each) for each in said]
    return found[0][0], median([seconds for _, seconds in found])
