"""A workspace per attempt: made new, taken down or kept, and never in place of another (docs/runner.md).

The runner's notes are there before the workspace and go after it, so that a start after a crash finds whatever is left.
A worktree with uncommitted work, or in which a process works, is never removed.
"""

from __future__ import annotations

import os
from typing import Any

from taskdir import gestures, roots
from taskdir.disk import Disk
from taskdir.errors import Busy, CannotCreate
from taskdir.runner import git, processes
from taskdir.runner.options import Options
from taskdir.runner.paths import DESK, Paths


class Workspace:
    """The place of one attempt."""

    def __init__(self, paths: Paths, disk: Disk, facts: dict[str, Any]) -> None:
        """``facts`` is what attempt.json says: who runs it, its mark, its stage, its worktree."""
        self.paths, self.facts, self._disk = paths, facts, disk
        tree = facts.get("tree")
        self.tree = git.Tree(paths.workspace, *tree) if tree else None
        self.repo = git.Repo(facts["repo"]) if facts.get("repo") else None

    @property
    def token(self) -> str:
        """The mark that all processes of the attempt bear."""
        return str(self.facts.get("token", ""))

    def stage(self, name: str) -> None:
        """Note how far the attempt is: preparing, running, done or failed."""
        self.facts["stage"] = name
        path = self.paths.attempt
        self._disk.publish(path, gestures.encode(self.facts), aside=path + ".new")

    def empty(self) -> bool:
        """Say whether nothing was made here: no file beside the desk; in a worktree, nothing uncommitted."""
        if not os.path.isdir(self.paths.workspace):
            return True
        if self.tree is None:
            return {*os.listdir(self.paths.workspace)} <= {DESK}
        try:
            return not git.dirty(self.tree)
        except git.Failed:
            return False  # nobody can tell: keep it

    def remove(self) -> str | None:
        """Remove workspace and notes; returns why it stays, None when it is gone."""
        if users := processes.inside(self.paths.workspace):
            return f"in use by process {users[0]}"
        try:
            if self.tree is not None and self.repo is not None:
                with git.locked(self.repo, self._disk) as where:
                    if self.facts.get("stage") == "preparing":
                        clear(self._disk, self.paths.workspace)
                        git.undo(where, self.tree, self._disk)
                    else:
                        if os.path.isdir(self.paths.workspace) and git.dirty(self.tree):
                            return "uncommitted work"
                        clear(self._disk, self.paths.desk)
                        git.remove(where, self.tree)
            clear(self._disk, self.paths.workspace)
        except (git.Failed, Busy) as error:
            return f"git: {error}"
        clear(self._disk, self.paths.notes)
        return "cannot be removed" if os.path.lexists(self.paths.workspace) else None


def make(options: Options, paths: Paths, disk: Disk, claimed: str) -> Workspace:
    """Make the workspace of a new attempt. Raises CannotCreate, Busy: then nothing is left of it."""
    facts: dict[str, Any] = {"claimed": claimed, "token": os.urandom(16).hex(), "runner": processes.me()}
    space = Workspace(paths, disk, facts)
    repo = git.repo(options.repo) if options.repo else None
    facts |= {"repo": repo.git_dir} if repo else {}
    try:
        made = disk.mkdir(paths.notes)
    except OSError as error:
        raise CannotCreate("cannot-write", f"cannot write here: {error.strerror}", path=paths.notes) from None
    if not made or os.path.lexists(paths.workspace):
        hint = "move it away, or name another place with --workspaces"
        raise CannotCreate("workspace-taken", "there is such a workspace already", path=paths.workspace, hint=hint)
    try:
        space.stage("preparing")
        if repo is None:
            disk.mkdir(paths.workspace)
        else:
            with git.locked(repo, disk, space.token) as where:
                plan = git.plan(where, f"taskdir/{paths.name}", options.base, paths.workspace)
                facts["tree"] = list(plan[1:])
                space.stage("preparing")
                facts["tree"] = list(git.add(where, plan)[1:])
        space = Workspace(paths, disk, facts)
        if os.path.lexists(paths.desk):
            raise FileExistsError(17, "the repository has a file of this name", paths.desk)
        space.stage("running")
    except (git.Failed, OSError) as error:
        space = Workspace(paths, disk, facts)
        space.remove()
        hint = "nothing was run: a workspace of its own, or none"
        raise CannotCreate("no-workspace", f"no workspace: {error}", path=paths.workspace, hint=hint) from None
    return space


def found(work: str, agent: str, name: str, disk: Disk) -> Workspace:
    """Return the workspace that notes of an earlier runner tell of."""
    paths = Paths(work, agent, name)
    facts = roots.read_json(paths.attempt) or {"stage": "preparing"}
    return Workspace(paths, disk, facts)


def clear(disk: Disk, path: str) -> None:
    """Remove a directory whatever modes somebody gave to what is in it."""
    if not os.path.isdir(path) or os.path.islink(path):
        return
    disk.remove_tree(path)
    if os.path.lexists(path):
        for at, _, _ in os.walk(path):  # top down: what it makes readable it then walks
            disk.chmod(at, 0o700)
        disk.remove_tree(path)
