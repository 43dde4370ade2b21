"""What one agent tries against another and against the daemon behind walls: a table, played by test_walls.

All of it is done by a process of the user ``alice``. What is tried at files is stopped by the kernel; ``shown`` is the
errno. What is tried by messages is refused, each under its rule code. What is left lying in one's own directories is
allowed, and ``test_walls`` looks whether anything of anybody else's came of it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

NO = "EACCES"
DENIED = "EPERM"
THROUGH = "nothing stopped it"


class Attack(NamedTuple):
    """What is tried, by a call, and what stops it."""

    what: str
    act: Callable[[Path], Any]
    shown: str


def write(path: Path, value: Any = "{}") -> None:
    """Write a file, as its writer would be refused at once."""
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def lock(path: Path) -> None:
    """Take the lock that keeps a daemon, or a hold, out."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)


def let_in(path: Path) -> None:
    """Give everybody an entry in a directory's access list: user 64102 rwx."""
    entries = [(1, 7, 0xFFFFFFFF), (2, 7, 64102), (4, 7, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    blob = (2).to_bytes(4, "little")
    for tag, bits, who in entries:
        blob += tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little")
    os.setxattr(path, "system.posix_acl_access", blob)


def paths(stem: str) -> list[Attack]:
    """Attacks at files, stopped by the kernel. ``stem``: of the claim that bob holds."""
    task = f"claimed/bob/{stem}.json"
    return [
        # read
        Attack("list bob's messages", lambda root: os.listdir(root / "agents/bob/inbox"), NO),
        Attack("read a message of bob's", lambda root: (root / "agents/bob/inbox/bob-wait.json").read_text(), NO),
        Attack("list what bob holds", lambda root: os.listdir(root / "claimed/bob"), NO),
        Attack("read the task that bob holds", lambda root: (root / task).read_text(), NO),
        Attack("read bob's record", lambda root: (root / "agents/bob/done/bob-done.json").read_text(), NO),
        Attack("list the daemon's records", lambda root: os.listdir(root / "done"), NO),
        Attack("read a record by its name", lambda root: (root / "done/bob-done.json").read_text(), NO),
        Attack("learn whether a record is there", lambda root: os.stat(root / "done/bob-done.json").st_size, NO),
        Attack("read why bob was refused", lambda root: os.listdir(root / "agents/bob/rejected"), NO),
        Attack("read the log", lambda root: (root / "log.jsonl").read_text(), NO),
        Attack("read the index", lambda root: (root / ".taskdir/index.sqlite").read_bytes(), NO),
        Attack("read what the daemon has taken", lambda root: os.listdir(root / ".taskdir/taken"), NO),
        Attack("list who works here by claims", lambda root: os.listdir(root / "claimed"), NO),
        Attack("list the root", os.listdir, NO),
        # change
        Attack("remove a message of bob's", lambda root: os.unlink(root / "agents/bob/inbox/bob-wait.json"), NO),
        Attack("take bob's task away", lambda root: os.unlink(root / task), NO),
        Attack("carry bob's task home", lambda root: os.rename(root / task, root / f"claimed/alice/{stem}.json"), NO),
        Attack("edit bob's task", lambda root: write(root / task), NO),
        Attack("renew bob's lease", lambda root: os.utime(root / task), NO),
        Attack("remove bob's record", lambda root: os.unlink(root / "agents/bob/done/bob-done.json"), NO),
        Attack("edit the log", lambda root: write(root / "log.jsonl", ""), NO),
        Attack("put another log there", lambda root: os.rename(root / "agents/alice/inbox", root / "log.jsonl"), NO),
        Attack("make a file in the root", lambda root: write(root / "mine"), NO),
        Attack("change the settings", lambda root: write(root / "taskdir.json"), NO),
        Attack("change a contract", lambda root: write(root / "contracts/echo.json"), NO),
        Attack("add a type", lambda root: write(root / "contracts/evil.json"), NO),
        Attack("set a key by hand", lambda root: write(root / "state/release.json"), NO),
        # forge
        Attack("submit as bob", lambda root: write(root / "agents/bob/inbox/bob-x.json"), NO),
        Attack("submit as the operator", lambda root: write(root / "inbox/x.json"), NO),
        Attack("answer for bob", lambda root: write(root / f"claimed/bob/{stem}.result.json"), NO),
        Attack("write notes for bob", lambda root: write(root / f"claimed/bob/{stem}.notes.jsonl"), NO),
        Attack("ask for bob", lambda root: write(root / "claimed/bob/default.ask", ""), NO),
        Attack("forge a record", lambda root: write(root / "done/bob-2.json"), NO),
        Attack("forge bob's copy of one", lambda root: write(root / "agents/bob/done/bob-2.json"), NO),
        Attack("tell bob that he was refused", lambda root: write(root / "agents/bob/rejected/x.reason.json"), NO),
        Attack("offer something", lambda root: write(root / "ready/default/5-000000000099.x.1.json"), NO),
        Attack("become an agent", lambda root: os.mkdir(root / "claimed/mallory"), NO),
        Attack("make a room", lambda root: os.mkdir(root / "agents/mallory"), NO),
        # stall, and get behind the walls
        Attack("lock the daemon out of the root", lock, NO),
        Attack("lock the daemon's own directory", lambda root: lock(root / ".taskdir"), NO),
        Attack("lock bob's task", lambda root: lock(root / task), NO),
        Attack("put a link in place of one's claims", lambda root: os.rename(root / "claimed/alice", root / "a"), NO),
        Attack("put a link in place of one's inbox", lambda root: os.rmdir(root / "agents/alice/inbox"), NO),
        Attack("remove one's own claims", lambda root: os.rmdir(root / "claimed/alice"), NO),
        Attack("close one's claims to the daemon", lambda root: os.chmod(root / "claimed/alice", 0), DENIED),
        Attack("close one's inbox to the daemon", lambda root: os.chmod(root / "agents/alice/inbox", 0), DENIED),
        Attack("let bob into one's claims", lambda root: let_in(root / "claimed/alice"), DENIED),
        Attack("give one's claims away", lambda root: os.chown(root / "claimed/alice", 64102, -1), DENIED),
        Attack("hand in the log", lambda root: os.link(root / "log.jsonl", root / "agents/alice/inbox/a"), DENIED),
        Attack("hand in bob's task", lambda root: os.link(root / task, root / "agents/alice/inbox/b"), NO),
        Attack("kill the daemon", lambda root: os.kill(int(os.environ["WALLS_DAEMON"]), signal.SIGKILL), DENIED),
        Attack("stop the daemon", lambda root: os.kill(int(os.environ["WALLS_DAEMON"]), signal.SIGSTOP), DENIED),
    ]


def tried(root: Path, attacks: list[Attack]) -> dict[str, str]:
    """Try all, one after the other; returns how each ended: the errno's name, or THROUGH."""
    found = {}
    for attack in attacks:
        try:
            attack.act(root)
            found[attack.what] = THROUGH
        except OSError as error:
            found[attack.what] = errno.errorcode.get(error.errno or 0, "?")
    return found


MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "bob-new": ({"type": "echo"}, "id-taken"),
    "bob-done": ({"type": "echo", "input": "bob's"}, "id-taken"),
    "build": ({"type": "echo"}, "id-taken"),
    "alice-from": ({"type": "echo", "from": "bob"}, "bad-value"),
    "alice-stop": ({"kind": "cancel", "task": "bob-wait", "dependants": True}, "cancel-unknown"),
    "alice-stop2": ({"kind": "cancel", "task": "nobody-1"}, "cancel-unknown"),
    "alice-after": ({"type": "echo", "after": ["bob-done"]}, "unknown-dependency"),
    "alice-after2": ({"type": "echo", "after": ["nobody-1"]}, "unknown-dependency"),
    "alice-note": ({"kind": "note", "message": "x", "task": "bob-wait"}, "note-unknown-task"),
    "alice-key": ({"kind": "state", "key": "bob-key", "value": 1}, "bad-value"),
    "alice-line": ({"type": "echo", "priority": 0, "queue": "@alice", "resources": ["bob-repo"]}, "bad-value"),
    "alice-many": ({"kind": "batch", "messages": [{"id": "bob-3", "type": "echo"}]}, "id-taken"),
}
"""Attacks by message, in the order in which they are sent: id → (message, the code that refuses it). Those about a task
of bob's and those about one that nobody has are refused alike."""


def litter(root: Path, stem: str, waiting: str) -> None:
    """Lay every trap that one's own directories take: none of them may reach anybody else.

    ``stem``: of the claim that alice holds; ``waiting``: of a task of bob's that waits to be handed out.
    """
    mine, inbox = root / "claimed/alice", root / "agents/alice/inbox"
    os.mkfifo(inbox / "alice-fifo.json")
    (inbox / "alice-link.json").symlink_to(root / "log.jsonl")
    (inbox / "alice-dir.json").mkdir()
    (inbox / "alice-full.json").mkdir()
    (inbox / "alice-full.json/x").touch()
    (inbox / "alice-own.json").hardlink_to(mine / f"{stem}.json")
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(inbox)
        made.bind("alice-socket.json")
        os.chdir("/")
    (inbox / "alice-secret.json").touch(mode=0)
    os.mkfifo(mine / f"{stem}.notes.jsonl")
    os.mkfifo(mine / "@alice.ask")
    (mine / "@bob.ask").touch()
    (mine / "nowhere.ask").touch()
    write(mine / ".forged", {"status": "ok", "output": "forged"})
    os.rename(mine / ".forged", mine / f"{waiting}.result.json")  # first: a result stands for a claim, too
    write(mine / f"{waiting}.json")
    for part in ("done", "rejected", "failed"):
        (root / f"agents/alice/{part}/alice-late.json").mkdir()
        (root / f"agents/alice/{part}/alice-late.json/x").touch()
