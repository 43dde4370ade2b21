"""Every name vector through ``names``: which names each grammar takes, and into which parts it takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from taskdir.conformance import daemon, vectors
from taskdir.conformance.own import Own


@pytest.mark.parametrize("path", vectors.files("names"), ids=lambda path: path.name)
def test_vectors_meet_their_schema(path: Path) -> None:
    schema = json.loads((vectors.vectors_dir() / "name-vector.schema.json").read_bytes())
    jsonschema.validate(json.loads(path.read_bytes()), schema, registry=referencing.Registry())


@pytest.mark.parametrize(("grammar", "test"), [pytest.param(*each, id=name) for name, *each in vectors.names()])
def test_name(grammar: str, test: dict[str, Any]) -> None:
    daemon.name(Own(), grammar, test)
