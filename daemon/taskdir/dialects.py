"""How four vendors' coding agents speak to hooks, as data: what their events mean, and how each answer is written.

From the vendors' own references: code.claude.com/docs/en/hooks, developers.openai.com/codex/hooks,
geminicli.com/docs/hooks/reference, cursor.com/docs/hooks. A new vendor is a new row; ``hooks`` has the behaviour,
``agentfiles`` writes the files.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

START, BEFORE, AFTER, STOP = "start", "before", "after", "stop"
"""A session starts; a tool is about to run; a tool has run; the agent wants to stop."""

EVENT, TEXT = "$event", "$text"
"""In an answer: the vendor's name of the event, and what we say."""


class Dialect(namedtuple("Dialect", "events answers session again settings hook grouped register servers reads head")):
    """One vendor's way of speaking, and where it reads its settings, from the project's directory."""

    events: dict[str, str]
    """The vendor's events, and which of ours each is."""
    answers: dict[str, Any]
    """For each of ours, the JSON that says TEXT: to the model, or as the reason why not."""
    session: tuple[str, ...]
    """Members of the input that name the session; the first one counts."""
    again: str
    """The member of a stop that is true, or above 0, if we have kept the agent from stopping before."""
    settings: str
    """The file with the hooks."""
    hook: dict[str, Any]
    """One hook there, less its command."""
    grouped: bool
    """Whether hooks of an event stand in groups: ``[{"hooks": […]}]``."""
    register: tuple[str, ...]
    """The events to register for."""
    servers: str
    """The file with the MCP servers: JSON with ``mcpServers``, or TOML with ``mcp_servers``."""
    reads: tuple[str, str] | None
    """The file that the vendor reads in place of AGENTS.md, and the line by which it reads that, too."""
    head: tuple[tuple[str, Any], ...]
    """What the file with the hooks has to say besides."""


def _context(decision: dict[str, Any]) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": EVENT, **decision}}


_SAID = _context({"additionalContext": TEXT})
_CLAUDE = {
    START: _SAID,
    BEFORE: _context({"permissionDecision": "deny", "permissionDecisionReason": TEXT}),
    AFTER: _SAID,
    STOP: {"decision": "block", "reason": TEXT},
}
_EVENTS = {"SessionStart": START, "PreToolUse": BEFORE, "PostToolUse": AFTER, "Stop": STOP}

DIALECTS = {
    "claude": Dialect(
        events=_EVENTS | {"PostToolUseFailure": AFTER},
        answers=_CLAUDE,
        session=("session_id",),
        again="stop_hook_active",
        settings=".claude/settings.json",
        hook={"type": "command"},
        grouped=True,
        register=tuple(_EVENTS),
        servers=".mcp.json",
        reads=("CLAUDE.md", "@AGENTS.md"),
        head=(),
    ),
    "codex": Dialect(
        events=_EVENTS,
        answers=_CLAUDE,
        session=("session_id",),
        again="stop_hook_active",
        settings=".codex/hooks.json",
        hook={"type": "command"},
        grouped=True,
        register=tuple(_EVENTS),
        servers=".codex/config.toml",
        reads=None,
        head=(),
    ),
    "gemini": Dialect(
        events={"SessionStart": START, "BeforeTool": BEFORE, "AfterTool": AFTER, "AfterAgent": STOP},
        answers={
            START: _SAID,
            BEFORE: {"decision": "deny", "reason": TEXT},
            AFTER: _SAID,
            STOP: {"decision": "deny", "reason": TEXT},
        },
        session=("session_id",),
        again="stop_hook_active",
        settings=".gemini/settings.json",
        hook={"type": "command", "name": "taskdir"},
        grouped=True,
        register=("SessionStart", "BeforeTool", "AfterTool", "AfterAgent"),
        servers=".gemini/settings.json",
        reads=("GEMINI.md", "@./AGENTS.md"),
        head=(),
    ),
    "cursor": Dialect(
        events={
            "sessionStart": START,
            "preToolUse": BEFORE,
            "beforeShellExecution": BEFORE,
            "beforeMCPExecution": BEFORE,
            "postToolUse": AFTER,
            "postToolUseFailure": AFTER,
            "afterShellExecution": AFTER,
            "afterFileEdit": AFTER,
            "stop": STOP,
        },
        answers={
            START: {"additional_context": TEXT},
            BEFORE: {"permission": "deny", "user_message": TEXT, "agent_message": TEXT},
            AFTER: {"additional_context": TEXT},
            STOP: {"followup_message": TEXT},
        },
        session=("conversation_id", "session_id"),
        again="loop_count",
        settings=".cursor/hooks.json",
        hook={},
        grouped=False,
        register=("sessionStart", "preToolUse", "postToolUse", "stop"),
        servers=".cursor/mcp.json",
        reads=None,
        head=(("version", 1),),
    ),
}


def answer(dialect: Dialect, kind: str, event: str, text: str) -> Any:
    """Return the JSON that says ``text`` at an event."""
    return _filled(dialect.answers[kind], {EVENT: event, TEXT: text})


def _filled(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, words) for name, inner in value.items()}
    return words.get(value, value)
