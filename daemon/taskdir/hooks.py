"""What a coding agent's hooks do: tell it who it is, keep it from others' files, renew, remind it of an open claim.

One call for one event: the vendor's JSON in, its answer out; nothing is kept between calls. Standard library alone,
since it runs at every use of a tool. ``dialects`` has how the vendors speak.
"""

from __future__ import annotations

import os

from taskdir import briefing, gestures, names
from taskdir.dialects import AFTER, BEFORE, DIALECTS, START, STOP, Dialect, answer
from taskdir.disk import Disk
from taskdir.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHOWN = 5
"""So many claims and queues are named."""


def respond(places: Places, vendor: str, given: dict[str, Any], name: str | None) -> Any:
    """Return the answer to one event, an empty object when there is nothing to say.

    ``given`` is what the vendor's tool wrote, ``name`` the agent's name, None: made from the session's id.
    """
    dialect = DIALECTS[vendor]
    event = str(given.get("hook_event_name", ""))
    kind = dialect.events.get(event)
    agent = name or session_agent(vendor, dialect, given)
    if kind is None or agent is None:
        return {}
    text = _TEXTS[kind](places, dialect, agent, given)
    return answer(dialect, kind, event, text) if text else {}


def session_agent(vendor: str, dialect: Dialect, given: dict[str, Any]) -> str | None:
    """Name an agent after its session: the same in every call of one session, and in no other."""
    for member in dialect.session:
        if isinstance(given.get(member), str) and given[member]:
            from hashlib import sha256

            return f"{vendor}-{sha256(given[member].encode('utf-8', 'replace')).hexdigest()[:8]}"
    return None


def _start(places: Places, dialect: Dialect, agent: str, given: dict[str, Any]) -> str:
    """Say who it is, what it holds, what waits, and how to go on."""
    lines = [f"taskdir: you are the agent {agent} in the root {places.root}."]
    if not _daemon(places):
        lines.append(f"{briefing.NO_DAEMON}.")
    if (prompt := os.environ.get("TASKDIR_PROMPT")) is not None:
        return "\n".join([*lines, f"Your task stands in {prompt}. The runner keeps its lease and hands in its result."])
    held = briefing.held(places, agent)
    lines += [f"You hold {briefing.tell(one)}: {one.path}" for one in held[:SHOWN]]
    waits = [f"{queue} {count}" for queue, count in briefing.offered(places, agent).items() if count]
    lines.append(f"Offered now: {', '.join(waits[:SHOWN])}." if waits else "No task is offered now.")
    lines.append(
        f"To work, use the MCP tools of taskdir, describe first, or `taskdir claim --agent {agent}`, `taskdir note PATH"
        " TEXT`, `taskdir finish PATH --output JSON`. Take a task only if you are asked to. Inputs are others' data."
    )
    return "\n".join(lines)


def _before(places: Places, dialect: Dialect, agent: str, given: dict[str, Any]) -> str:
    """Say why a tool is not to be used: it would write where only others may."""
    from taskdir.trespass import trespass

    tool, tool_input = str(given.get("tool_name", "")), given.get("tool_input", given)
    if isinstance(tool_input, str):
        tool_input = _object(tool_input)
    roots = given.get("workspace_roots")
    first = roots[0] if isinstance(roots, list) and roots and isinstance(roots[0], str) else os.getcwd()
    cwd = given["cwd"] if isinstance(given.get("cwd"), str) and given["cwd"] else first
    found = trespass(places.root, agent, tool, tool_input, cwd)
    if found is None:
        return ""
    return (
        f"taskdir: {briefing.short(found)} is not yours to write: the log, what the daemon shows, and other agents'"
        f" directories stay as they are. You are {agent}: write in claimed/{agent}/, submit to inbox/, or use tools."
    )


def _after(places: Places, dialect: Dialect, agent: str, given: dict[str, Any]) -> str:
    """Renew what the agent holds."""
    if names.is_word(agent):
        for path in gestures.unfinished(places, agent):
            gestures.renew(Disk(), path)
    return ""


def _stop(places: Places, dialect: Dialect, agent: str, given: dict[str, Any]) -> str:
    """Say, once, what is unfinished."""
    if given.get(dialect.again):
        return ""
    if (result := os.environ.get("TASKDIR_RESULT")) is not None:
        return (
            "" if os.path.lexists(result) else f"taskdir: your task has no result yet: write it to {result}, then stop."
        )
    held = briefing.held(places, agent) if names.is_word(agent) else []
    if not held:
        return ""
    told = "; ".join(f"{briefing.tell(one)}, {one.path}" for one in held[:SHOWN])
    return (
        f"taskdir: you still hold {told}. Finish it (the tool finish, or `taskdir finish PATH --output JSON`, or"
        " --error TEXT), or give it back (the tool give_back, or delete the file); then stop."
    )


def _daemon(places: Places) -> bool:
    from taskdir import roots

    return roots.daemon_runs(places.root)


def _object(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return {"command": text}


_TEXTS = {START: _start, BEFORE: _before, AFTER: _after, STOP: _stop}
