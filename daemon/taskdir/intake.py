"""Desk: messages from inbox/, each accepted or refused whole (SPEC sections 7.2 and 6). Pure.

Order of judgement: what kind of file, its name, is it a redrive or a duplicate, its JSON, its form, its id, then what
its kind asks for. The first rule that fails is the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from taskdir import acceptance, documents, names, orders, ownership, validate
from taskdir.documents import Event, Now, Task
from taskdir.errors import Invalid
from taskdir.known import Known
from taskdir.seen import Paper, Seen
from taskdir.validate import Checker

KINDS = ("task", "batch", "cancel", "state", "note", "record")


def intake(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield the events of each message: accepted, batch, canceled, noted, redriven, duplicate or rejected."""
    for paper in seen.messages:
        try:
            events = _judge(known, seen, paper)
        except Invalid as fault:
            events = _refused(known, paper, fault)
        except acceptance.Unsettled:
            events = []
        yield from events


def _refused(known: Known, paper: Paper, fault: Invalid) -> list[Event]:
    file = names.printable(paper.name)
    if known.refused_before(file, paper.sha256, fault.code):
        return []
    reason = documents.reason(fault, file, paper.sha256)
    return [documents.compact(event="rejected", file=file, sha256=paper.sha256 or None, reason=reason)]


def _judge(known: Known, seen: Seen, paper: Paper) -> list[Event]:
    """Return the events of one message; raises Invalid when it is refused."""
    if paper.special and paper.fault is not None:
        raise paper.fault
    file = names.given(paper.sender, paper.name)
    id = file.removesuffix(names.TASK)
    if not names.is_word(id):
        raise Invalid("name-grammar", "the file name is no id", expected="[a-z0-9][a-z0-9_-]{0,63}.json")
    if paper.sender and not names.is_own(paper.sender, id):  # before anything that tells whether it is known
        raise ownership.taken(paper.sender, id, "")
    taken = known.message(id)
    task = known.task(id) if taken is not None else None  # a task's id is a message's id
    if task is not None and (event := _redrive(known, task, paper)) is not None:
        return [event]  # before duplicates: ended twice without a claim, a task has the same record twice
    if taken is not None and (taken == paper.sha256 or known.redriven(paper.sha256) == id):
        return [{"event": "duplicate", "by": id, "sha256": paper.sha256}]
    if paper.fault is not None:
        raise paper.fault
    kind = _check_form(paper, known.settings.max_message_bytes)
    if paper.sender and (fault := ownership.trespass(paper.sender, paper.value, seen.agents)) is not None:
        raise fault
    if kind == "record":
        raise _record_fault(task)
    if paper.value.get("id", id) != id:
        raise Invalid(
            "id-mismatch", "the id is not the file's name", pointer="/id", expected=f"{id!a}, or no id at all"
        )
    if taken is not None:
        raise Invalid("id-taken", "another message has this id, and ids are never used twice", hint="choose a new id")
    return _KINDS[kind](known, seen, paper, id)


def _check_form(paper: Paper, max_bytes: int) -> str:
    """Return the kind of a message whose form is right; raises Invalid."""
    fault = form_fault(paper.value)
    kind = paper.value.get("kind", "task") if isinstance(paper.value, dict) else "task"
    if kind not in ("batch", "record") and paper.size > max_bytes:
        raise Invalid("too-large", f"{paper.size} bytes are too many", expected=f"at most {max_bytes} bytes")
    if fault is not None:
        raise fault
    return str(kind)


def form_fault(value: Any) -> Invalid | None:
    """Return what is wrong with a message's form, apart from anything that only a daemon can know."""
    if not isinstance(value, dict):
        return Invalid("wrong-type", "a message is a JSON object", pointer="", expected='{"type": …}')
    kind = value.get("kind", "task")
    if kind not in KINDS:
        return Invalid(
            "unknown-kind", "there is no such kind of message", pointer="/kind", expected="one of " + ", ".join(KINDS)
        )
    if kind == "batch" and isinstance(value.get("messages"), list):
        for number, member in enumerate(value["messages"]):
            if isinstance(member, dict) and member.get("kind", "task") != "task":
                at = f"/messages/{number}/kind"
                return Invalid("batch-member-kind", "a batch holds tasks only", pointer=at, expected="task")
    return _form(kind).check(value)


@cache
def _form(kind: str) -> Checker:
    return validate.document("record") if kind == "record" else validate.document("message", kind)


def _redrive(known: Known, task: Task, paper: Paper) -> Event | None:
    if task.state not in ("failed", "canceled"):
        return None
    expected = known.record_bytes(task)
    if expected is None or hashlib.sha256(expected).hexdigest() != paper.sha256:
        return None
    return {"event": "redriven", "id": task.id, "attempt": task.attempt, "sha256": paper.sha256}


def _record_fault(task: Task | None) -> Invalid:
    if task is None:
        return Invalid("record-unknown", "no task of this id was ever accepted", hint="submit it as a new task")
    if task.state == "done":
        return Invalid("record-done", "the task is done, and done is final", hint="submit a new task")
    return Invalid(
        "record-edited", "this is not the record as it was published", hint="submit a new task, or restore it"
    )


_KINDS = {
    "task": acceptance.task,
    "batch": acceptance.batch,
    "cancel": orders.cancel,
    "note": orders.note,
    "state": orders.state,
}
