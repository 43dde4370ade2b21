"""A disk that answers EIO in the middle of the story: for blocks of the log, of other data, of the file system's
journal or of directories, or for every flush. What anyone was told before stays true; the daemon ends with a word on
why, or goes on; on the mended disk the next one goes on from there.

The blocks are known by what they hold, so that no layout of a file system stands here.
"""

from __future__ import annotations

import random
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from faults import forked
from faults.forked import Forked
from faults.power import cuts, promises, story
from faults.power.disk import Recorded, build, fresh
from faults.power.promises import Told
from faults.verdict import Wrong

BLOCKS = ("log", "data", "journal", "directory", "flush")
_MAGIC = {"ext4": (0, "c03b3998"), "xfs": (0, "feedbabe")}
"""How each block of a journal begins: jbd2's, and the records of xfs's log. btrfs has its trees, which hold its id."""
_BTRFS_ID = 0x10020, 0x20
"""Where its superblock has the id that every tree block has at the second place."""
PATIENCE = 20.0
"""Seconds that the story may go on after the fault: then it is taken for one that does not end it."""


class Fault(NamedTuple):
    """Which blocks fail, from which mark on: its first word, and the id or stem that it is about."""

    blocks: str
    word: str
    id: str

    def __str__(self) -> str:
        """Return the word that names it on a command line."""
        return f"{self.blocks}:{self.word}:{self.id}"

    @classmethod
    def parse(cls, word: str) -> Fault:
        """Read such a word. Raises ValueError."""
        blocks, mark, id = word.split(":")
        return cls(blocks, mark, id)


def draw(chance: random.Random, blocks: str) -> Fault:
    """Choose when the disk begins to fail."""
    ids = [*story.TASKS, "many", "set", "set-2"]
    word = chance.choice(("submit", "judged", "finish", "offered"))
    return Fault(blocks, word, chance.choice(ids if word in ("submit", "judged") else [*story.TASKS]))


def rule(kind: str, fault: Fault, base: Path) -> str:
    """Return the line that makes the disk fail (blockdisk.c)."""
    if fault.blocks == "flush":
        return "fail flush -1"
    if fault.blocks == "journal" and kind == "btrfs":
        with base.open("rb") as file:
            file.seek(_BTRFS_ID[0])
            return f"fail write {_BTRFS_ID[1]} {file.read(16).hex()}"
    if fault.blocks == "journal":
        return "fail write {} {}".format(*_MAGIC[kind])
    needle = {"log": b'"prev":"', "data": story.LONG[:64].encode(), "directory": f"{fault.id}.json".encode()}
    return f"fail write -1 {needle[fault.blocks].hex()}"


def explore(home: Path, kind: str, states: int, seed: int, first: bool, only: Fault | None = None) -> dict[str, Any]:
    """Let the disk fail in so many ways, all kinds of blocks in turn; returns what ``__main__`` prints."""
    began, chance, found = time.monotonic(), random.Random(f"{seed} {kind}"), list[dict[str, str]]()
    faults = [only] if only else [draw(chance, BLOCKS[number % len(BLOCKS)]) for number in range(states)]
    took: dict[str, str] = {}
    program = build(home)
    for number, fault in enumerate(faults):
        room = home / str(number)
        try:
            took[str(fault)] = strike(room, kind, fault, program)
        except Exception as error:  # noqa: BLE001 - whatever it leads to is a finding
            again = f"PYTHONPATH=tests .venv/bin/python -m faults.power eio {kind} --only {fault}"
            found.append({"wrong": f"{fault}: {cuts.in_words(error)}", "replay": again})
            if first:
                break
        shutil.rmtree(room)
    seconds = round(time.monotonic() - began, 1)
    struck = sum(not each.endswith(" 0 calls failed") for each in took.values()) + len(found)
    return {"kind": kind, "states": struck, "findings": found, "seed": seed, "took": took, "seconds": seconds}


def strike(home: Path, kind: str, fault: Fault, program: Path) -> str:
    """Play the story over a disk that begins to fail; returns how the daemon took it. Raises Wrong."""
    home.mkdir(parents=True, exist_ok=True)
    base = fresh(home, kind)
    with Recorded(home, kind, base, program) as disk:
        root, line = disk.root / "root", rule(kind, fault, base)

        def mark(text: str) -> None:
            disk.mark(text)
            words = text.split()
            if words[0] == fault.word and fault.id in (words[1], words[1].rpartition(".")[0].partition(".")[2]):
                disk.tell(line)

        story.lay_out(root)
        took = _live(root, mark, home)
        disk.tell("heal")
        disk.unmount()
        disk.mount()
        told, failed = _told(disk)
        facts = promises.whole(promises.log_of(root))
        promises.before_recovery(root, told, facts)
        promises.after_recovery(root, told, facts)
    return f"{took}, {failed} calls failed"


def _live(root: Path, mark: story.Mark, home: Path) -> str:
    """Let all live until one ends; returns what became of the daemon. Raises Wrong."""
    words, others, enough = home / "daemon", home / "others", home / "enough"
    daemon = forked.daemon(root, words)
    driver = Forked(others, partial(story.submitter, root, mark))
    agents = [Forked(others, partial(story.agent, root, mark, me, enough)) for me in ("alice", "bob")]
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and daemon.poll() is None and driver.poll() is None:
        time.sleep(0.005)
    by_itself = daemon.poll()
    for process in (driver, *agents, daemon):
        process.kill()
    said = words.read_text()
    if "Traceback" in said or by_itself == 0:
        raise Wrong(f"the daemon ended with {by_itself}, and says: {said[-1500:]}")
    if by_itself is not None and "Input/output error" not in said and "Read-only" not in said:
        raise Wrong(f"the daemon ended with {by_itself}, and does not say why: {said[-1500:]}")
    return "went on" if by_itself is None else f"ended with {by_itself}"


def _told(disk: Recorded) -> tuple[Told, int]:
    """Return what anyone could rely on, and how many calls failed."""
    told, failed = Told(), 0
    for entry in disk.remembered():
        text = entry.data.decode() if entry.kind == "M" else ""
        if text.startswith("failed "):
            failed = int(text.split()[1])
        elif text:
            told.take(text)
    return told, failed
