"""Asks another implementation's auditor (adapters/CONTRACT.md, section 2), and ours, about the same root."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from conformance import forging, harm, lives
from conformance.lives import Tree
from taskdir import check, checkpoint
from taskdir.conformance.daemon import told

HOUSE = Path(__file__).resolve().parents[2]
CHECKER = HOUSE / "adapters" / "checker" / "check.mjs"
Found = frozenset[tuple[str, str, int | None]]
"""(rule code, place, line)."""


def node() -> str | None:
    """Return the command that runs Node, None when there is none that is new enough."""
    found = shutil.which("node")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    return found if re.match(r"v([2-9][0-9]|[1-9][0-9]{2})\.", version) else None


class Driver:
    """A program that answers requests, a line of JSON each."""

    def __init__(self, *command: str | Path) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, **request: Any) -> None:
        """Ask; the answer is for ``receive``, in the order of asking."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        """Return the next answer."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or '{"error": "it ended"}')

    def close(self) -> int:
        """End its input and wait for it; returns its exit code."""
        self._process.communicate(timeout=60)
        return self._process.returncode


def findings(answer: Any) -> Found:
    """Turn an answer into findings; an error is one, too, which nobody else has."""
    if "findings" not in answer:
        return frozenset({("error", str(answer.get("error")), None)})
    return frozenset((each["code"], each["place"], each.get("line")) for each in answer["findings"])


def ours_alone(files: list[str]) -> Found:
    """What this package finds in log files without their root."""
    found = check.check_files(files, lambda count: None).findings
    return frozenset((each.code, each.file, each.line) for each in found)


def ours(root: Path, checkpoints: Sequence[dict[str, Any]] = ()) -> Found:
    """What this package finds, the index apart: that is private to its daemon."""
    kept = [checkpoint.parse(each) for each in checkpoints]
    found = check.check_root(str(root), lambda count: None, lambda seconds: None, kept).findings
    return frozenset((each.code, each.file, each.line) for each in found if not each.code.startswith("index-"))


@contextmanager
def running(root: Path, really: bool) -> Iterator[None]:
    """Hold the root's lock meanwhile, as a daemon between two passes does."""
    fd = os.open(root, os.O_RDONLY)
    try:
        if really:
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


class Case(NamedTuple):
    """A root that was drawn by lot: what was done to it, and whether its daemon seems to run."""

    tree: Tree
    harms: list[str]
    live: bool
    alone: list[bytes]
    """Files of its log, to be judged without the root."""


def draw(seed: int, number: int, grown: list[Tree]) -> Case:
    """Draw the case of this number: one of the trees that lives left, or an invented log, harmed or not."""
    dice = random.Random(f"{seed}/{number}")
    tree = dict(dice.choice(grown)) if dice.random() < 0.85 else forging.invent_log(dice)
    if dice.random() < 0.75:
        harm.drop_index(dice, tree)
    harms, live = harm.harm(dice, tree), dice.random() < 0.3
    files = forging.log_files(tree)[dice.choice([0, 0, 1, 2]) :]
    return Case(tree, harms, live, dice.sample(files, len(files)) if dice.random() < 0.3 else [])


def ask_both(driver: Driver, case: Case, root: Path) -> tuple[Found, Found]:
    """Write the case to disk and return what we find and what the other finds, in the root and in its log alone."""
    lives.write_tree(case.tree, root)
    with running(root, case.live):
        driver.send(do="check", root=str(root), **told(root))
        mine, theirs = ours(root), findings(driver.receive())
    if case.alone:
        files = [os.path.join(root, os.fsdecode(name)) for name in case.alone]
        driver.send(do="check-log", files=files)
        mine, theirs = mine | ours_alone(files), theirs | findings(driver.receive())
    return mine, theirs
