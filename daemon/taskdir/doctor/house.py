"""Probes of the root itself: its settings, directories, contracts, and what it stands in (SPEC sections 4 and 6)."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Iterator

from taskdir import contracts, names
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.doctor.site import Finding, Site, error, listing, ok, warning
from taskdir.errors import Invalid

_TRACKED = ("taskdir.json", "inbox", "ready", "claimed", "done", "failed", "rejected", "state", "log.jsonl", ".taskdir")
_OWNER_ALL = 0o700


def settings_are_good(site: Site) -> Iterator[Finding]:
    """taskdir.json can be read and used."""
    if site.fault is None:
        yield ok("d-settings", f"taskdir.json: protocol {site.settings.protocol}")
        return
    at = f" at {site.fault.pointer}" if site.fault.pointer else ""
    if site.fault.code == "unreadable":
        fix = f"chmod u+r {shlex.quote(site.places.settings)}, or make a root with `taskdir init`"
    else:
        fix = f"edit taskdir.json{at}: {site.fault.hint or site.fault.expected or 'see SPEC section 6.9'}"
    yield error("d-settings", f"taskdir.json{at}: {site.fault.code}: {site.fault.message}", fix)


def directories_are_there(site: Site) -> Iterator[Finding]:
    """Every directory of the protocol exists, with a mode that lets its users work."""
    wrong = [finding for path in [*site.places.public(), *site.places.private()] for finding in _directory(site, path)]
    yield from wrong or [ok("d-directory", "all directories are there, with the right modes")]


def _directory(site: Site, path: str) -> Iterator[Finding]:
    name, quoted = os.path.relpath(path, site.places.root), shlex.quote(path)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        fix = "restart the daemon, which makes it" if site.running else "`taskdir run` makes it"
        yield error("d-directory", f"{name}/ is missing", fix)
        return
    if not stat.S_ISDIR(mode):
        yield error("d-directory", f"{name} is no directory", f"move it away; the daemon's next start makes {quoted}")
    elif path == site.places.ready:
        if mode & 0o222:
            message = "ready/ is writable: one slip of mv could move a whole queue away"
            yield warning("d-mode", message, f"chmod 555 {quoted}")
    elif mode & _OWNER_ALL != _OWNER_ALL:
        message = f"{name}/ has mode {stat.S_IMODE(mode):04o}: its owner needs to read, write and enter it"
        yield error("d-mode", message, f"chmod u+rwx {quoted}")


def agents_can_write(site: Site) -> Iterator[Finding]:
    """This user, taken for an agent, can submit, claim and finish."""
    queues = [os.path.join(site.places.ready, queue) for queue in listing(site.places.ready)]
    claims = [os.path.join(site.places.claimed, agent) for agent in listing(site.places.claimed)]
    asked = [site.places.inbox, site.places.claimed, *queues, *(path for path in claims if os.path.isdir(path))]
    closed = [path for path in asked if os.path.isdir(path) and not os.access(path, os.W_OK | os.X_OK)]
    for path in closed:
        message = f"user {os.geteuid()} cannot write in {os.path.relpath(path, site.places.root)}/"
        fix = f"run daemon and agents as user {os.stat(path).st_uid}, or chmod u+rwx {shlex.quote(path)}"
        yield error("d-writable", message, fix)
    if not closed:
        yield ok("d-writable", "an agent with this user can submit, claim and finish")


def contracts_load(site: Site) -> Iterator[Finding]:
    """Every contract can be used."""
    types = []
    for name in listing(site.places.contracts):
        if not names.is_message_name(name):
            continue
        type = name.removesuffix(names.TASK)
        if not names.is_word(type):
            fix = "rename it: a type is up to 64 of a-z 0-9 - _, a letter or digit first"
            yield warning("d-contract-name", f"contracts/{names.printable(name)} names no type and is not used", fix)
            continue
        try:
            path = os.path.join(site.places.contracts, name)
            contracts.parse(type, read_regular(path, site.settings.max_message_bytes))
            types.append(type)
        except Invalid as fault:
            fix = f"edit it: {fault.hint or fault.expected or 'the last good one stays in force meanwhile'}"
            at = f" at {fault.pointer}" if fault.pointer else ""
            yield error("d-contract", f"contracts/{name}{at}: {fault.code}: {fault.message}", fix)
        except (OSError, NotRegular, TooLarge) as trouble:
            yield error("d-contract", f"contracts/{name} cannot be read: {trouble}", "make it a readable, regular file")
    if types:
        yield ok("d-contract", f"{len(types)} task types: {', '.join(types[:8])}{' …' if len(types) > 8 else ''}")
    else:
        fix = f"echo '{{}}' > {shlex.quote(os.path.join(site.places.contracts, 'echo.json'))}"
        yield warning("d-contract-none", "no task type has a contract, so no task can be submitted", fix)


def stands_alone(site: Site) -> Iterator[Finding]:
    """No other root is near enough to be taken for this one."""
    nested = False
    above = os.path.dirname(site.places.root)
    while True:
        if os.path.exists(os.path.join(above, "taskdir.json")):
            nested = True
            fix = "name the root you mean with --root or $TASKDIR, or move one of them"
            yield warning("d-nested", f"this root lies inside another one, {above}", fix)
        if above == os.path.dirname(above):
            break
        above = os.path.dirname(above)
    for agent in listing(site.places.claimed):
        inner = os.path.join(site.places.claimed, agent, "taskdir.json")
        if os.path.exists(inner):
            nested = True
            message = f"claimed/{names.printable(agent)}/ holds a root of its own: commands run there would take it"
            yield warning("d-nested", message, f"move {shlex.quote(inner)} away, or give agents $TASKDIR")
    if not nested:
        yield ok("d-nested", "no other root is near")


def is_not_tracked(site: Site) -> Iterator[Finding]:
    """Git tracks contracts at most: a tracked taskdir.json gives every worktree a root of its own, silently."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    asked = ["git", "-C", site.places.root, "ls-files", "-z", "--", *_TRACKED]
    try:
        answer = subprocess.run(asked, env=clean, capture_output=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return
    tracked = sorted({os.fsdecode(name).split("/")[0] for name in answer.stdout.split(b"\0") if name})
    if answer.returncode == 0 and tracked:
        untrack = f"git -C {shlex.quote(site.places.root)} rm -r --cached {' '.join(tracked)}"
        fix = f"{untrack}, and keep the .gitignore that `init` writes"
        yield warning("d-tracked", f"git tracks {', '.join(tracked)}: every worktree becomes a root of its own", fix)
    else:
        yield ok("d-tracked", "git tracks nothing that lives here")
