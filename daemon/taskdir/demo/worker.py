"""A worker in Python: claims, holds the claim by a lock, works, hands in. It keeps nothing between two tasks.

    python worker.py ROOT AGENT FOLDER [--freeze-at N]

With --freeze-at it stops in the middle of its N-th task, after a note, and waits to be killed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import time
from typing import Any

from taskdir.client import Taskdir
from taskdir.held import Claim

HEADING = re.compile(r"(?:class|def|function) ([A-Za-z_][A-Za-z0-9_]*)")


def count(root: str, folder: str, task: dict[str, Any]) -> dict[str, Any]:
    """Count the lines and bytes of a file."""
    with open(os.path.join(folder, task["path"]), "rb") as file:
        lines = file.readlines()
    return {"lines": sum(line.endswith(b"\n") for line in lines), "bytes": sum(map(len, lines))}


def digest(root: str, folder: str, task: dict[str, Any]) -> dict[str, Any]:
    """Hash a file."""
    with open(os.path.join(folder, task["path"]), "rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def outline(root: str, folder: str, task: dict[str, Any]) -> dict[str, Any]:
    """Name what a file defines at the start of a line."""
    with open(os.path.join(folder, task["path"]), encoding="latin-1", newline="\n") as file:
        return {"names": [found[1] for line in file if (found := HEADING.match(line))]}


def summary(root: str, folder: str, task: dict[str, Any]) -> dict[str, Any]:
    """Add up the outputs of other tasks: they lie in done/, for anyone to read."""
    outputs = [Taskdir(root).output(id) for id in task["tasks"]]
    counts = [output for output in outputs if "lines" in output]
    return {
        "files": len(counts),
        "lines": sum(output["lines"] for output in counts),
        "bytes": sum(output["bytes"] for output in counts),
        "names": sum(len(output["names"]) for output in outputs if "names" in output),
    }


WORK = {"count": count, "hash": digest, "outline": outline, "summary": summary}


def main() -> None:
    """Work until the demo ends or is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("agent")
    parser.add_argument("folder")
    parser.add_argument("--freeze-at", type=int, default=0)
    args = parser.parse_args()
    root, parent, begun = Taskdir(args.root), os.getppid(), 0
    while os.getppid() == parent:
        claim = root.claim(args.agent, "report") or root.claim(args.agent)
        if claim is None:
            time.sleep(0.05)
            continue
        begun += 1
        with claim:  # the claim is held by a lock: if we die, the daemon knows at once
            if begun == args.freeze_at:
                freeze(claim)
            claim.finish(WORK[claim.task["type"]](args.root, args.folder, claim.input))


def freeze(claim: Claim) -> None:
    """Leave a note and do no more."""
    claim.note(f"half way through {claim.input['path']}")
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
