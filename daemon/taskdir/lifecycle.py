"""The life of a task as one literal table, and the fold that carries it out (SPEC section 3).

Rule 1: every change of state is a row of ROWS; there is no other.
Rule 2: an event that no row allows leaves the task untouched and raises IllegalEvent.
Rule 3: live work and replay of the log use the same ``fold``.
A test compares ROWS with the table in SPEC.md.
"""

from __future__ import annotations

from typing import Any

from taskdir.documents import Event, Task, parse_timestamp

ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("submitted", "valid message", "accepted", "queued"),
    ("submitted", "refused message", "rejected", "rejected"),
    ("queued", "claim seen", "claimed", "claimed"),
    ("queued", "cancel", "canceled", "canceled"),
    ("claimed", "good result", "done", "done"),
    ("claimed", "error result", "errored", "queued"),
    ("claimed", "refused result", "refused", "claimed"),
    ("claimed", "claim gone", "returned", "queued"),
    ("claimed", "lease over", "expired", "queued"),
    ("claimed", "lock dropped", "abandoned", "queued"),
    ("claimed", "time limit", "timed_out", "queued"),
    ("queued", "attempts used up", "failed", "failed"),
    ("claimed", "cancel", "canceled", "canceled"),
    ("failed", "redrive", "redriven", "queued"),
    ("canceled", "redrive", "redriven", "queued"),
)
"""(state, input, event, next state)."""

NEXT: dict[tuple[str, str], str] = {(state, event): then for state, _, event, then in ROWS if state != "submitted"}

STATES = ("queued", "claimed", "done", "failed", "canceled")
"""The logged states; every accepted task is in exactly one of them (P3, P6)."""

FAILURES = frozenset({"errored", "expired", "abandoned", "timed_out"})
"""Ends of a claim that count against max_attempts; ``returned`` does not."""

CLAIM_ENDS = FAILURES | {"returned", "done"}
"""Events that end a claim; ``canceled`` does too, when the task was claimed."""


class IllegalEvent(ValueError):
    """An event that the table does not allow in the task's state, or that names another attempt or holder."""


def accepted(event: Event) -> Task:
    """Make the task that an ``accepted`` event describes."""
    body: dict[str, Any] = event["task"]
    wake_at = parse_timestamp(body["not_before"]) if "not_before" in body else None
    return Task(
        id=event["id"],
        seq=event["seq"],
        priority=body["priority"],
        queue=body["queue"],
        type=body["type"],
        contract=event["contract"],
        lease_seconds=body["lease_seconds"],
        timeout_seconds=body["timeout_seconds"],
        backoff_seconds=body["backoff_seconds"],
        max_attempts=body["max_attempts"],
        wake_at=wake_at,
    )


def fold(task: Task | None, event: Event, now: float) -> Task:
    """Return the task after ``event``; the given task stays as it was.

    ``now`` (seconds of the daemon's clock) is where an event's ``delay`` starts to count.
    Raises IllegalEvent when the table has no such row, or the event is about another attempt or agent.
    """
    name = event["event"]
    if task is None:
        if name != "accepted":
            raise IllegalEvent(f"{name} for a task that was never accepted: {event['id']}")
        return accepted(event)
    then = NEXT.get((task.state, name))
    if then is None:
        raise IllegalEvent(f"{name} is not possible while {task.id} is {task.state}")
    if event.get("attempt", task.attempt) != task.attempt:
        raise IllegalEvent(f"{name} of {task.id} names attempt {event['attempt']}, current is {task.attempt}")
    if task.state == "claimed" and event.get("agent") != task.agent:
        raise IllegalEvent(f"{name} of {task.id} names {event.get('agent')}, the holder is {task.agent}")
    after = task.copy()
    after.state = then
    return _STEPS[name](after, event, now)


def _claimed(task: Task, event: Event, now: float) -> Task:
    task.agent, task.claims, task.refusals, task.refusal = event["agent"], task.claims + 1, 0, None
    task.judged, task.wake_at, task.since = None, None, event["seq"]
    return task


def _refused(task: Task, event: Event, now: float) -> Task:
    task.refusals, task.judged, task.refusal = task.refusals + 1, event["sha256"], event["reason"]
    return task


def _ended(task: Task, event: Event, now: float) -> Task:
    name = event["event"]
    if name in FAILURES:
        task.failures += 1
        task.last_error = event.get("error") or {"code": name, "message": f"attempt {task.attempt} {_SAID[name]}"}
    elif "reason" in event:
        task.claims -= 1  # given back at once by the daemon: only a claim that could have run counts
    task.attempt, task.agent = task.attempt + 1, None
    task.judged = event.get("sha256", task.judged)
    task.wake_at = now + event["delay"] if "delay" in event else None
    return task


def _done(task: Task, event: Event, now: float) -> Task:
    task.judged, task.final = event["sha256"], event["seq"]
    return task


def _failed(task: Task, event: Event, now: float) -> Task:
    task.final, task.wake_at = event["seq"], None
    return task


def _canceled(task: Task, event: Event, now: float) -> Task:
    task.attempt, task.agent, task.final, task.wake_at = task.attempt + 1, None, event["seq"], None
    return task


def _redriven(task: Task, event: Event, now: float) -> Task:
    task.seq, task.attempt, task.failures, task.claims, task.final = event["seq"], event["attempt"], 0, 0, None
    return task


_SAID = {
    "errored": "ended with an error",
    "expired": "outlived its lease",
    "abandoned": "was dropped: its process is gone",
    "timed_out": "ran into its time limit",
}

_STEPS = {
    "claimed": _claimed,
    "refused": _refused,
    "returned": _ended,
    "expired": _ended,
    "abandoned": _ended,
    "timed_out": _ended,
    "errored": _ended,
    "done": _done,
    "failed": _failed,
    "canceled": _canceled,
    "redriven": _redriven,
}
