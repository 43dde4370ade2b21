"""Profiles against stand-ins that behave as each tool documents, and against the real one where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.stage import Stage, clean, ended, git
from taskdir.errors import ConfigError
from taskdir.runner import commands

STANDINS = Path(__file__).parent / "standins"
LOOSE = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
SCHEMA = {**LOOSE, "additionalProperties": False}
PROGRAMS = {name: next(iter(commands.load(name).argv), name) for name in commands.names()}
HELP = {"codex": ["exec", "--help"], "opencode": ["run", "--help"]}
DONE = ("done", None, 1)
NOTHING = ("failed", "no-result", 2)

PARTS: list[tuple[str, str, tuple[str, str | None, int], bool | None]] = [
    ("claude", "file", DONE, None),
    ("claude", "schema", DONE, None),
    ("claude", "prose", DONE, None),
    ("claude", "nothing", NOTHING, True),
    ("claude", "denied", ("failed", "denied-tools", 1), True),
    ("claude", "turns_file", ("done", None, 2), None),
    ("claude", "turns", ("failed", "turn-limit", 2), True),
    ("claude", "error", ("failed", "agent-error", 1), True),
    ("codex", "file", DONE, None),
    ("codex", "schema", DONE, None),
    ("codex", "prose", DONE, None),
    ("codex", "no-file", DONE, None),
    ("codex", "nothing_file", ("done", None, 2), None),
    ("codex", "error", ("failed", "agent-error", 1), True),
    ("codex", "schema-refused", ("failed", "schema-refused", 1), True),
    ("gemini", "file", DONE, None),
    ("gemini", "prose", DONE, None),
    ("gemini", "denied", NOTHING, True),
    ("gemini", "turns_file", ("done", None, 2), None),
    ("gemini", "turns", ("failed", "turn-limit", 2), True),
    ("gemini", "input", ("failed", "bad-input", 1), True),
    ("gemini", "error", ("failed", "agent-error", 1), True),
    ("cursor", "file", DONE, None),
    ("cursor", "prose", DONE, None),
    ("cursor", "nothing", NOTHING, True),
    ("cursor", "error", ("failed", "no-result", 1), True),
    ("cursor", "flagged", ("failed", "agent-error", 1), True),
    ("opencode", "file", DONE, None),
    ("opencode", "prose", DONE, None),
    ("opencode", "nothing", NOTHING, True),
    ("opencode", "error", ("failed", "agent-error", 1), True),
    ("aider", "file", DONE, None),
    ("aider", "prose", DONE, None),
    ("aider", "nothing", NOTHING, True),
    ("aider", "limit", ("failed", "rate-limit", 1), True),
    ("plain", "file", DONE, None),
    ("plain", "nothing_file", ("done", None, 2), None),
    ("plain", "later", ("failed", "later", 1), True),
    ("plain", "error", ("failed", "no-result", 1), True),
]


pytestmark = pytest.mark.xdist_group("profiles")
PATH = {"PATH": f"{STANDINS}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def play(stage: Stage, parts: list[tuple[str, str]], *options: str, planted: str = "") -> dict[str, tuple[Any, ...]]:
    """Let stand-ins play (profile, part) each, all by one runner; returns how each attempt ended, by its id."""
    for profile, part in parts:
        stage.offer(f"{profile}_{part}", type=profile, output_schema=SCHEMA)
    told: dict[str, Any] = {name: {"profile": name} for name in commands.names()}
    told["plain"]["argv"] = [str(STANDINS / "plain")]
    (stage.base / "commands.json").write_text(json.dumps(told))
    ends = ended(stage.run("--commands", str(stage.base / "commands.json"), *options, env=PATH, planted=planted))
    return {end[0]: end[1:] for end in ends}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, dict[str, tuple[Any, ...]]]:
    """Play all parts."""
    stage = Stage(tmp_path_factory.mktemp("profiles"))
    return stage, play(stage, [(profile, part) for profile, part, _, _ in PARTS], "--keep", "99", "--tries", "2")


@pytest.mark.parametrize(("profile", "part", "end", "retry"), PARTS, ids=[f"{each[0]}_{each[1]}" for each in PARTS])
def test_a_stand_in(
    played: tuple[Stage, dict[str, tuple[Any, ...]]],
    profile: str,
    part: str,
    end: tuple[str, str | None, int],
    retry: bool | None,
) -> None:
    (stage, ends), id = played, f"{profile}_{part}"
    assert ends[id] == end
    assert stage.retries().get(id) is retry
    assert (stage.results()[id] == {"n": 1}) == (end[0] == "done")


def test_every_profile_has_a_stand_in_and_its_parts() -> None:
    assert {each[0] for each in PARTS} == {*commands.names()}
    assert [program for program in PROGRAMS.values() if not os.access(STANDINS / program, os.X_OK)] == []


def test_an_open_stdin_hangs_every_stand_in(stage: Stage) -> None:
    """Planted fault: commands inherit a pipe that nobody closes. Without it each one above ended by itself."""
    open_stdin = """
import os, subprocess, types
from taskdir.runner import process
process.subprocess = types.SimpleNamespace(**{**vars(subprocess), "DEVNULL": os.pipe()[0]})
"""
    ends = play(
        stage, [(name, "file") for name in commands.names()], "--timeout", "1", "--grace", "0", planted=open_stdin
    )
    assert {*ends.values()} == {("failed", "timeout", 1)}
    assert len(ends) == len(commands.names())


def test_a_worktree_stays_free_of_a_tools_own_files(stage: Stage) -> None:
    repo = stage.repo()
    assert play(stage, [("aider", "file")], "--worktree", str(repo)) == {"aider_file": DONE}
    assert git(repo, "for-each-ref", "refs/heads/taskdir") == "", "something of the tool's was committed"


def test_the_prompt_tells_a_tool_that_only_speaks_what_to_say(
    played: tuple[Stage, dict[str, tuple[Any, ...]]],
) -> None:
    stage = played[0]
    said = "```json block that holds OUTPUT"
    assert said in (stage.work / "me/claude_error.1/.taskdir-work/TASK.md").read_text()
    assert said not in (stage.work / "me/plain_error.1/.taskdir-work/TASK.md").read_text()


@pytest.mark.parametrize(
    ("argv", "profile", "file", "type", "expected"),
    [
        (["claude", "-p", "x"], None, None, "t", (["claude", "-p", "x"], "claude")),
        (["/opt/agent", "-p"], None, None, "t", (["/opt/agent", "-p"], "cursor")),
        (["./any.sh"], None, None, "t", (["./any.sh"], "plain")),
        (["./any.sh"], "gemini", None, "t", (["./any.sh"], "gemini")),
        (["-m", "x"], "gemini", None, "t", ([*commands.load("gemini").argv, "-m", "x"], "gemini")),
        ([], None, {"t": ["make"], "*": {"profile": "codex"}}, "t", (["make"], "plain")),
        ([], None, {"t": ["make"], "*": {"argv": ["x"], "profile": "codex"}}, "other", (["x"], "codex")),
        (["y"], None, {"t": ["make"]}, "other", (["y"], "plain")),
        ([], None, {"t": ["make"]}, "other", None),
    ],
)  # fmt: skip
def test_which_command(
    tmp_path: Path, argv: list[str], profile: str | None, file: Any, type: str, expected: tuple[list[str], str] | None
) -> None:
    path = tmp_path / "commands.json"
    path.write_text(json.dumps(file))
    found = commands.choose(argv, profile, str(path) if file else None).of(type)
    assert (None if found is None else (list(found[0]), found[1].name)) == expected


def test_a_type_without_a_command_is_left_to_others(stage: Stage) -> None:
    (stage.base / "c.json").write_text('{"build": ["true"]}')
    stage.offer("a")
    assert ended(stage.run("--commands", stage.base / "c.json")) == [("a", "failed", "no-command", 0)]
    assert stage.retries() == {"a": True}


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("[]", ""),
        ('{"argw": []}', "/argw"),
        ('{"argv": "x"}', "/argv"),
        ('{"argv": [1]}', "/argv"),
        ('{"env": {"A": 1}}', "/env"),
        ('{"reads": [{"as": "xml"}]}', "/reads/0"),
        ('{"reads": [{"as": "json", "at": 1}]}', "/reads/0"),
        ('{"cases": [{"then": "again"}]}', "/cases/0"),
        ('{"cases": [{"then": "perhaps", "code": "x"}]}', "/cases/0"),
        ('{"cases": [{"then": "again", "code": "x", "when": 1}]}', "/cases/0"),
        ('{"cases": [{"then": "again", "code": "No Word"}]}', "/cases/0"),
        ("{", None),
    ],
)
def test_a_bad_profile_says_where(tmp_path: Path, text: str, pointer: str | None) -> None:
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        commands.choose([], str(path), None)
    assert (caught.value.path, caught.value.pointer) == (str(path), pointer)


@pytest.mark.parametrize(
    "text", ["[]", '{"t": 1}', '{"t": {}}', '{"t": {"argv": "x"}}', '{"t": {"profile": "nobody"}}']
)
def test_bad_commands_say_where(tmp_path: Path, text: str) -> None:
    path = tmp_path / "commands.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        commands.choose([], None, str(path))
    assert caught.value.exit == 78


def test_a_profile_of_ones_own(stage: Stage) -> None:
    profile = {
        "argv": ["sh", "-c", 'echo "{\\"say\\": \\"$ODD$HOME\\"}"; exit 9'],
        "env": {"ODD": "yes", "HOME": None},
        "cases": [{"exit": 9, "at": "/say", "is": "no", "then": "retry", "code": "no"},
                  {"exit": 9, "at": "/say", "is": "yes", "says": "yes", "then": "final", "code": "yes"}],
    }  # fmt: skip
    (stage.base / "own.json").write_text(json.dumps(profile))
    stage.offer("a")
    assert ended(stage.run("--profile", stage.base / "own.json")) == [("a", "failed", "yes", 1)]
    assert stage.retries() == {"a": False}


@pytest.mark.parametrize("profile", [name for name in commands.names() if name != "plain"])
def test_the_real_one_knows_our_options(profile: str) -> None:
    """Needs neither account nor network: what its --help lists. Whether it then works, only a person can try."""
    program = PROGRAMS[profile]
    if shutil.which(program) is None:
        pytest.skip(f"NOT TESTED: no {program} on PATH; npm or pip has it")
    command = [program, *HELP.get(profile, ["--help"])]
    done = subprocess.run(
        command, env=clean(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    known = done.stdout + done.stderr
    ours = [word for word in (*commands.load(profile).argv, *commands.load(profile).schema) if word.startswith("-")]
    assert [word for word in ours if word not in known] == [], known


@pytest.mark.parametrize("program", ["claude", "gemini", "cursor-agent"])
def test_a_command_of_ones_own_that_prints_text_is_read(stage: Stage, program: str) -> None:
    """As in README: no JSON is asked for; the answer's fenced block is the output."""
    stage.offer(f"{program}_prose", output_schema=SCHEMA)
    assert [each[1:] for each in ended(stage.run("--", program, "-p", "{prompt}", env=PATH))] == [DONE]


def test_a_schema_that_a_tool_would_refuse_is_not_passed(stage: Stage) -> None:
    stage.offer("codex_prose", output_schema=LOOSE)
    assert [each[1:] for each in ended(stage.run("--profile", "codex", env=PATH))] == [DONE]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (SCHEMA, True),
        (LOOSE, False),
        ({**SCHEMA, "properties": {"n": {"type": "integer"}, "m": {"type": "string"}}}, False),
        ({**SCHEMA, "properties": {"n": {"type": "array", "items": SCHEMA}}}, True),
        ({**SCHEMA, "properties": {"n": {"type": "array", "items": LOOSE}}}, False),
        ({**SCHEMA, "properties": {"n": {"anyOf": [SCHEMA, {"type": "null"}]}}}, True),
        ({**SCHEMA, "properties": {"n": {"enum": ["a", "b"]}}}, True),
        ({**SCHEMA, "properties": {"n": {}}}, False),
        ({**SCHEMA, "properties": {"n": True}}, False),
        (True, False),
    ],
)
def test_strict_schemas(schema: Any, strict: bool) -> None:
    assert commands.is_strict(schema) is strict
