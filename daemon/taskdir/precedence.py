"""What the log alone must show of the order between tasks: dependencies, resources, versions (SPEC 7.15 to 7.17).

Used by the audit, with its replay as it stands before the batch. Capacities are settings and not in the log: it can be
told how many held a resource at once, not how many might.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskdir.acceptance import find_cycle
from taskdir.documents import Event
from taskdir.index import Index


class Precedence:
    """The judge of one log; ``begin`` with each batch, ``fault`` for each event of it, ``end`` once it is applied."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._accepted: set[str] = set()
        self._done: set[str] = set()
        self._versions: dict[str, int] = {}
        self._in_cycle: list[str] = []
        self.most: dict[str, int] = {}
        """Resource → the most tasks that held it at once, at the end of a batch."""

    def begin(self, events: Iterable[Event]) -> None:
        """Look a batch over: its members may depend on each other in any order."""
        graph = {str(event.get("id")): _after(event) for event in events if event["event"] == "accepted"}
        self._accepted, self._done, self._versions = set(graph), set(), {}
        within = {id: [dep for dep in after if dep in graph] for id, after in graph.items()}
        self._in_cycle = find_cycle(within) if any(within.values()) else []

    def fault(self, event: Event) -> str | None:
        """Say what is wrong with an event that is well formed; None when nothing is."""
        name = event["event"]
        if name == "claimed":
            waiting = [dep for dep in self._index.lines.unmet(event["id"]) if dep not in self._done]
            if waiting:
                return f"claimed of {event['id']} before {', '.join(waiting[:5])} was done"
        elif name == "done":
            self._done.add(event["id"])
        elif name == "accepted":
            strange = [dep for dep in _after(event) if dep not in self._accepted and self._index.task(dep) is None]
            if strange:
                return f"accepted of {event['id']} after {', '.join(strange[:5])}, which nobody knows"
            if event["id"] in self._in_cycle:
                return f"accepted of {event['id']}, which waits for itself"
        elif name == "set":
            key, version = event["key"], event["version"]
            before = self._versions.get(key) or self._index.shelf.version(key)
            self._versions[key] = version
            if version != before + 1:
                return f"set of {key} names version {version} after {before}"
        return None

    def end(self, events: Iterable[Event]) -> None:
        """Count who holds what, after a batch with these events."""
        for event in events:
            if event["event"] == "claimed":
                for resource in self._index.lines.resources(event["id"]):
                    count = len(self._index.lines.holders(resource))
                    self.most[resource] = max(count, self.most.get(resource, 0))


def _after(event: Event) -> list[str]:
    task = event.get("task")
    found = task.get("after") if isinstance(task, dict) else None
    return [dep for dep in found if isinstance(dep, str)] if isinstance(found, list) else []
