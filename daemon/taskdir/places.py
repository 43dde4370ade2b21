"""Where everything lies under a root (SPEC section 4). Only this module and ``names`` know paths."""

from __future__ import annotations

import os

ROOM = ("inbox", "done", "failed", "rejected")
"""What an agent behind walls has of its own in agents/<agent>/, beside claimed/<agent>/ (docs/walls.md)."""


class Places:
    """The paths of one root, as strings; with ``agent``, as that agent sees them behind walls."""

    def __init__(self, root: str, agent: str | None = None) -> None:
        self.root = os.path.abspath(root)
        self.agent = agent
        self.settings = self.join("taskdir.json")
        self.inbox = self.join("inbox")
        self.ready = self.join("ready")
        self.claimed = self.join("claimed")
        self.done = self.join("done")
        self.failed = self.join("failed")
        self.rejected = self.join("rejected")
        self.state = self.join("state")
        self.contracts = self.join("contracts")
        self.log = self.join("log.jsonl")
        self.own = self.join(".taskdir")
        self.index = self.join(".taskdir", "index.sqlite")
        self.staging = self.join(".taskdir", "staging")
        self.taken = self.join(".taskdir", "taken")
        self.torn = self.join(".taskdir", "torn")
        self.who = self.join(".taskdir", "daemon.json")
        self.agents = self.join("agents")
        if agent is not None:
            self.inbox, self.done, self.failed, self.rejected = (self.room(agent, part) for part in ROOM)

    def join(self, *parts: str) -> str:
        """Return a path below the root."""
        return os.path.join(self.root, *parts)

    def room(self, agent: str, *parts: str) -> str:
        """Return a path in the room of an agent behind walls."""
        return os.path.join(self.root, "agents", agent, *parts)

    def public(self) -> list[str]:
        """Return the directories that agents and operators use, in the order they are made."""
        return [
            self.inbox, self.ready, self.claimed, self.done, self.failed, self.rejected, self.state, self.contracts
        ]  # fmt: skip

    def private(self) -> list[str]:
        """Return the daemon's own directories."""
        return [self.own, self.staging, self.taken, self.torn]
