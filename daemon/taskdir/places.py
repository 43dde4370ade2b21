"""Where everything lies under a root (SPEC section 4). Only this module and ``names`` know paths."""

from __future__ import annotations

import os


class Places:
    """The paths of one root, as strings."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
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

    def join(self, *parts: str) -> str:
        """Return a path below the root."""
        return os.path.join(self.root, *parts)

    def public(self) -> list[str]:
        """Return the directories that agents and operators use, in the order they are made."""
        return [
            self.inbox, self.ready, self.claimed, self.done, self.failed, self.rejected, self.state, self.contracts
        ]  # fmt: skip

    def private(self) -> list[str]:
        """Return the daemon's own directories."""
        return [self.own, self.staging, self.taken, self.torn]
