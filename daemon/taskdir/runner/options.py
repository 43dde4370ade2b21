"""What the runner is told once, at its start."""

from __future__ import annotations

from dataclasses import dataclass

from taskdir.runner.commands import Commands

POLL_SECONDS = 0.1
"""How often to look whether a claim is lost, the time is up or a signal came, while a command runs."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``taskdir work``; times in seconds, sizes in bytes."""

    agent: str
    commands: Commands
    work: str
    """The directory that workspaces lie in, one directory an agent; absolute."""
    queue: str = "default"
    repo: str | None = None
    """A git repository: each workspace is a worktree of it, on a branch of its own from ``base``."""
    base: str = "HEAD"
    keep: int = 10
    """How many workspaces of attempts that did not succeed an agent keeps."""
    tries: int = 3
    """How often a command may run in one attempt."""
    seconds: float = 3600.0
    """How long a command may run."""
    output: int = 64 << 20
    """How much a command may print."""
    grace: float = 5.0
    """Between SIGTERM and SIGKILL."""
    once: bool = False
    max_tasks: int | None = None
    sandbox: bool = False
    network: bool = False
    """With ``sandbox``: whether commands have the network."""
    writable: tuple[str, ...] = ()
    """With ``sandbox``: more places that commands may write in."""
