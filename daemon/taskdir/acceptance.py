"""What a task or a batch must meet to be accepted: contract, queue, dependencies (SPEC sections 6.2, 6.3, 7.14, 7.15).

Called by the intake desk. Pure; raises Invalid with the first rule that is broken, or Unsettled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from taskdir import documents, strictjson
from taskdir.documents import Event
from taskdir.errors import Invalid
from taskdir.known import Known
from taskdir.nearby import nearby
from taskdir.seen import Paper, Seen


class Unsettled(Exception):
    """The message cannot be judged yet: what it names may still be on its way into inbox/."""


def task(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    """Return the events of accepting a single task."""
    if "after" in paper.value:
        _check_dependencies(known, paper, {id: paper.value}, "")
    return _accept(known, seen, id, _told(paper, paper.value), paper.sha256, "", set())


def batch(known: Known, seen: Seen, paper: Paper, id: str) -> list[Event]:
    """Return the events of accepting a batch: whole or not at all."""
    members: dict[str, dict[str, Any]] = {}
    for number, member in enumerate(paper.value["messages"]):
        at = f"/messages/{number}/id"
        if member["id"] in members or member["id"] == id:
            raise Invalid("batch-duplicate-id", f"the id {member['id']} stands twice in this batch", pointer=at)
        if known.message(member["id"]) is not None:
            said = f"another message has the id {member['id']}"
            raise Invalid("id-taken", said, pointer=at, hint="choose a new id")
        members[member["id"]] = member
    if any("after" in member for member in members.values()):
        _check_dependencies(known, paper, members, "/messages")
    events: list[Event] = [{"event": "batch", "by": id, "sha256": paper.sha256, "count": len(members)}]
    logged: set[str] = set()
    for number, (name, member) in enumerate(members.items()):
        sha256 = hashlib.sha256(strictjson.canonical(member)).hexdigest()
        accepted = _accept(known, seen, name, _told(paper, member), sha256, f"/messages/{number}", logged)
        accepted[-1]["batch"] = id
        events += accepted
    return events


def _told(paper: Paper, message: dict[str, Any]) -> dict[str, Any]:
    """Return a task's message with its proven sender, behind walls."""
    return message | {"from": paper.sender} if paper.sender else message


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
    if contract.type not in logged and not known.is_contract_logged(contract.type, contract.sha256):
        logged.add(contract.type)
        about = {"type": contract.type, "sha256": contract.sha256, "contract": contract.document}
        events.append({"event": "contract", **about})
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


def _check_dependencies(known: Known, paper: Paper, members: dict[str, dict[str, Any]], at: str) -> None:
    """Each dependency is a task, accepted before or in the same batch, and none leads back to itself."""
    graph: dict[str, list[str]] = {}
    for number, (id, message) in enumerate(members.items()):
        after = message.get("after", [])
        graph[id] = [dep for dep in after if dep in members]
        for place, dep in enumerate(after):
            if dep in members or known.task(dep) is not None:
                continue
            if not paper.settled:
                raise Unsettled
            raise Invalid(
                "unknown-dependency",
                f"there is no task {dep}, and none came while the message waited",
                pointer=f"{at}/{number}/after/{place}" if at else f"/after/{place}",
                hint=nearby(dep, known.nearby_ids(dep) + sorted(members)) or "submit what it depends on first",
            )
    cycle = find_cycle(graph)
    if cycle:
        number = list(members).index(cycle[0])
        pointer = f"{at}/{number}/after" if at else "/after"
        said = f"the tasks wait for each other: {' after '.join([*cycle[:8], '…'] if len(cycle) > 9 else cycle)}"
        raise Invalid("dependency-cycle", said[:400], pointer=pointer, hint="take one of these dependencies out")


def find_cycle(graph: dict[str, list[str]]) -> list[str]:
    """Return one cycle of a graph (node → nodes it waits for), its first node repeated at the end; [] if there is none.

    Depth-first with an explicit stack, so that ten thousand tasks in a row are no problem.
    """
    done: set[str] = set()
    for start, first in graph.items():
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, Iterable[str]]] = [(start, iter(first))] if start not in done else []
        if stack:
            path.append(start)
            on_path.add(start)
        while stack:
            node, rest = stack[-1]
            following = next(iter(rest), None)
            if following is None:
                stack.pop()
                path.pop()
                on_path.discard(node)
                done.add(node)
            elif following in on_path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                stack.append((following, iter(graph[following])))
                path.append(following)
                on_path.add(following)
    return []
