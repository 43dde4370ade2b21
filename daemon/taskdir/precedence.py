"""What the log alone must show of the order between tasks: dependencies, resources, versions (SPEC 7.15 to 7.17).

Used by the audit, with its replay as it stands before each event. Capacities are settings and not in the log: it can be
told how many held a resource at once, not how many might.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskdir.documents import Event
from taskdir.index import Index

Graph = dict[str, list[str]]
"""Id → ids that it waits for."""


class Precedence:
    """The judge of one log; ``begin`` with each batch, ``fault`` for each event of it, ``end`` once it is applied."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._accepted: set[str] = set()
        self._in_cycle: set[str] = set()
        self.most: dict[str, int] = {}
        """Resource → the most tasks that held it at once, at the end of a batch."""

    def begin(self, events: Iterable[Event]) -> None:
        """Look a batch over: its members may depend on each other in any order."""
        accepted = [event for event in events if event["event"] == "accepted"]
        graph = {event["id"]: _after(event) for event in accepted if isinstance(event.get("id"), str)}
        self._accepted, self._in_cycle = set(graph), on_cycles(graph)

    def fault(self, event: Event) -> str | None:
        """Say what is wrong with an event that is well formed; None when nothing is."""
        name = event["event"]
        if name == "claimed":
            if waiting := self._index.unmet(event["id"]):
                return f"claimed of {event['id']} before {', '.join(waiting[:5])} was done"
        elif name == "redriven":
            task = self._index.task(event["id"])
            if task is not None and event["attempt"] != task.attempt:
                return f"redriven of {event['id']} names attempt {event['attempt']}, the next is {task.attempt}"
        elif name == "accepted":
            strange = [dep for dep in _after(event) if dep not in self._accepted and self._index.task(dep) is None]
            if strange:
                return f"accepted of {event['id']} after {', '.join(strange[:5])}, which nobody knows"
            if event["id"] in self._in_cycle:
                return f"accepted of {event['id']}, which waits for itself"
        elif name == "set":
            before = self._index.shelf.version(event["key"])
            if event["version"] != before + 1:
                return f"set of {event['key']} names version {event['version']} after {before}"
        return None

    def end(self, events: Iterable[Event]) -> None:
        """Count who holds what, after a batch with these events."""
        claimed = {str(event.get("id")) for event in events if event["event"] == "claimed"}
        for resource in {resource for id in claimed for resource in self._index.lines.resources(id)}:
            count = len(self._index.lines.holders(resource))
            self.most[resource] = max(count, self.most.get(resource, 0))


def on_cycles(graph: Graph) -> set[str]:
    """Return the nodes from which a way leads back to them. Costs as much as the graph is large if there is none."""
    edges = {id: {dep for dep in deps if dep in graph} for id, deps in graph.items()}
    edges = _trimmed(_turned(_trimmed(_turned(edges))))
    return {id for id in edges if id in _reached(edges, id)}


def _turned(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Turn every edge round."""
    found: dict[str, set[str]] = {id: set() for id in edges}
    for id, others in edges.items():
        for other in others:
            found[other].add(id)
    return found


def _trimmed(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Take away, again and again, the nodes that no edge leads to."""
    into = _turned(edges)
    due = [id for id, others in into.items() if not others]
    for id in due:
        for other in edges[id]:
            into[other].discard(id)
            if not into[other]:
                due.append(other)
    gone = set(due)
    return {id: others - gone for id, others in edges.items() if id not in gone}


def _reached(edges: dict[str, set[str]], start: str) -> set[str]:
    """Return the nodes to which a way of one edge or more leads."""
    found, due = set[str](), [start]
    while due:
        for other in edges[due.pop()] - found:
            found.add(other)
            due.append(other)
    return found


def _after(event: Event) -> list[str]:
    task = event.get("task")
    found = task.get("after") if isinstance(task, dict) else None
    return [dep for dep in found if isinstance(dep, str)] if isinstance(found, list) else []
