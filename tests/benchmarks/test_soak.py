"""The soak in seconds: with a daemon and agents killed, the books balance; growth and loss are told."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import soak
from bench.crew import Crew
from bench.soak import Soak, growth, told

FLAT = [(float(second), 50.0, 11) for second in range(40)]
GOOD = {"done": 10, "failed": 0, "check": 0, "checked": {}, "seconds": 40.0}


def verdict(samples: list[tuple[float, float, int]], **facts: Any) -> str:
    played = Soak("", 40, 10, 2, submitted=10, samples=samples)
    return str(told(played, SimpleNamespace(killed=1), GOOD | facts)["verdict"])  # type: ignore[arg-type]


def test_a_small_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "BATCH", 40)
    result = soak.run("here", str(tmp_path), 4.0, 100, 3)
    assert (result["facts"]["check"], result["facts"]["done"]) == (0, 100)
    assert result["verdict"] != "missed" or "growth" in str(result["shown"])
    assert list(tmp_path.iterdir()) == []


def test_flat_is_met() -> None:
    assert verdict(FLAT) == "met"


def test_growth_before_the_warm_up_ends_does_not_count() -> None:
    assert verdict([(at, 20.0 + at, 11) if at < 10 else (at, 50.0, 11) for at, _, _ in FLAT]) == "met"


@pytest.mark.parametrize(
    "facts", [{"done": 9}, {"failed": 1, "done": 9}, {"check": 1}], ids=["lost", "failed", "books"]
)
def test_a_planted_loss_is_missed(facts: dict[str, Any]) -> None:
    assert verdict(FLAT, **facts) == "missed"


def test_planted_growth_is_missed() -> None:
    assert verdict([(at, 50.0 + at / 2, 11) for at, _, _ in FLAT]) == "missed"
    assert verdict([(at, 50.0, 11 + int(at)) for at, _, _ in FLAT]) == "missed"
    assert growth(FLAT) == (0.0, 0.0)


def test_too_short_to_tell_is_not_judged() -> None:
    assert verdict(FLAT[:5]) == "not judged"


def test_agents_that_are_killed_come_back(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("ready/default", "claimed", "done"):
        (root / name).mkdir(parents=True)
    crew = Crew(str(root), 2)
    try:
        for _ in range(3):
            crew.kill_one(random.Random(1))
    finally:
        crew.end()
    assert crew.killed == 3
