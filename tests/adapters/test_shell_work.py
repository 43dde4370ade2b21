"""adapters/shell/taskdir.sh: work, under each shell and sourced, without a daemon; and the README at a live root."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapters.readme import ADAPTERS, drain, example
from support.live import until

if TYPE_CHECKING:
    from adapters.conftest import Shell

LIB = ADAPTERS / "shell" / "taskdir.sh"
JOB = """case $TASKDIR_ID in
t1) echo "[1]" ;;
t2) echo "  " ;;
t3) exit 3 ;;
t4) kill -9 $$ ;;
t5) exit 75 ;;
t6) rm "$TASKDIR_TASK"; echo 6 ;;
t7) cat ;;
esac"""


def error(code: str, message: str) -> object:
    return {"status": "error", "error": {"code": code, "message": message}, "retry": True}


def test_what_becomes_of_each_task(sh: Shell) -> None:
    tasks = {seq: sh.root / "claimed/me" / sh.offer(seq).name for seq in range(1, 8)}
    done = sh.run("work", "me", "--idle", "0", "--", *sh.argv, "-c", JOB)
    assert (done.returncode, done.stdout) == (0, b"")
    program = sh.argv[0]
    assert {seq: sh.result(tasks[seq]) for seq in (1, 2, 3, 4)} == {
        1: {"status": "ok", "output": [1]},
        2: {"status": "ok", "output": None},
        3: error("exit-3", f"{program} ended with exit code 3"),
        4: error("signal-9", f"{program} ended by signal 9"),
    }
    assert sh.result(tasks[7]) == {"status": "ok", "output": {"id": "t7", "attempt": 1, "type": "echo", "input": {}}}
    assert {name for name in sh.tree() if "t5" in name or "t6" in name} == set()
    assert done.stderr.decode().splitlines() == [f"taskdir: gone, it is no longer yours, stop: {tasks[6]}"]


HABITS = {"plain": "", "strict": "set -eu", "odd": "set -fC; IFS=/.0; task=t agent=a id=i n=9 code=c"}


@pytest.mark.parametrize("habit", HABITS)
def test_sourced_it_runs_functions_and_leaks_nothing(sh: Shell, habit: str) -> None:
    tasks = [sh.root / "claimed/me" / sh.offer(seq).name for seq in (1, 2)]
    state = "set | grep -E '^(task|agent|id|n|code|temp|mine|IFS|PWD|TASKDIR_ID)='; trap; pwd; echo $-"
    job = """job() { td_note "$TASKDIR_TASK" "$1 $TASKDIR_ATTEMPT"; wc -c; }"""
    script = f"{HABITS[habit]}\n. '{LIB}'\n{job}\n{{ {state}; }} >before\ntd_work me --idle 0 -- job said\n"
    assert list(sh.lines([sh.start("-c", f"{script}{{ {state}; }} >after")])) == []
    assert (sh.cwd / "after").read_text() == (sh.cwd / "before").read_text() != ""
    for task in tasks:
        assert sh.result(task) == {"status": "ok", "output": task.stat().st_size}
        assert '"text":"said 1"' in task.with_name(f"{task.stem}.notes.jsonl").read_text()


def test_a_signal_ends_it_after_the_task_in_hand(sh: Shell) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        task = sh.root / "claimed/me" / sh.offer(number).name
        begun, go = sh.cwd / f"begun-{number}", sh.cwd / f"go-{number}"
        job = 'touch "$1"; until [ -e "$2" ]; do sleep 0.05; done; echo 7'
        with sh.start(LIB, "work", "me", "--", *sh.argv, "-c", job, "job", begun, go) as process:
            try:
                until(begun.exists, "the start of the command")
                process.send_signal(number)
                sh.offer(99)
                go.touch()
                assert process.wait(20) == 0
            finally:
                process.kill()
        assert sh.result(task) == {"status": "ok", "output": 7}
        assert (sh.root / "ready/default/5-000000000099.t99.1.json").exists()


def test_what_a_twin_does_meanwhile_is_let_be(sh: Shell) -> None:
    task = sh.offer(1, "claimed/me")
    result = task.with_name(f"{task.stem}.result.json")
    sh.fake("sleep", "exit 0")
    for twin in ("exit 1", f"echo null >'{result}'"):  # it holds it all the time; it finished before we got the lock
        sh.fake("flock", twin)
        done = sh.run("work", "me", "--idle", "0", "--", "touch", "ran")
        assert (done.returncode, done.stderr, (sh.cwd / "ran").exists()) == (0, b"", False)
    assert result.read_text() == "null\n"


def test_without_flock_the_lease_is_renewed(sh: Shell) -> None:
    for tool in "cat date grep head kill ls mkdir mv od rm sed sleep touch tr".split():
        (sh.bin / tool).symlink_to(sh.real(tool))
    sh.env["PATH"] = str(sh.bin)
    sh.offer(1)
    job = f'touch -d @1 "$TASKDIR_TASK"; until [ "$TASKDIR_TASK" -nt "{sh.root}/taskdir.json" ]; do sleep 0.05; done'
    assert sh.run("work", "me", "--tasks", "1", "--", *sh.argv, "-c", job).returncode == 0


USAGE = [
    "work",
    "work me --tasks",
    "work me --tasks x -- cat",
    "work me --idle -1 -- cat",
    "work me --late 1 -- cat",
    "work me --tasks 1 cat",
    "work me --",
    "work me x y",
    "work Me -- cat",
    "work me @ -- cat",
]


@pytest.mark.parametrize("words", USAGE)
def test_usage_errors(sh: Shell, words: str) -> None:
    sh.offer(1)
    done = sh.run(*words.split())
    assert (done.returncode, done.stdout, done.stderr[:9]) == (2, b"", b"taskdir: ")
    assert sh.tree() == {"ready/default/5-000000000001.t1.1.json"}


def test_the_example_of_the_readme_drains_a_live_root(tmp_path: Path) -> None:
    if shutil.which("sh") is None:
        pytest.skip("NOT TESTED: this machine has no sh")
    (tmp_path / "adapters").symlink_to(ADAPTERS)
    (tmp_path / "worker.sh").write_text(example(ADAPTERS / "shell" / "README.md", "sh"))
    records = drain(tmp_path, ["sh", "worker.sh"])
    assert all(isinstance(record["output"], int) for record in records)
    assert all("counting its bytes" in record["attempts"][0]["notes"] for record in records)
