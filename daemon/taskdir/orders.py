"""What a cancel, a note or a change of shared state must meet (SPEC 7.7, 7.13, 7.17). Pure, for intake."""

from __future__ import annotations

from taskdir import documents
from taskdir.documents import Event, Task
from taskdir.errors import Invalid
from taskdir.known import Known
from taskdir.seen import Paper, Seen, Slot


def cancel(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    """Return the events of cancelling a task, and with ``dependants`` all that wait for it, however indirectly."""
    task = known.task(paper.value["task"])
    if task is None:
        raise Invalid("cancel-unknown", "there is no such task", pointer="/task", hint="`taskdir list` shows all")
    if task.final is not None and not (paper.value.get("dependants") and task.state != "done"):
        raise Invalid("cancel-final", f"the task is {task.state} already", pointer="/task")
    tasks = [task, *known.dependants(task.id)] if paper.value.get("dependants") else [task]
    told = {"by": id, "sha256": paper.sha256}
    events = [_canceled(seen, each) | told for each in tasks if each.final is None]
    if not events:
        raise Invalid("cancel-final", f"the task is {task.state} already, and nothing waits for it", pointer="/task")
    return events


def _canceled(seen: Seen, task: Task) -> Event:
    event: Event = {"event": "canceled", "id": task.id}
    if task.state == "claimed":
        holding = seen.holdings.get(Slot(task.agent or "", task.stem))
        notes = holding.notes if holding else None
        event |= documents.compact(attempt=task.attempt, agent=task.agent, notes=notes)
    return event


def note(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    """Return the event of writing a note into the log."""
    about = paper.value.get("task")
    if about is not None and known.task(about) is None:
        raise Invalid("note-unknown-task", "there is no such task", pointer="/task", hint="`taskdir list` shows all")
    said = {"by": id, "sha256": paper.sha256, "message": paper.value["message"]}
    return [
        {"event": "noted", **said}
        | documents.compact(id=about, **{"from": paper.value.get("from") or paper.sender or None})
    ]


def state(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    """Return the event of setting a key, if its version is the one that the writer saw."""
    key, value = paper.value["key"], paper.value["value"]
    version = known.version(key)
    if "if_version" in paper.value and paper.value["if_version"] != version:
        said = f"{key} is at version {version}, not {paper.value['if_version']}: somebody else changed it"
        hint = f"read state/{key}.json again, then set it with the version it has now"
        if version == 0:
            said, hint = f"{key} was never set, so its version is 0", "set it with if_version 0, or without"
        raise Invalid("state-conflict", said, pointer="/if_version", expected=str(version), hint=hint)
    if known.catalog.keys is not None and key in known.catalog.keys.faults and known.catalog.keys.get(key) is None:
        said = f"contracts/state/{key}.json cannot be used, so nothing can be checked against it"
        raise Invalid("state-contract", said, pointer="/value", hint="mend it: `taskdir contract check` says how")
    checker = known.catalog.state_checker(key)
    if checker is not None and (fault := checker.check(value, "/value")) is not None:
        fault.message, fault.code = f"{fault.message} ({fault.code})", "state-contract"
        raise fault
    told = {"by": id, "sha256": paper.sha256, "key": key, "version": version + 1, "value": value}
    return [{"event": "set", **told} | documents.compact(**{"from": paper.value.get("from") or paper.sender or None})]
