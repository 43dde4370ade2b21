"""What holds in every scenario: documents and events meet their schemas, the chain is whole, the books balance (P6)."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from taskdir import lifecycle, logread, strictjson, validate
from taskdir.conformance.cases import Broken, want
from taskdir.conformance.stage import Stage

DOCUMENTS = (
    ("done/*.json", "record"),
    ("failed/*.json", "record"),
    ("rejected/*.reason.json", "reason"),
    ("claimed/*/*.refused.json", "reason"),
    ("ready/*/*.json", "offer"),
)
_NO_STEP = ("late", "breach", "noted")
"""Events about a task that change no state."""


@cache
def checker(document: str) -> validate.Checker:
    """Return the checker of one document."""
    return validate.document(document)


def check_documents(stage: Stage) -> None:
    """Whatever the daemon shows meets its schema at every step (P2). Raises Broken."""
    for pattern, document in DOCUMENTS:
        for path in stage.root.glob(pattern):
            if fault := checker(document).check(strictjson.loads(path.read_bytes())):
                raise Broken(f"{path.relative_to(stage.root)}", f"a {document}", str(fault), fault.code)


def check_log(root: str, events: list[dict[str, Any]]) -> None:
    """The chain is whole, each line meets its schema, and as many tasks are in the five states as were accepted."""
    reader = logread.Reader(logread.segments(root))
    want("whole lines of the log", len(events), sum(len(batch.events) for batch in reader.batches()), "log-line")
    if reader.damage is not None:
        raise Broken("the log", "a whole chain", str(reader.damage), "log-chain")
    states: dict[str, str] = {}
    for event in events:
        if fault := checker("event").check(event):
            raise Broken(f"event {event['seq']}", "what its schema says", str(fault), "log-event")
        if event["event"] == "accepted":
            states[event["id"]] = "queued"
        elif "id" in event and event["event"] not in _NO_STEP:
            step = states.get(event["id"], ""), event["event"]
            if step not in lifecycle.NEXT:
                raise Broken(f"event {event['seq']}", "a step of the life-cycle table", repr(step), "log-event")
            states[event["id"]] = lifecycle.NEXT[step]
    count, now = Counter(event["event"] for event in events), Counter(states.values())
    want("tasks in the five states", count["accepted"], sum(now[state] for state in lifecycle.STATES), "p6")
    want("done tasks: one result is accepted, for good (P4)", count["done"], now["done"], "p6")


def codes_of(events: list[dict[str, Any]]) -> set[str]:
    """Return every rule code and word that the events give as a reason."""
    told = [(event.get("reason") or event.get("error"), event.get("code")) for event in events]
    codes = {code for _, code in told if code} | {said["code"] for said, _ in told if isinstance(said, dict)}
    return codes | {said for said, _ in told if isinstance(said, str)}
