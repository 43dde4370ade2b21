"""How long `taskdir check --log` takes over a log of many lines, chain alone and with --deep.

    python bench/checklog.py [--lines N] [--deep-lines N] [--runs N] [--keep FILE]

Makes a log of whole lives of tasks, as a daemon writes them: accepted, claimed and done, in batches. Wall time and CPU
time of the whole command, start of Python included; the best of N runs, since a busy machine only adds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from taskdir import strictjson
from taskdir.logread import GENESIS

BATCH = 30
"""Tasks whose events share a batch: a third of its lines each are accepted, claimed, done."""


class Writer:
    """Writes events as sealed lines."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.seq, self._prev = 0, GENESIS

    def batch(self, events: list[dict[str, Any]]) -> None:
        """Write a batch."""
        first = self.seq + 1
        for number, event in enumerate(events):
            self.seq += 1
            end = {"end": first} if number == len(events) - 1 else {}
            stamp = f"2026-01-02T{self.seq // 3600 % 24:02}:{self.seq // 60 % 60:02}:{self.seq % 60:02}.000001Z"
            line = strictjson.dumps({"seq": self.seq, "time": stamp, **event, "prev": self._prev, **end}).encode()
            self._prev = hashlib.sha256(line).hexdigest()
            self._file.write(line + b"\n")

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def write_log(path: Path, lines: int) -> None:
    """Make a log of about so many lines, exactly so many if they are 2 more than a multiple of 3."""
    contract: dict[str, Any] = {}
    digest = hashlib.sha256(strictjson.canonical(contract)).hexdigest()
    task = {"type": "echo", "input": {"ref": "main"}, "queue": "default", "priority": 5, "max_attempts": 3}
    task |= {"lease_seconds": 1800, "timeout_seconds": 86400, "backoff_seconds": 1}
    writer = Writer(path)
    writer.batch([{"event": "started", "version": "0.1.0", "protocol": 1, "pid": 4242}])
    writer.batch([{"event": "contract", "type": "echo", "sha256": digest, "contract": contract}])
    for begin in range(0, (lines - 2) // 3, BATCH):
        ids = [f"build-{number:07}" for number in range(begin, min(begin + BATCH, (lines - 2) // 3))]
        sha = hashlib.sha256(ids[0].encode()).hexdigest()
        claim = {"attempt": 1, "agent": "alice"}
        writer.batch([{"event": "accepted", "id": id, "sha256": sha, "task": task, "contract": digest} for id in ids])
        writer.batch([{"event": "claimed", "id": id, **claim} for id in ids])
        writer.batch([{"event": "done", "id": id, **claim, "output": {"ok": True}, "sha256": sha} for id in ids])
    writer.close()


def measure(words: list[str]) -> tuple[float, float, str]:
    """Run the command; returns seconds of wall time, seconds of CPU with all children, and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "taskdir", *words], capture_output=True, text=True, check=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stderr.strip().splitlines()[-1]


def main() -> None:
    """Make the logs, check them, print a line for each level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_001)
    parser.add_argument("--deep-lines", type=int, default=100_001)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where the log of --lines lines goes, to be kept")
    args = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    with tempfile.TemporaryDirectory() as place:
        long, short = args.keep or Path(place) / "long.jsonl", Path(place) / "short.jsonl"
        write_log(long, args.lines)
        write_log(short, args.deep_lines)
        for path, lines, extra in ((long, args.lines, []), (short, args.deep_lines, ["--deep"])):
            runs = [measure(["check", "--log", *extra, str(path)]) for _ in range(args.runs)]
            wall, cpu, said = min(runs)
            size = path.stat().st_size / 1e6
            print(
                f"check --log {' '.join(extra):6} {lines:9,} lines {size:4.0f} MB: {wall:6.2f} s wall,"
                f" {cpu:6.2f} s CPU, {wall / lines * 1e6:5.1f} µs a line ({said})"
            )


if __name__ == "__main__":
    main()
