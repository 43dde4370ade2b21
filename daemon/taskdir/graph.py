"""``taskdir show --graph``: the workflow around tasks as text for Mermaid or Graphviz (SPEC section 7.15).

The workflow of a task is every task linked with it by ``after``, directly or not, in either direction. It is cut where
it grows too large for the reader: the nearest tasks stay, and the picture says how many were left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from taskdir.documents import Task
from taskdir.facts import Facts

LIMITS = {"mermaid": (150, 450), "dot": (2000, 8000)}
"""Format → at most so many tasks and edges. Mermaid itself stops at 500 edges and 50,000 characters."""

COLOURS = {
    "queued": ("#eef1f4", "#57606a"),
    "waiting": ("#fff6dc", "#9a6b00"),
    "blocked": ("#ffe3d3", "#bc4c00"),
    "claimed": ("#dbeafe", "#1d5fb4"),
    "done": ("#d7f5e0", "#1a7f45"),
    "failed": ("#ffd9dc", "#b42334"),
    "canceled": ("#d9dde2", "#424a53"),
}
"""How a task stands → fill and border. ``waiting``: queued, some of its dependencies are not done yet."""

_WITH_AFTER = "SELECT id, task FROM bodies JOIN tasks USING (seq) WHERE instr(task, '\"after\":') > 0"
_BLOCKERS = 3


@dataclass(frozen=True, slots=True)
class Node:
    """One task: its type, how it stands (a key of COLOURS), and which failed or canceled tasks block it."""

    id: str
    type: str
    standing: str
    blocked_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """Tasks in the order of their distance, edges from a dependency to its dependant, and what did not fit."""

    nodes: list[Node]
    edges: list[tuple[str, str]]
    tasks_left_out: int = 0
    edges_left_out: int = 0


def workflow(facts: Facts, ids: Iterable[str], limits: tuple[int, int]) -> Graph:
    """Return what is linked with the tasks ``ids``, at most so many tasks and edges; unknown ids are left out."""
    after = {str(id): _after(text) for id, text in facts.index.rows(_WITH_AFTER)}
    linked: dict[str, list[str]] = {id: list(deps) for id, deps in after.items()}
    for id, deps in after.items():
        for dep in deps:
            linked.setdefault(dep, []).append(id)
    order = _reach(linked, [id for id in ids if facts.index.task(id)])
    chosen = dict.fromkeys(order[: limits[0]])
    edges = [(dep, id) for id in chosen for dep in after.get(id, ()) if dep in chosen]
    nodes = [_node(facts, task) for id in chosen if (task := facts.index.task(id))]
    return Graph(nodes, edges[: limits[1]], len(order) - len(chosen), max(0, len(edges) - limits[1]))


def _after(text: str) -> list[str]:
    found = json.loads(text).get("after", [])
    return [str(dep) for dep in found]


def _reach(linked: Mapping[str, list[str]], ids: Iterable[str]) -> list[str]:
    """Return ``ids`` and all that hangs together with them, nearest first."""
    found = dict.fromkeys(ids)
    queue = list(found)
    for id in queue:  # grows while it is walked
        for other in linked.get(id, ()):
            if other not in found:
                found[other] = None
                queue.append(other)
    return queue


def _node(facts: Facts, task: Task) -> Node:
    if task.state != "queued" or not facts.index.lines.unmet(task.id):
        return Node(task.id, task.type, task.state)
    blockers = tuple(f"{by} ({state})" for by, state in facts.index.lines.blockers(task.id, _BLOCKERS).items())
    return Node(task.id, task.type, "blocked" if blockers else "waiting", blockers)


def _label(node: Node) -> list[str]:
    others = " and others" if len(node.blocked_by) > 1 else ""
    return [node.id, f"{node.type} · {node.standing}", *[f"by {by}{others}" for by in node.blocked_by[:1]]]


def _left_out(graph: Graph) -> str:
    parts = [(graph.tasks_left_out, "tasks"), (graph.edges_left_out, "edges")]
    return " and ".join(f"{count} more {what}" for count, what in parts if count)


def mermaid(graph: Graph) -> str:
    """Write a graph for Mermaid, as Markdown on many sites shows it."""
    return "\n".join(_mermaid(graph)) + "\n"


def _mermaid(graph: Graph) -> Iterator[str]:
    names = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}  # an id may be a word of the language
    yield "flowchart LR"
    for node in graph.nodes:
        yield f'  {names[node.id]}["{"<br/>".join(map(_entity, _label(node)))}"]:::{node.standing}'
    if left_out := _left_out(graph):
        yield f'  more["… {left_out}"]:::more'
    for dep, id in graph.edges:
        yield f"  {names[dep]} --> {names[id]}"
    for name, (fill, border) in COLOURS.items():
        dashes = ",stroke-dasharray:5 3" if name == "blocked" else ""
        yield f"  classDef {name} fill:{fill},stroke:{border},color:#1f2328{dashes}"
    yield "  classDef more fill:none,stroke:none"


def _entity(text: str) -> str:
    """Write all but plain characters as Mermaid's entities, which are decimal code points."""
    return "".join(char if char.isalnum() or char in " -_.,()·@" else f"#{ord(char)};" for char in text)


def dot(graph: Graph) -> str:
    """Write a graph for Graphviz: ``dot -Tsvg``."""
    return "\n".join(_dot(graph)) + "\n"


def _dot(graph: Graph) -> Iterator[str]:
    yield "digraph workflow {"
    yield '  charset="UTF-8"; rankdir=LR;'
    yield '  node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=11, fontcolor="#1f2328"];'
    yield '  edge [color="#57606a"];'
    for node in graph.nodes:
        fill, border = COLOURS[node.standing]
        label = "\\n".join(map(_escape, _label(node)))
        dashes = ', style="rounded,filled,dashed"' if node.standing == "blocked" else ""
        css = f'class="{node.standing}", fillcolor="{fill}", color="{border}"{dashes}'
        yield f'  "{_escape(node.id)}" [label="{label}", {css}];'
    if left_out := _left_out(graph):
        yield f'  " more" [label="… {left_out}", shape=plaintext, style=""];'
    for dep, id in graph.edges:
        yield f'  "{_escape(dep)}" -> "{_escape(id)}";'
    yield "}"


def _escape(text: str) -> str:
    """Write text for a quoted string of DOT, where a backslash begins an escape and & an HTML entity."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;").replace("\n", " ")


WRITERS = {"mermaid": mermaid, "dot": dot}
"""Format → who writes it."""
