"""The ground under a benchmark: a named file system, and what machine it is.

As root an image is loop-mounted: ext4 with a journal (or xfs), always unmounted again. Without root, or where that
fails, the benchmark runs on what is there, says so, and goals that depend on the disk are not judged.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

IMAGE_BYTES = 24 << 30
"""A sparse file: what is not used takes no room."""
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-N", "5000000", "-E", "nodiscard", "-O", "has_journal"],
    "xfs": ["mkfs.xfs", "-q", "-K"],
}
OPTIONS = {"ext4": "loop,noatime,noinit_itable", "xfs": "loop,noatime"}


@dataclass(slots=True)
class Ground:
    """Where to measure; ``judged``: goals that depend on the disk can be judged here."""

    path: str
    words: str
    judged: bool


@contextlib.contextmanager
def ground(kind: str, under: str, say: Any = None) -> Iterator[Ground]:
    """Provide a file system of a kind (``ext4``, ``xfs``, ``tmpfs``, or ``here``: as it is) below a directory."""
    if kind != "here":
        where = tempfile.mkdtemp(prefix="taskdir-bench-", dir=under)
        os.chmod(where, 0o755)  # PostgreSQL's own user has to reach its home
        try:
            trouble = _mount(kind, where)
            if trouble is None:
                yield Ground(f"{where}/on", _words(kind, under), judged=kind == "ext4")
                return
            if say is not None:
                say(f"no {kind} of our own: {trouble}")
        finally:
            _unmount(where)
    with tempfile.TemporaryDirectory(prefix="taskdir-bench-", dir=under) as where:
        os.chmod(where, 0o755)
        yield Ground(where, f"{_type_of(under)} as it was found, no file system of our own", judged=False)


def _mount(kind: str, where: str) -> str | None:
    """Make and mount; returns what went wrong."""
    os.mkdir(f"{where}/on")
    if os.getuid() != 0:
        return "that needs root"
    if kind == "tmpfs":
        return _run("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", f"{where}/on")
    image = f"{where}/image"
    with open(image, "wb") as file:
        file.truncate(IMAGE_BYTES)
    return _run(*MAKE[kind], image) or _run("mount", "-o", OPTIONS[kind], image, f"{where}/on")


def _run(*argv: str) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"program missing: {argv[0]}"
    return None if done.returncode == 0 else f"{' '.join(argv[:3])} …: {done.stderr.strip()}"


def _unmount(where: str) -> None:
    """Unmount, even while a process that is being killed still holds a file; then remove the image."""
    on = f"{where}/on"
    for _ in range(50):
        if not os.path.ismount(on) or _run("umount", on) is None:
            break
        time.sleep(0.1)
    else:
        _run("umount", "--lazy", on)
    if not os.path.ismount(on):
        shutil.rmtree(where, ignore_errors=True)


def _words(kind: str, under: str) -> str:
    if kind == "tmpfs":
        return "tmpfs"
    journal = " with a journal" if kind == "ext4" else ""
    return f"{kind}{journal}, an image of {IMAGE_BYTES >> 30} GiB, loop-mounted from {_type_of(under)}"


def _type_of(path: str) -> str:
    """Return the type of the file system that holds a path; of an ext4, whether it has a journal."""
    found = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False).stdout.strip()
    with contextlib.suppress(OSError), open("/proc/mounts", encoding="utf-8") as file:
        mounts = [line.split()[:3] for line in file]
        real = os.path.realpath(path)
        under = [row for row in mounts if real == row[1] or real.startswith(row[1].rstrip("/") + "/")]
        device, _, found = max(under, key=lambda row: len(row[1]))
        if found == "ext4" and not _has_journal(device):
            found = "ext4 without a journal"
    return found or "an unknown file system"


def _has_journal(device: str) -> bool:
    name = os.path.basename(os.path.realpath(device))
    with contextlib.suppress(OSError):
        return any(entry.startswith(f"{name}-") for entry in os.listdir("/proc/fs/jbd2"))
    return False


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Make ^C, SIGTERM and SIGHUP end the program through every ``finally``, even when it runs in the background."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def machine() -> dict[str, Any]:
    """Name the machine: processor, cores, memory, kernel, Python, load."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "load": round(os.getloadavg()[0], 2),
        "nice": _nice(),
    }


def _nice() -> int:
    """Return how far we stand back for others: of the whole session where the kernel shares out by sessions."""
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/kernel/sched_autogroup_enabled", "rb") as switch:
        if int(switch.read()):
            with open("/proc/self/autogroup", "rb") as file:
                told = file.read().split()  # nothing, in a process that is in no group
            return int(told[-1]) if told else os.nice(0)
    return os.nice(0)


def commit() -> str:
    """Return the commit that is measured, or nothing outside a clone; a plus tells of changes since."""
    house = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    argv = ["git", "-C", house, "describe", "--always", "--dirty=+", "--exclude=*"]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def today() -> str:
    """Return this minute, in UTC."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
