"""Walls, tried for real: a program behind them attempts what it must not, by each mechanism that this system has."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.live import PATIENCE, until
from taskdir.errors import ConfigError
from taskdir.runner import landlock, sandbox

PYTHON = os.path.realpath(sys.executable)
"""The interpreter itself: behind walls there is no .venv that lies in /tmp."""
WAYS: dict[str, Callable[..., list[str]]] = {"bubblewrap": sandbox.bubblewrap, "landlock": sandbox.by_landlock}
ATTEMPTS = r"""
import ctypes, json, os, socket, subprocess, sys, tempfile
told = json.load(open(sys.argv[1]))
root, repo, victim, tree = told["root"], told["repo"], told["victim"], os.getcwd()
other = f"{root}/claimed/other/5-000000000003.x.1.json"
def put(path, mode="w"):
    with open(path, mode) as file:
        file.write("x")
def by_link():
    os.symlink(other, "link"); put("link")
def by_directory_link():
    os.symlink(root, "roots"); put("roots/inbox/x.json")
def by_hard_link():
    os.link(other, "hard"); put("hard")
def by_descent():
    put(f"/proc/self/root{other}")
def by_process():
    put(f"/proc/{victim}/root{other}")
def by_trace():
    if ctypes.CDLL(None, use_errno=True).ptrace(16, victim, 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")
def connect(family, kind, to):
    with socket.socket(family, kind) as one:
        one.connect(to); one.send(b"x")
        if kind == socket.SOCK_DGRAM:
            one.send(b"y")  # where nobody listens, this one is refused
def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip()[-200:])
def git(*words):
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", *words)
def remount():
    run("unshare", "-rm", "sh", "-c", f'mount -o remount,rw,bind / && touch "{root}/inbox/y.json"')
def by_child():
    run(sys.executable, "-c", f"open({other!r}, 'w')")
bad = {
    "another agent's claim": lambda: put(other),
    "the log": lambda: put(f"{root}/log.jsonl", "a"),
    "the inbox": lambda: put(f"{root}/inbox/.x.json"),
    "another workspace": lambda: put(told["neighbour"] + "/x"),
    "the repository": lambda: put(f"{repo}/x"),
    "git's settings": lambda: put(f"{repo}/.git/config", "a"),
    "a hook": lambda: put(f"{repo}/.git/hooks/post-commit"),
    "another branch": lambda: put(f"{repo}/.git/refs/heads/main"),
    "its own git directory": lambda: put(f"{repo}/.git/worktrees/tree/commondir"),
    "home": lambda: put(os.path.expanduser("~/.taskdir-test-of-walls")),
    "remove": lambda: os.unlink(other),
    "rename over": lambda: (put("mine"), os.rename("mine", other)),
    "take away": lambda: os.rename(other, "taken"),
    "truncate": lambda: os.truncate(other, 0),
    "a directory": lambda: os.mkdir(f"{root}/inbox/d"),
    "a symbolic link": by_link,
    "a link to a directory": by_directory_link,
    "a hard link": by_hard_link,
    "/proc/self/root": by_descent,
    "another process's root": by_process,
    "a child": by_child,
    "a remount": remount,
    "ptrace": by_trace,
    "another's memory": lambda: put(f"/proc/{victim}/mem", "r+"),
    "another's environment": lambda: open(f"/proc/{victim}/environ").read(1),
    "a signal": lambda: os.kill(victim, 15),
    "tcp": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", told["port"])),
    "udp": lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", told["datagrams"])),
    "a socket in the file system": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, told["socket"]),
    "an abstract socket": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + told["abstract"]),
    "modes": lambda: os.chmod(other, 0o600),
    "times": lambda: os.utime(other),
    "git commit": lambda: (put("new"), git("add", "new"), git("commit", "-m", "x")),
}
good = {
    "its own files": lambda: (os.mkdir("d"), put("d/x"), os.chmod("d/x", 0o700), os.rename("d/x", "y"), os.unlink("y")),
    "between its directories": lambda: (os.mkdir("e"), put("f"), os.rename("f", "e/f")),
    "more": lambda: put(told["more"] + "/x"),
    "one file more": lambda: put(told["one"]),
    "reading": lambda: open(other).read(),
    "temporary files": lambda: tempfile.NamedTemporaryFile().close(),
    "/dev/null": lambda: put("/dev/null"),
    "children": lambda: run("sh", "-c", "echo a | cat > /dev/null"),
    "git log": lambda: (git("log", "-1"), git("status")),
}
said = {}
for name, what in (bad | good).items():
    try:
        what(); said[name] = "done"
    except OSError as error:
        said[name] = f"stopped: {error}"
print(json.dumps(said))
"""


class Place(NamedTuple):
    """What lies around a command: a root, a repository with a worktree, a neighbour, a victim and who listens."""

    at: Path
    tree: Path
    facts: dict[str, Any]
    victim: subprocess.Popen[bytes]

    def attempts(self, way: str, *, network: bool = False) -> dict[str, str]:
        told = self.tree.parent / "told.json"
        told.write_text(json.dumps(self.facts))
        words = [PYTHON, "-c", ATTEMPTS, str(told)]
        kept = {"readable": (str(self.at / "root"),), "writable": (str(self.at / "more"), str(self.at / "one"))}
        done = run(WAYS[way](words, str(self.tree), network=network, **kept), cwd=self.tree)
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found


def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False, **options
    )


def need(way: str) -> None:
    fault = landlock.why_not() if way == "landlock" else sandbox._bubblewrap_fault()
    if fault is not None:
        pytest.skip(f"NOT TESTED: {fault}")


def git(*words: str | Path) -> None:
    done = run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *map(str, words)])
    assert done.returncode == 0, done.stderr


@pytest.fixture
def place() -> Iterator[Place]:
    """Everything lies outside /tmp, which is not there inside: that alone must not be what stops an attempt."""
    if shutil.which("git") is None:
        pytest.skip("NOT TESTED: there is no git")
    at = Path(tempfile.mkdtemp(prefix="taskdir-walls-", dir="/var/tmp"))
    for name in ("root/claimed/other", "root/inbox", "work/neighbour", "more"):
        (at / name).mkdir(parents=True)
    (at / "root/claimed/other/5-000000000003.x.1.json").write_text("{}")
    (at / "root/log.jsonl").write_text("{}\n")
    (at / "one").write_text("a")
    git("init", "--quiet", "--initial-branch", "main", at / "repo")
    git("-C", at / "repo", "commit", "--quiet", "--allow-empty", "--message", "first")
    git("-C", at / "repo", "worktree", "add", "--quiet", "-b", "mine", at / "work/tree")
    with contextlib.ExitStack() as held:
        listening = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        datagrams = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", 0))
        local, hidden = (held.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        local.bind(str(at / "root/socket"))
        hidden.bind(f"\0{at.name}")
        for one in (local, hidden):
            one.listen()
        victim = subprocess.Popen(["sleep", "600"])
        facts = {"root": str(at / "root"), "repo": str(at / "repo"), "neighbour": str(at / "work/neighbour")}
        facts |= {
            "socket": str(at / "root/socket"),
            "abstract": at.name,
            "more": str(at / "more"),
            "one": str(at / "one"),
        }
        try:
            numbers = {
                "port": listening.getsockname()[1],
                "datagrams": datagrams.getsockname()[1],
                "victim": victim.pid,
            }
            yield Place(at, at / "work/tree", facts | numbers, victim)
        finally:
            victim.kill()
            victim.wait()
            shutil.rmtree(at)


GOOD = {
    "its own files",
    "between its directories",
    "more",
    "one file more",
    "reading",
    "temporary files",
    "/dev/null",
    "children",
    "git log",
}
KNOWN = {
    "bubblewrap": {"a socket in the file system"},
    "landlock": {
        "modes",
        "times",
        "another's environment",
        *(() if landlock.abi() >= landlock.ABI_SCOPES else ("a signal",)),
    },
}
"""What each mechanism does not stop: docs/agents.md tells it."""


@pytest.mark.parametrize("way", WAYS)
def test_what_walls_stop(place: Place, way: str) -> None:
    need(way)
    before = tree_of(place.at)
    said = place.attempts(way)
    assert {name for name, how in said.items() if how == "done"} == GOOD | KNOWN[way], said
    assert len(said) > 35
    after = tree_of(place.at)
    changed = (before.keys() ^ after.keys()) | {path for path in before if before[path] != after.get(path)}
    assert {path for path in changed if not path.startswith(("work/tree/", "more/", "one"))} == {"work/told.json"}
    assert place.victim.poll() is None
    assert not Path("~/.taskdir-test-of-walls").expanduser().exists()


@pytest.mark.parametrize("way", WAYS)
def test_the_network_is_a_choice(place: Place, way: str) -> None:
    need(way)
    said = place.attempts(way, network=True)
    assert {name for name in ("tcp", "udp") if said[name] == "done"} == {"tcp", "udp"}, said
    assert {name for name, how in said.items() if how == "done"} == GOOD | KNOWN[way] | {"tcp", "udp"} | (
        {"an abstract socket"} if way == "bubblewrap" else set()
    ), said


def test_without_walls_all_of_it_works(place: Place) -> None:
    """The measure measures: what was stopped above was stopped by the walls."""
    told = place.tree.parent / "told.json"
    told.write_text(json.dumps(place.facts))
    done = run([sys.executable, "-c", ATTEMPTS, str(told)], cwd=place.tree, env=os.environ | {"HOME": str(place.at)})
    said = json.loads(done.stdout)
    stopped = {name for name, how in said.items() if how != "done"}
    gone = {"take away", "truncate", "modes", "times", "reading", "a hard link"}  # what an attempt before took away
    broken = {"git commit", "git log"}  # by what was written into git's own files
    kernel = {"a remount", "ptrace", "another's memory", "another process's root"}  # of a user who is not root
    assert stopped <= gone | broken | kernel, said
    place.victim.send_signal(18)  # ptrace had stopped it
    assert place.victim.wait(PATIENCE) == -15


@pytest.mark.parametrize("way", WAYS)
def test_exit_codes_and_ends(place: Place, way: str) -> None:
    need(way)
    walls = WAYS[way]
    assert run(walls(["sh", "-c", "exit 7"], str(place.tree), network=False)).returncode == 7
    lost = run(walls(["no-such-program"], str(place.tree), network=False))
    assert lost.returncode != 0
    assert "no-such-program" in lost.stderr
    ready = place.tree / "ready"
    sleeper = walls(["sh", "-c", f"sleep 600 & touch {ready}; wait"], str(place.tree), network=False)
    inside = subprocess.Popen(sleeper, start_new_session=True)
    until(ready.exists, "the command's start")
    if way == "landlock":  # it is the command; the runner ends its group
        os.killpg(inside.pid, 9)
    inside.kill()
    inside.wait()

    def gone() -> bool:
        return not [pid for pid in os.listdir("/proc") if pid.isdigit() and cwd_of(pid) == str(place.tree)]

    until(gone, "the end of all that ran inside")


@pytest.mark.parametrize("way", WAYS)
def test_tmp_is_private(place: Place, way: str) -> None:
    need(way)
    words = [PYTHON, "-c", "import tempfile; print(tempfile.mkdtemp())"]
    done = run(WAYS[way](words, str(place.tree), network=False))
    made = Path(done.stdout.strip())
    assert made.is_relative_to("/tmp" if way == "bubblewrap" else place.tree), done.stderr
    assert made.exists() == (way == "landlock")


def test_read_only_inside_of_writable(place: Place) -> None:
    """bubblewrap keeps a root in a writable directory safe; Landlock cannot, and says so."""
    words = ["sh", "-c", "touch more/x && touch root/inbox/x"]
    kept = {"readable": (str(place.at / "root"),)}
    with pytest.raises(ConfigError, match="Landlock"):
        sandbox.by_landlock(words, str(place.at), network=False, **kept)
    need("bubblewrap")
    done = run(sandbox.bubblewrap(words, str(place.at), network=False, **kept))
    assert done.returncode != 0
    assert ((place.at / "more/x").exists(), (place.at / "root/inbox/x").exists()) == (True, False)


def test_the_better_way_is_taken_and_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bubblewrap that is there and does not work counts as none; without both there is an error, never a bare run."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a namespace' >&2; exit 1\n")
    broken.chmod(0o755)
    sandbox.mechanism.cache_clear()
    try:
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(landlock, "abi", lambda: 7)
        assert sandbox.wrap(["true"], str(tmp_path), network=False)[3] == landlock.__file__
        sandbox.mechanism.cache_clear()
        monkeypatch.setattr(landlock, "abi", lambda: 2)
        with pytest.raises(
            ConfigError, match="No permissions to create a namespace; its Landlock is of ABI 2"
        ) as found:
            sandbox.wrap(["true"], str(tmp_path), network=False)
        assert (found.value.code, found.value.exit) == ("no-sandbox", 78)
        assert landlock.main(["--rw", str(tmp_path), "--", "touch", str(tmp_path / "made")]) == 78
        assert not (tmp_path / "made").exists()
    finally:
        sandbox.mechanism.cache_clear()


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    need("landlock")
    words = sandbox.by_landlock(["touch", str(tmp_path / "made")], str(tmp_path), network=False, writable=("/nowhere",))
    done = run(words)
    assert (done.returncode, "nothing was run" in done.stderr) == (78, True)
    assert not (tmp_path / "made").exists()


def test_what_a_command_says_of_walls(tmp_path: Path) -> None:
    (tmp_path / "err").write_text("fine\nsh: cannot create /x: Read-only file system\n")
    (tmp_path / "out").write_text("PermissionError: [Errno 13] Permission denied: '/y'\nEACCESS is no word\n")
    said = sandbox.stopped([str(tmp_path / "err"), str(tmp_path / "out"), str(tmp_path / "none")])
    assert [line.partition(":")[0] for line in said] == ["sh", "PermissionError"]


def tree_of(top: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(top)): path.read_bytes() if path.is_file() else None
        for path in top.rglob("*")
        if not path.is_symlink()
    }


def cwd_of(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
