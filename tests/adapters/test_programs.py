"""The compiled programs beyond the kit: awkward bytes, usage errors, signals, process groups, trouble with streams."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from adapters.compiled import program
from adapters.conftest import Done, Shell, Word
from adapters.test_shell import BAD_NAMES, TEXTS, as_text
from adapters.test_shell_use import USAGE
from support.live import PATIENCE, until


class Program(Shell):
    """A compiled program where a shell would be."""

    def run(self, *args: Word, stdin: bytes = b"") -> Done:
        return self._end(self.start(*args), stdin)


@pytest.fixture(params=["c", "rust"])
def td(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program([str(program(request.param, tmp_path_factory))], os.environ["PATH"], tmp_path)


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_awkward_bytes_become_json_strings(td: Program) -> None:
    task = td.offer(1, "claimed/me")
    for text in TEXTS:
        assert td.run("fail", task, text).returncode == 0
        assert td.result(task) == {"status": "error", "error": {"message": as_text(text)[:8192]}}
        assert td.run("note", task, text).returncode == 0
    notes = task.with_name(task.stem + ".notes.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["text"] for line in notes] == [as_text(text) for text in TEXTS]


def test_names_outside_the_grammar_are_usage_errors(td: Program) -> None:
    task = td.offer(1, "claimed/me")
    for name in BAD_NAMES:
        verbs: list[list[Word]] = [["submit", name], ["claim", name], ["wait", name], ["work", name, "--idle", "0"]]
        verbs += [["fail", task, name, "message"], ["keep", name], ["claim", "me", name], ["work", "me", name]]
        for args in verbs:
            assert td.run(*args, stdin=b"{}").returncode == 2, args
    assert td.tree() == {f"claimed/me/{task.name}"}


WORK = ["work", "work me --tasks", "work me --tasks 0", "work me --tasks x", "work me --idle -1", "work me --",
        "work me q q", "work me --what 1", "work me @you", "work me --idle 1.5"]  # fmt: skip


def test_usage_errors_are_2_and_change_nothing(td: Program) -> None:
    task = td.offer(1, "claimed/me")
    for args in [*USAGE, *map(str.split, WORK)]:
        done = td.run(*[task if word == "PATH" else word for word in args])
        assert (done.returncode, done.stdout, done.stderr[:9]) == (2, b"", b"taskdir: "), args
    assert td.tree() == {f"claimed/me/{task.name}"}


def test_help(td: Program) -> None:
    for args in ([], ["help"], ["--help"]):
        done = td.run(*args)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"give-back PATH" in done.stdout


def test_what_cannot_be_told_on_stdout_is_an_error(td: Program) -> None:
    with open("/dev/full", "wb") as full:
        argv, pipe = [*td.argv, "submit", "x"], subprocess.PIPE
        done = subprocess.run(argv, env=td.env, input=b"{}", stdout=full, stderr=pipe, check=False)
    assert (done.returncode, done.stderr[:9]) == (73, b"taskdir: ")


def test_a_stdin_that_never_blocks_is_read_to_its_end(td: Program) -> None:
    task = td.offer(1, "claimed/me")
    for args in (["submit", "x"], ["finish", task, "-"]):
        reads, writes = os.pipe()
        os.set_blocking(reads, False)
        argv = [*td.argv, *map(str, args)]
        with subprocess.Popen(argv, env=td.env, stdin=reads, stdout=subprocess.DEVNULL) as process:
            os.close(reads)
            until(lambda: asleep(process.pid), "the program to wait for its stdin")
            for piece in (b"[1,", b"2]"):
                os.write(writes, piece)
            os.close(writes)
            assert process.wait(PATIENCE) == 0
    assert (td.root / "inbox/x.json").read_bytes() == b"[1,2]"
    assert td.result(task) == {"status": "ok", "output": [1, 2]}


def asleep(pid: int) -> bool:
    """Say whether a process sleeps inside of poll or the like; not Linux: yes."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "S"


def test_streams_may_be_closed(td: Program) -> None:
    task = td.offer(1, "claimed/me")
    closed = ["sh", "-c", '"$0" "$@" <&- >&- 2>&-', *td.argv]
    for args, code in ((["hold", str(task), "true"], 0), (["note", str(task), "x"], 0), (["submit", "x"], 65)):
        assert subprocess.run([*closed, *args], env=td.env, check=False).returncode == code
    assert sorted(td.tree()) == [f"claimed/me/{task.name}", f"claimed/me/{task.stem}.notes.jsonl"]


# --- hold ---


def test_hold_locks_while_the_command_runs_and_no_longer(td: Program) -> None:
    task = td.offer(1, "claimed/me")
    script = 'echo on; read go; (exec <&- >&- 2>&-; sleep 20) & echo "$!"; exit 7'  # leaves a process behind
    with td.start("hold", task, "sh", "-c", script) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"on\n"
        assert is_locked(task)
        process.stdin.write(b"go\n")
        process.stdin.flush()
        left = int(process.stdout.readline())
        assert process.wait(PATIENCE) == 7
        os.kill(left, 0)
        assert not is_locked(task)
        os.kill(left, 9)


@pytest.mark.parametrize(
    ("command", "code"),
    [(["no such command"], 127), (["/"], 126), (["sh", "-c", "kill -9 $$"], 137), (["sh", "-c", "exit 255"], 255)],
    ids=["absent", "no file", "killed", "255"],
)
def test_hold_ends_as_a_shell_would(td: Program, command: list[str], code: int) -> None:
    task = td.offer(1, "claimed/me")
    done = td.run("hold", task, *command)
    assert (done.returncode, done.stdout) == (code, b"")
    assert td.tree() == {f"claimed/me/{task.name}"}


def test_hold_passes_signals_on_and_waits(td: Program) -> None:
    task = td.offer(1, "claimed/me")
    script = "trap 'echo told; exit 3' TERM; echo on; while :; do sleep 0.05; done"
    with td.start("hold", task, "sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGINT)  # a terminal's Ctrl-C: the command's affair
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"told\n"
        assert process.wait(PATIENCE) == 3


def test_hold_where_the_lock_is_taken(td: Program) -> None:
    task = td.offer(1, "claimed/me")
    with task.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = td.run("hold", task, "touch", "ran")
    assert (done.returncode, (td.cwd / "ran").exists()) == (75, False)


# --- work ---


def working(td: Program, *args: Word) -> subprocess.Popen[bytes]:
    return td.start("work", "me", *args)


def ends(td: Program, script: str, *options: str) -> Done:
    return td.run("work", "me", *(options or ("--tasks", "1")), "--", "sh", "-c", script)


@pytest.mark.parametrize(
    ("script", "result"),
    [
        ("echo '[1, 2]'", {"status": "ok", "output": [1, 2]}),
        ("cat >/dev/null; echo; echo ' '", {"status": "ok", "output": None}),
        ("exec >&-; sleep 0.2", {"status": "ok", "output": None}),
        ("echo 1; exit 3", "exit-3"),
        ("kill -15 $$", "signal-15"),
    ],
)
def test_how_the_command_ends_decides(td: Program, script: str, result: object) -> None:
    offer = td.offer(1)
    done = ends(td, script)
    assert (done.returncode, done.stdout) == (0, b"")
    found = td.result(td.root / "claimed/me" / offer.name)
    if isinstance(result, str):
        assert isinstance(found, dict)
        assert (found["status"], found["error"]["code"], found["retry"]) == ("error", result, True)
        assert found["error"]["message"]
    else:
        assert found == result


@pytest.mark.parametrize(("command", "code"), [("no such command", "exit-127"), ("/", "exit-126")])
def test_a_command_that_cannot_run_fails_the_task(td: Program, command: str, code: str) -> None:
    offer = td.offer(1)
    done = td.run("work", "me", "--tasks", "1", "--", command)
    assert (done.returncode, done.stderr[:20]) == (0, b"taskdir: cannot run ")
    found = td.result(td.root / "claimed/me" / offer.name)
    assert isinstance(found, dict)
    assert found["error"]["code"] == code


def test_a_large_output_and_a_process_left_behind(td: Program) -> None:
    offer = td.offer(1)
    script = 'sleep 20 2>&- & echo "$!" >left; printf \'"\'; head -c 3000000 /dev/zero | tr "\\0" x; printf \'"\''
    assert ends(td, script).returncode == 0
    os.kill(int((td.cwd / "left").read_text()), 9)
    assert td.result(td.root / "claimed/me" / offer.name) == {"status": "ok", "output": "x" * 3_000_000}


def test_work_locks_and_the_command_does_not_inherit(td: Program) -> None:
    offer = td.offer(1)
    claimed = td.root / "claimed/me" / offer.name
    with working(td, "--tasks", "1", "--", "sh", "-c", 'echo "$$" >on; sleep 20') as process:
        until(lambda: (td.cwd / "on").exists() and (td.cwd / "on").read_text(), "the command")
        assert is_locked(claimed)
        process.kill()
        process.wait()
        until(lambda: not is_locked(claimed), "the lock to go with the worker")
        os.killpg(int((td.cwd / "on").read_text()), 9)
    assert ends(td, 'echo "\\"$TASKDIR_ID\\""').returncode == 0  # the next worker takes it up
    assert td.result(claimed) == {"status": "ok", "output": "t1"}


def test_a_claim_that_vanishes_ends_the_whole_command(td: Program) -> None:
    offer = td.offer(1)
    script = '(sleep 20 & echo "$!" >left; wait); echo not reached'
    with working(td, "--tasks", "1", "--", "sh", "-c", script) as process:
        until(lambda: (td.cwd / "left").exists() and (td.cwd / "left").read_text(), "the command")
        (td.root / "claimed/me" / offer.name).unlink()
        assert process.wait(PATIENCE) == 0
    left = int((td.cwd / "left").read_text())
    until(lambda: not Path(f"/proc/{left}").exists() or zombie(left), "the command's own processes to end")
    assert td.tree() == set()


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_task_in_hand(td: Program, number: int) -> None:
    first, second = td.offer(1), td.offer(2)
    with working(td, "--", "sh", "-c", "echo >on; while [ ! -e go ]; do sleep 0.01; done; echo 1") as process:
        until((td.cwd / "on").exists, "the command")
        process.send_signal(number)
        (td.cwd / "go").touch()
        assert process.wait(PATIENCE) == 0
    assert td.result(td.root / "claimed/me" / first.name) == {"status": "ok", "output": 1}
    assert second.exists()


def test_a_signal_ends_an_idle_worker(td: Program) -> None:
    with td.start("work", "you") as process:
        until((td.root / "claimed/you").exists, "the worker's first look")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_eight_workers_of_two_names_do_each_task_once(td: Program) -> None:
    names = [td.offer(seq).name for seq in range(1, 41)]
    script = 'echo "$TASKDIR_ID" >>did; echo 1'
    workers = [td.start("work", f"agent{n % 2}", "--idle", "1", "--", "sh", "-c", script) for n in range(8)]
    list(td.lines(workers))
    did = (td.cwd / "did").read_text().split()
    assert sorted(did) == sorted(name.split(".")[1] for name in names)
    assert len([name for name in td.tree() if name.endswith(".result.json")]) == 40


@pytest.mark.parametrize("verb", ["claim", "work"])
def test_an_agents_directory_that_cannot_be_is_73(td: Program, verb: str) -> None:
    (td.root / "claimed/you").write_text("a file")
    td.offer(1)
    done = td.run(verb, "you", *([] if verb == "claim" else ["--idle", "0"]))
    assert (done.returncode, done.stderr[:9]) == (73, b"taskdir: ")


def test_a_worker_whose_agent_is_benched_waits(td: Program) -> None:
    offer, mine = td.offer(1), td.root / "claimed/me"
    mine.chmod(0o555)
    assert td.run("claim", "me").returncode == 75
    assert td.run("work", "me", "--idle", "0").returncode == 0
    assert offer.exists()
    with working(td, "--tasks", "1", "--", "echo", "1") as process:
        mine.chmod(0o755)
        assert process.wait(PATIENCE) == 0
    assert td.result(mine / offer.name) == {"status": "ok", "output": 1}
