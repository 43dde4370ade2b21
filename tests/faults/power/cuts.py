"""Cut the power at every write of a recorded story, and look what is left and what the next daemon makes of it."""

from __future__ import annotations

import os
import random
import time
import traceback
from pathlib import Path
from typing import Any

from faults.power import promises, story
from faults.power.disk import KINDS, Cut, Cutter, Recorded, build, entries, fresh, mounted
from faults.power.promises import Told
from faults.verdict import Wrong

__all__ = ["KINDS", "Cut", "again", "explore"]


def record(home: Path, kind: str) -> None:
    """Play the story on a disk that remembers; leaves base.img, journal and history in ``home``."""
    with Recorded(home, kind, fresh(home, kind), build(home)) as disk:
        story.tell(disk.root / "root", disk.mark, home)
        (home / "history").write_bytes(promises.log_of(disk.root / "root"))


class Recording:
    """A story that was recorded, and its cuts."""

    def __init__(self, home: Path, kind: str) -> None:
        self.home, self.kind = home, kind
        told = entries(home / "journal")
        self.told = told[: max(at for at, each in enumerate(told) if each.data == b"end") + 1]
        self.begin = next(at for at, each in enumerate(self.told) if each.data == b"begin") + 1
        self.history = promises.whole((home / "history").read_bytes())
        self._cutter = Cutter(home / "base.img", kind, self.told, home)
        self._at = home / "mnt"

    def draw(self, count: int, draw: random.Random) -> list[Cut]:
        """Choose cuts: half of them right after somebody was told something, with all lost that was not flushed."""
        marks = [at + 1 for at, each in enumerate(self.told) if each.kind == "M" and at >= self.begin]
        writes = [at + 1 for at, each in enumerate(self.told) if each.kind == "W" and at >= self.begin]
        sharp = [Cut(at, 1) for at in draw.sample(marks, min(len(marks), count // 3))]
        rest, wide = count - len(sharp), list[Cut]()
        while len(wide) < rest:
            lots = [0, draw.randrange(2, 1 << 20), draw.randrange(2, 1 << 20)]
            each = [Cut(at, draw.choice(lots)) for at in writes]
            draw.shuffle(each)
            wide += each[: rest - len(wide)]
        return sorted([*sharp, *wide])

    def promised(self, cut: Cut) -> Told:
        """Return what somebody could rely on when the power went."""
        told = Told()
        for entry in self.told[self.begin : cut.at]:
            if entry.kind == "M":
                told.take(entry.data.decode())
        return told

    def judge(self, cut: Cut) -> str | None:
        """Play one cut; returns what is wrong."""
        told = self.promised(cut)
        image = self._cutter.make(cut)
        try:
            with mounted(image, self.kind, self._at) as at:
                root = at / "root"
                facts = promises.before_recovery(root, told, self.history)
                promises.after_recovery(root, told, facts)
        except Exception as error:  # noqa: BLE001 - whatever a cut leads to is a finding
            return in_words(error)
        return None


def in_words(error: Exception) -> str:
    """Say in one line what a run showed to be wrong."""
    if isinstance(error, Wrong):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"


def explore(home: Path, kind: str, states: int, seed: int, first: bool) -> dict[str, Any]:
    """Record, cut ``states`` times, judge; returns what ``__main__`` prints."""
    began = time.monotonic()
    home.mkdir(parents=True, exist_ok=True)
    record(home, kind)
    recorded = time.monotonic()
    recording = Recording(home, kind)
    found, tried = list[dict[str, str]](), 0
    draw = random.Random(f"{seed} {kind}")
    chosen = recording.draw(states, draw)
    if first:
        draw.shuffle(chosen)
    for cut in chosen:
        tried += 1
        if wrong := recording.judge(cut):
            again = f"PYTHONPATH=tests .venv/bin/python -m faults.power again {kind} {home} {cut}"
            found.append({"cut": str(cut), "wrong": wrong, "replay": again})
            if first or len(found) > 20:
                break
    counts = {kind: sum(each.kind == kind for each in recording.told) for kind in "WFM"}
    return {
        "kind": kind,
        "states": tried,
        "findings": found,
        "seed": seed,
        "writes": counts["W"],
        "flushes": counts["F"],
        "marks": counts["M"],
        "recording": round(recorded - began, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def again(home: Path, kind: str, cut: Cut) -> list[str]:
    """Play one cut of a recording; returns what is wrong."""
    wrong = Recording(home, kind).judge(cut)
    return [wrong] if wrong else []
