"""Errors say what, where, which rule and what next; the class fixes the exit code."""

from __future__ import annotations

import errno
import os

import pytest

from taskdir import errors
from taskdir.errors import CannotCreate, Missing, TaskdirError

EXITS = {
    "TaskdirError": 1,
    "LogDamaged": 1,
    "Usage": 2,
    "Invalid": 65,
    "Missing": 66,
    "NoDaemon": 69,
    "CannotCreate": 73,
    "Busy": 75,
    "ConfigError": 78,
    "TimedOut": 124,
}


def test_each_class_has_its_exit_code() -> None:
    found = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert {name: kind.exit for name, kind in found.items() if issubclass(kind, TaskdirError)} == EXITS


FULL = {"path": "inbox/x.json", "pointer": "/type", "expected": "a word", "hint": "rename it"}
SAID = [
    ({}, {"code": "c", "message": "m"}, "m [c]"),
    (
        FULL,
        {"code": "c", "message": "m", "file": "inbox/x.json"} | {k: v for k, v in FULL.items() if k != "path"},
        "inbox/x.json: /type: m (expected: a word) [c]\n  next: rename it",
    ),
    ({"path": "x", "pointer": ""}, {"code": "c", "message": "m", "file": "x", "pointer": ""}, "x: m [c]"),
]


@pytest.mark.parametrize(("parts", "as_dict", "text"), SAID)
def test_an_error_tells_its_parts(parts: dict[str, str], as_dict: dict[str, str], text: str) -> None:
    error = TaskdirError("c", "m", **parts)
    assert error.as_dict() == as_dict
    assert str(error) == text
    assert error.args == ("m",)


def test_what_the_file_system_refuses_is_told() -> None:
    with pytest.raises(Missing, match="a directory of the root is missing") as missing, errors.Telling("inbox/x.json"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    assert missing.value.as_dict()["file"] == "inbox/x.json"
    with pytest.raises(CannotCreate, match="cannot write here: No space left"), errors.Telling("x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with errors.Telling("x"):
        pass


def test_a_lost_claim_is_told() -> None:
    assert errors.claim_lost("claimed/me/x.json").as_dict()["code"] == "claim-lost"
