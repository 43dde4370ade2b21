"""`taskdir init --editor vscode`: what it writes, put to VS Code's own JSON service and read by the editor's rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hooks.conftest import ROOT, need
from support import fetch
from taskdir import rules, vscode
from taskdir.cli import main

Diagnose = Callable[..., list[list[dict[str, Any]]]]

URN = "urn:taskdir:v1:"
VECTORS = ROOT / "tests" / "conformance" / "vectors" / "documents"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root that was made for the editor."""
    made = tmp_path / "my jobs"
    assert main(["init", str(made), "--editor", "vscode"]) == 0
    return made


@pytest.fixture
def diagnose(root: Path) -> Diagnose:
    """Ask the editor's JSON service about files: (path, text) each; returns its diagnostics of each."""
    if shutil.which("node") is None:
        pytest.skip("NOT TESTED: there is no node")
    need(fetch.NODE, "the JSON service of VS Code")

    def ask(*files: tuple[str, str]) -> list[list[dict[str, Any]]]:
        given = json.dumps({"root": str(root), "files": [{"path": path, "text": text} for path, text in files]})
        words = ["node", str(Path(__file__).with_name("diagnose.mjs"))]
        env = os.environ | {"NODE_HOME": str(fetch.NODE)}
        done = subprocess.run(words, input=given, env=env, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    return ask


GOOD = [
    ("inbox/a.json", '{"type": "echo", "x-mine": 1}'),
    ("inbox/b.json", '{"kind": "batch", "messages": [{"id": "x", "type": "echo"}]}'),
    ("rejected/c.json", '{"type": "echo"}'),
    ("rejected/c.reason.json", '{"code": "late"}'),
    ("contracts/build.json", '{"input": {"type": "object"}}'),
    ("contracts/state/key.json", "{}"),
    ("taskdir.json", '{"protocol": 1, "window": 5}'),
    ("claimed/me/5-000000000001.a.1.result.json", '{"status": "ok", "output": 1}'),
    ("tasks/d.json", f'{{"$schema": "{URN}message", "type": "echo"}}'),
    ("package.json", '{"typ": "module"}'),
]
BAD = [
    ("inbox/a.json", '{"type": "echo",\n "inptu": 1}', 2),
    ("inbox/a.json", '{"type":\n 5}', 2),
    ("inbox/a.json", '{"type": "echo", "priority":\n 10}', 2),
    ("inbox/a.json", '{"type": "echo"', 1),
    ("inbox/b.json", '{"kind": "batch", "messages": [\n{"id": "x", "type": "NO"}]}', 2),
    ("rejected/c.json", "{}", 1),
    ("contracts/build.json", '{"inptu": {}}', 1),
    ("contracts/state/key.json", '{"input": {},\n "defaults": {"priority": 10}}', 2),
    ("taskdir.json", '{"protocol": 1,\n "windw": 5}', 2),
    ("claimed/me/5-000000000001.a.1.result.json", '{"status": "good"}', 1),
    ("tasks/d.json", f'{{"$schema": "{URN}message",\n "type": "NO"}}', 2),
]


def test_the_editor_marks_bad_documents_and_no_good_ones(diagnose: Diagnose) -> None:
    found = diagnose(*GOOD, *((path, text) for path, text, _ in BAD))
    assert [(file, said) for file, said in zip(GOOD, found, strict=False) if said] == []
    lines = [sorted({each["line"] for each in said}) for said in found[len(GOOD) :]]
    assert lines == [[line] for *_, line in BAD], found[len(GOOD) :]


STRICTER = ("priority: 5.0 is a whole number",)
"""Where VS Code's service refuses what JSON Schema takes."""
PLACED = {
    "message": "inbox/a.json",
    "contract": "contracts/a.json",
    "settings": "taskdir.json",
    "result": "claimed/me/5-000000000001.a.1.result.json",
}


def test_the_editor_agrees_with_every_vector_that_is_good(diagnose: Diagnose) -> None:
    """No false alarm; and most bad ones are marked, though schemas cannot say all that rules do.

    A document that names another $schema is that schema's, for the editor.
    """
    cases = [
        (PLACED[kind], case)
        for kind in PLACED
        for each in json.loads((VECTORS / f"{kind}.json").read_bytes())
        for case in each["tests"]
    ]
    told = [
        (path, case) for path, case in cases if "data" in case and not (case["valid"] and "$schema" in case["data"])
    ]
    found = diagnose(*((path, json.dumps(case["data"])) for path, case in told))
    alarms = [
        (case["description"], said) for (_, case), said in zip(told, found, strict=True) if case["valid"] and said
    ]
    assert [name for name, _ in alarms] == [*STRICTER], alarms
    bad = [bool(said) for (_, case), said in zip(told, found, strict=True) if not case["valid"]]
    assert len(bad) > 100
    assert sum(bad) > 0.8 * len(bad), f"{sum(bad)} of {len(bad)}"


def test_every_document_may_name_its_schema() -> None:
    said = {}
    for kind in rules.DOCUMENTS:
        cases = [case for each in json.loads((VECTORS / f"{kind}.json").read_bytes()) for case in each["tests"]]
        said[kind] = {case["valid"] for case in cases if "$schema" in case["description"]}
    silent = [kind for kind, verdicts in said.items() if verdicts != {True, False}]
    assert not silent, f"no vector with a good and one with a bad $schema: {silent}"


def test_the_problem_matcher_reads_what_the_command_prints(root: Path) -> None:
    """The task as it stands in tasks.json, run as the editor runs it."""
    for path, text, _ in BAD:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (task,) = json.loads((root / ".vscode" / "tasks.json").read_text())["tasks"]
    env = os.environ | {"PATH": f"{fetch.FETCHED.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    words = [task["command"], *task["args"]]
    done = subprocess.run(words, cwd=root, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 65
    pattern = task["problemMatcher"]["pattern"]
    matches = [match for line in done.stdout.splitlines() if (match := re.match(pattern["regexp"], line))]
    names = ("file", "line", "column", "code")
    found = {tuple(match[pattern[name]] for name in names) for match in matches}
    assert ("inbox/a.json", "1", "16", "json-syntax") in found
    assert ("taskdir.json", "2", "2", "unknown-field") in found
    assert ("contracts/state/key.json", "2", "27", "contract-default") in found
    assert {name for name, *_ in found} == {path for path, *_ in BAD if not path.startswith("tasks/")} | {
        "tasks/d.json"
    }
    assert all(match[pattern["message"]] for match in matches)


OLD = {
    "settings.json": """// mine
{
  "editor.tabSize": 2, // two
  "json.schemas": [
    // the schemas of my other files
    {"fileMatch": ["/x.json"], "url": "./x.schema.json"}, /* last */
    {"url": "urn:taskdir:v1:message", "fileMatch": ["/only/here/*.json"], "schema": {"old": true}, "x-mine": 1},
  ],
  "files.exclude": {"**/.git": true},
}
""",
    "tasks.json": """{
\t"version": "2.0.0",
\t"tasks": [
\t\t{"label": "mine", "command": "make"} // mine
\t]
}
""".replace("\n", "\r\n"),
}


def test_what_is_there_stays(root: Path, diagnose: Diagnose, capsys: pytest.CaptureFixture[str]) -> None:
    directory = root / ".vscode"
    for name, text in OLD.items():
        (directory / name).write_bytes(text.encode())
        (directory / name).chmod(0o600)
    capsys.readouterr()
    assert main(["--json", "init", str(root), "--editor", "vscode"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["editor"] == [str(directory / name) for name in OLD]
    new = {name: (directory / name).read_bytes().decode() for name in OLD}
    for name, text in OLD.items():
        kept = re.sub(r"\s+|\{\"old\": true\}", "", text)
        rest = iter(new[name])
        assert all(char in rest for char in kept), name
        assert os.stat(directory / name).st_mode & 0o777 == 0o600
    assert new["tasks.json"].count("\n") == new["tasks.json"].count("\r\n")
    assert '"label": "mine", "command": "make"}, // mine\r\n' in new["tasks.json"]
    assert '"fileMatch": ["/only/here/*.json"], "schema": {"$schema": ' in new["settings.json"]
    good, moved, bad = diagnose(
        ("inbox/a.json", '{"typ": 1}'), ("only/here/a.json", '{"typ": 1}'), ("contracts/a.json", '{"inptu": 1}')
    )
    assert (good, bool(moved), bool(bad)) == ([], True, True), "the owner's fileMatch counts"
    assert main(["--json", "init", str(root), "--editor", "vscode"]) == 0
    assert json.loads(capsys.readouterr().out)["editor"] == []
    assert {name: (directory / name).read_bytes().decode() for name in OLD} == new


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("settings.json", "[]", 1),
        ("settings.json", '{\n "json.schemas": {}}', 2),
        ("settings.json", '{\n "a": 1\n "b": 2}', 3),
        ("tasks.json", '{"tasks": null}', 1),
    ],
)
def test_what_cannot_be_added_to_is_left_alone(
    name: str, text: str, line: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".vscode").mkdir()
    (tmp_path / ".vscode" / name).write_text(text)
    assert main(["init", str(tmp_path), "--editor", "vscode"]) == 73
    assert f"{name}: line {line} is no JSON with comments" in capsys.readouterr().err
    assert (tmp_path / ".vscode" / name).read_text() == text
    assert (tmp_path / "taskdir.json").exists(), "the root was made all the same"
    assert not list((tmp_path / ".vscode").glob(".*"))


def test_odd_files(tmp_path: Path) -> None:
    directory, elsewhere = tmp_path / ".vscode", tmp_path / "dotfiles"
    directory.mkdir()
    elsewhere.mkdir()
    (elsewhere / "s.json").write_text("")
    (directory / "settings.json").symlink_to(elsewhere / "s.json")
    (directory / "tasks.json").write_bytes(b"\xef\xbb\xbf{}")
    assert main(["init", str(tmp_path), "--editor", "vscode"]) == 0
    assert (directory / "settings.json").is_symlink()
    assert len(json.loads((elsewhere / "s.json").read_text())["json.schemas"]) == len(vscode.MATCHES)
    assert (directory / "tasks.json").read_bytes().startswith(b"\xef\xbb\xbf{")
    (directory / "tasks.json").write_bytes(b'{"a": "\xff"}')
    assert main(["init", str(tmp_path), "--editor", "vscode"]) == 73
    shutil.rmtree(directory)
    directory.write_text("")
    assert main(["init", str(tmp_path), "--editor", "vscode"]) == 73
    assert main(["init", str(tmp_path), "--editor", "emacs"]) == 2
