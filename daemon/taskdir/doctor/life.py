"""Probes of what goes on in the root: the daemon, the log and its index, what lies about (SPEC sections 7, 9 and 10).

File times are compared with the wall clock here, since people ask how old a thing is; the daemon never does so.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator

from taskdir import lock, logread, names, strictjson
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.doctor.site import Finding, Site, error, listing, ok, warning
from taskdir.documents import TASK_DEFAULTS, parse_timestamp
from taskdir.errors import Invalid
from taskdir.index import open_for_reading

_OLD = 3600.0
"""Seconds after which a file that somebody writes, or that the daemon has in hand, counts as left behind."""
_TAIL = 1 << 20


def daemon_is_there(site: Site) -> Iterator[Finding]:
    """A daemon holds this root."""
    if not site.running:
        message = "no daemon runs: agents can submit, claim and finish, but nothing is judged until one does"
        yield warning("d-daemon", message, f"taskdir --root {shlex.quote(site.places.root)} run")
        return
    try:
        with open(site.places.who, encoding="utf-8") as file:
            who = json.load(file)
        yield ok("d-daemon", f"a daemon runs: pid {who['pid']} on {who['host']}, taskdir {who['version']}")
    except (OSError, ValueError, KeyError, TypeError):
        yield ok("d-daemon", "a daemon runs")


def clock_goes_forward(site: Site) -> Iterator[Finding]:
    """The wall clock is not before the log's last event."""
    last = _last_time(site.places.log)
    if last is not None and last > site.now + 1:
        message = f"the wall clock went backwards: the log's last event is {last - site.now:.0f} s ahead of it"
        fix = "set the clock right (NTP); no lease depends on it, but times in the log will repeat"
        yield warning("d-clock", message, fix)
    else:
        yield ok("d-clock", "the wall clock is not behind the log")


def _last_time(path: str) -> float | None:
    """Return the time of the last event that the live segment shows; None when there is none to be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            return parse_timestamp(json.loads(line)["time"])
        except (ValueError, KeyError, TypeError):
            continue
    return None


def index_is_at_the_log(site: Site) -> Iterator[Finding]:
    """The index stands where the log does; behind is mended by a start, ahead means that facts were lost."""
    if not os.path.exists(site.places.index):
        if os.path.exists(site.places.log) and not site.running:
            fix = f"taskdir --root {shlex.quote(site.places.root)} run"
            yield warning("d-index", "there is no index: the next start replays the log", fix)
        return
    index = open_for_reading(site.places.index)
    if index is None:
        fix = f"stop the daemon, rm {shlex.quote(site.places.index)}*, start it: the log is replayed"
        yield error("d-index", "the index cannot be read", fix)
        return
    mark = index.mark
    index.close()
    files = logread.segments(site.places.root)
    here = next((number for number, (first, _) in enumerate(files) if first == mark.first), None)
    if mark.seq and (here is None or logread.line_hash_before(files[here][1], mark.offset) != mark.hash):
        message = f"the index knows seq {mark.seq}, which the log does not show: a committed fact was lost or changed"
        fix = f"put the right log back; to accept the loss, move {shlex.quote(site.places.index)}* away and start again"
        yield error("d-index", message, fix)
    elif not site.running and files and _goes_on(files, here or 0, mark.offset):
        fix = f"taskdir --root {shlex.quote(site.places.root)} run"
        yield warning("d-index", f"the log goes on after seq {mark.seq}, where the index stands", fix)
    else:
        yield ok("d-index", f"the index is at the log's mark, seq {mark.seq}")


def _goes_on(files: list[tuple[int, str]], here: int, offset: int) -> bool:
    with logread.open_segment(files[here][1]) as file:
        file.seek(offset)
        return bool(file.read(1)) or any(os.path.getsize(path) for _, path in files[here + 1 :])


def nothing_is_left_behind(site: Site) -> Iterator[Finding]:
    """No half-written messages, no staging files, nothing taken but unjudged."""
    found = False
    for name in listing(site.places.inbox):
        path = os.path.join(site.places.inbox, name)
        if name.startswith(".") and (age := _age(site, path)) > _OLD:
            found = True
            message = f"inbox/{names.printable(name)} was never published; nobody wrote to it for {age / 3600:.0f} h"
            fix = f"rm {shlex.quote(path)}, or publish it under a name without the dot"
            yield warning("d-stale-inbox", message, fix)
    wait = _OLD if site.running else 0.0
    left = [name for name in listing(site.places.staging) if _age(site, os.path.join(site.places.staging, name)) > wait]
    if left:
        found = True
        fix = f"rm {shlex.quote(site.places.staging)}/* while no daemon runs"
        yield warning("d-stale-staging", f"{len(left)} unfinished files lie in .taskdir/staging/", fix)
    left = [name for name in listing(site.places.taken) if _age(site, os.path.join(site.places.taken, name)) > wait]
    if left:
        found = True
        fix = f"{'re' if site.running else ''}start the daemon: its first pass compares and judges them"
        yield warning("d-stale-taken", f"{len(left)} inputs lie in .taskdir/taken/, not judged to the end", fix)
    if not found:
        yield ok("d-stale", "nothing was left behind")


def claims_are_alive(site: Site) -> Iterator[Finding]:
    """Every claim was renewed not too long ago, or is held."""
    alive = 0
    for agent in listing(site.places.claimed):
        home = os.path.join(site.places.claimed, agent)
        files = listing(home)
        for name in files:
            parts = names.split_claimed(name)
            if parts is None or parts[1] != names.TASK:
                continue
            path = os.path.join(home, name)
            stem = str(parts[0])
            idle = min(_age(site, os.path.join(home, file)) for file in files if file.startswith(stem + "."))
            if idle <= 2 * _lease(path) or lock.is_held(path) in (None, (True, os.stat(path).st_ino)):
                alive += 1
                continue
            message = f"{agent} has not renewed {parts[0].id} for {idle:.0f} s, twice its lease and more"
            fix = f"finish it, or give it back: rm {shlex.quote(path)}"
            hint = "" if site.running else "; its lease ages only while a daemon runs"
            yield warning("d-stale-claim", message, fix + hint)
    yield ok("d-claims", f"{alive} claims are alive")


def _lease(path: str) -> float:
    """Return a claim's lease in seconds, the usual one when its file cannot be read."""
    try:
        offer = strictjson.loads(read_regular(path, _TAIL))
        return float(offer["lease_seconds"]) if isinstance(offer, dict) else float(TASK_DEFAULTS["lease_seconds"])
    except (OSError, NotRegular, TooLarge, Invalid, KeyError, TypeError, ValueError):
        return float(TASK_DEFAULTS["lease_seconds"])


def _age(site: Site, path: str) -> float:
    """Return the seconds since a file changed in any way (a rename counts); minus one when it is gone."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return -1.0
    return site.now - max(found.st_mtime, found.st_ctime)
