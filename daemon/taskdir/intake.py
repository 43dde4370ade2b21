"""Desk: messages from inbox/, each accepted or refused whole (SPEC sections 7.2 and 6). Pure.

Order of judgement: what kind of file, its name, is it a redrive or a duplicate, its JSON, its form, its id, then what
its kind asks for. The first rule that fails is the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from taskdir import documents, names, strictjson, validate
from taskdir.documents import Event, Now, Task
from taskdir.errors import Invalid
from taskdir.known import Known
from taskdir.nearby import nearby
from taskdir.seen import Paper, Seen, Slot
from taskdir.validate import Checker

KINDS = ("task", "batch", "cancel", "state", "note", "record")
_LATER = ("after", "resources", "not_before")


def intake(known: Known, seen: Seen, now: Now) -> Iterator[Event]:
    """Yield the events of each message: accepted, batch, canceled, noted, redriven, duplicate or rejected."""
    for paper in seen.messages:
        try:
            events = _judge(known, seen, paper)
        except Invalid as fault:
            events = _refused(known, paper, fault)
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
    id = paper.name.removesuffix(names.TASK)
    if not names.is_word(id):
        raise Invalid("name-grammar", "the file name is no id", expected="[a-z0-9][a-z0-9_-]{0,63}.json")
    if known.redriven(paper.sha256) == id or known.message(id) == paper.sha256:
        return [{"event": "duplicate", "by": id, "sha256": paper.sha256}]
    task = known.task(id)
    if task is not None and (event := _redrive(known, task, paper)) is not None:
        return [event]
    if paper.fault is not None:
        raise paper.fault
    kind = _check_form(paper, known.settings.max_message_bytes)
    if kind == "record":
        raise _record_fault(task)
    if paper.value.get("id", id) != id:
        raise Invalid(
            "id-mismatch", "the id is not the file's name", pointer="/id", expected=f"{id!a}, or no id at all"
        )
    if known.message(id) is not None:
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
    return _form(kind).check(value) or _unsupported(value, kind)


@cache
def _form(kind: str) -> Checker:
    return validate.document("record") if kind == "record" else validate.document("message", kind)


def _unsupported(value: dict[str, Any], kind: str) -> Invalid | None:
    if kind == "state":
        return _later("/kind", "state messages")
    if kind == "cancel" and "dependants" in value:
        return _later("/dependants", "dependants")
    members = [("", value)] if kind == "task" else []
    if kind == "batch":
        members = [(f"/messages/{number}", member) for number, member in enumerate(value["messages"])]
    for at, member in members:
        for name in _LATER:
            if name in member:
                return _later(f"{at}/{name}", name)
    return None


def _later(pointer: str, what: str) -> Invalid:
    return Invalid(
        "not-supported", f"{what} cannot be used with this version yet", pointer=pointer, hint="leave it out"
    )


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


def _task(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    return _accept(known, seen, id, paper.value, paper.sha256, "", set())


def _accept(
    known: Known, seen: Seen, id: str, message: dict[str, Any], sha256: str, at: str, logged: set[str]
) -> list[Event]:
    contract = known.catalog.get(message["type"])
    if contract is None:
        raise Invalid(
            "unknown-type",
            f"there is no contract for the type {message['type']}",
            pointer=f"{at}/type",
            hint=nearby(message["type"], known.catalog.types()) or f"echo '{{}}' > contracts/{message['type']}.json",
        )
    body = documents.resolve(message, contract.defaults)
    _check_queue(known, seen, body["queue"], f"{at}/queue")
    if contract.input is not None and (fault := contract.input.check(body["input"], f"{at}/input")) is not None:
        fault.message, fault.code = f"{fault.message} ({fault.code})", "input-contract"
        raise fault
    events: list[Event] = []
    if contract.sha256 not in logged and not known.is_contract_logged(contract.sha256):
        logged.add(contract.sha256)
        events.append(
            {"event": "contract", "type": contract.type, "sha256": contract.sha256, "contract": contract.document}
        )  # fmt: skip
    return [*events, {"event": "accepted", "id": id, "sha256": sha256, "task": body, "contract": contract.sha256}]


def _check_queue(known: Known, seen: Seen, queue: str, at: str) -> None:
    if queue.startswith("@"):
        if queue[1:] not in seen.agents:
            hint = nearby(queue[1:], sorted(seen.agents)) or f"mkdir claimed/{queue[1:]}"
            raise Invalid("unknown-agent", f"there is no directory claimed/{queue[1:]}/", pointer=at, hint=hint)
    elif queue not in known.settings.all_queues():
        queues = known.settings.all_queues()
        hint = nearby(queue, queues) or 'declare it in taskdir.json, "queues"'
        expected = "one of " + ", ".join(queues)
        raise Invalid("unknown-queue", f"there is no queue {queue}", pointer=at, expected=expected, hint=hint)


def _batch(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    members = paper.value["messages"]
    events: list[Event] = [{"event": "batch", "by": id, "sha256": paper.sha256, "count": len(members)}]
    taken, logged = {id}, set[str]()
    for number, member in enumerate(members):
        at = f"/messages/{number}"
        if member["id"] in taken:
            raise Invalid("batch-duplicate-id", f"the id {member['id']} stands twice in this batch", pointer=f"{at}/id")
        if known.message(member["id"]) is not None:
            raise Invalid(
                "id-taken", f"another message has the id {member['id']}", pointer=f"{at}/id", hint="choose a new id"
            )
        taken.add(member["id"])
        sha256 = hashlib.sha256(strictjson.canonical(member)).hexdigest()
        accepted = _accept(known, seen, member["id"], member, sha256, at, logged)
        accepted[-1]["batch"] = id
        events += accepted
    return events


def _cancel(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    task = known.task(paper.value["task"])
    if task is None:
        raise Invalid("cancel-unknown", "there is no such task", pointer="/task", hint="`taskdir list` shows all")
    if task.final is not None:
        raise Invalid("cancel-final", f"the task is {task.state} already", pointer="/task")
    event: Event = {"event": "canceled", "id": task.id}
    if task.state == "claimed":
        holding = seen.holdings.get(Slot(task.agent or "", task.stem))
        notes = holding.notes if holding else None
        event |= documents.compact(attempt=task.attempt, agent=task.agent, notes=notes)
    return [event | {"by": id, "sha256": paper.sha256}]


def _note(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    about = paper.value.get("task")
    if about is not None and known.task(about) is None:
        raise Invalid("note-unknown-task", "there is no such task", pointer="/task", hint="`taskdir list` shows all")
    said = {"by": id, "sha256": paper.sha256, "message": paper.value["message"]}
    return [{"event": "noted", **said} | documents.compact(id=about, **{"from": paper.value.get("from")})]


_KINDS = {"task": _task, "batch": _batch, "cancel": _cancel, "note": _note}
