"""Desk: results, checked against contracts before a task may be done (SPEC section 7.8). Pure.

A result counts only for the current attempt, from the holder's directory; anything else is late (P4).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from taskdir import documents, validate
from taskdir.documents import Event, Now, Task
from taskdir.errors import Invalid
from taskdir.known import Known
from taskdir.names import parse_stem
from taskdir.seen import Paper, Seen, Slot
from taskdir.validate import Checker


def results(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield ``done``, ``errored``, ``refused`` or ``late`` for each result, and ``failed`` where nothing is left."""
    for paper in seen.results:
        slot = paper.slot
        stem = parse_stem(slot.stem) if slot else None
        task = known.task(stem.id) if stem else None
        if slot is None or stem is None or task is None:
            continue  # the claims desk reports what was never offered
        if task.state == "claimed" and (task.agent, task.stem) == (slot.agent, slot.stem):
            if not (seen.first and paper.sha256 == task.judged):
                yield from _judge(known, seen, task, paper)
        elif not known.was_judged(task.id, stem.attempt, paper.sha256):
            yield from _late(known, paper, slot, task.id, stem.attempt)


def _judge(known: Known, seen: Seen, task: Task, paper: Paper) -> Iterator[Event]:
    holding = seen.holdings.get(Slot(task.agent or "", task.stem))
    notes = holding.notes if holding else None
    about = {"id": task.id, "attempt": task.attempt, "agent": task.agent}
    fault = paper.fault or check(paper.value, known.contract_of(task).output)
    if fault is not None:
        reason = documents.reason(fault, paper.name, paper.sha256)
        yield {"event": "refused", **about, "sha256": paper.sha256, "reason": reason}
        if task.refusals + 1 >= known.settings.refusal_cap:
            error = {
                "code": "refusal-cap",
                "message": f"{task.refusals + 1} results refused, the last: {fault.message}",
            }
            yield from documents.end_claim(task, "errored", notes, error=error, retry=True, sha256=paper.sha256)
    elif paper.value["status"] == "ok":
        done = {"event": "done", **about, "output": paper.value["output"], "sha256": paper.sha256}
        yield done | documents.compact(notes=notes)
    else:
        retry = paper.value.get("retry", False)
        error = {"code": "error", **paper.value["error"]}
        yield from documents.end_claim(
            task, "errored", notes, final=not retry, error=error, retry=retry, sha256=paper.sha256
        )  # fmt: skip


def check(value: Any, output: Checker | None) -> Invalid | None:
    """Return what is wrong with a parsed result: its own form first, then its output against the contract."""
    fault = _form().check(value)
    if fault is None and output is not None and value["status"] == "ok":
        fault = output.check(value["output"], "/output")
        if fault is not None:
            fault.message = f"{fault.message} ({fault.code})"
            fault.code = "output-contract"
    return fault


@cache
def _form() -> Checker:
    return validate.document("result")


def _late(known: Known, paper: Paper, slot: Slot, id: str, attempt: int) -> Iterator[Event]:
    fault = Invalid("late", f"attempt {attempt} of {id} is no longer {slot.agent}'s to finish")
    if not known.refused_before(paper.name, paper.sha256, fault.code):
        reason = documents.reason(fault, paper.name, paper.sha256)
        about = {"id": id, "attempt": attempt, "agent": slot.agent, "file": paper.name, "sha256": paper.sha256}
        yield {"event": "late", **about, "reason": reason}
