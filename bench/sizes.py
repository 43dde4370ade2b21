"""How much of everything a run does. Everything that a part needs to know is in its ``Bench``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.ground import Ground
from bench.progress import Progress


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tasks a lap, repetitions, and so on; times in seconds."""

    tasks: int
    rounds: int
    probes: int
    starts: int
    waiting: tuple[int, ...]
    drained: int
    history: int
    idle: float
    agents: tuple[int, ...]
    batch: int


FULL = Sizes(6_000, 5, 500, 40, (1_000, 10_000, 100_000, 1_000_000), 2_000, 1_000_000, 60, (1, 4, 16, 64, 256), 10_000)
QUICK = Sizes(2_000, 2, 100, 10, (1_000, 10_000, 100_000), 1_000, 100_000, 10, (4, 64), 10_000)
MILLION = 1_000_000
"""Goals about a million are judged on no less."""


@dataclass(slots=True)
class Bench:
    """A run: where it measures, how much, what came out. ``under``: where images may lie; ``figures``: for goals."""

    ground: Ground
    sizes: Sizes
    under: str
    progress: Progress
    figures: dict[str, float] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def on(self) -> str:
        """The directory to measure in."""
        return self.ground.path

    def skip(self, what: str, why: str) -> None:
        """Leave something out, loudly."""
        if what not in self.skipped:
            self.skipped[what] = why
            self.progress.say(f"NOT MEASURED: {what}: {why}")
