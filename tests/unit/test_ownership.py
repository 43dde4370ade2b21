"""Whose names are whose behind walls: what a message may name, and what it is told when it names more."""

from __future__ import annotations

from typing import Any

import pytest

from taskdir import ownership

AGENTS = {"ann", "bob"}
TASK = {"type": "echo"}
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("another's name", TASK | {"from": "bob"}, "bad-value", "/from"),
    ("nobody's name", {"kind": "note", "message": "x", "from": "root"}, "bad-value", "/from"),
    ("another's task before it", TASK | {"after": ["ann-1", "bob-1"]}, "unknown-dependency", "/after/1"),
    ("the operator's task before it", TASK | {"after": ["build"]}, "unknown-dependency", "/after/0"),
    ("a member's id", {"kind": "batch", "messages": [{"id": "bob-2"} | TASK]}, "id-taken", "/messages/0/id"),
    (
        "a member's name",
        {"kind": "batch", "messages": [{"id": "ann-2", "from": "bob"}]},
        "bad-value",
        "/messages/0/from",
    ),
    (
        "a member after another's",
        {"kind": "batch", "messages": [{"id": "ann-2"}, {"id": "ann-3", "after": ["bob-1"]}]},
        "unknown-dependency",
        "/messages/1/after/0",
    ),
    ("a cancel of another's", {"kind": "cancel", "task": "bob-1"}, "cancel-unknown", "/task"),
    ("a cancel of a name that begins alike", {"kind": "cancel", "task": "anna-1"}, "cancel-unknown", "/task"),
    ("a note about another's", {"kind": "note", "message": "x", "task": "bob-1"}, "note-unknown-task", "/task"),
    ("another's queue", TASK | {"queue": "bob-fast"}, "bad-value", "/queue"),
    ("another's resource", TASK | {"resources": ["gpu", "bob-repo"]}, "bad-value", "/resources/1"),
    ("another's key", {"kind": "state", "key": "bob-head", "value": 1}, "bad-value", "/key"),
]
ALLOWED: list[dict[str, Any]] = [
    TASK,
    TASK | {"from": "ann", "after": ["ann-1"], "queue": "@bob", "resources": ["gpu", "ann-repo"]},
    {"kind": "batch", "messages": [{"id": "ann-2"}, {"id": "ann-3", "after": ["ann-2"]}]},
    {"kind": "cancel", "task": "ann-1"},
    {"kind": "note", "message": "x"},
    {"kind": "state", "key": "ann-head", "value": 1},
    {"kind": "state", "key": "release", "value": 1},
    {"kind": "record", "task": {"type": "echo"}},
]


@pytest.mark.parametrize(("message", "code", "pointer"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_message_names_what_is_not_its_own(message: dict[str, Any], code: str, pointer: str) -> None:
    fault = ownership.trespass("ann", message, AGENTS)
    assert fault is not None
    assert (fault.code, fault.pointer) == (code, pointer)


@pytest.mark.parametrize("message", ALLOWED, ids=lambda message: message.get("kind", "task"))
def test_a_message_names_its_own(message: dict[str, Any]) -> None:
    assert ownership.trespass("ann", message, AGENTS) is None


def test_an_id_tells_its_owner() -> None:
    assert ownership.owner("bob-1", AGENTS) == "bob"
    assert ownership.owner("bobby-1", AGENTS) is None
    assert ownership.owner("bob", AGENTS) is None
    assert ownership.taken("ann", "x", "/id").code == "id-taken"
