"""The kit for daemons: our own passes it as a child process, a part passes its part, and wrong ones turn it red.

All cases take a while, so `make test` plays a sample; TASKDIR_CONFORMANCE=all plays them all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from support.live import ENV
from taskdir import rules

DRIVER = [sys.executable, "-m", "taskdir.conformance.driver", "--no-sync"]
ALL = os.environ.get("TASKDIR_CONFORMANCE") == "all"
SAMPLE = (
    "names/*",
    "documents/message*",
    "trees/fresh*",
    "trees/segments*",
    "logs/segments*",
    "scenarios/leases*",
    "scenarios/restarts*",
)
WRONG = """
import base64, json, sys
from taskdir.conformance.own import Own
own = Own()
for line in sys.stdin:
    request = json.loads(line)
    {change}
    print(json.dumps(answer), flush=True)
"""
ASKED = "answer = own.ask(request)"
MUTANTS = {
    "no pointer": (f"{ASKED}; answer.pop('pointer', None)", "documents/message: task: numbers*", "out-of-range"),
    "another code": (
        f"{ASKED}\n    if 'code' in answer: answer['code'] = 'bad-value'",
        "documents/message: task: numbers*",
        "out-of-range",
    ),
    "takes any name": (f"{ASKED}\n    if 'parts' in answer: answer = {{'parts': {{}}}}", "names/word*", ""),
    "finds nothing": (
        f"{ASKED}\n    if 'findings' in answer: answer = {{'findings': []}}",
        "logs/segments*",
        "log-chain",
    ),
    "one finding too many": (
        f"{ASKED}\n    if 'findings' in answer: answer['findings'].append({{'code': 'p6', 'place': 'log.jsonl'}})",
        "trees/fresh*",
        "p6",
    ),
    "never rests": (f"{ASKED}\n    if 'worked' in answer: answer['worked'] = True", "scenarios/log*", ""),
    "is lazy": (
        "answer = {'worked': False} if request['do'] == 'pass' else own.ask(request)",
        "scenarios/identity*",
        "id-taken",
    ),
    "forgets the time": (
        "request.update({'now': 1.8e9, 'wall': 1.8e9} if 'now' in request else {}); " + ASKED,
        "scenarios/settling*",
        "",
    ),
    "talks rubbish": ("print('what?') if request['do'] == 'name' else 0; " + ASKED, "names/word: one*", ""),
    "gives up": ("assert request['do'] != 'name'; " + ASKED, "names/word: one*", ""),
}
"""What is wrong → (the change, the cases played, a rule that has to be named)."""


def kit(command: list[str], tmp_path: Path, *only: str, known: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the kit over a program; returns the report and the badge."""
    listed, badge = tmp_path / "known-failures", tmp_path / "badge.json"
    listed.write_text(known)
    options = ["--badge", str(badge), "--expect-fail", str(listed), *(f"--only={glob}" for glob in only)]
    argv = [sys.executable, "-m", "taskdir", "conformance", "daemon", "--json", *options, "--", *command]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENV, timeout=600, check=False)
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    schema = json.loads((rules.schema_dir() / "v1/cli/conformance.schema.json").read_bytes())
    jsonschema.validate(report, schema, registry=referencing.Registry())
    assert (done.returncode == 0) is report["ok"]
    return report, json.loads(badge.read_bytes())


@pytest.mark.timeout(600)
def test_our_daemon_as_a_child(tmp_path: Path) -> None:
    report, badge = kit(DRIVER, tmp_path, *(() if ALL else SAMPLE))
    assert report["unexpected"] == []
    assert report["counts"]["passed"] > (2000 if ALL else 350)
    skipped = [case for case in report["cases"] if case["verdict"] == "skipped"]
    assert all("root" in case["why"] for case in skipped)
    colour = "green" if skipped else "brightgreen"
    assert (badge["schemaVersion"], badge["label"], badge["color"]) == (1, "taskdir daemon 1", colour)


def test_a_part_is_held_to_its_part(tmp_path: Path) -> None:
    only_names = "answer = own.ask(request)\n    if 'offers' in answer: answer['offers'] = ['name']"
    report, badge = kit([sys.executable, "-c", WRONG.format(change=only_names)], tmp_path, "names/word*", "logs/f*")
    assert report["ok"]
    assert report["daemon"]["offers"] == ["name"]
    verdicts = {case["name"].partition("/")[0]: case["verdict"] for case in report["cases"]}
    assert verdicts == {"names": "passed", "logs": "skipped"}
    assert badge["color"] == "green"
    assert badge["message"].endswith("4 not tested")


@pytest.mark.parametrize("wrong", MUTANTS)
def test_wrong_daemons_turn_it_red(wrong: str, tmp_path: Path) -> None:
    change, only, rule = MUTANTS[wrong]
    report, badge = kit([sys.executable, "-c", WRONG.format(change=change)], tmp_path, only)
    failed = [case for case in report["cases"] if case["verdict"] == "failed"]
    assert failed
    assert badge["color"] == "red"
    assert not rule or rule in {case.get("rule") for case in failed}


def test_known_failures_are_as_expected(tmp_path: Path) -> None:
    known = "# not yet\n\nnames/word: one letter\n"
    command = [sys.executable, "-c", WRONG.format(change=MUTANTS["gives up"][0])]
    report, badge = kit(command, tmp_path, "names/word: one letter", known=known)
    assert (report["ok"], report["counts"]["failed"], badge["color"]) == (True, 1, "yellow")


def test_a_listed_case_that_passes_is_not_as_expected(tmp_path: Path) -> None:
    report, badge = kit(DRIVER, tmp_path, "names/word: one letter*", known="names/word: one letter\n")
    assert report["unexpected"] == ["names/word: one letter"]
    assert (report["counts"]["failed"], badge["color"]) == (0, "red")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["daemon"], 2),
        (["agent", "--only", "no/*", "--", "true"], 2),
        (["agent", "--expect-fail", "no-such-file", "--", "true"], 66),
        (["agent", "--expect-fail", sys.executable, "--", "true"], 65),
        (["agent", "--jobs", "0", "--", "true"], 2),
        (["daemon", "--", "no-such-program"], 66),
        (["daemon", "--", "true"], 65),
        (["daemon", "--", "cat"], 65),
    ],
)
def test_what_is_asked_wrongly(words: list[str], code: int, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "taskdir", "conformance", *words]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENV, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
