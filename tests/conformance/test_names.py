"""Every name vector through ``names``: which names each grammar takes, and into which parts it takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from taskdir import names

VECTORS = Path(__file__).parent / "vectors"
FILES = sorted((VECTORS / "names").glob("*.json"))
KINDS = {names.TASK: "offer", names.RESULT: "result", names.NOTES: "notes", names.REFUSED: "refused"}
Parts = dict[str, Any]


def word(name: str) -> Parts | None:
    return {} if names.is_word(name) else None


def queue(name: str) -> Parts | None:
    return {"word": name.removeprefix("@"), "own": name.startswith("@")} if names.is_queue(name) else None


def message(name: str) -> Parts | None:
    id = name.removesuffix(names.TASK)
    return {"id": id} if names.is_message_name(name) and names.is_word(id) else None


def visible(name: str) -> Parts | None:
    return {} if names.is_message_name(name) else None


def claim(name: str) -> Parts | None:
    found = names.split_claimed(name)
    if found is None:
        return None
    stem, suffix = found
    assert f"{stem}{suffix}" == name, "a name is put together as it was taken apart"
    parts = {"priority": stem.priority, "seq": stem.seq, "id": stem.id, "attempt": stem.attempt}
    return parts | {"kind": KINDS[suffix]}


GRAMMARS: dict[str, Callable[[str], Parts | None]] = {
    "word": word,
    "queue": queue,
    "message-file": message,
    "visible-file": visible,
    "claim-file": claim,
}


def vectors() -> Iterator[Any]:
    for path in FILES:
        for group in json.loads(path.read_bytes()):
            for test in group["tests"]:
                yield pytest.param(group["grammar"], test, id=f"{group['grammar']}: {test['description']}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_vectors_meet_their_schema(path: Path) -> None:
    schema = json.loads((VECTORS / "name-vector.schema.json").read_bytes())
    jsonschema.validate(json.loads(path.read_bytes()), schema, registry=referencing.Registry())


@pytest.mark.parametrize(("grammar", "test"), list(vectors()))
def test_name(grammar: str, test: dict[str, Any]) -> None:
    parts = GRAMMARS[grammar](test["name"])
    assert (parts is not None) == test["valid"]
    if "parts" in test:
        assert parts == test["parts"]
