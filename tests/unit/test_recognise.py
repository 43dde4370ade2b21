"""What a file is: place, $schema, name; and what belongs to a live root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskdir import recognise, rules
from taskdir.cli import main

URN = "urn:taskdir:v1:"
PLACES = {
    "taskdir.json": "settings",
    "a/taskdir.json": "settings",
    "inbox/a.json": "message",
    "inbox/.a.json": "message",
    "inbox/a.txt": None,
    "contracts/a.json": "contract",
    "contracts/state/a.json": "contract",
    "state/a.json": "state",
    "done/a.json": "record",
    "failed/a.json": "record",
    "rejected/a.json": "message",
    "rejected/a.reason.json": "reason",
    "rejected/5-000000000001.a.1.result.json": "result",
    "ready/default/5-000000000001.a.1.json": "offer",
    "ready/default/x.json": "offer",
    "claimed/me/5-000000000001.a.1.json": "offer",
    "claimed/me/5-000000000001.a.1.result.json": "result",
    "claimed/me/5-000000000001.a.1.refused.json": "reason",
    "claimed/me/5-000000000001.a.1.notes.jsonl": None,
    "claimed/me/own.json": None,
    "claimed/inbox/own.json": None,
    "log.jsonl": "event",
    "log/000000000001.jsonl": "event",
    "log/000000000001.jsonl.gz": None,
    "log/x.jsonl": None,
    "other/a.json": None,
    "x.result.json": None,
}


@pytest.mark.parametrize(("path", "kind"), PLACES.items())
def test_by_place(path: str, kind: str | None, tmp_path: Path) -> None:
    assert recognise.kind_by_place(str(tmp_path / path)) == kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        *((URN + name, name) for name in rules.DOCUMENTS),
        ("../.vscode/taskdir/message.schema.json", "message"),
        ("https://example.com/message.schema.json", None),
        ("https://json-schema.org/draft/2020-12/schema", None),
        (URN + "massage", None),
        ("message", None),
        (5, None),
    ],
)
def test_by_schema(said: object, kind: str | None) -> None:
    assert recognise.kind("x.json", {"$schema": said}, guess=False) == kind
    assert recognise.kind("x.json", [{"$schema": said}], guess=False) is None


def test_by_name_only_if_nothing_else_tells() -> None:
    assert recognise.kind("x.result.json", {}) == "result"
    assert recognise.kind("x.result.json", {}, guess=False) is None
    assert recognise.kind("x.result.json", {"$schema": URN + "message"}) == "message"


def test_in_a_root_the_place_decides_and_elsewhere_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "contracts" / "a.json"
    other: dict[str, Any] = {"$schema": URN + "message"}
    assert recognise.kind(str(path), other) == "message"
    (tmp_path / "taskdir.json").touch()
    assert recognise.kind(str(path), other) == "contract"
    assert recognise.kind(str(tmp_path / "examples" / "contracts" / "a.json"), other) == "message"


LIVE: list[tuple[dict[str, str], str, bool]] = [
    ({"taskdir.json": ""}, "inbox/a.json", True),
    ({"taskdir.json": ""}, "ready/default/5-000000000001.a.1.json", True),
    ({"taskdir.json": ""}, "taskdir.json", True),
    ({"taskdir.json": ""}, "log.jsonl", True),
    ({"taskdir.json": ""}, "log/000000000001.jsonl.gz", True),
    ({"taskdir.json": ""}, "contracts/a.json", False),
    ({"taskdir.json": ""}, "contracts/state/a.json", False),
    ({"taskdir.json": ""}, "README.md", False),
    ({"taskdir.json": ""}, "src/inbox/a.json", False),
    ({"taskdir.json": ""}, "inbox", False),
    ({".taskdir/index.sqlite": ""}, ".taskdir/index.sqlite", True),
    ({".taskdir/index.sqlite": ""}, "done/a.json", True),
    ({}, "audit/log.jsonl", False),
    ({}, "inbox/a.json", False),
    ({}, "state/main.json", False),
]


@pytest.mark.parametrize("below", ["", "sub/jobs"])
@pytest.mark.parametrize(("there", "path", "live"), LIVE)
def test_live_state(there: dict[str, str], path: str, live: bool, below: str, tmp_path: Path) -> None:
    root = tmp_path / below
    for name, text in there.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    assert recognise.live_root(str(root / path)) == (str(root) if live else None)


def test_a_new_root_is_live_but_for_its_contracts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 0
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert main(["validate", "--no-live-state", *map(str, files)]) == 1
    said = capsys.readouterr().out
    assert [path.name for path in files if f"{path}: " in said] == ["taskdir.json"]
    assert "[live-state]\n  next: git rm --cached " in said
    assert main(["validate", "--no-live-state", str(tmp_path / "contracts" / "echo.json")]) == 0
    assert main(["validate", "--no-live-state", "--as", "message", "x"]) == 2


def test_a_sweep(tmp_path: Path) -> None:
    for name in ("b.json", "a/c.jsonl", "a/.x.json", ".git/d.json", "e.txt", "a/b/f.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(Path(path).relative_to(tmp_path)) for path in recognise.sweep(str(tmp_path))]
    assert found == ["b.json", "a/c.jsonl", "a/b/f.json"]
