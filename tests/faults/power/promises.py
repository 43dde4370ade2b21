"""What must hold of a root after a power cut: what anyone was told is so, the log is the one there was, the rest mends.

Three looks: as the file system gave it back, by a reader of our own; after the recovery, by ``taskdir check`` and by
what was marked before the cut; after agents went on until nothing is left to do.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.crashes import rest
from faults.power.story import result
from faults.verdict import Before, Wrong, judge
from taskdir import check, gestures
from taskdir.conformance.own import Ticker
from taskdir.daemon import Daemon
from taskdir.disk import Disk
from taskdir.places import Places

Event = dict[str, Any]
FATE = {
    "accepted": {"accepted", "batch", "set", "noted", "canceled"},
    "refused": {"rejected"},
    "redriven": {"redriven"},
}
"""What the log says of a message that was judged."""
ENDS = {"accepted": {"done", "errored"}, "refused": {"refused"}, "late": {"late"}}
"""What the log says of a result that was judged."""
LATER = 2_000_000_000.0


@dataclass(slots=True)
class Told:
    """What somebody could rely on at some moment, out of the marks so far."""

    submitted: dict[str, str] = field(default_factory=dict)
    judged: dict[str, str] = field(default_factory=dict)
    offered: set[str] = field(default_factory=set)
    finished: dict[tuple[str, str], str] = field(default_factory=dict)
    shown: set[tuple[str, str]] = field(default_factory=set)

    def take(self, mark: str) -> None:
        """Take in one mark (``story``)."""
        word, *rest = mark.split()
        if word == "submit":
            self.submitted[rest[0]] = rest[1]
        elif word == "judged":
            self.judged[rest[0] + "/redriven" * (rest[1] == "redriven")] = rest[1]
        elif word == "offered":
            self.offered.add(rest[0])
        elif word == "finish":
            self.finished[rest[0], rest[1]] = "?"
        elif word == "ended":
            last = [key for key in self.finished if key[0] == rest[0]][-1]
            self.finished[last] = rest[1]
        elif word == "shown":
            self.shown.add((rest[0], rest[1]))


def whole(data: bytes) -> list[bytes]:
    """Return the lines of a log's whole batches; what follows the last one, or breaks the chain, is no fact."""
    lines, count, prev = list[bytes](), 0, "0" * 64
    for line in data.split(b"\n")[:-1]:
        try:
            event = json.loads(line)
        except ValueError:
            break
        if not isinstance(event, dict) or (event.get("seq"), event.get("prev")) != (len(lines) + 1, prev):
            break
        prev = hashlib.sha256(line).hexdigest()
        lines.append(line)
        count = len(lines) if "end" in event else count
    return lines[:count]


def log_of(root: Path) -> bytes:
    """Read all of a log; a segment under both its names counts once."""
    files = [*sorted((root / "log").glob("*.jsonl")), root / "log.jsonl"]
    inodes = {path.stat().st_ino: path for path in reversed(files) if path.exists()}
    return b"".join(path.read_bytes() for path in files if path in inodes.values())


def before_recovery(root: Path, told: Told, history: list[bytes]) -> list[bytes]:
    """Look at what the cut left; returns the facts. ``history``: the log as it was to become. Raises Wrong."""
    facts = whole(log_of(root))
    if facts != history[: len(facts)]:
        raise Wrong("the log that was left is no beginning of the one that was written")
    events = [json.loads(line) for line in facts]
    ended = {(event["event"], event["id"]) for event in events if event["event"] in ("done", "failed", "canceled")}
    ended |= {("failed", id) for _, id in ended}
    accepted = {event["id"] for event in events if event["event"] == "accepted"}
    for place in ("done", "failed"):
        for name in _visible(root / place):
            if (place, name.removesuffix(".json")) not in ended:
                raise Wrong(f"{place}/{name} is shown, and the log does not have it")
    for queue in _visible(root / "ready"):
        for name in _visible(root / "ready" / queue):
            if name.split(".")[1] not in accepted:
                raise Wrong(f"ready/{queue}/{name} is shown, and the log does not have it")
    for place, id in told.shown | {("ready", id) for id in told.offered}:
        logged = id in accepted if place == "ready" else (place, id) in ended
        if place != "rejected" and not logged:
            raise Wrong(f"{id} was seen in {place}/, and the log does not have it")
    for fault in _fates(events, told):
        raise Wrong(fault)
    return facts


def _visible(place: Path) -> list[str]:
    return [name for name in os.listdir(place) if not name.startswith(".")] if place.is_dir() else []


def _fates(events: list[Event], told: Told) -> Iterator[str]:
    """Compare what was judged before the cut with the log."""
    for key, word in told.judged.items():
        id = key.partition("/")[0]
        if not any(event["event"] in FATE[word] and _names(event) == id for event in events):
            yield f"{id} was {word}, and the log does not have it"
    for (stem, digest), word in told.finished.items():
        if word != "?" and not any(event["event"] in ENDS[word] for event in events if event.get("sha256") == digest):
            yield f"the result of {stem} was {word}, and the log does not have it"


def _names(event: Event) -> str:
    """Return the id of the message that an event is about."""
    if event["event"] == "rejected":
        return str(event["file"]).removesuffix(".json")
    return str(event["id"] if event["event"] in ("accepted", "redriven") else event["by"])


def after_recovery(root: Path, told: Told, facts: list[bytes]) -> None:
    """Let a daemon recover, and agents finish what is left. Raises Wrong."""
    ticker = Ticker(LATER, LATER)
    before = Before(len(facts), hashlib.sha256(facts[-1]).hexdigest() if facts else "")
    before.look(str(root))
    daemon = Daemon(str(root), clock=ticker)
    try:
        daemon.open()
        rest(daemon)
        _at_rest(root, told, facts, before)
        _go_on(root, daemon, ticker)
        _at_rest(root, told, facts, before)
        _all_done(root)
        daemon.close()
    except BaseException:
        daemon.abandon()
        raise


def _at_rest(root: Path, told: Told, facts: list[bytes], before: Before) -> None:
    judge(str(root), before)
    lines = whole(log_of(root))
    if lines[: len(facts)] != facts:
        raise Wrong("facts are gone from the log")
    events = [json.loads(line) for line in lines]
    if pruned := check.check_root(str(root), lambda count: None, lambda seconds: None).pruned:
        raise Wrong(f"{pruned} records are gone, and count as pruned")
    known = {event.get("sha256") for event in events}
    for id, digest in told.submitted.items():
        if digest not in known:
            raise Wrong(f"the message {id}, submitted and synced, is neither accepted nor refused")
    for stem, digest in told.finished:
        found = [event for event in events if event.get("sha256") == digest]
        if not any(event["event"] in ("done", "errored", "refused") for event in found):
            raise Wrong(f"the result of {stem}, finished and synced, was not taken")
    for fault in _fates(events, told):
        raise Wrong(fault)
    accepted = Counter(event["id"] for event in events if event["event"] == "accepted")
    if twice := [id for id, times in accepted.items() if times > 1]:
        raise Wrong(f"accepted twice: {twice}")


def _go_on(root: Path, daemon: Daemon, ticker: Ticker) -> None:
    """Let the agents take up what they hold and do what is offered, until there is nothing."""
    places, disk = Places(str(root)), Disk()
    for step in range(1, 20):
        for agent in ("alice", "bob", "carol"):
            while True:
                held = gestures.unfinished(places, agent)
                found = gestures.Claimed(held[0], _offer(held[0])) if held else gestures.claim(places, disk, agent)
                if not isinstance(found, gestures.Claimed):
                    break
                gestures.finish(disk, found.path, result("ok", found.offer))
                rest(daemon)
        if not daemon.index.tasks("state IN ('queued', 'claimed') AND id != 'stop'"):
            return
        ticker.tell(LATER + step, LATER + step)
        rest(daemon)


def _offer(path: str) -> Event:
    offer: Event = json.loads(Path(path).read_bytes())
    return offer


def _all_done(root: Path) -> None:
    events = [json.loads(line) for line in whole(log_of(root))]
    states = {event["id"]: event["event"] for event in events if event["event"] in ("accepted", "redriven")}
    states |= {event["id"]: event["event"] for event in events if event["event"] in ("done", "canceled", "failed")}
    left = [id for id, state in states.items() if state in ("accepted", "redriven") and id != "stop"]
    if left:
        raise Wrong(f"never ended: {left}")
