"""Every tree vector: a root after a life of its own, damaged, and exactly what ``check`` finds in it.

The log's files are also checked alone, as ``check --log`` does: what is wrong with the log is found without a root.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from referencing import Resource

from conformance import trees
from taskdir import check, logread, rules
from taskdir.audit import Finding

VECTORS = Path(__file__).parent / "vectors"
FILES = sorted((VECTORS / "trees").glob("*.json"))
Found = list[tuple[str, str, int | None]]
"""(rule code, file, line), sorted."""


def cases() -> Iterator[Any]:
    for path in FILES:
        vectors = json.loads(path.read_bytes())
        for case in vectors["cases"]:
            yield pytest.param(path.stem, case, id=f"{path.stem}: {case['description']}")


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
    made = {}
    for path in FILES:
        life = json.loads(path.read_bytes())["life"]
        for end in ("stopped", "killed"):
            made[path.stem, end] = trees.live(life, end, tmp_path_factory.mktemp(path.stem))
    return made


def listed(found: list[dict[str, Any]]) -> Found:
    return sorted((each["code"], each["file"], each.get("line")) for each in found)


def told(findings: list[Finding], root: Path) -> Found:
    return listed([each.as_dict() | {"file": os.path.relpath(root / each.file, root)} for each in findings])


def about_log(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if rules.codes()[each["code"]]["about"] == "log" or each["code"] == "p6"]


def ignore(count: int) -> None:
    """No progress is shown."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_vectors_meet_their_schema(path: Path) -> None:
    scenario, schema = (
        json.loads((VECTORS / f"{name}-vector.schema.json").read_bytes()) for name in ("scenario", "tree")
    )
    found = json.loads(path.read_bytes())
    registry: referencing.Registry[Any] = Resource.from_contents(scenario) @ referencing.Registry()
    jsonschema.validate(found, schema, registry=registry)
    said = [case["description"] for case in found["cases"]]
    assert len(set(said)) == len(said)
    assert {each["code"] for case in found["cases"] for each in case["findings"]} <= set(rules.codes())


@pytest.mark.parametrize(("life", "case"), list(cases()))
def test_tree(life: str, case: dict[str, Any], lives: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    daemon = case.get("daemon", "stopped")
    root = tmp_path / "root"
    shutil.copytree(lives[life, "stopped" if daemon == "stopped" else "killed"], root, symlinks=True)
    damage = trees.Damage(root)
    for operation in case["damage"]:
        damage.do(operation)
    with trees.running(root, daemon):
        report = check.check_root(str(root), ignore, lambda seconds: None)
    assert told(report.findings, root) == listed(case["findings"])
    assert report.failed == any(rules.codes()[each["code"]]["level"] == "error" for each in case["findings"])
    assert report.pruned == case.get("pruned", report.pruned)
    if files := [path for _, path in logread.segments(str(root))]:
        alone = check.check_files(files, ignore)
        assert told(alone.findings, root) == listed(case.get("log_alone", about_log(case["findings"])))
