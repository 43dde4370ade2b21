"""What dead runners left: their processes are ended, their workspaces removed or kept, and each is told of.

A runner is dead for certain if its agent's lock is free and its pid, start time and boot say so. In doubt nothing is
touched. A workspace is kept while there is anything in it that is not committed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from taskdir import names
from taskdir.disk import Disk
from taskdir.errors import Busy, CannotCreate
from taskdir.runner import processes, workspace
from taskdir.runner.workspace import Workspace
from taskdir.system import HERE

LOCK = ".lock"
LOCK_SECONDS = 1.0
KILL_SECONDS = 10.0


def hold(work: str, agent: str, disk: Disk, patience: float = LOCK_SECONDS) -> int:
    """Be the one runner of an agent: lock its directory's file; returns the descriptor. Raises Busy, CannotCreate."""
    home = os.path.join(work, agent)
    try:
        for path in (work, home):
            disk.mkdir(path)
        fd = disk.open_log(os.path.join(home, LOCK))
    except OSError as error:
        hint = "--workspaces DIR names another place"
        raise CannotCreate("cannot-write", f"cannot write here: {error.strerror}", path=home, hint=hint) from None
    until = time.monotonic() + patience
    while HERE.try_lock(fd) is False:
        if time.monotonic() >= until:
            os.close(fd)
            hint = "each runner has an agent's name of its own: --agent"
            raise Busy("runner-runs", f"another runner works as {agent}", path=home, hint=hint)
        time.sleep(0.02)
    return fd


def sweep(work: str, agent: str, disk: Disk, grace: float) -> Iterator[dict[str, Any]]:
    """Look after every agent whose runner is dead, and after ``agent``, which is held; yields what was found and done.

    Each is told as {agent, name, stage, killed: pids, removed: bool, why}.
    """
    for other in sorted(os.listdir(work)):
        if not names.is_word(other) or not os.path.isdir(os.path.join(work, other)):
            continue
        fd = None
        if other != agent:
            try:
                fd = hold(work, other, disk, patience=0)
            except (Busy, CannotCreate):
                continue  # its runner lives
        try:
            for name in attempts(work, other):
                yield {"agent": other, "name": name, **_one(workspace.found(work, other, name, disk), grace)}
        finally:
            if fd is not None:
                os.close(fd)


def attempts(work: str, agent: str) -> list[str]:
    """Return <id>.<attempt> of the workspaces of an agent, the oldest first."""
    home = os.path.join(work, agent)
    found = [name.removesuffix(".run") for name in os.listdir(home) if name.endswith(".run")]
    return sorted(found, key=lambda name: (os.stat(os.path.join(home, f"{name}.run")).st_mtime_ns, name))


def prune(work: str, agent: str, keep: int, disk: Disk) -> Iterator[dict[str, Any]]:
    """Remove the oldest workspaces that failed attempts left, down to ``keep``; what is not committed stays."""
    every = attempts(work, agent)
    for name in every[: max(0, len(every) - keep)]:
        space = workspace.found(work, agent, name, disk)
        if space.facts.get("stage") == "failed" and space.remove() is None:
            yield {"agent": agent, "name": name, "stage": "failed", "killed": [], "removed": True, "why": "old"}


def _one(space: Workspace, grace: float) -> dict[str, Any]:
    stage = str(space.facts.get("stage"))
    told = {"stage": stage, "workspace": space.paths.workspace, "killed": list[int](), "removed": False}
    alive = processes.lives(space.facts.get("runner")) if "runner" in space.facts else False
    if alive is not False:
        return told | {"why": "its runner may live: nothing was touched"}
    told["killed"] = _kill(space, grace) if stage in ("preparing", "running") else []
    if stage == "failed":
        return told | {"why": "kept: the attempt did not succeed"}
    why = "uncommitted work" if stage == "running" and not space.empty() else space.remove()
    if why is None:
        return told | {"removed": True, "why": "nothing in it that is not committed"}
    space.stage("failed")
    return told | {"why": f"kept: {why}"}


def _kill(space: Workspace, grace: float) -> list[int]:
    """End the processes of an attempt; returns their pids."""
    if not space.token or space.facts.get("runner", {}).get("boot") != processes.boot():
        return []
    killed: dict[int, None] = {}
    began = time.monotonic()
    while left := processes.leftovers(space.token, space.facts.get("command")):
        late = time.monotonic() - began
        if late > grace + KILL_SECONDS:
            break
        for pid in left:
            if pid not in killed or late > grace:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if late > grace else signal.SIGTERM)
            killed[pid] = None
        time.sleep(0.02)
    return [*killed]
