"""Every scenario vector, played; after each step the whole tree is as it says, and so is the log at the end.

What holds in every scenario is checked here too: published documents and events meet their schemas, the log's chain
is whole, each task is in one state (P3), the books balance (P6), and replaying the log gives the same index.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from taskdir import logread, rules
from taskdir.conformance import daemon, vectors
from taskdir.conformance.own import Own
from taskdir.conformance.stage import play
from taskdir.index import Index


def check_replay(root: Path) -> None:
    """Replay gives what live work gave; what follows the clock is aside."""
    live, replayed = Index(str(root / ".taskdir" / "index.sqlite")), Index(":memory:")
    for batch in logread.Reader(logread.segments(str(root))).batches():
        replayed.apply(batch)
    assert list(replayed.facts()) == list(live.facts())
    for index in (live, replayed):
        index.close()


@pytest.fixture(autouse=True)
def _no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no device: what a power cut leaves is for tests/faults to say."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda fd: None, raising=False)


@pytest.mark.parametrize("path", vectors.files("scenarios"), ids=lambda path: path.name)
def test_vectors_meet_their_schema(path: Path) -> None:
    schema = json.loads((vectors.vectors_dir() / "scenario-vector.schema.json").read_bytes())
    found = json.loads(path.read_bytes())
    jsonschema.validate(found, schema, registry=referencing.Registry())
    said = [scenario["description"] for scenario in found]
    assert len(set(said)) == len(said)
    assert {scenario["code"] for scenario in found if "code" in scenario} <= set(rules.codes())


@pytest.mark.parametrize("scenario", [pytest.param(each, id=name) for name, each in vectors.scenarios()])
def test_scenario(scenario: dict[str, Any], tmp_path: Path) -> None:
    if scenario.get("needs") == "unprivileged" and os.geteuid() == 0:
        as_nobody(scenario)
    else:
        judge(scenario, tmp_path / "root")


def as_nobody(scenario: dict[str, Any]) -> None:
    """Play a scenario in a child under another uid, since file modes do not bind root."""
    for name in rules.DOCUMENTS:
        rules.schema(name)  # read now: the checkout may be closed to that user
    rules.codes()
    base = tempfile.mkdtemp()
    os.chown(base, NOBODY, NOBODY)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            judge(scenario, Path(base) / "root")
            os.write(tell, b"well")
        except BaseException as error:  # noqa: BLE001  whatever it is, the parent has to tell it
            os.write(tell, repr(error).encode()[:4096])
        finally:
            os._exit(0)
    os.close(tell)
    with open(told, encoding="utf-8") as words:
        said = words.read()
    os.waitpid(child, 0)
    shutil.rmtree(base)
    assert said == "well"


def judge(scenario: dict[str, Any], root: Path) -> None:
    """Play a scenario at ``root`` and check all that must hold."""
    daemon.scenario(Own(), scenario, root)
    check_replay(root)


NOBODY = 65534
OFFER = "ready/default/5-000000000003.a.1.json"
PLANTED = {
    "a file is missing": ({"tree": {OFFER: "*", "done/a.json": "*"}}, "done/a.json: not there"),
    "a file too many": ({"tree": {}}, f"{OFFER}: not expected there"),
    "a wrong value": ({"tree": {OFFER: {"input": [1, "*"]}}}, f"{OFFER} /input: [1]"),
    "true is not 1": ({"tree": {OFFER: {"attempt": True}}}, f"{OFFER} /attempt: 1"),
    "more than exactly that": ({"tree": {OFFER: {"context": {}, "input": {"$equals": []}}}}, f"{OFFER} /input: [1]"),
    "what should be absent": ({"tree": {OFFER: {"type": {"$absent": True}}}}, f"{OFFER} /type: there"),
    "another kind of file": ({"tree": {OFFER: {"$is": "fifo"}}}, f"{OFFER}: is a regular file"),
    "an event is missing": ({"events": ["started", "accepted"]}, 'events: ["started", "contract", "accepted"]'),
    "a wrong event": (
        {"events": ["started", "contract", {"event": "accepted", "id": "b"}]},
        "event 3, accepted: /id: 'a'",
    ),
}


@pytest.mark.parametrize(("change", "fault"), PLANTED.values(), ids=PLANTED)
def test_the_runner_sees_what_is_planted(change: dict[str, Any], fault: str, tmp_path: Path) -> None:
    step = {"say": "x", "do": [{"write": "inbox/a.json", "json": {"type": "echo", "input": [1]}}], "tree": {OFFER: "*"}}
    good = {"steps": [step], "events": ["started", "contract", "accepted"]}
    assert play(good, tmp_path / "good") == []
    bad = {"steps": [step | {"tree": change.get("tree", step["tree"])}], "events": change.get("events", good["events"])}
    found = " ".join(play(bad, tmp_path / "bad"))
    assert fault in found
