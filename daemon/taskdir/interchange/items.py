"""What was read from another program's list, and the tasks that come of it; pure (docs/interchange.md).

The readers make Items; ``plan`` gives each its id, turns what it waits for into ``after``, and says what cannot be made
and why. The same list gives the same ids and the same tasks each time, which is why importing twice doubles nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from taskdir import names
from taskdir.acceptance import find_cycle
from taskdir.errors import Invalid

OPEN, OVER, HELD = "open", "over", "held"
"""What an item is there: to be done; ended, so that nothing waits for it; or put off, and so is what waits for it."""


@dataclass(slots=True)
class Item:
    """One entry of another program's list.

    ``source``: its id there; ``place``: file and line, ``pointer``: where in a JSON file. ``state``: OPEN, OVER or
    HELD, ``status``: their word for it. ``priority``: 0–9 or None. ``after``: sources it waits for. ``context``: all
    that has no place in a task, by their names. ``not_before``: RFC 3339 with Z.
    """

    source: str
    place: str
    title: str
    description: str = ""
    state: str = OPEN
    status: str = ""
    priority: int | None = None
    after: list[str] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)
    not_before: str | None = None
    pointer: str | None = None

    def fault(self, code: str, message: str, hint: str | None = None) -> Invalid:
        """Return an error about this item."""
        return Invalid(code, message, path=self.place, pointer=self.pointer, hint=hint)


@dataclass(slots=True)
class Plan:
    """What comes of a list. ``messages``: (item, task) to submit; ``already``: (item, id, whether it is the same)."""

    messages: list[tuple[Item, dict[str, Any]]] = field(default_factory=list)
    already: list[tuple[Item, str, bool]] = field(default_factory=list)
    left_out: list[Item] = field(default_factory=list)
    faults: list[Invalid] = field(default_factory=list)


Known = Callable[[str], Any]
"""id → the input of the task that has it; None when nobody has; False when it is taken by what is no task."""


def word(text: str, prefix: str = "") -> str:
    """Return the id for another program's: small letters, ``_`` for a dot; a hash is added where more is lost."""
    id = (f"{prefix}-" if prefix else "") + text.lower().replace(".", "_")
    if names.is_word(id):
        return id
    tail = hashlib.sha256(text.encode()).hexdigest()[:8]
    return re.sub("[^a-z0-9_-]+", "-", id).strip("-_")[:55] + "-" + tail if re.search("[a-z0-9]", id) else f"x-{tail}"


def plan(items: Iterable[Item], known: Known, *, type: str, queue: str | None, prefix: str, program: str) -> Plan:
    """Work out what to submit. ``known`` tells what the root has."""
    made = Plan()
    by_source, ids = _named(items, prefix, made)
    bad: set[str] = set()
    after: dict[str, list[str]] = {}
    for source, item in by_source.items():
        if item.state == OPEN:
            try:
                after[source] = _after(item, by_source, known, prefix)
            except Invalid as fault:
                made.faults.append(fault)
                bad.add(source)
    _spread(by_source, after, bad, made)
    _cut_cycles(by_source, after, bad, made)
    for source, item in by_source.items():
        if item.state != OPEN:
            made.left_out.append(item)
        elif source not in bad:
            deps = [ids.get(dep) or word(dep, prefix) for dep in after[source]]
            _place(item, ids[source], deps, known, made, type, queue, program)
    return made


def _named(items: Iterable[Item], prefix: str, made: Plan) -> tuple[dict[str, Item], dict[str, str]]:
    """Return the items by source, and their ids; of two with one id the second is a fault."""
    by_source: dict[str, Item] = {}
    ids: dict[str, str] = {}
    taken: dict[str, Item] = {}
    for item in items:
        id = word(item.source, prefix)
        if id in taken:
            said = f"{item.source} would have the id {id}, and so has {taken[id].source} at {taken[id].place}"
            made.faults.append(item.fault("id-taken", said, "give one of them another id there"))
            continue
        taken[id], by_source[item.source], ids[item.source] = item, item, id
    return by_source, ids


def _after(item: Item, by_source: dict[str, Item], known: Known, prefix: str) -> list[str]:
    """Return the sources that an item has to wait for; what is over there is none of them. Raises Invalid."""
    found: list[str] = []
    for dep in dict.fromkeys(item.after):
        other = by_source.get(dep)
        if other is not None and other.state == HELD:
            said = f"{item.source} waits for {dep}, which is {other.status} and was left out"
            raise item.fault("unknown-dependency", said, "import it once that one is open, or end the dependency there")
        if other is None and known(word(dep, prefix)) in (None, False):
            said = f"{item.source} waits for {dep}, which is neither in these files nor in this root"
            raise item.fault("unknown-dependency", said, "import both together")
        if other is not None and other.state == OVER:
            item.context.setdefault("after_ended", []).append(dep)
        else:
            found.append(dep)
    return found


def _spread(by_source: dict[str, Item], after: dict[str, list[str]], bad: set[str], made: Plan) -> None:
    """What waits for a bad one is bad."""
    while more := [source for source, deps in after.items() if source not in bad and bad.intersection(deps)]:
        for source in more:
            dep = next(dep for dep in after[source] if dep in bad)
            said = f"{source} waits for {dep}, which cannot be imported"
            made.faults.append(by_source[source].fault("unknown-dependency", said, "mend that one first"))
        bad.update(more)


def _cut_cycles(by_source: dict[str, Item], after: dict[str, list[str]], bad: set[str], made: Plan) -> None:
    while cycle := find_cycle(
        {source: [dep for dep in deps if dep in after and dep not in bad] for source, deps in after.items()
         if source not in bad}
    ):  # fmt: skip
        said = f"these wait for each other: {' after '.join(cycle[:8])}"
        made.faults.append(by_source[cycle[0]].fault("dependency-cycle", said, "take one of the dependencies out"))
        bad.update(cycle)
        _spread(by_source, after, bad, made)


def _place(
    item: Item, id: str, deps: list[str], known: Known, made: Plan, type: str, queue: str | None, program: str
) -> None:
    body: dict[str, Any] = {"title": item.title}
    body |= {"description": item.description} if item.description else {}
    body |= {"context": item.context} if item.context else {}
    body["source"] = {"format": program, "id": item.source}
    there = known(id)
    if there is False:
        made.faults.append(item.fault("id-taken", f"the id {id} is that of a message that is no task", "use --prefix"))
        return
    if there is not None:
        made.already.append((item, id, there == body))
        return
    message: dict[str, Any] = {"id": id, "type": type, "input": body}
    message |= {"queue": queue} if queue else {}
    message |= {"priority": item.priority} if item.priority is not None else {}
    message |= {"after": deps} if deps else {}
    message |= {"not_before": item.not_before} if item.not_before else {}
    made.messages.append((item, message))
