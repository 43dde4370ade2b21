"""Every tree vector: a root after a life of its own, damaged, and exactly what ``check`` finds in it.

The log's files are also checked alone, as ``check --log`` does: what is wrong with the log is found without a root.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from referencing import Resource

from taskdir import rules
from taskdir.conformance import daemon, trees, vectors
from taskdir.conformance.own import Own


@pytest.fixture(autouse=True, scope="module")
def _no_device() -> Iterator[None]:
    """Wait for no device: what a power cut leaves is for tests/faults to say."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, lambda fd: None, raising=False)
        yield


@pytest.fixture(scope="module")
def lives(_no_device: None, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Each life played to each of its ends: the roots that the cases copy."""
    return {
        (path.stem, end): trees.live(vectors.life(path.stem), end, tmp_path_factory.mktemp(path.stem))
        for path in vectors.files("trees")
        for end in ("stopped", "killed")
    }


@pytest.mark.parametrize("path", vectors.files("trees"), ids=lambda path: path.name)
def test_vectors_meet_their_schema(path: Path) -> None:
    scenario, schema = (
        json.loads((vectors.vectors_dir() / f"{name}-vector.schema.json").read_bytes()) for name in ("scenario", "tree")
    )
    found = json.loads(path.read_bytes())
    registry: referencing.Registry[Any] = Resource.from_contents(scenario) @ referencing.Registry()
    jsonschema.validate(found, schema, registry=registry)
    said = [case["description"] for case in found["cases"]]
    assert len(set(said)) == len(said)
    assert {each["code"] for case in found["cases"] for each in case["findings"]} <= set(rules.codes())


@pytest.mark.parametrize(("life", "case"), [pytest.param(*each, id=name) for name, *each in vectors.trees()])
def test_tree(life: str, case: dict[str, Any], lives: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    left = lives[life, daemon.end_of(case)]
    daemon.tree(Own(), left, case, tmp_path / "root", alone=False)
    if daemon.has_log(vectors.life(life), case):
        daemon.tree(Own(), left, case, tmp_path / "alone", alone=True)
