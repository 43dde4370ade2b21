"""What an audit compares: directories and index with a replay of the log (SPEC sections 3.3 and 10.7).

``take_look`` reads the directories once; everything after it is a pure comparison of that look with an Index that holds
the log's facts. Agents may act at any time, so what a gesture of theirs explains is no finding.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taskdir import names, strictjson
from taskdir.audit import Finding
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.documents import Task
from taskdir.index import Index
from taskdir.known import entry_bytes, offer_bytes, record_bytes
from taskdir.places import Places
from taskdir.trouble import Unreadable

Digests = dict[str, str]
"""File name → SHA-256 of its bytes, "" for what is no readable regular file."""

MOST = 100
"""Differences of the index that are listed; one is enough to build it anew."""

_TWO_KEYS = frozenset({"attempts", "needs", "waits"})
_KEPT_ASIDE = re.compile(r"\.[0-9]{12}\.json$")
_LARGEST = 1 << 30


@dataclass(slots=True)
class Look:
    """The daemon's directories at one instant; names that start with a dot are left out.

    ``ready`` by queue, "" for what lies in ready/ itself; ``claimed`` by agent. ``synced``: the seq up to which records
    were put on the device, so that an absence means "pruned". ``live``: a daemon was running. ``window``: the setting,
    None when it cannot be read. ``asleep``: the tasks that the daemon lets sleep by its clock, which no log tells.
    """

    done: Digests
    failed: Digests
    rejected: Digests
    state: Digests
    ready: dict[str, Digests] = field(default_factory=dict)
    claimed: dict[str, Digests] = field(default_factory=dict)
    synced: int = 0
    live: bool = False
    window: int | None = None
    context_bytes: int = 65536
    asleep: frozenset[str] = frozenset()


def take_look(
    places: Places, *, synced: int, live: bool, window: int | None, context_bytes: int, asleep: frozenset[str]
) -> Look:
    """Read what the directories show now: ready/ before claimed/, so that what moves meanwhile is not overlooked."""
    ready = {name: _digests(places.join("ready", name)) for name in _directories(places.ready)}
    ready[""] = {name: "" for name in _names(places.ready) if name not in ready}
    agents = {name: places.join("claimed", name) for name in _directories(places.claimed)}
    claimed = {name: _digests(at, names.REFUSED) for name, at in agents.items() if os.access(at, os.R_OK | os.X_OK)}
    done, failed = _digests(places.done), _digests(places.failed)
    rejected, state = _digests(places.rejected, names.REASON), _digests(places.state)
    return Look(done, failed, rejected, state, ready, claimed, synced, live, window, context_bytes, asleep)


def _names(path: str) -> list[str]:
    try:
        return [name for name in os.listdir(path) if not name.startswith(".")]
    except OSError:
        return []


def _directories(path: str) -> list[str]:
    inner = {name: os.path.join(path, name) for name in _names(path)}
    return [name for name, at in inner.items() if os.path.isdir(at) and not os.path.islink(at)]


def _digests(path: str, suffix: str = "") -> Digests:
    """Hash the files of a directory whose names end in ``suffix``; the others are named alone."""
    found = {}
    for name in _names(path):
        try:
            data = read_regular(os.path.join(path, name), _LARGEST) if name.endswith(suffix) else b""
        except FileNotFoundError:
            continue
        except (OSError, NotRegular, TooLarge):
            found[name] = ""
        else:
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def directories(index: Index, look: Look, refused: dict[str, set[str]]) -> Iterator[Finding]:
    """Yield every difference between the directories and the facts; ``refused`` as an Audit keeps it.

    Needs the operator's capacities in the index (``lines.use``), and wakes there whom the daemon woke.
    """
    index.wake(math.inf, look.asleep)
    yield from _records(index, look)
    yield from _offers(index, look)
    if look.live:
        yield from _claims(index, look)
    yield from _refusals(look.rejected, refused)
    yield from _entries(index, look.state)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _records(index: Index, look: Look) -> Iterator[Finding]:
    for (id,) in index.rows("SELECT id FROM tasks WHERE final IS NOT NULL ORDER BY id"):
        task = index.task(id)
        assert task is not None
        assert task.final is not None
        place, shown = ("done", look.done) if task.state == "done" else ("failed", look.failed)
        file, found = f"{place}/{id}.json", shown.get(f"{id}.json")
        if found is None:
            if task.final > look.synced:
                said = f"{id} is {task.state} since seq {task.final}, and its record is not there"
                yield Finding("view-missing", said, file)
        elif found != _hash(record_bytes(index, task)):
            yield Finding("view-differs", f"the record of {id} is not what the log says", file)
    for place, shown in (("done", look.done), ("failed", look.failed)):
        for name in sorted(shown):
            id = name.removesuffix(names.TASK)
            task = index.task(id) if name.endswith(names.TASK) and names.is_word(id) else None
            if task is None or task.final is None or (task.state == "done") != (place == "done"):
                said = f"{task.id} is {task.state}" if task else "no task that the log knows ended here"
                yield Finding("view-stranger", said, f"{place}/{name}")


def _offers(index: Index, look: Look) -> Iterator[Finding]:
    for queue, shown in sorted(look.ready.items()):
        for name in sorted(shown):
            yield from _offer(index, look, queue, name)
    if not look.live or look.window is None:
        return  # without a daemon, an agent may have taken an offer and given it back
    taken = {str(parts[0]) for found in look.claimed.values() for name in found if (parts := names.split_claimed(name))}
    for queue in index.queues():
        for task in index.window(queue, look.window):
            name = task.stem + names.TASK
            if name not in look.ready.get(queue, {}) and task.stem not in taken:
                yield Finding("view-missing", f"{task.id} may start now, and is not offered", f"ready/{queue}/{name}")


def _offer(index: Index, look: Look, queue: str, name: str) -> Iterator[Finding]:
    file = f"ready/{queue}/{name}" if queue else f"ready/{name}"
    stem = names.parse_stem(name.removesuffix(names.TASK)) if name.endswith(names.TASK) else None
    task = index.task(stem.id) if stem else None
    if stem is None or task is None or stem.seq > task.seq or stem.attempt > task.attempt or task.queue != queue:
        yield Finding("view-stranger", "the daemon never offered this", file)
    elif task.state != "queued" or task.stem != str(stem):
        if look.live:  # else what `mv` back into ready/ leaves: the next daemon removes it
            yield Finding("view-stranger", f"{task.id} is {task.state}, attempt {task.attempt} comes next", file)
    elif index.lines.unmet(task.id):
        yield Finding("view-stranger", f"{task.id} still waits for other tasks", file)
    elif look.ready[queue][name] != _hash(_offer_bytes(index, task, look.context_bytes)):
        yield Finding("view-differs", f"the offer of {task.id} is not what the log says", file)
    elif look.live and (said := _too_early(index, task, look)):
        yield Finding("view-stranger", said, file)


def _offer_bytes(index: Index, task: Task, context_bytes: int) -> bytes:
    contract = index.register.contract(task.type, task.contract) or {}
    return offer_bytes(index, task, contract.get("output"), context_bytes)


def _too_early(index: Index, task: Task, look: Look) -> str | None:
    """Say why a queued task may not be offered now; None when it may, or sleeps: then it may just have been woken."""
    if task.id in look.asleep or look.window is None:
        return None
    if stalls := index.lines.stalls(task.id):
        return f"{task.id} is not in front of the line for {stalls[0][0]}"
    if task.id not in {each.id for each in index.window(task.queue, look.window)}:
        return f"{task.id} is not among the first {look.window} of its queue"
    return None


def _claims(index: Index, look: Look) -> Iterator[Finding]:
    for task in index.tasks("state = 'claimed' ORDER BY id"):
        shown = look.claimed.get(task.agent or "")
        base = f"claimed/{task.agent}/{task.stem}"
        if shown is None:
            continue  # the directory could not be listed: nothing is known of it
        if not {task.stem + names.TASK, task.stem + names.RESULT} & shown.keys():
            said = f"{task.agent} holds {task.id} by the log, and nothing shows it"
            yield Finding("view-missing", said, base + names.TASK)
        refusal = shown.get(task.stem + names.REFUSED)
        if refusal is not None and (task.refusal is None or refusal != _hash(strictjson.pretty(task.refusal))):
            yield Finding("view-differs", "the refusal is not what the log says", base + names.REFUSED)
    for agent, shown in sorted(look.claimed.items()):
        for name in sorted(shown):
            parts = names.split_claimed(name)
            if not names.is_word(agent) or parts is None or parts[1] != names.TASK:
                continue
            found = index.task(parts[0].id)
            if found is None or (found.state, found.agent, found.stem) != ("claimed", agent, str(parts[0])):
                yield Finding("view-stranger", f"{agent} does not hold this by the log", f"claimed/{agent}/{name}")


def _refusals(shown: Digests, refused: dict[str, set[str]]) -> Iterator[Finding]:
    for name in sorted(shown):
        if not name.endswith(names.TASK):
            continue
        aside = _KEPT_ASIDE.sub("", name)
        known = refused.get(name) or (aside != name and (refused.get(aside + names.TASK) or refused.get(aside)))
        if not known:
            yield Finding("view-stranger", "the log knows no refusal under this name", f"rejected/{name}")
        elif name.endswith(names.REASON) and shown[name] not in known:
            yield Finding("view-differs", "the reason is not what the log says", f"rejected/{name}")


def _entries(index: Index, shown: Digests) -> Iterator[Finding]:
    keys = {key + names.TASK: key for key in sorted(index.shelf.keys())}
    for name in sorted(keys.keys() | shown.keys()):
        data = entry_bytes(index, keys[name]) if name in keys else None
        if data is None:
            yield Finding("view-stranger", "no message ever set this key", f"state/{name}")
        elif name not in shown:
            yield Finding("view-missing", f"the key {keys[name]} was set, and its entry is not there", f"state/{name}")
        elif shown[name] != _hash(data):
            yield Finding("view-differs", f"the entry of {keys[name]} is not what the log says", f"state/{name}")


def indexes(kept: Index, told: Index) -> list[Finding]:
    """Compare an index, row by row, with a replay up to the same seq; lists the first MOST differences."""
    try:
        said = list(itertools.islice(_differences(kept, told), MOST))
    except Unreadable as error:
        said = [f"the index cannot be read: {error}"]
    return [Finding("index-differs", each, ".taskdir/index.sqlite") for each in said]


def _differences(kept: Index, told: Index) -> Iterator[str]:
    """Merge two runs of facts in the order of their keys."""
    left, right = kept.facts(), told.facts()
    mine, true = next(left, None), next(right, None)
    while mine or true:
        here, there = _key(mine), _key(true)
        if here < there:
            yield f"{_label(mine)} is unknown to the log"
        elif here > there:
            yield f"{_label(true)} is missing"
        elif mine != true:
            yield f"{_label(mine)} is not as the log says"
        mine, true = next(left, None) if here <= there else mine, next(right, None) if here >= there else true


def _label(fact: tuple[str, tuple[Any, ...]] | None) -> str:
    return f"the row {str(fact[1][0])[:64]!a} of {fact[0]}" if fact else ""


def _key(fact: tuple[str, tuple[Any, ...]] | None) -> tuple[Any, ...]:
    """Order facts as SQLite does: by table, then by key; nothing left comes last."""
    if fact is None:
        return ("~",)
    table, row = fact
    return (table, *(_rank(value) for value in row[: 2 if table in _TWO_KEYS else 1]))


def _rank(value: Any) -> tuple[int, Any]:
    return (0, 0) if value is None else (1, value) if isinstance(value, int | float) else (2, str(value))
