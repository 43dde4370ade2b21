"""Findings for GitHub and as SARIF: what arrives at the other end is what was found."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.chain import Chain
from taskdir import annotate
from taskdir.cli import main
from taskdir.cli.findings import FORMATS


def parse_command(line: str) -> tuple[str, dict[str, str], str]:
    """Read a workflow command as GitHub's runner does: split first, unescape then."""
    match = re.fullmatch(r"::(\w+) ([^\n]*?)::([^\n\r]*)", line)
    assert match, line
    properties = dict(each.split("=", 1) for each in match[2].split(","))
    return match[1], {name: unescaped(value) for name, value in properties.items()}, unescaped(match[3], ":,")


def unescaped(text: str, kept: str = "") -> str:
    for escaped, plain in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text if plain in kept else text.replace(escaped, plain)
    return text


PIECES = ["a", ":", ",", "%", "\r", "\n", "=", "é", "0A", "25", "3A", "::"]
TEXT = st.lists(st.sampled_from(PIECES), min_size=1).map("".join)


@given(TEXT, TEXT, TEXT)
def test_a_workflow_command_says_what_was_found(file: str, message: str, hint: str) -> None:
    found = {"file": f"x/{file}", "line": 3, "column": 7, "code": "late", "message": message, "hint": hint}
    level, properties, said = parse_command(annotate.github(found))
    assert level == "error"
    assert properties == {"file": f"x/{file}", "line": "3", "col": "7", "title": "late"}
    assert said == f"{message}\nnext: {hint}"


def test_a_workflow_command_without_a_place() -> None:
    found = {"file": "x.jsonl", "code": "log-torn", "message": "m", "level": "warning", "pointer": "/a"}
    assert annotate.github(found) == "::warning file=x.jsonl,title=log-torn::/a: m"


@pytest.mark.parametrize("file", ["a b/ü#?%.json", os.fsdecode(b"x\xff.json"), "/else/where.json", "../up.json"])
def test_a_sarif_uri_leads_to_the_file(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = sarif_of({"file": file, "code": "late", "message": "m"})["results"][0]["locations"][0]["physicalLocation"]
    text = uri["artifactLocation"]["uri"]
    assert re.fullmatch(r"[A-Za-z0-9_.~/%:-]+", text), text
    assert os.path.abspath(unquote(text.removeprefix("file://"), errors="surrogateescape")) == os.path.abspath(file)


def sarif_of(*found: dict[str, Any]) -> dict[str, Any]:
    (run,) = annotate.sarif(found, "1.2.3")["runs"]
    return dict(run)


def test_a_sarif_run() -> None:
    run = sarif_of(
        {"file": "b.json", "code": "live-state", "message": "m"},
        {"file": "a.json", "line": 2, "column": 5, "code": "bad-value", "message": "m", "pointer": "/a", "hint": "h"},
    )
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["bad-value", "live-state"]
    first, second = run["results"]
    assert [run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] for each in (first, second)] == [
        first["ruleId"],
        second["ruleId"],
    ]
    assert second["message"]["text"] == "/a: m\nnext: h"
    assert second["locations"][0]["physicalLocation"]["region"] == {"startLine": 2, "startColumn": 5}
    assert "region" not in first["locations"][0]["physicalLocation"]
    assert sarif_of()["results"] == []


def damaged_log() -> str:
    """Return a log whose second line is no event."""
    chain = Chain()
    chain.accept("a")
    return "\n".join([chain.lines[0], "{}", *chain.lines[1:], ""])


@pytest.mark.parametrize("form", FORMATS)
def test_the_verbs_speak_each_form(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("inbox/a.json", '{\n  "typ": "echo"\n}'),
        ("contracts/a.json", '{"input":\n {"format": 1, "pattern": "\\\\d"}}'),
        ("log.jsonl", damaged_log()),
        ("fine.json", "{}"),
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    verbs = [["validate", "."], ["contract", "check", "contracts/a.json"], ["check", "--log", "log.jsonl"]]
    codes = [main([*words, "--format", form]) for words in verbs]
    assert codes == [65, 65, 1]
    out = capsys.readouterr().out.splitlines()
    if form == "sarif":
        runs = [json.loads(line)["runs"][0] for line in out]
        found = [each for run in runs for each in run["results"]]
        spots = [(each["ruleId"], each["locations"][0]["physicalLocation"]) for each in found]
        said = [f"{place['artifactLocation']['uri']}:{place.get('region', {}).get('startLine')}: {code}"
                for code, place in spots]  # fmt: skip
    elif form == "github":
        commands = [parse_command(line)[1] for line in out]
        said = [f"{each['file']}:{each.get('line')}: {each['title']}" for each in commands]
    else:
        heads = [re.match(r"(?:error: )?([^:]+):(\d+):.*\[([a-z-]+)\]$", line) for line in out]
        said = [f"{head[1]}:{head[2]}: {head[3]}" for head in heads if head]
    assert said == [
        "log.jsonl:2: missing-field",
        "contracts/a.json:2: schema-pattern",
        "inbox/a.json:2: unknown-field",
        "contracts/a.json:2: schema-pattern",
        "log.jsonl:2: log-line",
    ]


def test_check_names_the_files_of_a_root_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "jobs"]) == 0
    Path("jobs/log.jsonl").write_text(damaged_log())
    assert main(["check", "--root", "jobs", "--format", "github"]) == 1
    assert "::error file=jobs/log.jsonl,line=2,title=log-line::" in capsys.readouterr().out
