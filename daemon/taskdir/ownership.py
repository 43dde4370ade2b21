"""Whose names are whose behind walls (docs/walls.md): an agent's ids begin with its own name and ``-``, and keys,
resources and queues that begin so are its alone.

So nobody takes another's id first, no answer tells whether another's task exists, and what may be read follows from the
name alone. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from taskdir import names
from taskdir.errors import Invalid


def trespass(sender: str, message: dict[str, Any], agents: Collection[str]) -> Invalid | None:
    """Return what a well-formed message from the room of ``sender`` names that is not its to name; None when nothing.

    ``agents`` are all that there are. A task of somebody else is told as one that is unknown.
    """
    for at, part in _parts(message):
        if part.get("from", sender) != sender:
            said = f"this came from {sender}"
            return Invalid("bad-value", said, pointer=f"{at}/from", expected=f"{sender!a}, or no `from` at all")
        if at and not names.is_own(sender, part["id"]):
            return taken(sender, part["id"], f"{at}/id")
        for number, dep in enumerate(part.get("after", ())):
            if not names.is_own(sender, dep):
                said, hint = f"{sender} has no task {dep}", "a task waits for tasks of the same sender only"
                return Invalid("unknown-dependency", said, pointer=f"{at}/after/{number}", hint=hint)
        for pointer, word in _words(part):
            if any(names.is_own(agent, word) for agent in agents if agent != sender):
                said = f"only another agent may use the name {word}"
                return Invalid("bad-value", said, pointer=at + pointer, expected=f"a common name, or {sender}-…")
    kind = message.get("kind", "task")
    if kind in ("cancel", "note") and not names.is_own(sender, message.get("task", f"{sender}-")):
        code = "cancel-unknown" if kind == "cancel" else "note-unknown-task"
        return Invalid(code, f"{sender} has no such task", pointer="/task")
    return None


def _words(part: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names that are common ground unless they begin with an agent's: pointer and name."""
    for field in ("key", "queue"):
        if field in part:
            yield f"/{field}", part[field]
    for number, resource in enumerate(part.get("resources", ())):
        yield f"/resources/{number}", resource


def _parts(message: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the message, then its members if it is a batch, each with its pointer."""
    yield "", message
    for number, member in enumerate(message.get("messages", ())):
        yield f"/messages/{number}", member


def taken(sender: str, id: str, pointer: str) -> Invalid:
    """Return the refusal of an id that is not one of the sender's."""
    said = f"the id {id} is not one of {sender}'s"
    return Invalid("id-taken", said, pointer=pointer, expected=f"{sender}-…", hint=f"begin it with {sender}-")


def owner(id: str, agents: Collection[str]) -> str | None:
    """Return the agent whose task this is, None when it is the operator's."""
    return next((agent for agent in agents if names.is_own(agent, id)), None)
