"""What a command may use, and what is left of it: time, output, descendants, a lost lease, signals, slots."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from runner.stage import Stage, ended, running, script, until

OK = """echo '{"status": "ok", "output": {"n": 1}}' > "$TASKDIR_RESULT" """
UNTIMED = """from taskdir.runner import process
until = process._until_end
process._until_end = lambda command, pipes, limits, watch: until(command, pipes, limits._replace(seconds=60), watch)"""
UNCOUNTED = "from taskdir.runner import process\nprocess._Pipes.full = property(lambda self: False, lambda *_: None)"
KEEPS_ALL = "from taskdir.runner import process\nprocess.Command.stop = lambda self, grace: self.process.wait()"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def token(stage: Stage) -> str:
    """Return a number of seconds to sleep that no other process sleeps."""
    return f"1000.{os.getpid()}{abs(hash(stage.base)) % 10**6:06d}"


def escapees(stage: Stage, planted: str = "") -> list[int]:
    """Run a command that leaves processes in each way there is; returns those that still run afterwards."""
    stage.offer("a")
    sleeps = token(stage)
    command = script(
        stage.base / "cmd",
        f"""sleep {sleeps} & setsid sleep {sleeps} & (setsid sh -c 'env -i sleep {sleeps} & exit' &)
        setsid sh -c 'trap "" TERM HUP; sleep {sleeps} & exec sleep {sleeps}' </dev/null >/dev/null 2>&1 &
        python3 -c 'import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", sys.argv[1]], {{}})
    os._exit(0)
os.wait()' {sleeps}
        {OK}""",
    )
    try:
        told = stage.run("--grace", "0.3", "--", command, planted=planted)
        assert ended(told) == [("a", "done", None, 1)]
        return running(sleeps)
    finally:
        for pid in running(sleeps):
            os.kill(pid, signal.SIGKILL)


def test_nothing_that_a_command_started_outlives_it(stage: Stage) -> None:
    assert escapees(stage) == []


def test_the_tester_of_leftovers_sees_them(stage: Stage) -> None:
    """Planted fault: a runner that waits for its command alone."""
    assert len(escapees(stage, planted=KEEPS_ALL)) >= 5


def test_the_group_alone_is_not_enough(stage: Stage) -> None:
    """Planted fault: a runner that does not adopt orphans; so it is where there is no way to."""
    left = escapees(stage, planted="from taskdir.system import Linux, Posix\nLinux.adopt_orphans = Posix.adopt_orphans")
    assert len(left) >= 3


@pytest.mark.parametrize(
    ("script_text", "options", "code"),
    [
        ("echo half; sleep {t}", ["--timeout", "0.5"], "timeout"),
        ("trap '' TERM; sleep {t} & while :; do wait; done", ["--timeout", "0.5"], "timeout"),
        ("yes {t}", ["--max-output", "100000"], "output-limit"),
        ("yes {t} >&2", ["--max-output", "100000"], "output-limit"),
        ("seq 50000", ["--max-output", "100000"], "output-limit"),
    ],
)
def test_limits(stage: Stage, script_text: str, options: list[str], code: str) -> None:
    stage.offer("a")
    sleeps = token(stage)
    early = OK if code == "timeout" else ""  # of a command that was stopped no result counts
    told = stage.run(
        "--grace", "0.2", *options, "--", script(stage.base / "cmd", early + "\n" + script_text.format(t=sleeps))
    )
    assert ended(told) == [("a", "failed", code, 1)]
    assert stage.retries() == {"a": True}
    assert running(sleeps) == []
    sizes = [path.stat().st_size for path in (stage.work / "me/a.1.run").glob("1.*")]
    assert sum(sizes) <= 100_000
    assert ("half" in script_text) == ("half" in stage.results()["a"]["message"])


@pytest.mark.parametrize(
    ("script_text", "options", "planted"),
    [
        ("sleep 1", ["--timeout", "0.1"], UNTIMED),
        ("seq 50000", ["--max-output", "100000"], UNCOUNTED),
    ],
    ids=["time", "output"],
)
def test_the_tester_of_limits_sees_that_one_is_ignored(
    stage: Stage, script_text: str, options: list[str], planted: str
) -> None:
    """Planted faults: a runner that never looks at the time, or at how much was printed."""
    stage.offer("a")
    told = stage.run(*options, "--", script(stage.base / "cmd", f"{OK}\n{script_text}"), planted=planted)
    assert ended(told) == [("a", "done", None, 1)]


def test_a_command_that_is_not_there(stage: Stage) -> None:
    stage.offer("a")
    assert ended(stage.run("--", stage.base / "none")) == [("a", "failed", "no-start", 1)]
    assert "No such file" in stage.results()["a"]["message"]


def lost(stage: Stage, planted: str = "", seconds: int = 20) -> tuple[list[int], int, list[dict[str, Any]]]:
    """Take the claim away while the command runs; returns what ran a moment later, and how the runner ended."""
    offer, sleeps = stage.offer("a"), token(stage)
    command = script(stage.base / "cmd", f"touch begun made; setsid sleep {sleeps} & exec sleep {sleeps}")
    try:
        with stage.start("--once", "--timeout", str(seconds), "--", command, planted=planted) as run:
            begun = stage.work / "me/a.1/begun"
            until(begun.exists, "the command's start")
            until(lambda: len(running(sleeps)) == 2, "both processes")
            (stage.root / "claimed/me" / offer.name).unlink()
            code, told = run.end()
            return running(sleeps), code, told
    finally:
        for pid in running(sleeps):
            os.kill(pid, signal.SIGKILL)


def test_a_lost_lease_stops_the_command_and_keeps_the_work(stage: Stage) -> None:
    left, code, told = lost(stage)
    assert (left, code, ended(told)) == ([], 0, [("a", "lost", "lost", 1)])
    assert stage.results() == {}
    assert (stage.work / "me/a.1/made").exists(), "the work was thrown away"


def test_the_tester_of_lost_leases_sees_a_runner_that_does_not_look(stage: Stage) -> None:
    """Planted fault: the claim is never looked at; the command runs into its time limit."""
    blind = "from taskdir.runner.attempt import Attempt\nAttempt._watch = lambda self: self._word()"
    _, _, told = lost(stage, blind, seconds=1)
    assert ended(told) != [("a", "lost", "lost", 1)]


def test_a_lease_is_renewed_whatever_the_command_does(stage: Stage) -> None:
    """The lease is a second; the claimed file is touched all the same, and locked."""
    offer = stage.offer("a", lease_seconds=1)
    command = script(
        stage.base / "cmd", f"touch {stage.base}/begun; while [ ! -e {stage.base}/go ]; do sleep 0.05; done; {OK}"
    )
    with stage.start("--once", "--", command) as run:
        until((stage.base / "begun").exists, "the command's start")
        claimed = stage.root / "claimed/me" / offer.name
        first = claimed.stat().st_mtime_ns
        until(lambda: claimed.stat().st_mtime_ns > first, "a renewal")
        (stage.base / "go").touch()
        assert ended(run.end()[1]) == [("a", "done", None, 1)]


def test_the_first_signal_drains_the_second_stops(stage: Stage) -> None:
    for number in (1, 2, 3, 4):
        stage.offer(f"t{number}")
    sleeps = token(stage)
    command = script(
        stage.base / "cmd",
        f"""touch {stage.base}/begun-$TASKDIR_ID
        [ $TASKDIR_ID = t2 ] && echo half > made && exec sleep {sleeps}
        while [ ! -e {stage.base}/go ]; do sleep 0.05; done; {OK}""",
    )
    with stage.start("--", command) as run:
        until((stage.base / "begun-t1").exists, "the first task's start")
        run.signal(signal.SIGTERM)
        (stage.base / "go").touch()
        code, told = run.end()
    assert (code, ended(told)) == (0, [("t1", "done", None, 1)])
    with stage.start("--", command) as run:
        until((stage.base / "begun-t2").exists, "the second task's start")
        run.signal(signal.SIGINT)
        run.signal(signal.SIGTERM)
        code, told = run.end()
    assert (code, ended(told)) == (0, [("t2", "given-back", "stopped", 1)])
    assert running(sleeps) == []
    assert list(stage.results()) == ["t1"]
    assert not list(stage.root.glob("claimed/me/*.t2.*"))
    assert (stage.work / "me/t2.1/made").exists()
    assert len(list(stage.root.glob("ready/default/*"))) == 2


def test_slots_work_side_by_side_and_drain_together(stage: Stage) -> None:
    for number in range(1, 7):
        stage.offer(f"t{number}")
    command = script(
        stage.base / "cmd",
        f"touch {stage.base}/begun-$TASKDIR_AGENT; while [ ! -e {stage.base}/go ]; do sleep 0.05; done; {OK}",
    )
    with stage.start("--slots", "3", "--", command) as run:
        for slot in (1, 2, 3):
            until((stage.base / f"begun-me-{slot}").exists, f"slot {slot}")
        run.signal(signal.SIGTERM)
        (stage.base / "go").touch()
        code, told = run.end()
    assert code == 0
    assert sorted(each["agent"] for each in told if each["event"] == "ended") == ["me-1", "me-2", "me-3"]
    assert [{*stage.results(f"me-{slot}")} for slot in (1, 2, 3)].count(set()) == 0
    assert len(list(stage.root.glob("ready/default/*"))) == 3


def test_slots_end_when_the_runner_above_them_is_killed(stage: Stage) -> None:
    stage.offer("a"), stage.offer("b")
    sleeps = token(stage)
    with stage.start("--slots", "2", "--", script(stage.base / "cmd", f"sleep {sleeps}; exit 1")) as run:
        until(lambda: len(running(sleeps)) == 2, "two commands")
        run.signal(signal.SIGKILL)
        until(lambda: not running(sleeps), "the end of both", stage.patience)
        until(lambda: not list(stage.root.glob("claimed/*/*.json")), "both given back")


def test_an_agent_has_one_runner(stage: Stage) -> None:
    with stage.start("--", "true") as run:
        until((stage.work / "me/.lock").exists, "the first runner")
        until((stage.work / ".gitignore").exists, "the lock")
        stage.run("--", "true", code=75)
        run.signal(signal.SIGTERM)
        assert run.end()[0] == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--tries", "0", "--", "true"], 2),
        (["--network", "--", "true"], 2),
        (["--worktree", "/", "--", "true"], 78),
        (["--profile", "nobody"], 78),
        (["--profile", "plain"], 2),
        ([], 2),
        (["--queue", "@other", "--", "true"], 2),
        (["--queue", "@me", "--slots", "2", "--", "true"], 2),
    ],
)
def test_what_makes_no_sense(stage: Stage, words: list[str], code: int) -> None:
    assert stage.run(*words, code=code) == []
    assert stage.run("--workspaces", stage.root / "work", "--", "true", code=2) == []
