"""The texts that ship with the package are found in a checkout and in a wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from taskdir import rules


@pytest.mark.parametrize("name", rules.DOCUMENTS)
def test_each_document_has_its_schema(name: str) -> None:
    assert rules.schema(name)["$id"] == f"urn:taskdir:v1:{name}"
    assert rules.schema(name) is rules.schema(name), "read once"


def test_the_schemas_inside_a_wheel_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel puts schemas/ into the package, the checkout beside daemon/."""
    checkout = rules.schema_dir()
    assert (checkout / "v1" / "rules.json").is_file()
    package = tmp_path / "taskdir"
    shutil.copytree(checkout, package / "schemas")
    monkeypatch.setattr(rules, "__file__", str(package / "rules.py"))
    assert rules.schema_dir() == package / "schemas"


def test_hint_of_a_rule() -> None:
    assert rules.codes()["json-syntax"]["level"] == "error"
    hinted = {code for code in rules.codes() if rules.hint(code)}
    assert "json-syntax" in hinted
    assert rules.hint("no-such-rule") is None
