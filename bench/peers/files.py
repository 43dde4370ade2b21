"""Queues that are directories: taskdir itself, the floor under it, a bare rename protocol, a Maildir."""

from __future__ import annotations

import contextlib
import json
import mailbox
import os
import time
from importlib.metadata import version
from typing import Any

from bench import drive
from bench.peers import Client, Peer

CONTRACT = {
    "input": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 0},
              "repo": {"type": "string", "pattern": "^[a-z/]{1,80}$"}, "ref": {"type": "string", "minLength": 32}}},
    "output": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}},
               "additionalProperties": False},
}  # fmt: skip
"""What every task of ours is checked against, both ways; no peer checks anything."""
NAP_LONGEST = 0.05
"""Seconds: an agent that finds nothing looks again after 0.5 ms, then later and later, at most so late."""


def write(path: str, aside: str, body: bytes, sync: bool = False) -> None:
    """Write a file under another name, then give it its own."""
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, body)
    if sync:
        os.fsync(fd)
    os.close(fd)
    os.rename(aside, path)


def read(path: str) -> bytes:
    """Read a file of at most a megabyte."""
    fd = os.open(path, os.O_RDONLY)
    body = os.read(fd, 1 << 20)
    os.close(fd)
    return body


class Lister(Client):
    """List once, take in order what begins with ``only``; a name that is gone was somebody else's."""

    def __init__(self, source: str, mine: str, only: str = "") -> None:
        self._source, self._mine, self._only = source, mine, only
        self._names: list[str] = []
        os.makedirs(mine, exist_ok=True)

    def try_get(self) -> tuple[Any, bytes] | None:
        if not self._names:
            names = os.listdir(self._source)
            self._names = sorted((name for name in names if name.startswith(self._only)), reverse=True)
        while self._names:
            name = self._names.pop()
            try:
                os.rename(f"{self._source}/{name}", f"{self._mine}/{name}")
            except FileNotFoundError:
                continue
            return name, read(f"{self._mine}/{name}")
        return None

    def get(self, seconds: float) -> tuple[Any, bytes] | None:
        until, nap = time.monotonic() + seconds, 0.0005
        while (found := self.try_get()) is None and time.monotonic() < until:
            time.sleep(nap)
            nap = min(nap * 1.5, NAP_LONGEST)
        return found


class Ours(Peer):
    """taskdir with its daemon; a client's put is not synced by the client, the log's sync covers it."""

    name = "taskdir"
    promise = "one sync of the log a pass, before a task leaves inbox/ or is in done/; timed to the last record"
    package = "taskdir"

    def __init__(self, **settings: object) -> None:
        """Prepare a root with ``settings`` beside the defaults. ``phases``: where the daemon tells of its time."""
        self._settings = settings
        self.phases = ""
        self._stack, self._running = contextlib.ExitStack(), contextlib.ExitStack()
        self.root = self.only = ""

    def start(self, home: str) -> None:
        """Make a root with a contract that checks both ways; run the daemon."""
        self.root = self._stack.enter_context(drive.fresh_root(home, **self._settings))
        with open(f"{self.root}/contracts/echo.json", "w", encoding="utf-8") as file:
            json.dump(CONTRACT, file)
        self._before = 0
        self.pid = self._running.enter_context(drive.daemon(self.root, "phases" if self.phases else None, self.phases))

    def pause(self) -> None:
        """End the daemon; the root stays."""
        self._running.close()

    def stop(self) -> None:
        """End the daemon; the root goes."""
        try:
            self._running.close()
        finally:
            self._stack.close()

    def client(self) -> Client:
        """Be a submitter or an agent."""
        return _Agent(self.root, self.only)

    def settle(self, tasks: int) -> None:
        """Wait for the last record: its line in the log was synced before it could be seen."""
        self._before += tasks
        until = time.monotonic() + drive.PATIENCE
        while len(os.listdir(f"{self.root}/done")) < self._before:
            if time.monotonic() > until:
                raise OSError(f"{self.root}: tasks were lost")
            time.sleep(0.002)

    def version(self) -> str:
        """Say which, and with which engine for contracts."""
        with contextlib.suppress(ImportError):
            return f"taskdir {version('taskdir')}, jsonschema-rs {version('jsonschema-rs')}"
        return f"taskdir {version('taskdir')}, without [fast]"


class _Agent(Lister):
    def __init__(self, root: str, only: str) -> None:
        self._root, self._put = root, 0
        super().__init__(f"{root}/ready/default", f"{root}/claimed/agent-{os.getpid()}", only)

    def put(self, body: bytes) -> None:
        self._put += 1
        drive.put(self._root, f"t{os.getpid()}-{time.monotonic_ns()}-{self._put}.json", body)

    def try_get(self) -> tuple[Any, bytes] | None:
        found = super().try_get()
        if found is None:
            return None
        task = json.loads(found[1])
        return (task["result_file"], task["input"]["n"]), found[1]

    def done(self, handle: Any) -> None:
        result, number = handle
        body = json.dumps({"status": "ok", "output": {"n": number}}).encode()
        write(f"{self._mine}/{result}", f"{self._mine}/.r", body)


class Floor(Peer):
    """The file operations of a task of ours, by the same processes, with no daemon and no decisions.

    The submitter does what the daemon would do with its message, the agent what the daemon would do with its result:
    read it, put a line into a log that is synced once for ``GROUP`` lines, write the offer or record aside, rename it,
    take the input. `strace` of a daemon shows these calls; it also looks (stat, listing), which is deciding.
    """

    name = "the floor"
    promise = "a line of log a step, one sync for 140 lines, as in a pass of ours"
    GROUP = 140

    def start(self, home: str) -> None:
        """Make the directories."""
        self._home = home
        for name in ("inbox", "ready", "claimed", "done", "staging", "taken"):
            os.mkdir(f"{home}/{name}")

    def client(self) -> Client:
        """Be one process."""
        return _Steps(self._home)


class _Steps(Lister):
    def __init__(self, home: str) -> None:
        self._home, self._number = home, 0
        super().__init__(f"{home}/ready", f"{home}/claimed/{os.getpid()}")
        self._log = os.open(f"{home}/log-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._lines: list[bytes] = []

    def _record(self, lines: list[bytes]) -> None:
        self._lines += lines
        if len(self._lines) >= Floor.GROUP:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            os.write(self._log, b"".join(self._lines))
            os.fdatasync(self._log)
            self._lines = []

    def put(self, body: bytes) -> None:
        self._number += 1
        name = f"5-{self._number:012d}.t{os.getpid()}-{self._number:08d}.1.json"
        message = f"{self._home}/inbox/{name}"
        write(message, f"{self._home}/inbox/.{name}", body)
        body = read(message)
        self._record([body + b"\n"])
        self._take(message, name)
        write(f"{self._home}/ready/{name}", f"{self._home}/staging/{name}", body)

    def try_get(self) -> tuple[Any, bytes] | None:
        found = super().try_get()
        if found is None:
            self.flush()
        return found

    def done(self, handle: Any) -> None:
        task, result = f"{self._mine}/{handle}", f"{self._mine}/{handle}.result.json"
        write(result, f"{self._mine}/.r", b'{"status": "ok", "output": {"n": 1}}')
        body = read(result)
        self._record([b"claimed\n", body + b"\n"])
        write(f"{self._home}/done/{handle}", f"{self._home}/staging/{handle}", body * 20)
        os.unlink(task)
        self._take(result, f"{handle}.result.json")

    def _take(self, path: str, name: str) -> None:
        """Move an input aside, look once more that it is what was judged, remove it (SPEC section 10.5)."""
        taken = f"{self._home}/taken/{name}"
        os.rename(path, taken)
        read(taken)
        os.unlink(taken)

    def close(self) -> None:
        self.flush()
        os.close(self._log)


class BareRename(Peer):
    """inbox, claimed and done by rename, a result file beside: no daemon, no check, no log; every file is synced."""

    name = "bare rename protocol"
    promise = "file and directory are synced at each submit and each result; a claim is not"

    def start(self, home: str) -> None:
        """Make the directories."""
        self._home = home
        for name in ("tmp", "inbox", "claimed", "done", "results"):
            os.mkdir(f"{home}/{name}")

    def client(self) -> Client:
        """Be one process."""
        return _Renamer(self._home)


class _Renamer(Lister):
    def __init__(self, home: str) -> None:
        self._home, self._number = home, 0
        super().__init__(f"{home}/inbox", f"{home}/claimed/{os.getpid()}")
        self._synced = {name: os.open(f"{home}/{name}", os.O_RDONLY) for name in ("inbox", "results")}

    def _write(self, place: str, name: str, body: bytes) -> None:
        write(f"{self._home}/{place}/{name}", f"{self._home}/tmp/{name}", body, sync=True)
        os.fsync(self._synced[place])

    def put(self, body: bytes) -> None:
        self._number += 1
        self._write("inbox", f"{self._number:012d}-{os.getpid()}.json", body)

    def done(self, handle: Any) -> None:
        self._write("results", handle, b'{"ok": true}')
        os.rename(f"{self._mine}/{handle}", f"{self._home}/done/{handle}")

    def close(self) -> None:
        for fd in self._synced.values():
            os.close(fd)


class Maildir(Peer):
    """Delivery by the standard library's mailbox; new/ to cur/ by rename, as a reader does; done is a removal."""

    name = "Maildir"
    promise = "the file is synced on delivery, its name and the removal are not"

    def start(self, home: str) -> None:
        """Make the mailbox."""
        self._home = f"{home}/m"
        mailbox.Maildir(self._home, create=True)

    def client(self) -> Client:
        """Open the mailbox."""
        return _Mail(self._home)


class _Mail(Lister):
    def __init__(self, home: str) -> None:
        self._box = mailbox.Maildir(home, create=False)
        super().__init__(f"{home}/new", f"{home}/cur")

    def put(self, body: bytes) -> None:
        self._box.add(body)

    def done(self, handle: Any) -> None:
        os.unlink(f"{self._mine}/{handle}")
