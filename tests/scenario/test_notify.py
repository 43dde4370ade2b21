"""A real daemon and a real notify socket: what systemd would hear, and when (docs/service.md)."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.live import ENV, PATIENCE, Root, until
from taskdir.notify import Manager

WEDGED = """
import os, sys, taskdir.daemon
from functools import partial
from taskdir.cli import main
from taskdir.disk import Disk
def hook(operation, path):
    if "stuck" in os.path.basename(path) and not os.path.exists(sys.argv[1] + ".hangs"):
        open(sys.argv[1] + ".hangs", "w").close()
        os.close(os.open(sys.argv[1], os.O_WRONLY))    # a FIFO: waits until somebody reads it
taskdir.daemon.Disk = partial(Disk, hook)
sys.exit(main(["--root", sys.argv[2], "run"]))
"""
"""A daemon with a disk that hangs when the task stuck is to be shown, and goes on once somebody opens the FIFO."""


class Ear:
    """The socket of a service manager, and what it heard: {variable: value} a message."""

    def __init__(self, address: str) -> None:
        self.name = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.heard: list[dict[str, str]] = []

    def next(self, *variables: str, patience: float = PATIENCE) -> dict[str, str]:
        """Return the next message that has all of ``variables``; those before it are kept in ``heard`` alone."""
        limit = time.monotonic() + patience
        while True:
            self.socket.settimeout(max(0.001, limit - time.monotonic()))
            message = self.socket.recv(4096).decode()
            self.heard.append(dict(line.split("=", 1) for line in message.split("\n")))
            if {*variables} <= {*self.heard[-1]}:
                return self.heard[-1]

    def drain(self) -> None:
        """Forget what has come so far."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(4096):
                pass
        except BlockingIOError:
            return


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path / "root", settle_seconds=0, scan_seconds=0.2)
    yield made
    made.__exit__()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    made = Ear(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@contextmanager
def served(root: Root, *command: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon with this environment added, its words in root.err; killed at the end if it still runs."""
    words = command or ("-m", "taskdir", "--root", str(root.path), "run")
    with open(root.path.parent / "root.err", "ab") as err:
        root.daemon = subprocess.Popen([sys.executable, *words], env=ENV | env, stdout=subprocess.DEVNULL, stderr=err)
    try:
        yield root.daemon
    finally:
        root.__exit__()


def said(root: Root) -> str:
    return (root.path.parent / "root.err").read_text()


def test_ready_comes_after_the_first_pass_and_stopping_before_the_end(root: Root, ear: Ear) -> None:
    root.put("inbox/early.json", {"type": "echo"})
    with served(root, NOTIFY_SOCKET=ear.name) as daemon:
        first = ear.next("READY")
        assert ear.heard == [first]
        assert root.offered() == ["5-000000000003.early.1.json"], "ready was told before the first pass was over"
        assert "events in" in first["STATUS"]
        assert "WATCHDOG" not in first, "nobody watches: no pings"
        root.put("inbox/late.json", {"type": "echo"})
        assert ear.next("STATUS")["STATUS"].startswith("4 events"), "each change of the status is told, if not at once"
        daemon.send_signal(signal.SIGTERM)
        ear.next("STOPPING")
        assert daemon.wait(PATIENCE) == 0
    assert [each["event"] for each in root.events()][-1] == "stopped"


def test_an_abstract_socket_and_the_watchdog(root: Root) -> None:
    ear = Ear(f"@taskdir-{os.getpid()}-{time.monotonic_ns()}")
    with served(root, NOTIFY_SOCKET=ear.name, WATCHDOG_USEC="400000") as daemon:
        assert ear.next("READY")["WATCHDOG"] == "1"
        for _ in range(5):
            ear.next("WATCHDOG")
        daemon.send_signal(signal.SIGTERM)
        ear.next("STOPPING")
        assert daemon.wait(PATIENCE) == 0
    ear.socket.close()


def test_an_idle_daemon_pings_though_it_scans_rarely(root: Root, ear: Ear) -> None:
    root.configure(scan_seconds=60)
    with served(root, NOTIFY_SOCKET=ear.name, WATCHDOG_USEC="800000"):
        ear.next("READY")
        for _ in range(8):  # as fast as a pass needs it at first, then by the watchdog's time alone
            ear.next("WATCHDOG", patience=20)


def test_a_wedged_pass_pings_no_more(root: Root, ear: Ear, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = ("-c", WEDGED, str(fifo), str(root.path))
    with served(root, *command, NOTIFY_SOCKET=ear.name, WATCHDOG_USEC="400000") as daemon:
        ear.next("READY")
        ear.next("WATCHDOG")
        root.put("inbox/stuck.json", {"type": "echo"})
        until(lambda: os.path.exists(f"{fifo}.hangs"), "the disk to hang")
        ear.drain()
        with pytest.raises(TimeoutError):  # the time in which systemd would end it: no ping, though the process lives
            ear.next("WATCHDOG", patience=0.8)
        assert daemon.poll() is None
        os.close(os.open(fifo, os.O_RDONLY))
        ear.next("WATCHDOG")  # the pass goes on, and with it the pings


def test_sighup_reads_settings_and_contracts_again(root: Root, ear: Ear) -> None:
    root.configure(settle_seconds=0, scan_seconds=30)
    with served(root, NOTIFY_SOCKET=ear.name) as daemon:
        ear.next("READY")
        root.configure(settle_seconds=0, scan_seconds=30, queues=["review"], window=7)
        root.put("contracts/build.json", {})
        root.put("contracts/bad.json", {"input": {"type": "strin"}})
        before = time.monotonic_ns() // 1000
        daemon.send_signal(signal.SIGHUP)
        reloading = ear.next("RELOADING")
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        ear.next("READY")
        (line,) = (line for line in said(root).splitlines() if "reloaded" in line)
        assert "taskdir.json: queues, window changed" in said(root)
        assert "taskdir.json is in use; " in line
        assert "contracts of 2 types and 0 keys are in force; contracts/bad.json cannot be used: " in line
        root.put("taskdir.json", "{")
        daemon.send_signal(signal.SIGHUP)
        ear.next("RELOADING")
        assert "taskdir.json was changed and is not used" in ear.next("READY")["STATUS"]
        assert "reloaded: taskdir.json is not used" in said(root)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(PATIENCE) == 0


def test_a_hundred_reloads_under_work(root: Root, ear: Ear) -> None:
    with served(root, NOTIFY_SOCKET=ear.name) as daemon:
        ear.next("READY")
        for number in range(100):
            root.put(f"inbox/t{number}.json", {"type": "echo"})
            daemon.send_signal(signal.SIGHUP)
        until(lambda: len(root.events("accepted")) == 100, "every task")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(PATIENCE) == 0


def test_without_a_manager_or_with_a_deaf_one_it_runs(root: Root, tmp_path: Path) -> None:
    root.put("inbox/a.json", {"type": "echo"})
    with served(root, NOTIFY_SOCKET=str(tmp_path / "nobody")) as daemon:
        until(root.offered, "the offer")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(PATIENCE) == 0
    assert said(root).count("cannot be told") == 1, "said once, not after each pass"


def test_a_full_socket_never_holds_the_daemon_up(root: Root, tmp_path: Path) -> None:
    """The manager does not read: the kernel takes a few messages, then no more."""
    ear = Ear(str(tmp_path / "deaf"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with suppress(BlockingIOError):
            while other.sendto(b"X=1", ear.name):
                pass
    with served(root, NOTIFY_SOCKET=ear.name, WATCHDOG_USEC="200000"):
        root.put("inbox/a.json", {"type": "echo"})
        until(root.offered, "the offer")
        ear.drain()
        ear.next("READY")  # tried again until somebody heard it
    ear.socket.close()


def test_a_closed_terminal_ends_it_properly(root: Root) -> None:
    """SIGHUP comes from the kernel then; with the terminal still there it means: reload."""
    parent, child = pty.openpty()
    own = lambda: os.login_tty(child)  # noqa: E731
    command = [sys.executable, "-m", "taskdir", "--root", str(root.path), "run"]
    root.daemon = daemon = subprocess.Popen(command, env=ENV, preexec_fn=own)  # noqa: PLW1509
    os.close(child)
    heard = listen(parent)
    heard("runs in")
    daemon.send_signal(signal.SIGHUP)
    heard("reloaded")
    os.close(parent)
    assert daemon.wait(PATIENCE) == 0
    assert [each["event"] for each in root.events()][-1] == "stopped"


def listen(fd: int) -> Callable[[str], None]:
    """Return a function that reads a terminal until a word has come."""
    text = ""

    def heard(word: str) -> None:
        nonlocal text
        while word not in text:
            text += os.read(fd, 4096).decode()

    return heard


@pytest.mark.parametrize(
    ("environ", "patience"),
    [
        ({}, float("inf")),
        ({"WATCHDOG_USEC": "4000000"}, float("inf")),  # nobody to tell
        ({"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "4000000"}, 1.0),
        ({"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
        ({"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, float("inf")),
        ({"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "soon"}, float("inf")),
        ({"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "0"}, float("inf")),
    ],
)
def test_the_environment(environ: dict[str, str], patience: float) -> None:
    manager = Manager(environ)
    assert manager.patience == patience
    manager.passed("two\nlines")
    manager.stopping()
    manager.close()
    manager.passed("after the end")
