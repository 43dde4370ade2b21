"""The goals, and what a figure makes of them: met, missed, or not judged. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Goal(NamedTuple):
    """A bound on a figure; ``least``: the figure must not be below it, else not above. ``disk``: needs our ext4."""

    part: str
    figure: str
    what: str
    bound: float
    least: bool
    unit: str
    disk: bool = True

    @property
    def words(self) -> str:
        """Say the bound."""
        return f"{'≥' if self.least else '≤'} {number(self.bound)} {self.unit}".strip()


class Verdict(NamedTuple):
    """What a goal came to; ``value`` is None where nothing was measured."""

    goal: Goal
    value: float | None
    verdict: str
    why: str = ""


GOALS = (
    Goal("a", "ratio beanstalkd -f0", "end to end, 2 agents, against beanstalkd -f0", 1.2, True, "×"),
    Goal("a", "ratio Redis Streams always", "… against Redis Streams, appendfsync always", 2, True, "×"),
    Goal("a", "ratio PostgreSQL SKIP LOCKED", "… against PostgreSQL SKIP LOCKED", 2, True, "×"),
    Goal("a", "ratio RQ always", "… against RQ, appendfsync always", 15, True, "×"),
    Goal("b", "ratio the floor", "… against the floor: the same file operations, no daemon", 0.6, True, "×"),
    Goal("d", "latency rest p50 ms", "submit to claimable at rest, p50", 2, False, "ms"),
    Goal("d", "latency rest p99 ms", "submit to claimable at rest, p99", 10, False, "ms"),
    Goal("d", "latency hostile max ms", "a hostile document's verdict, the slowest of all", 100, False, "ms"),
    Goal("e", "ratio waiting", "claim and complete with 1M waiting, against 1k waiting", 0.8, True, "×"),
    Goal("f", "waiting memory mb", "memory of the daemon with 1M waiting", 250, False, "MB"),
    Goal("f", "waiting ready s", "first offer after a restart with 1M waiting", 3, False, "s"),
    Goal("f", "waiting replay per s", "log events replayed, index lost, 1M waiting", 50_000, True, "/s"),
    Goal("f", "history replay per s", "log events replayed, index lost, 1M done", 50_000, True, "/s"),
    Goal("f", "history ready s", "first offer after a restart with 1M done", 3, False, "s"),
    Goal("g", "idle cpu percent", "CPU of the daemon at rest", 0.5, False, "% of a core", disk=False),
    Goal("g", "idle wakeups per s", "wake-ups of the daemon at rest (no busy polling)", 5, False, "/s", disk=False),
    Goal("h", "ratio claim start", "`taskdir claim` against a bare interpreter's start", 2.5, False, "×", disk=False),
    Goal("i", "ratio agents", "rate of 64 agents against that of 4", 0.8, True, "×"),
    Goal("j", "batch tasks per s", "tasks accepted in batches of 10,000", 10_000, True, "/s"),
)


def judge(figures: Mapping[str, float], *, disk: bool, fast: bool) -> list[Verdict]:
    """Hold figures against the goals. ``disk``: it ran on a journaled ext4 of its own; ``fast``: with ``[fast]``."""
    told = []
    for goal in GOALS:
        value = figures.get(goal.figure)
        if value is None:
            told.append(Verdict(goal, None, "not judged", "not measured in this run"))
        elif goal.disk and not disk:
            told.append(Verdict(goal, value, "not judged", "not on a journaled ext4 of its own"))
        elif not fast:
            told.append(Verdict(goal, value, "not judged", "[fast] is not installed"))
        else:
            met = value >= goal.bound if goal.least else value <= goal.bound
            told.append(Verdict(goal, value, "met" if met else "missed"))
    return told


def number(value: float) -> str:
    """Write a figure with the digits that mean something."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
