"""adapters/shell/taskdir.sh in use: waiting, holding, finding the root, being sourced."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from adapters.conftest import Shell

LIB = Path(__file__).resolve().parents[2] / "adapters" / "shell" / "taskdir.sh"


@pytest.mark.parametrize(
    ("files", "code", "shown"),
    [
        (["done/x.json"], 0, "done/x.json"),
        (["failed/x.json"], 1, "failed/x.json"),
        (["rejected/x.json", "rejected/x.reason.json"], 1, "rejected/x.reason.json"),
        (["rejected/x.json"], 124, None),
        (["inbox/x.json"], 124, None),
        (["inbox/x.json", "rejected/x.reason.json"], 124, None),  # the repair is not judged yet
        ([], 124, None),
    ],
)
def test_wait(sh: Shell, files: list[str], code: int, shown: str | None) -> None:
    for name in files:
        (sh.root / name).write_text("{}")
    done = sh.run("wait", "x", "0")
    assert (done.returncode, done.stdout.decode()) == (code, f"{sh.root}/{shown}\n" if shown else "")


def test_wait_looks_every_second_until_the_time_is_up(sh: Shell) -> None:
    sh.fake("sleep", f'echo nap >>"{sh.cwd}/naps"')
    assert sh.run("wait", "x", "008").returncode == 124
    assert len((sh.cwd / "naps").read_text().split()) == 8
    sh.fake("sleep", f'[ "$1" = 1 ] && echo {{}} >"{sh.root}/done/x.json"')  # it comes a second later
    assert sh.run("wait", "x").returncode == 0


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def needs_flock(sh: Shell) -> None:
    """Lend busybox the system's flock(1), which its build may lack; skip where there is none at all."""
    flock = shutil.which("flock")
    if flock is None:
        pytest.skip("NOT TESTED: this machine has no flock(1)")
    if shutil.which("flock", path=sh.tools) is None:
        (sh.bin / "flock").symlink_to(flock)


def test_hold_locks_while_the_command_runs_and_no_longer(sh: Shell) -> None:
    needs_flock(sh)
    task = sh.offer(1, "claimed/me")
    command = 'read go; (exec <&- >&- 2>&-; sleep 20) & echo "$!"; exit 7'  # leaves a process behind
    with sh.start(LIB, "hold", task, "sh", "-c", f"echo on; {command}") as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == b"on\n"
        assert is_locked(task)
        process.stdin.write(b"go\n")
        process.stdin.flush()
        left = int(process.stdout.readline())
        assert process.wait(timeout=20) == 7
        try:
            os.kill(left, 0)
            assert not is_locked(task)
        finally:
            os.kill(left, 9)
    assert task.exists()


def test_hold_gives_up_on_a_task_that_another_process_holds(sh: Shell) -> None:
    needs_flock(sh)
    task = sh.offer(1, "claimed/me")
    sh.fake("sleep", f'echo nap >>"{sh.cwd}/naps"')
    with task.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = sh.run("hold", task, "touch", "ran")
    assert (done.returncode, (sh.cwd / "ran").exists()) == (75, False)
    assert sh.run("hold", task, "touch", "ran").returncode == 0
    assert (sh.cwd / "ran").exists()


def test_hold_of_a_task_that_goes_in_between_makes_no_file(sh: Shell) -> None:
    needs_flock(sh)
    task = sh.offer(1, "claimed/me")
    sh.fake("flock", f'rm -f "{task}"')  # returned or expired while we waited for the lock
    assert sh.run("hold", task, "touch", "ran").returncode == 66
    assert sh.tree() == set()
    assert not (sh.cwd / "ran").exists()


def test_hold_without_flock_renews_every_third_of_the_lease(sh: Shell) -> None:
    for tool in ("cat", "date", "head", "kill", "ls", "mv", "od", "rm", "sed", "sort", "touch", "tr"):
        (sh.bin / tool).symlink_to(sh.real(tool))
    sh.fake("sleep", f'echo "$1" >>"{sh.cwd}/naps"; exec {sh.real("sleep")} 0.05')
    sh.env["PATH"] = str(sh.bin)
    task = sh.offer(1, "claimed/me", input={"lease_seconds": 7200}, lease_seconds=90, last_error={"n": 1})
    os.utime(task, (1, 1))
    renewed = f'until [ "$1" -nt "{sh.root}/taskdir.json" ]; do {sh.real("sleep")} 0.05; done; exit 3'
    done = sh.run("hold", task, sh.argv[0], *sh.argv[1:], "-c", renewed, "a-script", task)
    assert (done.returncode, done.stderr) == (3, b"taskdir: no flock here, renewing the lease instead\n")
    assert set((sh.cwd / "naps").read_text().split()) == {"30"}


def test_the_root_is_taskdir_or_the_nearest_parent_with_a_marker(sh: Shell) -> None:
    def claim() -> int:
        sh.offer(1)
        done = sh.run("claim", "me")
        if done.returncode == 0:
            assert done.stdout.decode() == f"{sh.root}/claimed/me/5-000000000001.t1.1.json\n"
            assert sh.run("give-back", done.stdout.decode().strip()).returncode == 0
        return done.returncode

    assert claim() == 0
    (sh.cwd / "inbox").mkdir()
    sh.env |= {"TASKDIR": sh.root.name, "CDPATH": str(sh.cwd)}
    assert claim() == 0
    assert sh.run("submit", "x", stdin=b"{}").stdout == b"x\n"
    assert sh.tree() == {"inbox/x.json"}
    sh.cwd = sh.root / "claimed" / "me"
    assert claim() == 66  # TASKDIR was relative
    for empty in ({"TASKDIR": ""}, {}):
        sh.env = {"PATH": sh.env["PATH"]} | empty
        assert claim() == 0
    sh.cwd = sh.root.parent
    assert claim() == 66
    sh.env["TASKDIR"] = str(sh.root / "claimed")
    assert claim() == 66


HABITS = {
    "plain": "",
    "strict": "set -eu",
    "odd": "set -fC; IFS=/.0; CDPATH=/; name=n root=r id=i n=9; umask 077; LC_ALL=C.UTF-8",
    "functions": "mv() { false; }; rm() { false; }; ls() { false; }; ln() { false; }",
    "aliases": "alias mv=false rm=false ls=false ln=false",
}
ROUND = """
echo '{"type": "echo"}' | td_submit one
td_wait one 0 || echo "wait $?"
held=$(td_claim you)
td_keep "$held"
td_note "$held" "so far"
td_hold "$held" td_finish "$held"
td_fail "$held" message
td_claim you || echo "then $?"
td_give_back "$held"
td_keep "$held" || echo "gone $?"
"""


@pytest.mark.parametrize("habit", HABITS)
def test_sourced_it_neither_suffers_from_the_shell_nor_leaks_into_it(sh: Shell, habit: str) -> None:
    sh.offer(1)
    names = "|".join(sorted({*re.findall(r"\b([a-z]+)=", LIB.read_text()), "IFS", "PWD", "OLDPWD", "LC_ALL"}))
    state = f"set | grep -E '^({names})='; trap; pwd; umask; echo $-"
    script = f"{HABITS[habit]}\n. '{LIB}'\n{{ {state}; }} >before\n{ROUND}\n{{ {state}; }} >after"
    assert list(sh.lines([sh.start("-c", script)])) == ["one", "wait 124", "then 75", "gone 66"]
    assert (sh.cwd / "after").read_text() == (sh.cwd / "before").read_text() != ""


USAGE = [
    ["submit", "a", "b"],
    ["claim"],
    ["claim", "me", "default", "x"],
    ["keep"],
    ["finish"],
    ["finish", "p", "-", "x"],
    ["fail", "PATH"],
    ["fail", "PATH", ""],
    ["fail", "PATH", "--retry"],
    ["fail", "PATH", "", "--retry"],
    ["fail", "PATH", "Bad Code", "message"],
    ["fail", "PATH", "code", ""],
    ["fail", "PATH", "code", "message", "again"],
    ["fail", "PATH", "code", "message", "--retry", "x"],
    ["give-back"],
    ["give_back", "PATH"],
    ["note", "PATH"],
    ["wait"],
    ["wait", "x", ""],
    ["wait", "x", "-1"],
    ["wait", "x", "1.5"],
    ["wait", "x", "9999999999"],
    ["hold", "PATH"],
    ["_no", "1", "x"],
    ["sub mit"],
    [""],
]


@pytest.mark.parametrize("args", USAGE, ids=" ".join)
def test_usage_errors_are_2_and_change_nothing(sh: Shell, args: list[str]) -> None:
    task = sh.offer(1, "claimed/me")
    done = sh.run(*[task if word == "PATH" else word for word in args])
    assert (done.returncode, done.stdout, done.stderr[:9]) == (2, b"", b"taskdir: ")
    assert sh.tree() == {f"claimed/me/{task.name}"}


def test_help_is_the_header(sh: Shell) -> None:
    for args in ([], ["help"], ["--help"]):
        done = sh.run(*args)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"taskdir.sh give-back PATH" in done.stdout
        assert b"shellcheck" not in done.stdout


def test_it_stays_small() -> None:
    text = LIB.read_text()
    assert text.count("\n") <= 275
    assert max(map(len, text.splitlines())) <= 120


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("NOT CHECKED: this machine has no shellcheck")
    done = subprocess.run([shellcheck, "-s", "sh", LIB], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
