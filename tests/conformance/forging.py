"""Makes logs by hand, from SPEC section 9 alone: chains made right again, events invented, whole histories drawn.

What is made here need not be possible; it need only be the same to two auditors.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import random
import re
from typing import Any

from conformance.lives import VALUES, Tree

Event = dict[str, Any]
LIVE = b"log.jsonl"
_SEGMENT = re.compile(rb"log/([0-9]{12})\.jsonl(\.gz)?")
HASH = "5" * 64
IDS = ("t1", "t2", "t3", "t4", "t5", "ghost")
AGENTS = ("al", "bo", "eve")
KEYS = ("head", "plan")
TASK: Event = {
    "type": "echo", "input": {}, "queue": "default", "priority": 5, "max_attempts": 3, "lease_seconds": 1800,
    "timeout_seconds": 86400, "backoff_seconds": 1,
}  # fmt: skip
REASON = {"code": "bad-value", "message": "no", "file": "x.json"}
ERROR = {"code": "disk", "message": "no luck \u20ac"}


class Forger:
    """A log as batches of events, each batch in one of the segments; ``put`` writes it into a tree, well chained."""

    def __init__(self, segments: list[list[list[Event]]]) -> None:
        self.segments = segments or [[]]

    @classmethod
    def of(cls, tree: Tree) -> Forger:
        """Read what a tree has; what cannot be read is left out."""
        segments = []
        for name in log_files(tree):
            content = tree[name]
            assert isinstance(content, bytes)
            lines = (gzip.decompress(content) if name.endswith(b".gz") else content).splitlines()
            batches: list[list[Event]] = [[]]
            for line in lines:
                event = json.loads(line)
                batches[-1].append(dict(event))
                if "end" in event:
                    batches.append([])
            segments.append([batch for batch in batches if batch])
        return cls(segments)

    def batches(self) -> list[list[Event]]:
        """All batches, in order."""
        return [batch for segment in self.segments for batch in segment]

    def put(self, tree: Tree, dice: random.Random, edit: Any = None) -> None:
        """Write the log: seq, prev and end are made right. ``edit``: (event, text → text), a change of one line."""
        for name in log_files(tree):
            del tree[name]
        seq, prev = 0, "0" * 64
        for segment in self.segments:
            first, lines = seq + 1, b""
            for batch in segment:
                start = seq + 1
                for event in batch:
                    seq += 1
                    kept = {name: value for name, value in event.items() if name not in ("seq", "prev", "end")}
                    end = {"end": start} if event is batch[-1] else {}
                    text = json.dumps({"seq": seq, **kept, "prev": prev, **end}, separators=(",", ":"))
                    if edit is not None and event is edit[0]:
                        text = edit[1](text)
                    prev = hashlib.sha256(text.encode()).hexdigest()
                    lines += text.encode() + b"\n"
            name = LIVE if segment is self.segments[-1] else f"log/{first:012d}.jsonl".encode()
            if name != LIVE and dice.random() < 0.3:
                name, lines = name + b".gz", gzip.compress(lines, mtime=0)
            tree[name] = lines


def log_files(tree: Tree) -> list[bytes]:
    """The names of a tree's log files that are regular files, in order."""
    closed = sorted(name for name in tree if _SEGMENT.fullmatch(name))
    return [name for name in [*closed, LIVE] if isinstance(tree.get(name), bytes)]


def invent_event(dice: random.Random, batch: list[Event], known: list[Event]) -> Event:
    """Draw an event of any kind about tasks and agents that may be there."""
    ids = [event["id"] for event in known if isinstance(event.get("id"), str)] or list(IDS)
    about = {"id": dice.choice(ids), "attempt": dice.choice([1, 1, 1, 2, 3]), "agent": dice.choice(AGENTS)}
    by = {"by": f"m{dice.randrange(10**6)}", "sha256": HASH}
    reason = REASON | {
        "code": dice.choice(["bad-value", "ready-stranger", "claim-unknown"]),
        "file": dice.choice(["x.json", "a\\\\b.json", "a\\x01.json", "ready/default/q", "\\q", "é", "z" * 221]),
    }
    kinds: dict[str, Event] = {
        "started": {"version": "1", "protocol": 1, "pid": 1},
        "stopped": {},
        "contract": {"type": dice.choice(["echo", "sum"]), "sha256": HASH, "contract": {"output": {"type": "number"}}},
        "accepted": {
            "id": dice.choice([*IDS, f"n{dice.randrange(10**6)}"]), "sha256": HASH, "contract": HASH,
            "task": invent_task(dice),
            **({"batch": "b1"} if dice.random() < 0.1 else {}),
        },
        "batch": {"by": "b1", "sha256": HASH, "count": dice.choice([1, 2])},
        "duplicate": by,
        "rejected": {"file": "x.json", "reason": reason},
        "redriven": {"id": about["id"], "attempt": about["attempt"], "sha256": HASH},
        "claimed": about,
        "returned": about | ({"reason": "max-claims"} if dice.random() < 0.5 else {}),
        "expired": about | {"delay": 1},
        "abandoned": about | {"notes": ""},
        "timed_out": about | {"delay": 0.5},
        "errored": about | {"error": ERROR, "retry": True},
        "refused": about | {"sha256": HASH, "reason": reason},
        "late": about | {"file": "x.result.json", "sha256": HASH, "reason": reason},
        "done": about | {"output": dice.choice(VALUES), "sha256": HASH},
        "failed": {"id": about["id"], "error": ERROR},
        "canceled": {"id": about["id"], **by, **(about if dice.random() < 0.5 else {})},
        "set": by | {"key": dice.choice(KEYS), "version": dice.choice([1, 2, 3]), "value": dice.choice(VALUES)},
        "noted": by | {"message": "x"},
        "breach": {"code": reason["code"], "place": "ready", "name": "x", "reason": reason},
        "benched": {"agent": about["agent"], "seconds": 9},
        "unbenched": {"agent": about["agent"]},
    }  # fmt: skip
    event = dice.choice(list(kinds))
    return {"time": "2027-01-15T08:00:00.000000Z", "event": event, **kinds[event]}


def invent_task(dice: random.Random) -> Event:
    """Draw a resolved task."""
    some: Event = {
        "after": sorted({dice.choice(IDS) for _ in range(2)}), "resources": ["gpu"], "input": dice.choice(VALUES),
        "not_before": dice.choice(["2028-02-29T00:00:00Z", "2020-01-01T00:00:00.123456789Z"]), "priority": 0,
        "x-own": 1,
    }  # fmt: skip
    return TASK | {field: some[field] for field in dice.sample(list(some), dice.choice([0, 0, 1, 2]))}


def invent_log(dice: random.Random) -> Tree:
    """Draw a whole history, most of it possible, without any directory of the daemon's."""
    states: dict[str, tuple[str, int, str]] = {}
    batches: list[list[Event]] = [[_event("started", version="1", protocol=1, pid=1)]]
    contract = {} if dice.random() < 0.5 else {"output": {"type": "number"}}
    batches.append([_event("contract", type="echo", sha256=HASH, contract=contract)])
    for _ in range(dice.randrange(2, 30)):
        if dice.random() < 0.06:
            batches.append([invent_event(dice, [], batches[-1]) for _ in range(dice.choice([1, 1, 2]))])
            continue
        batches.append(_possible(dice, states))
        if dice.random() < 0.2 and len(batches) > 3:
            batches[-2:] = [batches[-2] + batches[-1]]
    cuts = sorted(dice.sample(range(1, len(batches)), min(dice.choice([0, 0, 1, 3]), len(batches) - 1)))
    edges = [0, *cuts, len(batches)]
    tree: Tree = {b"taskdir.json": b'{"protocol": 1}'}
    Forger([batches[one:other] for one, other in itertools.pairwise(edges)]).put(tree, dice)
    return tree


def _event(name: str, **fields: Any) -> Event:
    return {"time": "2027-01-15T08:00:00.000000Z", "event": name, **fields}


def _possible(dice: random.Random, states: dict[str, tuple[str, int, str]]) -> list[Event]:
    """Draw a batch that may well follow; ``states``: id → (state, attempt, agent)."""
    id = dice.choice(IDS[:5])
    state, attempt, agent = states.get(id, ("", 1, ""))
    about: Event = {"id": id, "attempt": attempt, "agent": agent or dice.choice(AGENTS)}
    if not state:
        states[id] = ("queued", 1, "")
        return [_event("accepted", id=id, sha256=HASH, task=invent_task(dice), contract=HASH)]
    if state == "queued":
        states[id] = ("claimed", attempt, about["agent"])
        return [_event("claimed", **about)]
    if state == "claimed":
        how = dice.choice(["done", "expired", "errored", "returned", "canceled", "failed", "refused"])
        next_up = {"done": "done", "failed": "failed", "canceled": "canceled", "refused": "claimed"}.get(how, "queued")
        states[id] = (next_up, attempt + (how not in ("done", "refused")), agent if how == "refused" else "")
        more: Event = {
            "done": {"output": dice.choice(VALUES), "sha256": HASH}, "errored": {"error": ERROR, "retry": True},
            "canceled": {"by": f"c{dice.randrange(10**6)}", "sha256": HASH},
            "refused": {"sha256": HASH, "reason": REASON},
        }.get(how, {})  # fmt: skip
        if how == "failed":
            return [_event("abandoned", **about), _event("failed", id=id, error=ERROR)]
        return [_event(how, **about, **more)]
    if state in ("failed", "canceled"):
        states[id] = ("queued", attempt, "")
        return [_event("redriven", id=id, attempt=attempt, sha256=HASH)]
    return [_event("noted", by=f"n{dice.randrange(10**6)}", sha256=HASH, message="idle")]
