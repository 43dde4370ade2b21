"""Every finding of `taskdir doctor` provoked once, each with its repair; a healthy root has none."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskdir import doctor, filesystem, watch
from taskdir.cli import main
from taskdir.daemon import Daemon
from taskdir.disk import Disk
from taskdir.doctor import Finding, Site, ground, house, life, walls
from taskdir.places import Places

STEM = "5-000000000003.a1.1"
Probe = Callable[[Site], Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root that a daemon has opened and closed once."""
    path = tmp_path / "root"
    for name in Places(str(path)).public():
        Path(name).mkdir(parents=True)
    (path / "taskdir.json").write_text('{"protocol": 1}')
    (path / "contracts" / "echo.json").write_text("{}")
    (path / "ready").chmod(0o555)
    serve(path)
    return path


def serve(root: Path) -> None:
    """Let a daemon make its passes until nothing changes."""
    daemon = Daemon(str(root))
    daemon.open()
    while daemon.one_pass():
        pass
    daemon.close()


@pytest.fixture
def site(root: Path, tmp_path: Path) -> Site:
    """The healthy root as doctor met it, with a daemon said to run and a kernel that has room."""
    proc = tmp_path / "proc"
    kernel(proc, 128, 8192)
    return replace(doctor.visit(str(root), time.time()), running=True, proc=str(proc))


def kernel(proc: Path, instances: int, watches: int) -> None:
    """Pretend /proc: these limits; one process of ours with one instance of three watches."""
    limits = proc / "sys" / "fs" / "inotify"
    limits.mkdir(parents=True, exist_ok=True)
    (limits / "max_user_instances").write_text(f"{instances}\n")
    (limits / "max_user_watches").write_text(f"{watches}\n")
    (proc / "7" / "fdinfo").mkdir(parents=True, exist_ok=True)
    (proc / "7" / "fdinfo" / "3").write_text("pos:\t0\n" + "inotify wd:1 ino:2\n" * 3)


def complaints(found: Any) -> list[Finding]:
    return [finding for finding in found if finding.level != "ok"]


def only(probe: Probe, site: Site) -> Finding:
    """Return the one complaint of a probe; it names a repair."""
    found = complaints(probe(site))
    assert len(found) == 1, found
    assert found[0].fix, found
    return found[0]


def told(finding: Finding, code: str, level: str, *words: str) -> None:
    assert (finding.code, finding.level) == (code, level), finding
    text = f"{finding.message}\n{finding.fix}"
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"


def tree(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*"))


def test_a_healthy_root_has_no_complaint_and_stays_as_it_is(site: Site, root: Path) -> None:
    before = tree(root)
    found = doctor.examine(site)
    ground_here = {"d-filesystem"}  # what the tests run on is not ours to choose
    assert [finding for finding in complaints(found) if finding.code not in ground_here] == []
    assert len({finding.code for finding in found}) >= len(doctor.PROBES) - 1  # of walls nothing is told without any
    assert tree(root) == before


def test_all_probes_are_listed() -> None:
    rooms = (ground, house, life, walls)
    written = {
        name
        for room in rooms
        for name, value in vars(room).items()
        if callable(value) and getattr(value, "__module__", "") == room.__name__ and not name.startswith("_")
    }
    assert written == {probe.__name__ for probe in doctor.PROBES}


# --- the house ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"protocol": 1, "windw": 3}', ("unknown-field", "at /windw")),
        ('{"protocol": 2}', ("protocol-version",)),
        ("{", ("json-syntax",)),
    ],
)
def test_settings(root: Path, text: str, words: tuple[str, ...]) -> None:
    (root / "taskdir.json").write_text(text)
    told(only(house.settings_are_good, doctor.visit(str(root), 0)), "d-settings", "error", "edit taskdir.json", *words)


def test_settings_that_cannot_be_read(root: Path) -> None:
    (root / "taskdir.json").unlink()
    told(only(house.settings_are_good, doctor.visit(str(root), 0)), "d-settings", "error", "chmod u+r")
    (root / "taskdir.json").mkdir()
    told(only(house.settings_are_good, doctor.visit(str(root), 0)), "d-settings", "error", "a directory", "plain file")


def test_a_directory_is_missing(site: Site, root: Path) -> None:
    (root / "state").rmdir()
    told(only(house.directories_are_there, site), "d-directory", "error", "state/ is missing", "restart")


def test_a_directory_is_a_file(site: Site, root: Path) -> None:
    (root / "state").rmdir()
    (root / "state").write_text("")
    told(only(house.directories_are_there, site), "d-directory", "error", "no directory", "move it away")


def test_ready_is_writable(site: Site, root: Path) -> None:
    (root / "ready").chmod(0o755)
    told(only(house.directories_are_there, site), "d-mode", "warning", f"chmod 555 {root}/ready")


def test_an_owner_is_locked_out(site: Site, root: Path) -> None:
    (root / "failed").chmod(0o500)
    told(only(house.directories_are_there, site), "d-mode", "error", "0500", f"chmod u+rwx {root}/failed")


def test_an_agent_cannot_write(site: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = str(root / "inbox")
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed)  # the superuser may write anywhere
    told(only(house.agents_can_write, site), "d-writable", "error", "inbox/", f"chmod u+rwx {closed}")


@pytest.mark.parametrize(
    ("name", "text", "code", "level", "word"),
    [
        ("bad.json", "{", "d-contract", "error", "json-syntax"),
        ("bad.json", '{"input": {"typ": "object"}}', "d-contract", "error", "schema-keyword"),
        ("Bad Name.json", "{}", "d-contract-name", "warning", "rename"),
    ],
)
def test_a_bad_contract(site: Site, root: Path, name: str, text: str, code: str, level: str, word: str) -> None:
    (root / "contracts" / name).write_text(text)
    told(only(house.contracts_load, site), code, level, name, word)


def test_a_contract_is_no_file(site: Site, root: Path) -> None:
    (root / "contracts" / "dir.json").mkdir()
    told(only(house.contracts_load, site), "d-contract", "error", "regular file")


def test_there_is_no_contract(site: Site, root: Path) -> None:
    (root / "contracts" / "echo.json").unlink()
    told(only(house.contracts_load, site), "d-contract-none", "warning", "contracts/echo.json")


def test_a_root_in_a_root(site: Site, root: Path) -> None:
    (root.parent / "taskdir.json").write_text("{}")
    told(only(house.stands_alone, site), "d-nested", "warning", str(root.parent), "--root")


def test_a_root_in_an_agents_directory(site: Site, root: Path) -> None:
    (root / "claimed" / "al").mkdir()
    (root / "claimed" / "al" / "taskdir.json").write_text("{}")
    told(only(house.stands_alone, site), "d-nested", "warning", "claimed/al/", "away")


@pytest.mark.skipif(shutil.which("git") is None, reason="NO GIT: what it tracks cannot be tested")
def test_git_tracks_the_root(site: Site, root: Path) -> None:
    for words in (["init", "-q"], ["add", "-f", "taskdir.json", "log.jsonl"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)
    told(only(house.is_not_tracked, site), "d-tracked", "warning", "rm -r --cached log.jsonl taskdir.json")


# --- the ground --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("magic", "name", "word"),
    [
        (0x6969, "nfs", "locks are emulated"),
        (0x01021997, "9p", "unseen"),
        (0xFF534D42, "smb", "rename"),
        (0x794C7630, "overlay", "share no locks"),
        (0x01021994, "tmpfs", "nothing survives a reboot"),
        (0x4D44, "fat", "no hard links"),
        (0x65735546, "fuse", "depends on"),
    ],
)
def test_a_weak_file_system(site: Site, monkeypatch: pytest.MonkeyPatch, magic: int, name: str, word: str) -> None:
    monkeypatch.setattr(filesystem, "magic", lambda path: magic)
    told(only(ground.kind_is_durable, site), "d-filesystem", "warning", f"file system {name}:", word, "xfs")


@pytest.mark.parametrize("magic", [0x58465342, 0x9123683E, 0x12345678, 0])
def test_a_good_or_unknown_file_system(site: Site, monkeypatch: pytest.MonkeyPatch, magic: int) -> None:
    monkeypatch.setattr(filesystem, "magic", lambda path: magic)
    assert complaints(ground.kind_is_durable(site)) == []


def test_ext_without_a_journal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "magic", lambda path: 0xEF53)
    monkeypatch.setattr(filesystem, "has_journal", lambda device: False)
    told(only(ground.kind_is_durable, site), "d-filesystem", "warning", "without a journal")
    monkeypatch.setattr(filesystem, "has_journal", lambda device: None)
    assert complaints(ground.kind_is_durable(site)) == []


@pytest.mark.parametrize(
    ("options", "journal"), [("rw\ndata=ordered\n", True), ("rw\nnojournal_checksum\n", False), (None, None)]
)
def test_the_journal_is_read_from_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str | None, journal: bool | None
) -> None:
    monkeypatch.setattr(os, "readlink", lambda path: "../../devices/virtio1/block/vda")
    if options is not None:
        (tmp_path / "fs" / "ext4" / "vda").mkdir(parents=True)
        (tmp_path / "fs" / "ext4" / "vda" / "options").write_text(options)
    assert filesystem.has_journal(0, str(tmp_path)) is journal


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="NO /proc: nothing with a known magic number")
def test_the_magic_number_is_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert filesystem.magic("/proc/self") == 0x9FA0
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert filesystem.magic("/proc/self") == 0


def test_a_directory_on_another_device(site: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat
    away = str(root / "claimed")

    def stat(path: Any, **options: Any) -> Any:
        found = real(path, **options)
        return os.stat_result([*found[:2], found.st_dev + 1, *found[3:]]) if path == away else found

    monkeypatch.setattr(os, "stat", stat)
    told(only(ground.one_device, site), "d-device", "error", "claimed/ is on another device", "unmount")


def refuse(operation: str, name: str, code: int) -> Disk:
    """A disk that fails one operation on files of one name."""

    def hook(done: str, path: str) -> None:
        if done == operation and (os.path.basename(path) == name or name == "*"):
            raise OSError(code, os.strerror(code))

    return Disk(hook)


@pytest.mark.parametrize(
    ("operation", "name", "code", "level", "word"),
    [
        ("fsync", "one", "d-fsync", "error", "fsync of a file"),
        ("rename", "two", "d-rename", "error", "rename"),
        ("link", "*", "d-link", "warning", "no hard links"),
    ],
)
def test_an_operation_fails(site: Site, operation: str, name: str, code: str, level: str, word: str) -> None:
    found = complaints(ground.operations_work(replace(site, disk=refuse(operation, name, errno.EPERM))))
    assert found, "nothing was found"
    told(found[0], code, level, word)


def test_directories_cannot_be_synced(site: Site) -> None:
    def hook(done: str, path: str) -> None:
        if done == "fsync" and os.path.isdir(path):
            raise OSError(errno.EINVAL, "no")

    told(only(ground.operations_work, replace(site, disk=Disk(hook))), "d-dirsync", "error", "fsync of a directory")


def test_link_replaces(site: Site) -> None:
    class Careless(Disk):
        def link(self, source: str, target: str) -> bool:
            super().link(source, target)
            return True

    told(only(ground.operations_work, replace(site, disk=Careless())), "d-replace", "error", "overwrite each other")


def test_link_moves_instead(site: Site) -> None:
    class Linkless(Disk):
        def link(self, source: str, target: str) -> bool:
            return not os.path.exists(target) and self.rename(source, target)

    told(only(ground.operations_work, replace(site, disk=Linkless())), "d-link", "warning", "short race")


def test_the_file_systems_clock_is_elsewhere(site: Site) -> None:
    told(only(ground.operations_work, replace(site, now=site.now + 60)), "d-file-clock", "warning", "NTP")


def test_events_do_not_come(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SOURCE", lambda root, wake: None)
    found = only(ground.watching_works, replace(site, patience=0.0))
    told(found, "d-watch", "warning", "by scanning alone", "every 1 s")


@pytest.mark.parametrize(("instances", "watches", "word"), [(1, 8192, "instances is 1;"), (128, 5, "watches is 5;")])
def test_inotify_limits(site: Site, instances: int, watches: int, word: str) -> None:
    kernel(Path(site.proc), instances, watches)
    found = only(ground.watches_suffice, replace(site, running=False))
    told(found, "d-inotify", "warning", word, "sudo sysctl fs.inotify.max_user_")
    assert complaints(ground.watches_suffice(site)) == [], "a daemon that runs has its watches"


def vfs(monkeypatch: pytest.MonkeyPatch, blocks: int, inodes: int) -> None:
    """Pretend this much room, in blocks of 1 MiB."""
    values = [1 << 20, 1 << 20, 10**6, blocks, blocks, 10**6, inodes, inodes, 0, 255]
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))


@pytest.mark.parametrize(
    ("blocks", "inodes", "code", "level"),
    [
        (100, 10**5, "d-space", "warning"),
        (10, 10**5, "d-space", "error"),
        (10**5, 5000, "d-inodes", "warning"),
        (10**5, 500, "d-inodes", "error"),
    ],
)
def test_no_room(site: Site, monkeypatch: pytest.MonkeyPatch, blocks: int, inodes: int, code: str, level: str) -> None:
    vfs(monkeypatch, blocks, inodes)
    told(only(ground.there_is_room, site), code, level, "free")


# --- what goes on ------------------------------------------------------------------------------------------------


def test_no_daemon(root: Path) -> None:
    site = doctor.visit(str(root), time.time())
    assert not site.running
    told(only(life.daemon_is_there, site), "d-daemon", "warning", f"taskdir --root {root} run")


def test_a_daemon_is_seen(root: Path) -> None:
    daemon = Daemon(str(root))
    daemon.open()
    try:
        site = doctor.visit(str(root), time.time())
        assert site.running
        assert f"pid {os.getpid()}" in next(iter(life.daemon_is_there(site))).message
    finally:
        daemon.close()


def test_the_clock_went_backwards(site: Site) -> None:
    told(only(life.clock_goes_forward, replace(site, now=site.now - 3600)), "d-clock", "warning", "backwards", "NTP")


def test_the_log_lost_what_the_index_knows(site: Site, root: Path) -> None:
    log = (root / "log.jsonl").read_bytes().splitlines(keepends=True)
    (root / "log.jsonl").write_bytes(b"".join(log[:-1]))
    told(only(life.index_is_at_the_log, site), "d-index", "error", "was lost", "put the right log back")


def test_the_index_is_behind(site: Site, root: Path) -> None:
    old = (root / ".taskdir" / "index.sqlite").read_bytes()
    serve(root)
    (root / ".taskdir" / "index.sqlite").write_bytes(old)
    told(only(life.index_is_at_the_log, replace(site, running=False)), "d-index", "warning", "goes on after", "run")


def test_the_index_is_gone(site: Site, root: Path) -> None:
    (root / ".taskdir" / "index.sqlite").unlink()
    told(only(life.index_is_at_the_log, replace(site, running=False)), "d-index", "warning", "replays the log")


def test_the_index_is_no_index(site: Site, root: Path) -> None:
    (root / ".taskdir" / "index.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    told(only(life.index_is_at_the_log, site), "d-index", "error", "cannot be read", "rm ")


def test_an_unpublished_message(site: Site, root: Path) -> None:
    (root / "inbox" / ".a1.json").write_text("{")
    assert complaints(life.nothing_is_left_behind(site)) == []
    later = replace(site, now=site.now + 7300)
    told(only(life.nothing_is_left_behind, later), "d-stale-inbox", "warning", "for 2 h", f"rm {root}/inbox/.a1.json")


@pytest.mark.parametrize(("place", "word"), [("staging", "staging/*"), ("taken", "start the daemon")])
def test_the_daemons_leftovers(site: Site, root: Path, place: str, word: str) -> None:
    (root / ".taskdir" / place / "a1").write_text("{")
    assert complaints(life.nothing_is_left_behind(site)) == [], "a daemon that runs may have it in hand"
    later = replace(site, running=False, now=site.now + 1)
    told(only(life.nothing_is_left_behind, later), f"d-stale-{place}", "warning", word)


@pytest.fixture
def claimed(root: Path) -> Path:
    path = root / "claimed" / "al" / f"{STEM}.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"id": "a1", "lease_seconds": 60}))
    return path


def test_a_claim_without_renewal(site: Site, claimed: Path) -> None:
    assert complaints(life.claims_are_alive(site)) == []
    later = replace(site, now=site.now + 150)
    told(only(life.claims_are_alive, later), "d-stale-claim", "warning", "al has not renewed a1", f"rm {claimed}")


def test_a_claim_that_is_held_is_alive(site: Site, claimed: Path) -> None:
    with claimed.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert complaints(life.claims_are_alive(replace(site, now=site.now + 150))) == []


def test_a_probe_that_cannot_look_stops_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble(path: str) -> None:
        raise PermissionError(errno.EACCES, "no", path)

    monkeypatch.setattr(os, "statvfs", trouble)
    found = doctor.examine(site)
    assert [finding.message for finding in found if finding.code == "d-probe"] == [
        f"cannot find out whether there is room: [Errno 13] no: '{site.places.root}'"
    ]
    assert {finding.code for finding in found} >= {"d-settings", "d-daemon", "d-claims"}


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_tells_each_repair(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(root)]) == 0, "a warning is no error"
    shown = capsys.readouterr()
    assert f"fix: taskdir --root {root} run" in shown.out
    assert "0 errors" in shown.err


def test_the_command_counts_errors(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "taskdir.json").write_text('{"protocol": 2}')
    (root / "state").rmdir()
    assert main(["--root", str(root), "doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["root"], told["errors"]) == (str(root), 2)
    wrong = {finding["code"] for finding in told["findings"] if finding["level"] == "error"}
    assert wrong == {"d-settings", "d-directory"}
    assert all(("fix" in finding) == (finding["level"] != "ok") for finding in told["findings"])


def test_the_command_needs_a_root(tmp_path: Path) -> None:
    assert main(["doctor", "--root", str(tmp_path)]) == 66
