"""Where the runner keeps what: workspaces, its notes on them, artifacts, and the desk inside each workspace."""

from __future__ import annotations

import os

DESK = ".taskdir-work"
"""The directory inside a workspace by which runner and command talk; git ignores it."""


class Paths:
    """The files about one attempt: ``<work>/<agent>/<id>.<attempt>/`` and, beside it, ``….run/``."""

    def __init__(self, work: str, agent: str, name: str) -> None:
        self.name = name
        """<id>.<attempt>."""
        self.workspace = os.path.join(work, agent, name)
        """The command's working directory."""
        self.notes = self.workspace + ".run"
        """Out of the command's way: who runs it, and what it printed."""
        self.attempt = os.path.join(self.notes, "attempt.json")
        self.artifacts = os.path.join(work, "_artifacts", name)
        """Where artifacts come to lie; no agent's name starts so."""
        self.desk = os.path.join(self.workspace, DESK)
        self.task = self.on_desk("task.json")
        self.prompt = self.on_desk("TASK.md")
        self.schema = self.on_desk("schema.json")
        self.result = self.on_desk("result.json")
        self.last = self.on_desk("last-message.txt")
        self.context = self.on_desk("context")
        self.offered = self.on_desk("artifacts")
        """Where the command puts its artifacts."""

    def on_desk(self, name: str) -> str:
        """Return a path on the desk."""
        return os.path.join(self.desk, name)

    def printed(self, number: int, what: str = "") -> tuple[str, str]:
        """Return the files for stdout and stderr of a try, or of the check (``what``) after it."""
        name = os.path.join(self.notes, f"{what}{number}")
        return f"{name}.out", f"{name}.err"
