"""Every command's --json output meets schemas/v1/cli/<verb>.schema.json, and so do its errors."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from faults.world import Countdown, World
from support.live import taskdir
from taskdir import rules
from taskdir.cli import main, parsers
from taskdir.clock import Clock

CLI = rules.schema_dir() / "v1" / "cli"
SILENT = {"run"}
"""Verbs that print no JSON on stdout."""
SCHEMAS = {path.name.removesuffix(".schema.json"): json.loads(path.read_bytes()) for path in sorted(CLI.iterdir())}
LINES = {"submit", "import", "export", "cancel", "wait", "show", "log", "restore"}
"""Verbs that print a document a line; the others print one."""


def checker(verb: str) -> jsonschema.Draft202012Validator:
    """Return the validator for a verb's output; nothing is ever fetched."""
    documents = [rules.schema(name) for name in rules.DOCUMENTS]
    known = [(one["$id"], referencing.Resource.from_contents(one)) for one in [*documents, *SCHEMAS.values()]]
    return jsonschema.Draft202012Validator(SCHEMAS[verb], registry=referencing.Registry().with_resources(known))


def faults(verb: str, document: Any) -> list[str]:
    return [f"{fault.json_path}: {fault.message[:300]}" for fault in checker(verb).iter_errors(document)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A root where everything that a command can tell is there, its daemon open."""
    made = World(tmp_path, Countdown())
    made.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "queues": ["review"], "resources": {"gpu": 2}})
    (made.root / "contracts" / "state").mkdir()
    made.write("contracts/state/head.json", {"description": "a commit", "input": {"type": "string"}})
    made.write("contracts/state/bad.json", {"input": {"type": "strin"}})
    made.passes()
    spare = {"type": "count", "max_attempts": 1, "input": {"x": 1}}
    members = [
        {"id": "bad", **spare},
        {"id": "stuck", "after": ["bad"], **spare},
        {"id": "later", "after": ["held"], "not_before": "2099-01-01T00:00:00Z", **spare},
        {"id": "held", "resources": ["repo", "gpu"], "queue": "review", **spare},
        {"id": "second", "resources": ["repo"], "queue": "review", **spare},
        {"id": "asleep", "not_before": "2099-01-01T00:00:00Z", **spare},
        {"id": "good", **spare},
        {"id": "gone", **spare},
        {"id": "line", **spare},
        {"id": "flaky", "type": "count", "backoff_seconds": 60},
    ]
    made.write("inbox/all.json", {"kind": "batch", "messages": members})
    made.passes()
    made.write("inbox/stop.json", {"kind": "cancel", "task": "gone", "from": "me"})
    made.write("inbox/wrong.json", {"typ": "count"})
    made.write("inbox/s1.json", {"kind": "state", "key": "head", "value": "abc"})
    error = {"status": "error", "error": {"code": "no-luck", "message": "no"}}
    for agent, value in (("al", error), ("bo", {"status": "ok", "output": 3})):
        made.claim(agent)
        made.passes()
        made.note(agent, "a word\n")
        made.passes()
        made.result(agent, value)
        made.passes()
    made.claim("cy", "review")
    made.passes()
    made.write("inbox/first.json", {"type": "count", "priority": 0, "max_attempts": 9, "backoff_seconds": 0})
    made.passes()
    for _ in range(5):
        made.claim("di")
        made.passes()
        made.result("di", {**error, "retry": True})
        made.passes()
    yield made
    if made.daemon is not None:
        made.daemon.abandon()


Said = Callable[..., list[Any]]


@pytest.fixture
def said(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Run a command with --json at the world's time; returns what it printed, checked against its schema."""
    monkeypatch.setattr(Clock, "now", lambda self: world.clock.now())

    def run(*words: str | Path, code: int | None = 0) -> list[Any]:
        verb = str(words[0])
        assert main(["--root", str(world.root), "--json", *map(str, words)]) == code or code is None
        out, err = capsys.readouterr()
        found = [json.loads(line) for line in out.splitlines()]
        assert [fault for document in found for fault in faults(verb, document)] == [], out
        for line in err.splitlines():
            assert faults("error", json.loads(line)) == []
        assert len(found) <= 1 or verb in LINES | {"state"}
        return found

    return run


def test_every_verb_has_a_schema() -> None:
    assert set(SCHEMAS) == {*parsers.VERBS} - SILENT | {"error"}


@pytest.mark.parametrize("verb", SCHEMAS)
def test_the_schemas_are_schemas(verb: str) -> None:
    schema = SCHEMAS[verb]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:taskdir:v1:cli:{verb}"
    assert schema["description"].endswith(".")
    assert faults(verb, {"surprise": 1}), "it takes anything"
    assert faults(verb, None)


@pytest.mark.parametrize("words", ["show nobody", "claim", "state get none", "sumbit", "wait nobody", "cancel A"])
def test_errors(words: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(world.root), "--json", *words.split()]) > 1
    (line,) = capsys.readouterr().err.splitlines()
    assert faults("error", json.loads(line)) == []


def test_what_is_read(world: World, said: Said) -> None:
    (status,) = said("status")
    assert status["blocked"] == {"tasks": 1, "by": [{"id": "bad", "state": "failed", "tasks": 1}]}
    assert [each["key"] for each in status["state"]["latest"]] == ["head"]
    assert [each["file"] for each in status["contracts"]["bad"]] == ["contracts/state/bad.json"]
    assert status["contracts"]["keys"] == 1
    waiting = [*said("show", "stuck", "later", "second", "asleep", "line", "first", "held", "good", "bad", "gone")]
    whys = [each["x-waiting"]["why"] for each in waiting if "x-waiting" in each]
    assert whys == ["blocked", "after", "resource", "not_before", "line", "line"]
    world.write("inbox/new.json", {"type": "count"})
    said("show", "wrong", "new", "all", "s1")
    said("show", "--graph", "dot", "stuck")
    for words in ([], ["--state", "rejected"], ["--blocked"], ["--after", "held"], ["--limit", "0"]):
        said("list", *words)
    said("log")
    said("report")
    (report,) = said("check")
    assert report["held"] == {"gpu": 1, "repo": 1}
    assert said("wait", "good", "bad", "wrong", code=1)[-1]["state"] == "rejected"
    assert said("wait", "stuck", code=75) == [
        {"id": "stuck", "state": "blocked", "by": [{"id": "bad", "state": "failed"}]}
    ]
    said("doctor", code=None)


def test_what_is_read_without_a_daemon(world: World, said: Said) -> None:
    world.stop()
    said("status")
    (world.root / "done/good.json").unlink()
    assert said("wait", "good") == [{"id": "good", "state": "done"}]
    said("restore", "good", "bad", "gone")
    (world.root / "done/ghost.json").write_text("{}")
    said("check", code=1)
    with open(world.root / "log.jsonl", "ab") as file:
        file.write(b"{")
    (world.root / "taskdir.json").write_text("{")
    said("status")
    said("check", code=1)


def test_what_is_written(world: World, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stop()
    said("submit", "--type", "count", "--after", "good", "--resource", "gpu", "--not-before", "2099-01-01T00:00:00Z")
    said("cancel", "line", "--dependants")
    said("note", "all is well")
    said("state", "set", "head", '"def"', "--if-version", "1")
    said("finish", world.held("cy"), "--output", "5")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    said("contract", "add", "sum", "-")


def test_the_shared_state(world: World, said: Said) -> None:
    (entry,) = said("state", "get", "head")
    assert (entry["value"], entry["version"]) == ("abc", 1)
    assert said("state", "list") == [[entry]]
    assert said("state", "watch", "head", "--count", "1") == [entry]


def test_contracts_and_documents(world: World, said: Said, tmp_path: Path) -> None:
    (found,) = said("contract", "list")
    assert [each.get("type") or each["key"] for each in found] == ["count", "echo", "bad", "head"]
    (found,) = said("contract", "check", code=65)
    assert [Path(each["file"]).name for each in found] == ["bad.json"]
    said("validate", world.root / "log.jsonl", world.root / "contracts/state/head.json")
    said("validate", world.root / "rejected/wrong.json", code=65)
    said("validate", tmp_path / "none.json", code=65)


def test_a_claim(world: World, said: Said) -> None:
    name = sorted(os.listdir(world.root / "ready/default"))[0]
    (found,) = said("claim", "--agent", "eve")
    assert Path(found["path"]).name == name
    assert said("claim", "--agent", "eve", code=75) == []


def test_a_root_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--json", "init", str(tmp_path / "new")]) == 0
    assert main(["--json", "init", str(tmp_path / "new"), "--editor", "vscode"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["--json", "init", str(tmp_path / "new"), "--agent", "gemini"]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert faults("init", json.loads(line)) == []


def test_a_kit(said: Said, tmp_path: Path) -> None:
    (listed,) = said("conformance", "agent", "--list", "--only", "keep/*")
    assert [case["name"] for case in listed] == ["keep/renews", "keep/gone"]
    known = tmp_path / "known"
    known.write_text("# what it cannot do\nkeep/renews\n")
    (report,) = said("conformance", "agent", "--only", "keep/*", "--expect-fail", known, "--", "false", code=1)
    assert report["unexpected"] == ["keep/gone"]


def test_a_service(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played for real in tests/scenario/test_systemd.py; how the tools are called, in test_service."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    for manager in ("systemd", "launchd", "windows"):
        said("service", "print", "--manager", manager)
        said("service", "status", "--manager", manager, code=1)
        said("service", "install", "--manager", manager, code=69)
    assert faults("service", {"message": "a line"}) == []


def test_what_the_parsers_give(said: Said) -> None:
    for shell in ("bash", "zsh", "fish"):
        said("completion", shell)
    said("man")


def test_a_hook(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each vendor's answers in tests/unit/test_hooks.py."""
    given = {"hook_event_name": "sessionStart", "conversation_id": "c1"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(given).encode())))
    (answer,) = said("hook", "--dialect", "cursor")
    assert "you are the agent cursor-" in answer["additional_context"]
    for answer in ({}, {"decision": "block", "reason": "x"}, {"permission": "deny", "agent_message": "x"}):
        assert faults("hook", answer) == []


def test_other_programs_formats(world: World, said: Said, tmp_path: Path) -> None:
    """More of both in tests/interchange."""
    issues = tmp_path / "issues.jsonl"
    lines = [{"id": "bd-1", "title": "one", "assignee": "ann"}, {"id": "bd-2", "title": "two", "status": "closed"}, {}]
    issues.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for words in (["--dry-run"], []):
        found = said("import", "beads", issues, "--type", "count", *words, code=65)
        assert [each["outcome"] for each in found] == ["made", "left-out", "refused"]
    world.passes()
    assert said("import", "beads", issues, "--type", "count", code=65)[0]["outcome"] == "already"
    assert len(said("export", "cloudevents")) > 20
    (request,) = said("export", "otel")
    assert list(request) == ["resourceSpans"]


def test_agents_behind_walls(world: World, said: Said) -> None:
    """Adding one needs root and is played in tests/faults/test_walls.py; here, that the schema takes what it prints."""
    said("agent", "list", code=78)
    world.write("taskdir.json", {"protocol": 1, "walls": True})
    assert said("agent", "list") == [[]]
    (world.root / "agents/ann").mkdir(parents=True)
    (world.root / "claimed/ann").mkdir()
    assert [each["agent"] for each in said("agent", "list")[0]] == ["ann"]
    said("agent", "add", "ann-two", "--user", "1234:1234", code=65)
    assert faults("agent", {"agent": "ann", "group": 1234}) == []


def test_a_server() -> None:
    """Played for real in tests/scenario/test_mcp.py; here, that its schema takes what it prints."""
    entry = {"type": "http", "url": "http://127.0.0.1:8123/mcp", "headers": {"Authorization": "Bearer abc"}}
    assert faults("mcp", entry) == []


def test_a_runner(world: World, tmp_path: Path) -> None:
    """In a process of its own: it takes signals and whatever children there are. More of it in tests/runner."""
    world.stop()
    stale = tmp_path / "work" / "rex" / "old.1.run"
    stale.mkdir(parents=True)
    (world.root / "claimed/rex").mkdir()
    ready = sorted((world.root / "ready/default").iterdir())
    ready[0].rename(world.root / "claimed/rex" / ready[0].name)
    words = f"--json work --agent rex --once --workspaces {tmp_path}/work -- false"
    done = taskdir(*words.split(), root=world.root)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert {each["event"] for each in told} == {"swept", "given-back", "claimed", "ended"}
    assert [fault for each in told for fault in faults("work", each)] == []


def test_a_demonstration() -> None:
    """Played for real in tests/scenario; here, that its schema takes what it prints."""
    assert faults("demo", {"tasks": 1, "story": ["a"], "faults": []}) == []
