"""What the desks may know: the index as earlier desks of the same pass leave it, settings and contracts (SPEC 10.3).

A thin overlay: events that were decided but not yet committed are folded in memory; nothing is written.
"""

from __future__ import annotations

from typing import Any

from taskdir import documents, lifecycle, strictjson
from taskdir.contracts import Catalog, Contract
from taskdir.documents import Event, Now, Task
from taskdir.index import Index
from taskdir.settings import Settings

_ABOUT_TASKS = frozenset(event for _, event in lifecycle.NEXT)


class Known:
    """One pass's view of the facts. ``add`` folds an event in; everything else reads."""

    def __init__(self, index: Index, settings: Settings, catalog: Catalog, now: Now) -> None:
        self._index = index
        self.settings = settings
        self.catalog = catalog
        self.events: list[Event] = []
        self._now = now
        self._seq = index.mark.seq
        self._tasks: dict[str, Task] = {}
        self._messages: dict[str, str] = {}
        self._redrives: dict[str, str] = {}
        self._contracts: set[str] = set()
        self._live = {task.id: task for task in index.tasks("state = 'claimed'")}

    def add(self, event: Event) -> None:
        """Give an event its number and time, and know it from now on."""
        self._seq += 1
        full = {"seq": self._seq, "time": self._now.text, **event}
        self.events.append(full)
        name = full["event"]
        if name == "accepted" or (name in _ABOUT_TASKS and "id" in full):
            task = lifecycle.fold(self.task(full["id"]), full, self._now.seconds)
            self._tasks[task.id] = task
            if task.state == "claimed":
                self._live[task.id] = task
            else:
                self._live.pop(task.id, None)
        if name == "accepted":
            self._messages[full["id"]] = full["sha256"]
        elif name == "redriven":
            self._redrives[full["sha256"]] = full["id"]
        elif name == "contract":
            self._contracts.add(full["sha256"])
        if "by" in full:
            self._messages.setdefault(full["by"], full["sha256"])

    @property
    def next_seq(self) -> int:
        """The seq that the next event gets."""
        return self._seq + 1

    def task(self, id: str) -> Task | None:
        """Return a task as it is now, None when it was never accepted."""
        return self._tasks.get(id) or self._index.task(id)

    def live(self) -> list[Task]:
        """Return the claimed tasks in order of their recording."""
        return sorted(self._live.values(), key=lambda task: task.since or 0)

    def message(self, id: str) -> str | None:
        """Return the SHA-256 of the message that took an id, None when it is free."""
        return self._messages.get(id) or self._index.message(id)

    def refused_before(self, file: str, sha256: str, code: str) -> bool:
        """Say whether the same file with the same bytes was refused for the same cause last time."""
        found = self._index.refusal(file)
        return found is not None and found[0] == sha256 and found[1]["code"] == code

    def redriven(self, sha256: str) -> str | None:
        """Return the id of the task that a record with this hash brought back before."""
        return self._redrives.get(sha256) or self._index.redriven(sha256)

    def record_bytes(self, task: Task) -> bytes | None:
        """Return the bytes that done/ or failed/ holds for a task, None while it runs."""
        if task.final is None or task.id in self._tasks:
            return None
        return record_bytes(self._index, task)

    def was_judged(self, id: str, attempt: int, sha256: str) -> bool:
        """Say whether a result with these bytes already ended this attempt."""
        return self._index.judged(id, attempt) == sha256

    def is_contract_logged(self, sha256: str) -> bool:
        """Say whether the log has this contract's text already."""
        return sha256 in self._contracts or self._index.contract(sha256) is not None

    def contract_of(self, task: Task) -> Contract:
        """Return the contract that a task is bound to."""
        return bound_contract(self._index, self.catalog, task)


def bound_contract(index: Index, catalog: Catalog, task: Task) -> Contract:
    """Return the contract that ``task`` was accepted under, from the catalog or from the log's copy of its text."""
    found = index.contract(task.contract)
    document: Any = found[1] if found else {}
    return catalog.bound(task.type, task.contract, document)


def record_bytes(index: Index, task: Task) -> bytes:
    """Build the bytes of done/<id>.json or failed/<id>.json. The same facts always give the same bytes."""
    made = documents.record(task, index.body(task.id), index.ended(task.id), index.attempts(task.id))
    return strictjson.pretty(made)


def offer_bytes(index: Index, catalog: Catalog, task: Task) -> bytes:
    """Build the bytes of a queued task's offer. The same facts always give the same bytes."""
    made = documents.offer(task, index.body(task.id), bound_contract(index, catalog, task).output_schema)
    return (strictjson.dumps(made) + "\n").encode()
