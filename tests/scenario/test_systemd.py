"""The service under a real systemd: a user manager of its own, in namespaces (support/systemd.py)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.live import Root, until
from support.systemd import UserManager, manager

TASKDIR = Path(sys.executable).with_name("taskdir")
pytestmark = pytest.mark.skipif(not TASKDIR.exists(), reason=f"NOT TESTED: no {TASKDIR}; `make test` installs it")


WORDS = """[Service]
StandardError=append:{}
RestartSec=0
"""
"""A drop-in for every instance: there is no journal in these namespaces."""


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[UserManager]:
    dropins = tmp_path / "home/.config/systemd/user/taskdir@.service.d"
    dropins.mkdir(parents=True)
    (dropins / "words.conf").write_text(WORDS.format(tmp_path / "said"))
    yield from manager(tmp_path / "home")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / 'the "jobs", 100% of $HOME\\x20', settle_seconds=0)


def service(systemd: UserManager, root: Root, *words: str) -> Any:
    """Run `taskdir service … --json`, which must do it; returns what it says."""
    done = systemd.run(TASKDIR, "--root", root.path, "service", *words, "--json")
    assert done.returncode == 0, f"{words}: {done.stderr}\n{systemd.log.read_text()[-2000:]}{said(root)}"
    return json.loads(done.stdout)


def standing(systemd: UserManager, root: Root) -> Any:
    """Return what `taskdir service status` says, whatever it is."""
    return json.loads(systemd.run(TASKDIR, "--root", root.path, "service", "status", "--json").stdout)


def said(root: Root) -> str:
    """Return what the daemon wrote on stderr so far."""
    words = root.path.parent / "said"
    return words.read_text() if words.exists() else ""


def runs_anew(systemd: UserManager, root: Root, old: int) -> bool:
    found = standing(systemd, root)
    return bool(found["active"] == "running" and found["pid"] != old)


def test_a_users_service(systemd: UserManager, root: Root) -> None:
    root.put("inbox/early.json", {"type": "echo"})
    made = service(systemd, root, "install")
    assert made["changed"]
    assert Path(made["path"]).parent == systemd.home / ".config/systemd/user"
    assert not service(systemd, root, "install")["changed"], "a second time is no harm"
    service(systemd, root, "start")
    assert root.offered(), "start came back before the first pass was over"
    first = standing(systemd, root)
    assert (first["active"], first["daemon_runs"], first["edited"]) == ("running", True, False)
    assert "events in" in first["said"]

    root.put("taskdir.json", {"protocol": 1, "settle_seconds": 0, "window": 3})
    done = systemd.run("systemctl", "--user", "reload", made["name"])
    assert done.returncode == 0, done.stderr
    until(lambda: "window changed" in said(root) and "reloaded" in said(root), "the reload")

    assert systemd.run("kill", "-KILL", str(first["pid"])).returncode == 0
    until(lambda: runs_anew(systemd, root, first["pid"]), "the start after a crash")
    service(systemd, root, "stop")
    assert [each["event"] for each in root.events("started", "stopped")] == ["started", "started", "stopped"]
    assert standing(systemd, root)["active"] == "stopped"
    service(systemd, root, "start")
    service(systemd, root, "uninstall")
    assert not os.path.exists(made["path"])
    assert root.events()[-1]["event"] == "stopped", "uninstall stops it first"
    gone = systemd.run(TASKDIR, "--root", root.path, "service", "start", "--json")
    assert (gone.returncode, json.loads(gone.stderr)["error"]["code"]) == (66, "not-installed")


HUNG = """
import os, sys, taskdir.daemon
from functools import partial
from taskdir.cli import main
from taskdir.disk import Disk
def hook(operation, path):
    if "stuck" in os.path.basename(path) and not os.path.exists(sys.argv[1]):
        open(sys.argv[1], "w").close()
        os.kill(os.getpid(), 19)                       # SIGSTOP: this pass does not end by itself
taskdir.daemon.Disk = partial(Disk, hook)
sys.exit(main(["--root", sys.argv[2], "run"]))
"""


HANG = """[Service]
ExecStart=
ExecStart={}
WatchdogSec=1
TimeoutAbortSec=1
"""
"""A stopped process takes no signal but SIGKILL, which comes once the abort's time is over."""


def test_systemd_ends_a_hung_pass_and_starts_again(systemd: UserManager, root: Root, tmp_path: Path) -> None:
    made = service(systemd, root, "install")
    (tmp_path / "hung.py").write_text(HUNG)
    hangs = f"{sys.executable} {tmp_path}/hung.py {tmp_path}/hangs {Path(made['path']).parent}/jobs"
    (Path(made["path"]).parent / "jobs").symlink_to(root.path)
    Path(made["path"] + ".d").mkdir()
    Path(made["path"] + ".d/hang.conf").write_text(HANG.format(hangs))
    assert systemd.run("systemctl", "--user", "daemon-reload").returncode == 0
    service(systemd, root, "start")
    pid = standing(systemd, root)["pid"]
    root.put("inbox/stuck.json", {"type": "echo"})
    until(lambda: runs_anew(systemd, root, pid), "the start after the watchdog")
    until(root.offered, "the task that hung")
    assert len(root.events("started")) == 2
    assert not root.events("stopped")
    service(systemd, root, "stop")


def test_the_systems_unit_hides_nothing_that_is_needed(systemd: UserManager, root: Root, tmp_path: Path) -> None:
    """The whole hardening of the system's unit, carried out for real; this manager runs as root and may."""
    unit = systemd.run(TASKDIR, "--root", root.path, "service", "print", "--system").stdout
    name = json.loads(systemd.run(TASKDIR, "--root", root.path, "service", "print", "--json").stdout)["name"]
    place = systemd.home / ".config/systemd/user" / name
    place.write_text(unit)
    assert systemd.run("systemctl", "--user", "daemon-reload").returncode == 0
    done = systemd.run("systemctl", "--user", "start", name)
    assert done.returncode == 0, f"{done.stderr}\n{systemd.log.read_text()[-3000:]}\n{said(root)}"
    root.put("inbox/a.json", {"type": "echo"})
    until(root.offered, "an offer")
    claimed = root.claim("me")
    root.finish(claimed, {"status": "ok", "output": 1})
    until(lambda: root.names("done"), "the result")
    assert "no file watching" not in said(root), said(root)
    probe = standing(systemd, root)
    assert probe["daemon_runs"], "the lock cannot be seen from outside"
    status = Path(f"/proc/{pid_outside(root)}/status").read_text()
    assert "Seccomp:\t2" in status, "no system call filter"
    assert "NoNewPrivs:\t1" in status
    assert systemd.run("systemctl", "--user", "stop", name).returncode == 0
    assert root.events()[-1]["event"] == "stopped"


def pid_outside(root: Root) -> int:
    """Return the daemon's process number as this test sees it: who has the root's directory open and locked."""
    inode = os.stat(root.path).st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    raise AssertionError("nobody has the lock")
