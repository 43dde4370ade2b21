"""The documents that the daemon writes, and what follows from what is known of a task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import history
from taskdir import documents, lifecycle
from taskdir.documents import Task
from taskdir.errors import Invalid


def task(**fields: Any) -> Task:
    """Make a task that was accepted as seq 17, then changed as told."""
    (event,) = history.numbered(17, [history.accepted("a")])
    return replace(lifecycle.accepted(event), **fields)


@given(st.integers(0, 4_000_000_000_000_000).map(lambda micros: micros / 1e6))
def test_a_time_reads_as_it_was_written(seconds: float) -> None:
    text = documents.timestamp(seconds)
    assert len(text) == len("2026-01-02T03:04:05.678901Z")
    assert documents.parse_timestamp(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("base", "failures", "seconds"),
    [(1, 0, 1), (1, 1, 2), (1, 5, 32), (1, 12, 3600), (1, 100_000, 3600), (0.5, 1, 1), (0, 9, 0), (3600, 0, 3600)],
)
def test_backoff_doubles_up_to_an_hour(base: float, failures: int, seconds: float) -> None:
    assert task(backoff_seconds=base, failures=failures).backoff() == seconds


@pytest.mark.parametrize(
    ("failures", "claims", "failing", "used_up"),
    [(1, 2, True, False), (2, 3, True, True), (2, 3, False, False), (0, 29, False, False), (0, 30, False, True)],
)
def test_attempts_are_used_up(failures: int, claims: int, failing: bool, used_up: bool) -> None:
    assert task(failures=failures, claims=claims).used_up(failing=failing) is used_up


def test_stem() -> None:
    assert task(priority=0, attempt=3).stem == "0-000000000017.a.3"


def test_resolve_fills_up_from_the_contract_then_from_the_defaults() -> None:
    message = {
        "$schema": "s",
        "kind": "task",
        "id": "a",
        "priority": 3.0,
        "type": "t",
        "x-mine": 1,
        "max_attempts": 2.0,
    }
    resolved = documents.resolve(message, {"queue": "review", "priority": 9, "lease_seconds": 5})
    assert resolved == history.body(
        type="t", queue="review", priority=3, max_attempts=2, lease_seconds=5, **{"x-mine": 1}
    )
    assert next(iter(resolved)) == "type"
    assert isinstance(resolved["priority"], int)
    assert documents.resolve({"type": "t"}, {}) == {"type": "t"} | documents.TASK_DEFAULTS


BARE_OFFER = {
    "id": "a",
    "attempt": 1,
    "type": "echo",
    "input": [1],
    "context": {},
    "lease_seconds": 1800,
    "result_file": "5-000000000017.a.1.result.json",
}
ERROR = {"code": "c", "message": "m"}


@pytest.mark.parametrize(
    ("last_error", "schema", "more"),
    [(None, None, {}), (ERROR, {"type": "null"}, {"last_error": ERROR, "output_schema": {"type": "null"}})],
)
def test_offer(last_error: Any, schema: Any, more: dict[str, Any]) -> None:
    made = documents.offer(task(last_error=last_error), history.body(input=[1]), schema, {}, {})
    assert made == BARE_OFFER | more


def test_an_offer_with_context() -> None:
    files = {"big": {"path": "done/big.json", "sha256": "0" * 64}}
    made = documents.offer(task(), history.body(input=[1]), None, {"small": 7}, files)
    assert made == BARE_OFFER | {"context": {"small": 7}, "context_files": files}


def test_record() -> None:
    made = documents.record(task(state="done"), history.body(), {"output": 1}, [])
    expected = {"kind": "record", "id": "a", "state": "done", "task": history.body(), "output": 1, "attempts": []}
    assert made == expected


@pytest.mark.parametrize(
    ("fault", "sha256", "reason"),
    [
        (Invalid("late", "m" * 900), None, {"code": "late", "message": "m" * 400, "file": "f"}),
        (
            Invalid("c", "m", pointer="", expected="e", hint="h"),
            "s",
            {"code": "c", "message": "m", "pointer": "", "expected": "e", "hint": "h", "file": "f", "sha256": "s"},
        ),
        (Invalid("c", "m"), "", {"code": "c", "message": "m", "file": "f"}),
    ],
)
def test_reason(fault: Invalid, sha256: str | None, reason: dict[str, str]) -> None:
    made = documents.reason(fault, "f", sha256)
    if fault.code == "late":
        assert made.pop("hint"), "a rule's own hint when the fault has none"
    assert made == reason


HELD = {"id": "a", "attempt": 1, "agent": "al"}
ENDS: list[tuple[str, dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = [
    ("returned", {}, {}, [{"event": "returned", **HELD}]),
    ("returned", {"claims": 30}, {"reason": "max-claims"}, [{"event": "returned", **HELD, "reason": "max-claims"}]),
    (
        "returned",
        {"claims": 30},
        {},
        [
            {"event": "returned", **HELD},
            {
                "event": "failed",
                "id": "a",
                "error": {"code": "returned", "message": "attempt 1 was the last: returned"},
            },
        ],
    ),
    ("expired", {"failures": 1}, {}, [{"event": "expired", **HELD, "delay": 2.0}]),
    ("expired", {"backoff_seconds": 0}, {}, [{"event": "expired", **HELD}]),
    (
        "errored",
        {},
        {"error": ERROR, "retry": True},
        [{"event": "errored", **HELD, "error": ERROR, "retry": True, "delay": 1.0}],
    ),
    (
        "errored",
        {},
        {"error": ERROR, "retry": False, "final": True},
        [{"event": "errored", **HELD, "error": ERROR, "retry": False}, {"event": "failed", "id": "a", "error": ERROR}],
    ),
]


@pytest.mark.parametrize(("event", "before", "fields", "events"), ENDS)
def test_end_of_a_claim(
    event: str, before: dict[str, Any], fields: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    assert documents.end_claim(task(agent="al", **before), event, None, **fields) == events
    noted = documents.end_claim(task(agent="al", **before), event, "n", **fields)
    assert noted[0]["notes"] == "n"


def test_absent_is_not_null() -> None:
    assert documents.compact(a=None, b=0, c="", d=[]) == {"b": 0, "c": "", "d": []}
