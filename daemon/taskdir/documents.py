"""The documents that the daemon writes, as plain dictionaries, and the task as it is known (SPEC section 6).

Nothing here checks anything: what comes in was validated before, what goes out is built in one place, here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from taskdir import rules
from taskdir.errors import Invalid

Event = dict[str, Any]

TASK_DEFAULTS: dict[str, Any] = {
    "input": {},
    "queue": "default",
    "priority": 5,
    "max_attempts": 3,
    "lease_seconds": 1800,
    "timeout_seconds": 86400,
    "backoff_seconds": 1,
}
"""The fields of a task that neither the message nor its contract's defaults name (SPEC section 6.2)."""

MAX_BACKOFF = 3600.0
"""Seconds: the ceiling of the doubling backoff."""

CLAIMS_PER_ATTEMPT = 10
"""All claims of a task together stay within this many times its max_attempts."""


@dataclass(frozen=True, slots=True)
class Now:
    """One instant, passed in: ``seconds`` of the daemon's clock (never jumps), ``text`` of the wall clock, RFC 3339."""

    seconds: float
    text: str


@dataclass(slots=True)
class Task:
    """What is known of an accepted task: the fold of its events (lifecycle.fold). Times in seconds.

    ``seq`` is the acceptance number in its offers' names, ``attempt`` the one that is running or would run next,
    ``judged`` the SHA-256 of the last result judged, ``final`` the seq of the event that ended it, if it has ended,
    ``wake_at`` the daemon time before which it is not offered, ``since`` the seq of the claim that is running.
    """

    id: str
    seq: int
    priority: int
    queue: str
    type: str
    contract: str
    lease_seconds: float
    timeout_seconds: float
    backoff_seconds: float
    max_attempts: int
    state: str = "queued"
    attempt: int = 1
    failures: int = 0
    claims: int = 0
    refusals: int = 0
    agent: str | None = None
    wake_at: float | None = None
    judged: str | None = None
    final: int | None = None
    since: int | None = None
    last_error: dict[str, Any] | None = None
    refusal: dict[str, Any] | None = None

    @property
    def stem(self) -> str:
        """The stem of the current offer: rank, id, attempt."""
        return f"{self.priority}-{self.seq:012d}.{self.id}.{self.attempt}"

    def copy(self) -> Task:
        """Return another task that is the same."""
        return Task(*_FIELDS(self))

    def backoff(self) -> float:
        """Seconds to wait after the failure that comes next: doubles with each, to at most an hour."""
        if self.backoff_seconds == 0:
            return 0.0
        return float(min(self.backoff_seconds * 2.0 ** min(self.failures, 40), MAX_BACKOFF))

    def used_up(self, *, failing: bool) -> bool:
        """Say whether ending the current claim leaves no attempt; ``failing``: the end counts as a failure."""
        failures = self.failures + (1 if failing else 0)
        return failures >= self.max_attempts or self.claims >= CLAIMS_PER_ATTEMPT * self.max_attempts


_FIELDS = attrgetter(*(field.name for field in fields(Task)))


def timestamp(seconds: float) -> str:
    """Write seconds since 1970 as RFC 3339 in UTC with microseconds and Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(64)  # the events of a batch have one time
def parse_timestamp(text: str) -> float:
    """Read what ``timestamp`` wrote back into seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def resolve(message: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Fill a validated task message up with its contract's defaults, then with TASK_DEFAULTS (SPEC section 6.2).

    The result is what is logged, recorded and handed out; ``id``, ``kind`` and ``$schema`` are left out.
    """
    full = TASK_DEFAULTS | defaults | message
    full = {name: value for name, value in full.items() if name not in ("id", "kind", "$schema")}
    full["priority"] = int(full["priority"])
    full["max_attempts"] = int(full["max_attempts"])
    return {"type": full.pop("type"), **full}


def offer(
    task: Task, body: dict[str, Any], output_schema: Any, context: dict[str, Any], files: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """Build what the agent sees: what it needs and nothing else (SPEC section 6.4).

    ``context`` holds the outputs of dependencies by id, ``files`` those that are too large for it.
    """
    made = {
        "id": task.id,
        "attempt": task.attempt,
        "type": task.type,
        "input": body["input"],
        "context": context,
        "lease_seconds": task.lease_seconds,
        "result_file": f"{task.stem}.result.json",
    }
    if files:
        made["context_files"] = files
    if output_schema is not None:
        made["output_schema"] = output_schema
    if task.last_error is not None:
        made["last_error"] = task.last_error
    return made


def record(task: Task, body: dict[str, Any], ended: dict[str, Any], attempts: list[dict[str, Any]]) -> dict[str, Any]:
    """Build the task's whole story; ``ended`` holds ``output`` or ``error`` once there is one (SPEC section 6.6)."""
    return {"kind": "record", "id": task.id, "state": task.state, "task": body, **ended, "attempts": attempts}


def reason(fault: Invalid, file: str, sha256: str | None = None) -> dict[str, str]:
    """Build the answer to a refused file: which rule, where, what would be right, what to do next (SPEC 6.7)."""
    return compact(
        code=fault.code,
        message=fault.message[:400],
        pointer=fault.pointer,
        expected=fault.expected,
        hint=fault.hint or rules.hint(fault.code),
        file=file,
        sha256=sha256 or None,
    )


def end_claim(task: Task, event: str, notes: str | None, *, final: bool = False, **fields: Any) -> list[Event]:
    """Build the events that end a claim: the end itself, with its backoff, and ``failed`` when nothing is left.

    ``event`` is errored, expired, abandoned, timed_out or returned; ``final`` asks for no further attempt (SPEC 7.9).
    """
    failing = event != "returned"
    ended: Event = {"event": event, "id": task.id, "attempt": task.attempt, "agent": task.agent}
    ended |= compact(**fields, notes=notes)
    if final or ("reason" not in fields and task.used_up(failing=failing)):
        error = fields.get("error") or {"code": event, "message": f"attempt {task.attempt} was the last: {event}"}
        return [ended, {"event": "failed", "id": task.id, "error": error}]
    if failing and task.backoff() > 0:
        ended["delay"] = task.backoff()
    return [ended]


def compact(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None: absent fields are absent, not null (SPEC section 6)."""
    return {name: value for name, value in fields.items() if value is not None}
