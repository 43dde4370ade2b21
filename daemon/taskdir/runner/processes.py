"""Processes seen through /proc: who descends from whom, who bears an attempt's mark, who is provably dead.

Where there is no /proc, as on macOS, only the process group is known; docs/runner.md says what that means.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

MARK = "TASKDIR_ATTEMPT_ID"
"""The environment variable by which a process of an attempt is known, wherever it went."""


class Process(NamedTuple):
    """One line of the process table; ``start`` in clock ticks after the boot, which with the pid makes it unique."""

    pid: int
    parent: int
    session: int
    start: int
    dead: bool


def listed() -> Iterator[Process]:
    """Yield every process that can be seen."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit() and (found := look(int(name))) is not None:
            yield found


def look(pid: int) -> Process | None:
    """Look at one process; None when there is none, or no /proc."""
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name before may hold anything
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in (b"Z", b"X"))


def descendants(*pids: int) -> list[int]:
    """Return the live processes below these, the nearest first."""
    below: dict[int, list[Process]] = {}
    for process in listed():
        below.setdefault(process.parent, []).append(process)
    found, reach = list[int](), [*pids]
    while reach:
        children = [child for parent in reach for child in below.get(parent, ())]
        found += [child.pid for child in children if not child.dead]
        reach = [child.pid for child in children]
    return found


def leftovers(token: str, leader: Any) -> list[int]:
    """Return the live processes of an attempt whose runner is dead.

    They bear its mark, or are in the session of its command (``leader``, as ``named`` told it), or descend from these.
    """
    wanted = f"{MARK}={token}".encode()
    pid, start = (leader.get("pid"), leader.get("start")) if isinstance(leader, dict) else (None, None)
    now = look(pid) if isinstance(pid, int) else None
    ours = start is not None and (now is None or now.start == start)  # no other gets the number of a living session
    found = [
        process.pid
        for process in listed()
        if not process.dead
        and ((ours and process.session == pid) or wanted in _read(f"/proc/{process.pid}/environ").split(b"\0"))
    ]
    return [*dict.fromkeys([*found, *descendants(*found)])]


def inside(path: str) -> list[int]:
    """Return the processes that work in a directory or below it."""
    path = os.path.realpath(path)
    found = []
    for process in listed():
        try:
            at = os.readlink(f"/proc/{process.pid}/cwd")
        except OSError:
            continue
        if at == path or at.startswith(path + os.sep):
            found.append(process.pid)
    return found


def me() -> dict[str, Any]:
    """Return what proves later whether this process lives: host, boot, pid and start time."""
    return {"host": socket.gethostname(), "boot": boot(), **named(os.getpid())}


def named(pid: int) -> dict[str, Any]:
    """Return pid and start time of a process: within one boot no two have both."""
    found = look(pid)
    return {"pid": pid, "start": found.start if found else None}


def lives(who: Any) -> bool | None:
    """Say whether the process that ``me`` described lives; None: it cannot be told from here."""
    if not isinstance(who, dict) or not isinstance(who.get("pid"), int):
        return None
    if not who.get("boot") or who["boot"] != boot():  # a container has a new name each time, and the boot of its host
        return False if who.get("host") == socket.gethostname() else None
    if who.get("start") is None:
        return None
    found = look(who["pid"])
    return found is not None and not found.dead and found.start == who["start"]


def boot() -> str:
    """Return the name of this boot, empty where there is none."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
