"""The table is all there is: whatever comes, in whatever order, a task follows a row of it or stays as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import history
from taskdir import lifecycle, rules
from taskdir.documents import Event, Task
from taskdir.lifecycle import FAILURES, NEXT, STATES, IllegalEvent, fold

EVENTS = rules.schema("event")["properties"]["event"]["enum"]
ERROR = {"code": "c", "message": "m"}
NOW = history.START


def newborn(**fields: Any) -> Task:
    (event,) = history.numbered(17, [history.accepted("a", priority=3, queue="review")])
    return dataclasses.replace(fold(None, event, NOW), **fields)


def in_state(state: str) -> Task:
    return newborn(state=state, attempt=4, agent="al" if state == "claimed" else None)


def event(name: str, **fields: Any) -> Event:
    """Make an event with every field that any event may have."""
    whole = {"sha256": history.SHA, "error": ERROR, "reason": "max-claims", "output": 1, "task": history.body()}
    return history.timed(99, name, id="a", attempt=4, agent="al", contract=history.SHA) | whole | fields


def test_a_task_starts_queued() -> None:
    born = newborn()
    assert (born.id, born.seq, born.priority, born.queue, born.type) == ("a", 17, 3, "review", "echo")
    assert (born.state, born.attempt, born.claims, born.failures) == ("queued", 1, 0, 0)
    assert (born.lease_seconds, born.timeout_seconds, born.backoff_seconds, born.max_attempts) == (1800, 86400, 1, 3)


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "accepted"])
def test_nothing_happens_to_a_task_that_was_never_accepted(name: str) -> None:
    with pytest.raises(IllegalEvent, match="never accepted: a"):
        fold(None, event(name), NOW)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", EVENTS)
def test_every_state_with_every_event(state: str, name: str) -> None:
    before = in_state(state)
    kept = dataclasses.replace(before)
    then = NEXT.get((state, name))
    if then is None:
        with pytest.raises(IllegalEvent, match=f"{name} is not possible while a is {state}"):
            fold(before, event(name), NOW)
    else:
        assert fold(before, event(name), NOW).state == then
    assert before == kept


def illegal() -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Yield every row with the wrong attempt, and every one out of ``claimed`` with another agent, or none."""
    for state, name in NEXT:
        for attempt in (3, 5):
            yield state, name, {"attempt": attempt}, f"names attempt {attempt}, current is 4"
        if state == "claimed":
            yield state, name, {"agent": "bo"}, "names bo, the holder is al"
            yield state, name, {"agent": None}, "names None, the holder is al"


@pytest.mark.parametrize(("state", "name", "wrong", "said"), list(illegal()))
def test_another_attempt_or_holder_is_refused(state: str, name: str, wrong: dict[str, Any], said: str) -> None:
    before = in_state(state)
    kept = dataclasses.replace(before)
    with pytest.raises(IllegalEvent, match=said):
        fold(before, event(name, **wrong), NOW)
    assert before == kept


def told(name: str, said: str) -> dict[str, str]:
    return {"code": name, "message": f"attempt 4 {said}"}


HELD = {"state": "claimed", "attempt": 4, "agent": "al", "claims": 2, "failures": 1, "since": 20}
FREE = {"state": "queued", "attempt": 5, "agent": None, "claims": 2, "since": 20}
EFFECTS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "claimed",
        {"attempt": 4, "refusals": 2, "refusal": ERROR, "judged": "j", "wake_at": 1.0},
        {"attempt": 4, "agent": "al"},
        {"state": "claimed", "attempt": 4, "agent": "al", "claims": 1, "since": 99},
    ),
    (
        "refused",
        HELD | {"refusals": 1},
        {"sha256": "s", "reason": ERROR},
        HELD | {"refusals": 2, "judged": "s", "refusal": ERROR},
    ),
    ("returned", HELD, {}, FREE | {"failures": 1}),
    ("returned", HELD, {"reason": "max-claims"}, FREE | {"failures": 1, "claims": 1}),
    (
        "expired",
        HELD,
        {"delay": 4.0},
        FREE | {"failures": 2, "wake_at": NOW + 4.0, "last_error": told("expired", "outlived its lease")},
    ),
    (
        "abandoned",
        HELD,
        {},
        FREE | {"failures": 2, "last_error": told("abandoned", "was dropped: its process is gone")},
    ),
    ("timed_out", HELD, {}, FREE | {"failures": 2, "last_error": told("timed_out", "ran into its time limit")}),
    ("errored", HELD, {}, FREE | {"failures": 2, "last_error": told("errored", "ended with an error")}),
    ("errored", HELD, {"error": ERROR, "sha256": "s"}, FREE | {"failures": 2, "last_error": ERROR, "judged": "s"}),
    ("done", HELD, {"sha256": "s"}, HELD | {"state": "done", "judged": "s", "final": 99}),
    ("canceled", HELD, {}, HELD | {"state": "canceled", "attempt": 5, "agent": None, "final": 99}),
    ("canceled", {"wake_at": 1.0}, {"agent": None}, {"state": "canceled", "attempt": 2, "final": 99}),
    ("failed", {"wake_at": 1.0}, {}, {"state": "failed", "final": 99}),
    (
        "redriven",
        {"state": "failed", "attempt": 4, "failures": 3, "claims": 3, "final": 9, "last_error": ERROR},
        {"attempt": 4},
        {"state": "queued", "attempt": 4, "seq": 99, "last_error": ERROR},
    ),
]


@pytest.mark.parametrize(("name", "before", "fields", "after"), EFFECTS)
def test_what_an_event_changes(
    name: str, before: dict[str, Any], fields: dict[str, Any], after: dict[str, Any]
) -> None:
    plain = history.timed(99, name, id="a") | ({"agent": "al"} if before.get("agent") else {})
    assert fold(newborn(**before), plain | fields, NOW) == newborn(**after)


def test_every_step_has_its_effects_shown() -> None:
    assert {name for name, *_ in EFFECTS} == {name for _, name in NEXT}
    assert set(lifecycle.CLAIM_ENDS) == {name for state, name in NEXT if state == "claimed"} - {"refused", "canceled"}


LIKELY = st.sampled_from(sorted({name for _, name in NEXT})) | st.sampled_from(EVENTS)
STEPS = st.tuples(
    LIKELY,
    st.sampled_from([0, 0, 0, 0, 1, -1]),  # the attempt named, from the current one
    st.sampled_from(["al", "al", "bo"]),
    st.booleans(),  # a give-back asked for by the daemon
)


@given(st.lists(STEPS, min_size=1, max_size=60))
def test_random_histories_keep_the_rules(steps: list[tuple[str, int, str, bool]]) -> None:
    """No state but the five, no attempt twice, nothing changed by an event that is refused."""
    task, finished = newborn(), 0
    for seq, (name, offset, agent, by_daemon) in enumerate(steps, 18):
        happened = event(name, seq=seq, attempt=task.attempt + offset, agent=agent)
        if not by_daemon:
            del happened["reason"]
        if name == "refused":
            happened["reason"] = ERROR
        before = dataclasses.replace(task)
        legal = (task.state, name) in NEXT and not offset and not (task.state == "claimed" and agent != task.agent)
        try:
            after = fold(task, happened, NOW)
        except IllegalEvent:
            assert not legal
            assert task == before
            continue
        assert legal
        assert task == before, "the task that was given stays as it was"
        assert after.state == NEXT[before.state, name]
        assert after.state in STATES
        ends = name in {*FAILURES, "returned", "canceled"}
        assert after.attempt == before.attempt + ends
        assert (after.agent is not None) == (after.state in ("claimed", "done"))
        assert (after.final is not None) == (after.state in ("done", "failed", "canceled"))
        assert after.claims >= 0
        finished += after.state == "done"
        task = after
    assert finished <= 1
