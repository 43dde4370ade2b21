"""Worktrees and directories: made by many at once, kept, pruned, never by force, and found from inside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner.stage import Stage, clean, ended, git, running, script
from support.live import HOUSE

OK = """echo '{"status": "ok", "output": {"n": 1}}' > "$TASKDIR_RESULT" """


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def worktrees(repo: Path) -> list[str]:
    """Return the names of the linked worktrees that git knows."""
    lines = git(repo, "worktree", "list", "--porcelain").splitlines()
    return [Path(line.removeprefix("worktree ")).name for line in lines if line.startswith("worktree ")][1:]


def eight_at_once(stage: Stage, planted: str = "") -> tuple[int, list[int], int]:
    """Have eight runners make worktrees of one repository all the time; returns makers at once, exit codes, done."""
    repo = stage.repo()
    for number in range(16):
        stage.offer(f"t{number}")
    watch = f"""
import fcntl, os
from taskdir.runner import git
real = git.git
def counted(*words, **where):
    if words[:2] not in (("worktree", "add"), ("worktree", "remove")):
        return real(*words, **where)
    fd = os.open({str(stage.base / "at-once")!r}, os.O_RDWR | os.O_CREAT)
    at = {str(stage.base / "inside")!r} + f"/{{os.getpid()}}"
    open(at, "w").close()
    with open({str(stage.base / "seen")!r}, "a") as seen:
        seen.write(f"{{len(os.listdir(os.path.dirname(at)))}}\\n")
    try:
        return real(*words, **where)
    finally:
        os.unlink(at)
git.git = counted
"""
    (stage.base / "inside").mkdir()
    command = script(stage.base / "cmd", f"echo $TASKDIR_ID > file; {OK}")
    runs = [
        subprocess.Popen(
            stage.command("--json", "--agent", f"a{number}", "--once", "--worktree", repo, "--", command,
                          planted=watch + planted),
            env=clean(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for number in range(8)
    ]  # fmt: skip
    codes = [run.wait(60) for run in runs]
    for run in runs:
        assert run.stderr is not None
        run.stderr.close()
    most = max(int(line) for line in (stage.base / "seen").read_text().split())
    done = sum(len(stage.results(f"a{number}")) for number in range(8))
    if not planted:
        assert worktrees(repo) == []
        branches = git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads/taskdir").split()
        assert len(branches) == 16
        assert [name for name in branches if git(repo, "show", f"{name}:file").strip() != name[8:-2]] == []
        git(repo, "fsck", "--strict")
    return most, codes, done


def test_eight_runners_make_worktrees_of_one_repository(stage: Stage) -> None:
    assert eight_at_once(stage) == (1, [0] * 8, 16)


def test_the_tester_sees_makers_that_take_no_lock(stage: Stage) -> None:
    """Planted fault: the lock is free for everybody."""
    free = "\ngit.HERE = type('Free', (), {'try_lock': lambda self, fd: True})()"
    assert eight_at_once(stage, planted=free)[0] > 1


def test_uncommitted_work_of_a_failed_attempt_is_never_removed(stage: Stage) -> None:
    repo = stage.repo()
    stage.offer("a"), stage.offer("b"), stage.offer("c")
    command = script(stage.base / "cmd", "[ $TASKDIR_ID = a ] && echo half >> file; exit 1")
    told = stage.run("--keep", "0", "--worktree", repo, "--", command)
    assert [each["name"] for each in told if each["event"] == "swept"] == ["b.1", "c.1"]
    assert worktrees(repo) == ["a.1"]
    assert (stage.work / "me/a.1/file").read_text() == "one\nhalf\n"
    told = stage.run("--keep", "0", "--worktree", repo, "--", command)
    assert [(each["name"], each["removed"]) for each in told if each["event"] == "swept"] == [("a.1", False)]
    assert worktrees(repo) == ["a.1"]
    branches = git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads/taskdir").split()
    assert branches == ["taskdir/a.1"]


def test_a_tree_in_use_is_left(stage: Stage) -> None:
    """Somebody looks around in the workspace, from a shell that is not the command's."""
    stage.offer("a"), stage.offer("b")
    looker = """
import subprocess, sys
from taskdir.runner.attempt import Attempt
real = Attempt._put_away
def put_away(self, space, how):
    if self._claim.id == "a":
        child = subprocess.Popen(["sleep", "1000.77"], cwd=space.paths.workspace)
        try:
            return real(self, space, how)
        finally:
            child.kill()
            child.wait()
    return real(self, space, how)
Attempt._put_away = put_away
"""
    told = stage.run("--worktree", stage.repo(), "--", script(stage.base / "cmd", OK), planted=looker)
    assert ended(told) == [("a", "done", None, 1), ("b", "done", None, 1)]
    assert ["in use by process" in each.get("kept", "") for each in told if each["event"] == "ended"] == [True, False]
    assert [(each["name"], each["removed"]) for each in stage.run("--", "true")] == [("a.1", True)]
    assert running("1000.77") == []


def test_the_newest_failures_are_kept(stage: Stage) -> None:
    for number in range(5):
        stage.offer(f"t{number}")
    stage.run("--keep", "2", "--", "sh", "-c", "echo x > y; exit 1")
    assert stage.workspaces() == ["me/t3.1", "me/t3.1.run", "me/t4.1", "me/t4.1.run"]
    assert (stage.work / "me/t4.1/y").exists()


def test_without_a_workspace_nothing_is_run(stage: Stage) -> None:
    repo = stage.repo()
    stage.offer("a")
    (stage.work / "me/a.1").mkdir(parents=True)
    ran = script(stage.base / "cmd", f"touch {stage.base}/ran")
    stage.run("--", ran, code=73)
    assert not list(stage.root.glob("claimed/me/*")), "the task is not given back"
    stage.offer("b")
    planted = """
from taskdir.runner import git
real = git.git
git.git = lambda *w, **k: real(*w, **k) if w[:2] != ('worktree', 'add') else real('no-such-command', **k)
"""
    stage.run("--worktree", repo, "--", ran, code=73, planted=planted)
    assert worktrees(repo) == []
    assert "b.1" not in stage.workspaces()
    stage.run("--worktree", repo, "--base", "nowhere", "--", ran, code=2)
    assert not (stage.base / "ran").exists()


def test_who_leaves_the_branch_is_followed(stage: Stage) -> None:
    repo = stage.repo()
    stage.offer("a"), stage.offer("b")
    who = "-c user.name=x -c user.email=x@x"
    command = script(
        stage.base / "cmd",
        f"""git checkout -q --detach; echo two >> file; git {who} commit -qam second
        [ $TASKDIR_ID = b ] && git checkout -q --orphan other && git {who} commit -qm third; {OK}""",
    )
    told = stage.run("--worktree", repo, "--tries", "1", "--", command)
    assert [each[1:3] for each in ended(told)] == [("done", None), ("failed", "no-commit")]
    assert git(repo, "show", "taskdir/a.1:file") == "one\ntwo\n"
    assert worktrees(repo) == ["b.1"]


def test_a_desk_that_was_replaced_by_a_link_is_not_written_to(stage: Stage) -> None:
    stage.offer("a")
    elsewhere = stage.base / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "result.json").write_text('{"status": "ok", "output": 1}')
    command = script(stage.base / "cmd", f"rm -rf .taskdir-work; ln -s {elsewhere} .taskdir-work")
    assert ended(stage.run("--", command)) == [("a", "failed", "desk-gone", 2)]
    assert sorted(os.listdir(elsewhere)) == ["result.json"]


def test_git_is_not_led_astray_by_the_tree(stage: Stage) -> None:
    """The command points the tree's .git file elsewhere, to a repository whose settings run a program."""
    repo, trap = stage.repo(), stage.base / "trap"
    git(stage.base, "init", "--quiet", str(trap))
    git(trap, "config", "core.fsmonitor", f"touch {stage.base}/sprung")
    stage.offer("a")
    command = script(stage.base / "cmd", f"echo two >> file; echo gitdir: {trap}/.git > .git; {OK}")
    told = stage.run("--worktree", repo, "--", command)
    assert ended(told) == [("a", "done", None, 1)]
    assert git(repo, "show", "taskdir/a.1:file") == "one\ntwo\n"
    assert not (stage.base / "sprung").exists()
    assert worktrees(repo) == ["a.1"], "a tree that git cannot vouch for is removed"


def test_the_root_is_found_from_a_linked_worktree(stage: Stage, tmp_path: Path) -> None:
    repo = stage.repo()
    shutil.copytree(stage.root, repo / "jobs")
    (repo / "sub").mkdir()
    far = tmp_path / "far"
    git(repo, "worktree", "add", "--quiet", str(far))
    (far / "jobs/deep").mkdir(parents=True)
    (far / "sub").mkdir()

    def found(at: Path) -> str | None:
        command = [sys.executable, "-m", "taskdir", "--json", "status"]
        env = {name: value for name, value in clean().items() if name != "TASKDIR"}
        done = subprocess.run(command, cwd=at, env=env, capture_output=True, text=True, timeout=30, check=False)
        return json.loads(done.stdout)["root"] if done.returncode == 0 else None

    assert found(far / "jobs/deep") == str(repo / "jobs"), "from where the root lies in the main worktree"
    assert found(far / "sub") is None
    (repo / "taskdir.json").write_text('{"protocol": 1}')
    for place in ("inbox", "ready", "claimed"):
        (repo / place).mkdir()
    assert found(far / "sub") == str(repo)
    assert found(far) == str(repo)
    (tmp_path / "taskdir.json").write_text('{"protocol": 1}')
    assert found(far) == str(repo), "a root around the worktree comes after the main worktree's"
    (repo / "taskdir.json").unlink()
    assert found(far) == str(tmp_path)
    assert HOUSE.exists()
