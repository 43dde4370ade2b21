"""Probes of what the root stands on: file system, kernel limits, room (SPEC sections 10.2 and 11).

Scratch files lie in a directory of their own under .taskdir/, which goes with them.
"""

from __future__ import annotations

import errno
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from taskdir import filesystem
from taskdir.disk import Disk
from taskdir.doctor.site import Finding, Site, error, listing, ok, warning
from taskdir.watch import Hints

_MIB = 1 << 20
_CLOCK_SLACK = 5.0
"""Seconds by which the file system's clock may differ from ours."""


@contextmanager
def _scratch(site: Site) -> Iterator[str]:
    """Lend a directory that is removed afterwards, under .taskdir/ where the daemon does not look."""
    home = site.places.own if os.path.isdir(site.places.own) else site.places.root
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=home) as path:
        yield path


def kind_is_durable(site: Site) -> Iterator[Finding]:
    """The file system keeps what fsync promises."""
    kind = filesystem.kind(site.places.root)
    if kind.weakness:
        fix = "keep roots that must survive a power cut on a local ext4 (with a journal), xfs or btrfs"
        yield warning("d-filesystem", f"file system {kind.name}: {kind.weakness}", fix)
    else:
        yield ok("d-filesystem", f"file system {kind.name}")


def one_device(site: Site) -> Iterator[Finding]:
    """All directories lie on one device: a rename does not cross from one to another."""
    home = os.stat(site.places.root).st_dev
    inner = [os.path.join(place, name) for place in (site.places.ready, site.places.claimed) for name in listing(place)]
    paths = [*site.places.public(), *site.places.private(), site.places.join("log"), *inner]
    away = [path for path in paths if os.path.isdir(path) and os.stat(path).st_dev != home]
    for path in away:
        message = f"{os.path.relpath(path, site.places.root)}/ is on another device: nothing can be renamed into it"
        yield error("d-device", message, f"unmount {shlex.quote(path)}, or replace the link by a directory")
    if not away:
        yield ok("d-device", "all directories are on one device")


def operations_work(site: Site) -> Iterator[Finding]:
    """Rename, link, refusal to replace, fsync of files and of directories: each done once."""
    fix = "move the root to a local ext4, xfs or btrfs; SPEC section 11 says what is needed"
    wrong = False
    with _scratch(site) as scratch:
        one, two, three = (os.path.join(scratch, name) for name in ("one", "two", "three"))
        disk = site.disk
        steps: tuple[tuple[str, str, Callable[[], object]], ...] = (
            ("d-fsync", "fsync of a file", lambda: disk.create(one, b"1", sync=True)),
            ("d-rename", "rename", lambda: _move(disk, one, two)),
            ("d-dirsync", "fsync of a directory", lambda: disk.sync_dir(scratch)),
        )
        for code, what, step in steps:
            try:
                step()
            except OSError as trouble:
                wrong = True
                yield error(code, f"{what} does not work here: {trouble.strerror}", fix)
        for finding in _links(site, one, two, three):
            wrong = True
            yield finding
        behind = site.now - os.stat(scratch).st_mtime
        if abs(behind) > _CLOCK_SLACK:
            yield warning(
                "d-file-clock",
                f"the file system's clock is {behind:+.0f} s from this machine's",
                "set both clocks (NTP); leases are not affected, ages shown to people are",
            )
    if not wrong:
        yield ok("d-operations", "rename, link, no-replace and fsync work")


def _move(disk: Disk, source: str, target: str) -> None:
    """Rename a file, then make another one under its old name."""
    if not disk.rename(source, target) or not os.path.exists(target):
        raise OSError(errno.ENOENT, "the file is gone after it")
    disk.create(source, b"1")


def _links(site: Site, source: str, taken: str, free: str) -> Iterator[Finding]:
    """Try hard links as submitters do: onto a free name, then onto one that is taken."""
    if not (os.path.exists(source) and os.path.exists(taken)):
        return
    try:
        if site.disk.link(source, taken):
            message = "link replaces a file that is there: two submitters of one id would overwrite each other"
            yield error("d-replace", message, "move the root to a local ext4, xfs or btrfs")
        if site.disk.link(source, free) and not os.path.exists(source):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    except OSError as trouble:
        message = f"no hard links here ({trouble.strerror}): publishing without replacing has a short race"
        yield warning("d-link", message, "use ids that are yours alone, or move the root to ext4, xfs or btrfs")


def watching_works(site: Site) -> Iterator[Finding]:
    """A file that appears wakes a watcher, timed; without it the daemon sees changes by scanning."""
    with _scratch(site) as scratch:
        inbox = os.path.join(scratch, "inbox")
        site.disk.mkdir(inbox)
        hints = Hints(scratch)
        try:
            before = time.perf_counter()
            site.disk.publish(os.path.join(inbox, "a.json"), b"{}", aside=os.path.join(inbox, ".a"))
            seen = hints.wait(site.patience)
            took = time.perf_counter() - before
        finally:
            hints.close()
    if seen:
        yield ok("d-watch", f"a new file is seen after {took * 1000:.1f} ms")
    else:
        scan = f"every {site.settings.scan_seconds:g} s"
        message = f"no event within {site.patience:g} s: changes are seen by scanning alone, {scan}"
        fix = "raise fs.inotify limits (see d-inotify) or use a local file system; or set a smaller scan_seconds"
        yield warning("d-watch", message, fix)


def watches_suffice(site: Site) -> Iterator[Finding]:
    """The kernel's limits leave room for one watch a directory, and for one more watcher."""
    limits = os.path.join(site.proc, "sys", "fs", "inotify")
    if not os.path.isdir(limits):
        return
    needed = 0 if site.running else sum(1 for _ in _directories(site))
    used = _inotify_use(site.proc)
    wanted = {"max_user_instances": (used[0], 0 if site.running else 1), "max_user_watches": (used[1], needed)}
    short = False
    for name, (in_use, need) in wanted.items():
        with open(os.path.join(limits, name), encoding="ascii") as file:
            limit = int(file.read())
        if in_use + need > limit:
            short = True
            message = f"fs.inotify.{name} is {limit}; {in_use} are in use and the daemon needs {need} more"
            yield warning("d-inotify", message, f"sudo sysctl fs.inotify.{name}={max(2 * limit, 2 * (in_use + need))}")
    if not short:
        yield ok("d-inotify", f"inotify: {used[0]} instances and {used[1]} watches in use, {needed} more needed")


def _directories(site: Site) -> Iterator[str]:
    """The directories that the daemon watches: those that others write."""
    yield from (site.places.root, site.places.inbox, site.places.contracts, site.places.claimed)
    for agent in listing(site.places.claimed):
        yield os.path.join(site.places.claimed, agent)


def _inotify_use(proc: str) -> tuple[int, int]:
    """Count this user's (instances, watches), as far as /proc shows them."""
    instances = watches = 0
    for pid in filter(str.isdigit, listing(proc)):
        home = os.path.join(proc, pid, "fdinfo")
        try:
            if os.stat(home).st_uid != os.geteuid():
                continue
            for fd in os.listdir(home):
                with open(os.path.join(home, fd), encoding="ascii", errors="replace") as file:
                    found = sum(line.startswith("inotify ") for line in file)
                instances += found > 0
                watches += found
        except OSError:
            continue
    return instances, watches


def there_is_room(site: Site) -> Iterator[Finding]:
    """Space and inodes are left for the log, the index and the next tasks."""
    found = os.statvfs(site.places.root)
    room = found.f_bavail * found.f_frsize
    fix = "make room; done/ and failed/ may be pruned, `taskdir restore ID` writes a record again"
    low = False
    if room < 256 * _MIB:
        low = True
        level = error if room < 16 * _MIB else warning
        yield level("d-space", f"{room // _MIB} MiB are free; with none left the daemon takes no new work", fix)
    if found.f_files and found.f_favail < 10_000:
        low = True
        level = error if found.f_favail < 1000 else warning
        yield level("d-inodes", f"{found.f_favail} inodes are free; every task needs some", fix)
    if not low:
        yield ok("d-space", f"{room // _MIB} MiB and {found.f_favail or 'enough'} inodes are free")
