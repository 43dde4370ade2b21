"""Git worktrees: made, looked at, committed and removed, always by the git program, one maker at a time.

A tree's own ``.git`` file may be changed by who works there, so it is never read: git is told the directory that the
repository knows. No hook runs, and no force is used on a tree in which somebody may have worked.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from taskdir.disk import Disk
from taskdir.errors import Busy, CannotCreate, ConfigError
from taskdir.runner.paths import DESK
from taskdir.runner.processes import MARK
from taskdir.system import HERE

LOCK = "taskdir-worktrees.lock"
LOCK_SECONDS = 120.0
_QUIET = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "gc.auto=0",
)
_OURS = f":(exclude){DESK}"
_WHO = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")


class Failed(Exception):
    """Git said no; the words are git's."""


class Repo(NamedTuple):
    """A repository: its common git directory, absolute, to which all worktrees belong.

    ``lock`` is held by us and by the git that we start: one that outlives us keeps others out until it has ended.
    """

    git_dir: str
    lock: int | None = None
    mark: str | None = None
    """What git bears in its environment, so that it is known later (``processes``)."""

    def commit_of(self, name: str) -> str:
        """Return the commit that a name stands for. Raises Failed."""
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", at=self)


class Tree(NamedTuple):
    """A worktree: where it is, its own git directory, its branch and the commit that it began at."""

    path: str
    git_dir: str
    branch: str
    base: str


def repo(path: str) -> Repo:
    """Find the repository of a directory. Raises ConfigError."""
    try:
        return Repo(git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=path))
    except Failed as error:
        hint = "--worktree names a git repository"
        raise ConfigError("no-repository", f"git finds no repository here: {error}", path=path, hint=hint) from None


@contextmanager
def locked(where: Repo, disk: Disk, mark: str | None = None) -> Iterator[Repo]:
    """Change the list of worktrees alone: git itself takes no lock for it. Raises Busy after two minutes."""
    path = os.path.join(where.git_dir, LOCK)
    try:
        fd = disk.open_log(path)
    except OSError as error:
        raise CannotCreate("cannot-write", f"cannot write here: {error.strerror}", path=path) from None
    try:
        until = time.monotonic() + LOCK_SECONDS
        while HERE.try_lock(fd) is False:
            if time.monotonic() > until:
                raise Busy("worktrees-locked", "somebody else is at the worktrees all the time", path=path)
            time.sleep(0.02)
        yield Repo(where.git_dir, fd, mark)
    finally:
        os.close(fd)


def plan(where: Repo, branch: str, base: str, path: str) -> Tree:
    """Choose what ``add`` is to make, on a branch that nobody has. Call both ``locked``. Raises Failed."""
    commit, name, more = where.commit_of(base), branch, 1
    while _exists(where, name):  # of another root, or of an earlier life of this one
        more += 1
        name = f"{branch}-{more}"
    return Tree(path, "", name, commit)


def add(where: Repo, tree: Tree) -> Tree:
    """Make the worktree; returns it with its git directory. Raises Failed."""
    git("worktree", "add", "--quiet", "-b", tree.branch, tree.path, tree.base, at=where)
    return tree._replace(git_dir=own_dir(where, tree.path))


def own_dir(where: Repo, path: str) -> str:
    """Return the git directory of the worktree at ``path``, as the repository knows it. Raises Failed."""
    known, link = os.path.join(where.git_dir, "worktrees"), os.path.join(os.path.realpath(path), ".git")
    for name in sorted(os.listdir(known)) if os.path.isdir(known) else ():
        try:
            with open(os.path.join(known, name, "gitdir"), encoding="utf-8", errors="surrogateescape") as file:
                if os.path.realpath(file.read().rstrip("\n")) == link:
                    return os.path.join(known, name)
        except OSError:
            continue
    raise Failed(f"git knows no worktree at {path}")


def dirty(tree: Tree) -> list[str]:
    """Return what is neither committed nor ignored, our own desk aside. Raises Failed."""
    # Nor into repositories inside it: there git would run what their own settings name, such as core.fsmonitor.
    words = ("status", "--porcelain", "--untracked-files=all", "--ignore-submodules=all", "--", ".", _OURS)
    return git(*words, tree=tree).splitlines()


def commit_all(tree: Tree, message: str) -> None:
    """Commit whatever lies there uncommitted. Raises Failed."""
    git("add", "--all", "--", ".", _OURS, tree=tree)
    git("commit", "--quiet", "--no-verify", "--message", message, tree=tree)


def reset(tree: Tree) -> None:
    """Take the tree back to its commit, what git ignores aside: only right after ``commit_all``. Raises Failed."""
    git("reset", "--quiet", "--hard", tree=tree)
    git("clean", "--force", "-d", "--quiet", "--", ".", _OURS, tree=tree)


def head(tree: Tree) -> str:
    """Return the commit that the tree is at, and let its branch lead there. Raises Failed when the branch cannot."""
    found, ref = git("rev-parse", "HEAD", tree=tree), f"refs/heads/{tree.branch}"
    tip = git("rev-parse", "--verify", ref, tree=tree)
    if tip != found:  # who worked there left the branch
        git("merge-base", "--is-ancestor", tip, found, tree=tree)
        git("update-ref", ref, found, tip, tree=tree)
    return found


def remove(where: Repo, tree: Tree) -> None:
    """Remove a tree, which git refuses while anything there is uncommitted, and its branch if nothing is on it."""
    if os.path.lexists(tree.path):
        git("worktree", "remove", tree.path, at=where)
    else:
        git("worktree", "prune", at=where)
    drop_branch(where, tree)


def undo(where: Repo, tree: Tree, disk: Disk) -> None:
    """Forget a worktree that was cut while it was made, its directory gone: nobody can have worked there yet."""
    with suppress(Failed):  # it may not have come so far
        disk.unlink(os.path.join(own_dir(where, tree.path), "locked"))
    git("worktree", "prune", at=where)
    drop_branch(where, tree)


def drop_branch(where: Repo, tree: Tree) -> None:
    """Delete a branch that still is where it began; git compares and deletes in one step."""
    try:
        git("update-ref", "-d", f"refs/heads/{tree.branch}", tree.base, at=where)
    except Failed:
        return  # there is work on it, or it is gone


def _exists(where: Repo, branch: str) -> bool:
    try:
        git("show-ref", "--verify", "--quiet", f"refs/heads/{branch}", at=where)
    except Failed:
        return False
    return True


def git(*words: str, cwd: str | None = None, at: Repo | None = None, tree: Tree | None = None) -> str:
    """Run git; returns what it prints. Raises Failed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    for names, value in zip(_WHO, ("taskdir", "taskdir@localhost"), strict=True):
        env |= {name: env.get(name, value) for name in names} if words[0] == "commit" else {}
    where: list[str] = []
    keep = (at.lock,) if at is not None and at.lock is not None else ()
    if at is not None and at.mark is not None:
        env[MARK] = at.mark
    if at is not None:
        where = [f"--git-dir={at.git_dir}"]
    elif tree is not None:
        where, cwd = [f"--git-dir={tree.git_dir}", f"--work-tree={tree.path}"], tree.path
    try:
        done = subprocess.run(
            ["git", *where, *_QUIET, *words],
            cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, pass_fds=keep,
        )  # fmt: skip
    except OSError as error:
        raise Failed(f"git: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Failed(said[-1] if said else f"git {words[0]} exits {done.returncode}")
    return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")


_KEPT = {name for names in _WHO for name in names} | {"GIT_EXEC_PATH", "GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL"}
