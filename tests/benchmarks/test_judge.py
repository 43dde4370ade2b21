"""The verdicts on goals: a planted miss is missed, and what a machine cannot show is not judged."""

from __future__ import annotations

import pytest

from bench.judge import GOALS, judge, number

GOOD = {goal.figure: goal.bound for goal in GOALS}


def verdicts(figures: dict[str, float], *, disk: bool = True, fast: bool = True) -> dict[str, str]:
    return {each.goal.figure: each.verdict for each in judge(figures, disk=disk, fast=fast)}


def test_a_figure_on_its_bound_meets_the_goal() -> None:
    assert set(verdicts(GOOD).values()) == {"met"}


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.figure)
def test_a_planted_miss_is_missed(goal: object) -> None:
    for each in GOALS:
        if each is goal:
            worse = each.bound * (0.99 if each.least else 1.01)
            told = verdicts(GOOD | {each.figure: worse})
            assert {name for name, verdict in told.items() if verdict != "met"} == {each.figure}
            assert told[each.figure] == "missed"


def test_without_a_disk_of_its_own_a_goal_of_the_disk_is_not_judged() -> None:
    bad = {goal.figure: 0.0 if goal.least else 1e9 for goal in GOALS}
    for figures in (GOOD, bad):
        told = verdicts(figures, disk=False)
        for goal in GOALS:
            assert (told[goal.figure] == "not judged") == goal.disk, goal.figure


def test_what_was_not_measured_is_not_judged() -> None:
    told = judge({}, disk=True, fast=True)
    assert {each.verdict for each in told} == {"not judged"}
    assert {each.value for each in told} == {None}


def test_without_the_fast_engine_nothing_is_judged() -> None:
    assert set(verdicts(GOOD, fast=False).values()) == {"not judged"}


def test_figures_keep_the_digits_that_mean_something() -> None:
    assert [number(value) for value in (0.1234, 1.5, 12.34, 1234.5, 2, 0.0)] == [
        "0.12",
        "1.50",
        "12.3",
        "1,234",
        "2",
        "0",
    ]
