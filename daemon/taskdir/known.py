"""What the desks may know: the index as earlier desks of the same pass leave it, settings and contracts (SPEC 10.3).

A thin overlay: events that were decided but not yet committed are folded in memory; nothing is written.
"""

from __future__ import annotations

import hashlib
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
        self._contracts: set[tuple[str, str]] = set()
        self._versions: dict[str, int] = {}
        self._dependants: dict[str, list[str]] = {}
        self._live = dict(index.live)

    def add(self, event: Event) -> None:
        """Give an event its number and time, and know it from now on."""
        self._seq += 1
        full = {"seq": self._seq, "time": self._now.text, **event}
        self.events.append(full)
        name = full["event"]
        if name == "accepted" or (name in _ABOUT_TASKS and "id" in full):
            before = self.task(full["id"]) if name != "accepted" else None
            task = lifecycle.fold(before, full, self._now.seconds)
            self._tasks[task.id] = task
            if task.state == "claimed":
                self._live[task.id] = task
            else:
                self._live.pop(task.id, None)
        if name == "accepted":
            self._messages[full["id"]] = full["sha256"]
            for dep in full["task"].get("after", ()):
                self._dependants.setdefault(dep, []).append(full["id"])
        elif name == "set":
            self._versions[full["key"]] = full["version"]
        elif name == "redriven":
            self._redrives[full["sha256"]] = full["id"]
        elif name == "contract":
            self._contracts.add((full["type"], full["sha256"]))
        if "by" in full:
            self._messages.setdefault(full["by"], full["sha256"])

    def task(self, id: str) -> Task | None:
        """Return a task as it is now, None when it was never accepted."""
        return self._tasks.get(id) or self._index.task(id)

    def live(self) -> list[Task]:
        """Return the claimed tasks in order of their recording."""
        return list(self._live.values())

    def dependants(self, id: str) -> list[Task]:
        """Return every task that waits for a task, directly or not, nearest first."""
        found: dict[str, Task] = {}
        due = [id]
        for at in due:
            for each in [*self._index.lines.dependants(at), *self._dependants.get(at, ())]:
                task = self.task(each)
                if task is not None and each not in found:
                    found[each] = task
                    due.append(each)
        return list(found.values())

    def unmet(self, task: Task) -> list[str]:
        """Return the dependencies that a task still waits for: it was never offered."""
        return self._index.lines.unmet(task.id)

    def overfull(self, task: Task) -> str | None:
        """Return a resource that others hold to its capacity, so that this task may not; None when there is none."""
        for resource in self._index.lines.resources(task.id):
            others = [id for id in self._live if id != task.id and resource in self._index.lines.resources(id)]
            if len(others) >= self.settings.resources.get(resource, 1):
                return resource
        return None

    def version(self, key: str) -> int:
        """Return the version of a key of shared state, 0 when it was never set."""
        return self._versions.get(key) or self._index.shelf.version(key)

    def benched(self) -> dict[str, float]:
        """Return the benched agents with the daemon time at which each may work again."""
        return self._index.standing.benched()

    def startable(self, queue: str) -> list[Task]:
        """Return the tasks of a queue that may start now, as far as the window reaches, in order."""
        found = (self.task(task.id) for task in self._index.window(queue, self.settings.window))
        return [task for task in found if task is not None and task.state == "queued" and self.overfull(task) is None]

    def losers(self) -> list[str]:
        """Return the agents that lost so many attempts in a row that they are to be benched."""
        length = self.settings.bench_after
        return self._index.standing.streaks(length) if length else []

    def nearby_ids(self, id: str) -> list[str]:
        """Return ids of tasks that start like ``id``, some of them, for a hint."""
        return [] if self.settings.walls else self._index.ids_like(id[:2])  # behind walls, others' ids are theirs

    def message(self, id: str) -> str | None:
        """Return the SHA-256 of the message that took an id, None when it is free."""
        return self._messages.get(id) or self._index.register.message(id)

    def refused_before(self, file: str, sha256: str, code: str) -> bool:
        """Say whether the same file with the same bytes was refused for the same cause last time."""
        found = self._index.register.refusal(file)
        return found is not None and found[0] == sha256 and found[1]["code"] == code

    def redriven(self, sha256: str) -> str | None:
        """Return the id of the task that a record with this hash brought back before."""
        return self._redrives.get(sha256) or self._index.register.redriven(sha256)

    def record_bytes(self, task: Task) -> bytes | None:
        """Return the bytes that done/ or failed/ holds for a task, None while it runs."""
        if task.final is None or task.id in self._tasks:
            return None
        return record_bytes(self._index, task)

    def was_judged(self, id: str, attempt: int, sha256: str) -> bool:
        """Say whether a result with these bytes already ended this attempt."""
        return self._index.judged(id, attempt) == sha256

    def is_contract_logged(self, type: str, sha256: str) -> bool:
        """Say whether the log has this contract's text for a type already."""
        return (type, sha256) in self._contracts or self._index.register.has_contract(type, sha256)

    def contract_of(self, task: Task) -> Contract:
        """Return the contract that a task is bound to."""
        return bound_contract(self._index, self.catalog, task)


def bound_contract(index: Index, catalog: Catalog, task: Task) -> Contract:
    """Return the contract that ``task`` was accepted under, from the catalog or from the log's copy of its text."""
    if (known := catalog.find(task.contract)) is not None:
        return known
    document = index.register.contract(task.type, task.contract)
    return catalog.bound(task.type, task.contract, {} if document is None else document)


def record_bytes(index: Index, task: Task) -> bytes:
    """Build the bytes of done/<id>.json or failed/<id>.json. The same facts always give the same bytes."""
    stories = index.stories
    made = documents.record(task, stories.body(task), stories.ended(task), stories.attempts(task.id))
    return strictjson.pretty(made)


def offer_bytes(index: Index, task: Task, output_schema: Any, context_bytes: int) -> bytes:
    """Build the bytes of a queued task's offer; ``output_schema`` is its contract's, None when that has none.

    The same facts always give the same bytes. Outputs of dependencies go into ``context`` up to ``context_bytes``; the
    rest is named by file and hash.
    """
    body = index.stories.body(task)
    context: dict[str, Any] = {}
    files: dict[str, dict[str, str]] = {}
    for dep in body.get("after", ()):
        output = index.ended(dep).get("output")
        context_bytes -= len(strictjson.dumps(output))
        if context_bytes >= 0:
            context[dep] = output
            continue
        done = index.task(dep)
        sha256 = hashlib.sha256(record_bytes(index, done)).hexdigest() if done else ""
        files[dep] = {"path": f"done/{dep}.json", "sha256": sha256}
    made = documents.offer(task, body, output_schema, context, files)
    return (strictjson.dumps(made) + "\n").encode()


def entry_bytes(index: Index, key: str) -> bytes | None:
    """Build the bytes of state/<key>.json; None for a key that was never set."""
    entry = index.shelf.get(key)
    return strictjson.pretty(entry) if entry is not None else None
