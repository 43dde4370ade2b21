"""The runner is killed with -9 before every change of a file and around every program that it starts, then started
again: nothing runs, no worktree is left that holds nothing, no work is lost, the task is done.

``make test`` takes the stops that the lot of a printed seed gives, ``make torture`` all of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faults import ledger
from runner.stage import Stage, clean, git, running, script, until
from support.live import Root, taskdir
from taskdir.runner import processes

STOPS = 7 if not ledger.torture() else 1000
OK = """echo '{"status": "ok", "output": {"n": 1}}' > "$TASKDIR_RESULT" """
STOP = """
import os, signal
from taskdir import disk
from taskdir.runner import git, process
at, seen = int(os.environ["STOP_AT"]), open(os.environ["STOP_LOG"], "a")
count = 0
def here(*words):
    global count
    count += 1
    print(*words, file=seen, flush=True)
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
def around(name, real):
    def call(*words, **options):
        here("before", name, *[word for word in words if isinstance(word, str)])
        found = real(*words, **options)
        here("after", name)
        return found
    return call
disk._no_hook = here
git.git = around("git", git.git)
process.Command = around("command", process.Command)
"""
WITHOUT_NOTES = "from taskdir.runner import sweep\nsweep._kill = lambda space, grace: []"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    made.repo()
    return made


def sleeps(stage: Stage) -> str:
    """Return a number of seconds that nobody else sleeps."""
    return f"1001.{os.getpid()}{abs(hash(stage.base)) % 10**6:06d}"


def story(stage: Stage) -> Path:
    """Write a command that commits, leaves something uncommitted and a process that left its session, and hands in."""
    return script(
        stage.base / "cmd",
        f"""setsid sleep {sleeps(stage)} >/dev/null 2>&1 &
        while ! grep -q . /proc/$!/cmdline; do :; done
        echo two >> file; git -c user.name=x -c user.email=x@x commit -qam second; echo new > new
        echo built > "$TASKDIR_ARTIFACTS/out"; {OK}""",
    )


def killed(stage: Stage, at: int, planted: str = "") -> list[str]:
    """Play the story, killed at stop number ``at``; returns the stops that there were until then."""
    log = stage.base / "stops"
    log.unlink(missing_ok=True)
    stage.offer("a")
    words = f"--agent me --once --grace 0.2 --worktree {stage.base}/repo -- {story(stage)}"
    done = subprocess.run(
        stage.command(*words.split(), planted=STOP + planted),
        env=clean() | {"STOP_AT": str(at), "STOP_LOG": str(log)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return log.read_text().splitlines()


def started_again(stage: Stage, planted: str = "") -> list[str]:
    """Start the runner again, as the daemon would offer the next attempt; returns what is wrong afterwards."""
    repo = stage.base / "repo"
    if not list(stage.root.glob("ready/default/*")):
        stage.offer("a", 2)
    told = stage.run("--grace", "0.2", "--worktree", repo, "--", story(stage), planted=planted)
    faults = [f"process {pid} is left" for pid in running(sleeps(stage))]
    swept = [each for each in told if each["event"] == "swept"]
    kept = [each["name"] for each in swept if not each["removed"]]
    trees = [Path(line.split()[1]).name for line in git(repo, "worktree", "list", "--porcelain").splitlines()
             if line.startswith("worktree")][1:]  # fmt: skip
    faults += [f"the worktree {name} is left, and not told of" for name in trees if name not in kept]
    faults += [f"{name} is told of as kept, and is not there" for name in kept if name not in trees]
    faults += [f"{name} is kept though all of it is committed" for name in trees
               if not git(stage.work / "me" / name, "status", "--porcelain")]  # fmt: skip
    spare = {name.rpartition("/")[2].removesuffix(".run") for name in stage.workspaces() if "_artifacts" not in name}
    faults += [f"notes or a directory of {name} are left" for name in spare - {*trees}]
    if [each["outcome"] for each in told if each["event"] == "ended"] != ["done"]:
        faults.append(f"the next attempt is not done: {told}")
    if len(list(stage.root.glob("claimed/me/*.a.*.json"))) > 2 * 2:
        faults.append("more is claimed than two attempts")
    for name in trees:  # what is uncommitted is there still
        if not (stage.work / "me" / name / "new").exists():
            faults.append(f"the uncommitted work in {name} is lost")
    return faults


def again_at(base: Path, at: int, planted: str = "") -> tuple[list[str], list[str]]:
    """Play story, kill and start in a place of its own; returns the stops and the faults."""
    base.mkdir()
    stage = Stage(base)
    stage.repo()
    try:
        return killed(stage, at), started_again(stage, planted)
    finally:
        for pid in running(sleeps(stage)):
            os.kill(pid, signal.SIGKILL)


def test_killed_before_every_step_of_the_runner(tmp_path: Path) -> None:
    seed = ledger.seed()
    stops, faults = again_at(tmp_path / "whole", 0)
    assert faults == []
    assert len(stops) > 40
    assert {"before command", "after command"} <= {" ".join(stop.split()[:2]) for stop in stops}
    every = list(range(1, len(stops) + 1))
    chosen = sorted(random.Random(seed).sample(every, min(STOPS, len(every))))
    with ledger.entry("kill -9 of a runner", seed=seed, unit="kills") as entry:
        for at in chosen:
            _, faults = again_at(tmp_path / str(at), at)
            assert faults == [], f"killed at {stops[at - 1]}"
            entry.runs += 1


def test_the_tester_sees_what_is_left_running(tmp_path: Path) -> None:
    """Planted fault: a start that looks for no processes."""
    stops, _ = again_at(tmp_path / "whole", 0)
    (at,) = [number for number, stop in enumerate(stops, 1) if stop.startswith("after command")]
    at += 2  # when the command's pid was noted
    found = again_at(tmp_path / "planted", at + 1, WITHOUT_NOTES)[1]
    assert any("is left" in fault for fault in found), found


def test_the_tester_sees_an_orphan_worktree(tmp_path: Path) -> None:
    """Planted fault: a start that looks for nothing."""
    stops, _ = again_at(tmp_path / "whole", 0)
    (at,) = [number for number, stop in enumerate(stops, 1) if "git worktree add" in stop]
    blind = "from taskdir.runner import sweep\nsweep.sweep = lambda *words: iter(())"
    found = again_at(tmp_path / "planted", at + 1, blind)[1]
    assert any("worktree a.1 is left" in fault for fault in found), found


def test_killed_while_git_makes_the_worktree(stage: Stage) -> None:
    """A filter of the repository kills the runner from inside `git worktree add`, which then goes on as an orphan."""
    repo, pid = stage.base / "repo", stage.base / "pid"
    (repo / ".gitattributes").write_text("file filter=slow\n")
    git(repo, "add", ".gitattributes")
    git(repo, "commit", "--quiet", "--message=slow")
    git(repo, "config", "filter.slow.smudge", f"test -e {pid} && kill -9 $(cat {pid}) && rm {pid} && sleep 0.3; cat")
    noted = f"import os\nopen({str(pid)!r}, 'w').write(str(os.getpid()))"
    stage.offer("a")
    with stage.start("--worktree", repo, "--", story(stage), planted=noted) as run:
        assert run.process.wait(30) == -signal.SIGKILL
        assert started_again(stage) == []


@pytest.mark.parametrize("killer", ["kill -9 $PPID", "kill -9 $PPID; sleep 0.2; kill -9 $$"])
def test_killed_by_its_own_command(stage: Stage, killer: str) -> None:
    """The command goes on for a while, with work that is not committed: kept, and named; its processes are ended."""
    command = script(
        stage.base / "cmd", f"echo half > new; setsid sleep {sleeps(stage)} & {killer}; sleep {sleeps(stage)}"
    )
    stage.offer("a")
    repo = stage.base / "repo"
    with stage.start("--worktree", repo, "--", command) as run:
        assert run.process.wait(30) == -signal.SIGKILL
        told = stage.run("--grace", "0.2", "--worktree", repo, "--", "true")
    (swept,) = [each for each in told if each["event"] == "swept"]
    assert (swept["name"], swept["removed"], swept["why"]) == ("a.1", False, "kept: uncommitted work")
    assert swept["killed"] or "sleep 0.2" in killer
    assert running(sleeps(stage)) == []
    assert (stage.work / "me/a.1/new").read_text() == "half\n"


def test_a_living_runner_is_let_be(stage: Stage) -> None:
    """Another agent's start touches neither its processes nor its workspace, even if its lock could be had."""
    stage.offer("a")
    command = script(
        stage.base / "cmd", f"touch {stage.base}/begun; while [ ! -e {stage.base}/go ]; do sleep 0.05; done; {OK}"
    )
    with stage.start("--agent", "other", "--once", "--", command) as run:
        until((stage.base / "begun").exists, "the command's start")
        assert [each for each in stage.run("--", "true") if each["event"] == "swept"] == []
        (stage.work / "other/.lock").unlink()
        (told,) = [each for each in stage.run("--", "true") if each["event"] == "swept"]
        assert (told["removed"], told["killed"]) == (False, [])
        (stage.base / "go").touch()
        assert [each["outcome"] for each in run.end()[1] if each["event"] == "ended"] == ["done"]


def test_notes_of_another_host_are_not_judged(stage: Stage) -> None:
    notes = stage.work / "far/a.1.run"
    notes.mkdir(parents=True)
    told: dict[str, Any] = {"runner": {"host": "elsewhere", "boot": "x", "pid": 1, "start": 1}, "token": "t"}
    (notes / "attempt.json").write_text(json.dumps({**told, "stage": "running"}))
    (swept,) = stage.run("--", "true")
    assert (swept["removed"], "may live" in swept["why"]) == (False, True)
    assert notes.exists()


def test_with_a_daemon_killed_runners_cost_attempts_and_nothing_else(tmp_path: Path) -> None:
    """Real daemon, real leases: two slots killed three times in the middle; all tasks end done, the books are right."""
    seed = ledger.seed()
    drawn = random.Random(f"{seed} daemon")
    (tmp_path / "spare").mkdir()
    repo = Stage(tmp_path / "spare").repo()
    root = Root(tmp_path / "jobs", settle_seconds=0.1, scan_seconds=0.05)
    long = script(tmp_path / "cmd", f"sleep 0.1; echo $TASKDIR_ID >> file; {OK}")
    command = [*"--agent w --slots 2 --worktree".split(), str(repo), "--grace", "0.2"]
    with root, ledger.entry("kill -9 of runners with a daemon", seed=seed, unit="kills") as entry:
        root.put("contracts/echo.json", {"defaults": {"backoff_seconds": 0, "max_attempts": 20}})
        for number in range(6):
            assert taskdir("submit", "--type", "echo", "--id", f"t{number}", root=root.path).returncode == 0
        for _ in range(3):
            begun = len(root.events("claimed"))
            run = subprocess.Popen(
                [*taskdir_command(root.path), *command, "--", str(long)],
                env=clean(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            until(partial(enough, root, begun + drawn.randint(1, 3)), "claims")
            for pid in [*children(run.pid), run.pid]:
                os.kill(pid, signal.SIGKILL)
            run.wait()
            entry.runs += 1
        last = subprocess.Popen([*taskdir_command(root.path), *command, "--", str(long)], env=clean(),
                                    stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)  # fmt: skip
        until(lambda: len(root.names("done")) == 6, "all tasks to be done")
        last.send_signal(signal.SIGTERM)
        _, words = last.communicate(timeout=30)
        assert last.returncode == 0, words
    kept = words.count(": left ")  # what was not committed when its runner was killed, each told of
    assert git(repo, "worktree", "list").count("\n") == 1 + kept, words
    check = taskdir("check", root=root.path)
    assert check.returncode == 0, check.stdout + check.stderr


def enough(root: Root, claims: int) -> bool:
    """Say whether there were so many claims, or all is done."""
    return len(root.events("claimed")) >= claims or len(root.names("done")) == 6


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]


def taskdir_command(root: Path) -> list[str]:
    """Return how a runner is called on a root."""
    return [sys.executable, "-m", "taskdir", "--root", str(root), "work"]


@pytest.mark.parametrize(
    ("changes", "killed"),
    [({}, True), ({"boot": "another"}, False), ({"host": "another"}, True)],
    ids=["kill -9", "a reboot", "another container of the same kernel"],
)
def test_whose_runner_is_dead_for_certain(stage: Stage, changes: dict[str, str], killed: bool) -> None:
    """Notes of a runner that is gone, and a process that bears the mark: after a reboot it is somebody else's."""
    runner: dict[str, Any] = {**processes.me(), "pid": 2**22 + 1, **changes}
    space = stage.work / "far/a.1"
    notes = stage.work / "far/a.1.run"
    for path in (space, notes):
        path.mkdir(parents=True)
    (space / "work").touch()
    token = uuid.uuid4().hex  # other tests look for processes at the same time
    facts = {"runner": runner, "token": token, "stage": "running"}
    (notes / "attempt.json").write_text(json.dumps(facts))
    marked = subprocess.Popen(["sleep", sleeps(stage)], env={processes.MARK: token})
    until(lambda: token.encode() in Path(f"/proc/{marked.pid}/environ").read_bytes(), "its environment")
    try:
        (told,) = stage.run("--grace", "5", "--", "true")
        assert (told["removed"], bool(told["killed"]), told["why"]) == (False, killed, "kept: uncommitted work")
        assert (marked.poll() is not None) == killed
    finally:
        marked.kill()
        marked.wait()
    (space / "work").unlink()
    (notes / "attempt.json").write_text(json.dumps(facts))
    (told,) = stage.run("--", "true")
    assert told["removed"]
    assert not space.exists()
