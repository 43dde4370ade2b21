"""Hooks of coding agents: each vendor's documented input, and the answer that its reference asks for."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.live import ENV, PATIENCE, taskdir
from taskdir import cli, names
from taskdir.dialects import DIALECTS
from taskdir.hooks import session_agent
from taskdir.trespass import trespass

CLAUDE = {
    "session_id": "eb5b0174-0555-4601-804e-672d68069c89",
    "transcript_path": "/home/me/.claude/projects/x/eb5b0174.jsonl",
    "permission_mode": "default",
}
CODEX = CLAUDE | {"turn_id": "7", "model": "a-model", "transcript_path": None}
GEMINI = {"session_id": "1c7f", "transcript_path": "/tmp/x.json", "timestamp": "2026-01-02T03:04:05Z"}
CURSOR = {
    "conversation_id": "668320d2-2fd8-4888-b33c-2a466fec86e7",
    "generation_id": "490b90b7-a2ce-4c2c-bb76-cb77b125df2f",
    "model": "a-model",
    "cursor_version": "1.7.2",
    "user_email": None,
}
INPUTS: dict[str, dict[str, dict[str, Any]]] = {
    "claude": {
        "start": CLAUDE | {"hook_event_name": "SessionStart", "source": "startup"},
        "shell": CLAUDE
        | {
            "hook_event_name": "PreToolUse",
            "tool_name": "Bash",
            "tool_use_id": "toolu_01",
            "tool_input": {"command": ""},
        },
        "write": CLAUDE
        | {
            "hook_event_name": "PreToolUse",
            "tool_name": "Write",
            "tool_use_id": "toolu_01",
            "tool_input": {"file_path": "", "content": "x"},
        },
        "after": CLAUDE
        | {
            "hook_event_name": "PostToolUse",
            "tool_name": "Write",
            "tool_input": {"file_path": "/a", "content": "x"},
            "tool_response": {"filePath": "/a", "success": True},
        },
        "stop": CLAUDE | {"hook_event_name": "Stop", "stop_hook_active": False},
        "again": CLAUDE | {"hook_event_name": "Stop", "stop_hook_active": True},
        "other": CLAUDE | {"hook_event_name": "Notification", "message": "x"},
    },
    "codex": {
        "start": CODEX | {"hook_event_name": "SessionStart", "source": "startup"},
        "shell": CODEX | {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": ""}},
        "write": CODEX | {"hook_event_name": "PreToolUse", "tool_name": "apply_patch", "tool_input": {"command": ""}},
        "after": CODEX
        | {
            "hook_event_name": "PostToolUse",
            "tool_name": "Bash",
            "tool_input": {"command": "ls"},
            "tool_response": "x",
        },
        "stop": CODEX | {"hook_event_name": "Stop", "stop_hook_active": False, "last_assistant_message": "done"},
        "again": CODEX | {"hook_event_name": "Stop", "stop_hook_active": True, "last_assistant_message": "done"},
        "other": CODEX | {"hook_event_name": "UserPromptSubmit", "prompt": "x"},
    },
    "gemini": {
        "start": GEMINI | {"hook_event_name": "SessionStart", "source": "startup"},
        "shell": GEMINI
        | {"hook_event_name": "BeforeTool", "tool_name": "run_shell_command", "tool_input": {"command": ""}},
        "write": GEMINI
        | {"hook_event_name": "BeforeTool", "tool_name": "write_file", "tool_input": {"file_path": "", "content": "x"}},
        "after": GEMINI
        | {
            "hook_event_name": "AfterTool",
            "tool_name": "read_file",
            "tool_input": {"file_path": "a"},
            "tool_response": {"llmContent": "x"},
        },
        "stop": GEMINI
        | {"hook_event_name": "AfterAgent", "prompt": "x", "prompt_response": "y", "stop_hook_active": False},
        "again": GEMINI
        | {"hook_event_name": "AfterAgent", "prompt": "x", "prompt_response": "y", "stop_hook_active": True},
        "other": GEMINI | {"hook_event_name": "PreCompress", "trigger": "auto"},
    },
    "cursor": {
        "start": CURSOR | {"hook_event_name": "sessionStart", "session_id": "x", "is_background_agent": False},
        "shell": CURSOR | {"hook_event_name": "preToolUse", "tool_name": "Shell", "tool_input": {"command": ""}},
        "write": CURSOR
        | {"hook_event_name": "preToolUse", "tool_name": "Write", "tool_input": {"file_path": "", "contents": "x"}},
        "after": CURSOR
        | {"hook_event_name": "postToolUse", "tool_name": "Shell", "tool_input": {"command": "ls"}, "tool_output": "x"},
        "stop": CURSOR | {"hook_event_name": "stop", "status": "completed", "loop_count": 0},
        "again": CURSOR | {"hook_event_name": "stop", "status": "completed", "loop_count": 1},
        "other": CURSOR | {"hook_event_name": "beforeSubmitPrompt", "prompt": "x"},
    },
}
"""What the vendors' references show; ``cwd`` and what is written are put in by the tests."""


class Session:
    """One session of a vendor's tool in a project, with a root that one more agent works in."""

    def __init__(self, base: Path, vendor: str) -> None:
        self.vendor, self.root, self.project = vendor, base / "jobs", base / "project"
        self.project.mkdir()
        assert cli.main(["init", str(self.root)]) == 0
        self.agent = session_agent(vendor, DIALECTS[vendor], INPUTS[vendor]["stop"]) or ""
        self.offer("claimed/other", "theirs")

    def offer(self, place: str, id: str) -> Path:
        path = self.root / place / f"5-000000000003.{id}.1.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"id": id, "attempt": 1, "type": "echo", "lease_seconds": 60}))
        return path

    def say(self, what: str, *, written: str = "", code: int = 0, **more: Any) -> Any:
        """Send one event, with ``written`` in the place of the path or command; returns the answer."""
        given = json.loads(json.dumps(INPUTS[self.vendor][what])) | {"cwd": str(self.project), **more}
        if what == "write" and self.vendor == "codex":
            written = f"*** Begin Patch\n*** Add File: {written}\n+x\n*** End Patch"
        inside = given.get("tool_input")
        for name in ("command", "file_path") if isinstance(inside, dict) else ():
            if inside.get(name) == "":
                inside[name] = written
        return self.send(json.dumps(given), code)

    def send(self, text: str, code: int = 0, *words: str) -> Any:
        argv = ["hook", "--dialect", self.vendor, "--root", str(self.root), *words]
        out, sys.stdout = sys.stdout, io.StringIO()
        back, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(text.encode()))
        try:
            assert cli.main(argv) == code
            said = sys.stdout.getvalue()
        finally:
            sys.stdout, sys.stdin = out, back
        return json.loads(said) if said else None


@pytest.fixture(params=INPUTS)
def session(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    for name in ("TASKDIR", "TASKDIR_AGENT", "TASKDIR_RESULT", "TASKDIR_PROMPT"):
        monkeypatch.delenv(name, raising=False)
    return Session(tmp_path, request.param)


def denied(session: Session, answer: Any) -> str | None:
    """Return the reason of a denial, as each vendor reads it; None when the tool may run."""
    if answer == {}:
        return None
    if session.vendor in ("claude", "codex"):
        (inner,) = answer.values()
        assert inner["hookEventName"] == "PreToolUse"
        assert inner["permissionDecision"] == "deny"
        return str(inner["permissionDecisionReason"])
    if session.vendor == "gemini":
        assert answer.keys() == {"decision", "reason"}
        assert answer["decision"] == "deny"
        return str(answer["reason"])
    assert answer.keys() == {"permission", "user_message", "agent_message"}
    assert answer["permission"] == "deny"
    return str(answer["agent_message"])


def test_a_session_starts(session: Session) -> None:
    """Who I am, what I hold, what waits; what others wrote is cut short and has no control characters."""
    mine = session.offer(f"claimed/{session.agent}", "mine")
    mine.write_text(json.dumps({"type": "e\x1b[31m\ncho" + "x" * 500, "lease_seconds": 60}))
    session.offer("ready/default", "next")
    answer = session.say("start")
    told = (
        answer["additional_context"]
        if session.vendor == "cursor"
        else answer["hookSpecificOutput"]["additionalContext"]
    )
    if session.vendor != "cursor":
        assert answer["hookSpecificOutput"]["hookEventName"] == "SessionStart"
    for what in (f"agent {session.agent}", str(mine), "mine attempt 1", "default 1", "NO DAEMON RUNS", "describe"):
        assert what in told, told
    assert "\x1b" not in told
    assert len(told) < 2000


def test_writing(session: Session) -> None:
    """By the tool that writes files: others' places and what is the daemon's, by links too; never its own."""
    claimed = session.root / "claimed"
    (session.project / "link").symlink_to(session.root)
    bad = [
        "log.jsonl",
        "log/1.jsonl",
        ".taskdir/index.sqlite",
        "state/head.json",
        "done/a.json",
        "ready/default/x.json",
    ]
    for path in [*bad, "claimed/other/x.json", "failed/a.json"]:
        why = denied(session, session.say("write", written=str(session.root / path)))
        assert why is not None, path
        assert session.agent in why
        assert denied(session, session.say("write", written=f"link/{path}")) is not None, path
        assert denied(session, session.say("write", written=f"../jobs/{path}")) is not None, path
    good = [session.project / "log.jsonl", claimed / session.agent / "x", session.root / "inbox/.x.json", "log.jsonl"]
    for place in [*good, session.root / "contracts/x.json", session.root / "rejected/x.json", "/etc/hosts"]:
        assert denied(session, session.say("write", written=str(place))) is None, place


def test_the_shell(session: Session) -> None:
    assert denied(session, session.say("shell", written=f"rm -rf {session.root}/claimed/other")) is not None
    assert denied(session, session.say("shell", written="rm log.jsonl")) is None
    assert denied(session, session.say("shell", written="rm log.jsonl", cwd=str(session.root))) is not None
    assert denied(session, session.say("shell", written=f"tail -f {session.root}/log.jsonl")) is None


def test_a_tool_has_run(session: Session) -> None:
    """Renewing touches what is there, and makes nothing."""
    mine = session.offer(f"claimed/{session.agent}", "mine")
    theirs = session.root / "claimed/other/5-000000000003.theirs.1.json"
    for path in (mine, theirs):
        os.utime(path, (1, 1))
    assert session.say("after") == {}
    assert (mine.stat().st_mtime > 1, theirs.stat().st_mtime) == (True, 1)
    mine.unlink()
    assert session.say("after") == {}
    assert not mine.exists()


def test_the_end(session: Session) -> None:
    """Once, and only while something is unfinished."""
    assert session.say("stop") == {}
    mine = session.offer(f"claimed/{session.agent}", "mine")
    answer = session.say("stop")
    kept = {"claude": ("decision", "block"), "codex": ("decision", "block"), "gemini": ("decision", "deny")}
    if session.vendor == "cursor":
        assert answer.keys() == {"followup_message"}
    else:
        name, value = kept[session.vendor]
        assert (answer[name], answer.keys()) == (value, {"decision", "reason"})
    assert str(mine) in answer.get("reason", answer.get("followup_message"))
    assert session.say("again") == {}
    mine.with_name(mine.name.replace(".json", names.RESULT)).write_text("{}")
    assert session.say("stop") == {}


def test_under_the_runner(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner names the agent, keeps the lease, and takes the result from a file."""
    result = session.project / "result.json"
    monkeypatch.setenv("TASKDIR_AGENT", "a1")
    monkeypatch.setenv("TASKDIR_RESULT", str(result))
    monkeypatch.setenv("TASKDIR_PROMPT", "/w/TASK.md")
    assert "agent a1" in json.dumps(session.say("start"))
    assert "/w/TASK.md" in json.dumps(session.say("start"))
    assert str(result) in json.dumps(session.say("stop"))
    result.write_text("{}")
    assert session.say("stop") == {}
    assert denied(session, session.say("write", written=f"{session.root}/claimed/a1/x")) is None
    assert denied(session, session.say("write", written=f"{session.root}/claimed/{session.agent}/x")) is not None


def test_what_it_does_not_know_it_lets_be(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert session.say("other") == {}
    assert session.send("{}") == {}
    assert session.send("[1]") == {}
    assert session.send("") == {}
    odd: tuple[Any, ...] = (None, [], "rm", 5)
    for given in odd:
        assert (
            session.say("other", hook_event_name=INPUTS[session.vendor]["shell"]["hook_event_name"], tool_input=given)
            == {}
        )
    assert session.say("shell", tool_input={"command": 5, "description": "x"}) == {}
    assert denied(session, session.say("shell", written="echo 'unbalanced > log.jsonl")) is None


def test_no_failure_blocks(session: Session, tmp_path: Path) -> None:
    """Vendors take exit code 2 for a block; no fault of ours is one."""
    session.send("{", 1)
    session.send("{}", 1, "--agent", "No Word")
    session.send("{}", 1, "--no-such-option")
    session.send("{}", 1, "--dialect", "latin")
    (session.root / "taskdir.json").unlink()
    assert session.say("stop") == {}


def test_every_dialect_is_tried() -> None:
    assert INPUTS.keys() == DIALECTS.keys()


def test_names_of_sessions() -> None:
    """The same all session long, in each event; two sessions have two."""
    for vendor, inputs in INPUTS.items():
        found = {session_agent(vendor, DIALECTS[vendor], given) for given in inputs.values()}
        assert len(found) == 1
        assert all(name is not None and names.is_word(name) for name in found)
    other = CLAUDE | {"session_id": "eb5b0174-0555-4601-804e-672d68069c80"}
    assert session_agent("claude", DIALECTS["claude"], other) != session_agent("claude", DIALECTS["claude"], CLAUDE)


R = "/jobs"
SHELL = [
    (True, f"echo x > {R}/log.jsonl"),
    (True, f"echo x >>{R}/log.jsonl"),
    (True, f"cat a &> {R}/claimed/other/x"),
    (True, f"true 2>{R}/state/x"),
    (True, f"echo x | tee -a {R}/log.jsonl"),
    (True, f"echo x > {R}/done/a.json"),
    (True, f"cd {R} && rm log.jsonl"),
    (True, f"cd {R}/claimed; rm -r other"),
    (True, f"cd {R} && rm -rf claimed/*"),
    (True, f"rm -rf {R}"),
    (True, f"rm -rf {R}/claimed"),
    (True, "rm -rf /"),
    (True, 'rm "$TASKDIR/log.jsonl"'),
    (True, "rm ${TASKDIR}/claimed/other/x"),
    (True, f"mv {R}/claimed/other/x {R}/claimed/me/"),
    (True, f"mv {R}/ready/default/x {R}/claimed/other/"),
    (True, f"cp x {R}/claimed/other/"),
    (True, f"touch {R}/claimed/other/x"),
    (True, f"sudo -u me rm {R}/log.jsonl"),
    (True, f"A=1 nohup rm {R}/log.jsonl &"),
    (True, f"bash -lc 'rm {R}/log.jsonl'"),
    (True, f"sh -c \"cd {R} && echo '{{}}' > claimed/other/x\""),
    (True, f"sed -i s/a/b/ {R}/log.jsonl"),
    (True, f"find {R}/claimed -name x -delete; find {R}/claimed/other -delete"),
    (True, f"dd if=/dev/zero of={R}/log.jsonl"),
    (True, f"python3 -c \"open('{R}/log.jsonl', 'w')\""),
    (True, f"python3 - <<'EOF'\nx = 'it''s'\nEOF\nrm {R}/log.jsonl"),
    (True, f"ls\nrm {R}/log.jsonl"),
    (True, f"if true; then rm {R}/log.jsonl; fi"),
    (True, f"truncate -s 0 {R}/log.jsonl"),
    (True, f"sort -o {R}/log.jsonl a"),
    (True, f"./tool --output={R}/log.jsonl"),
    (False, f"cat {R}/log.jsonl | grep x > out"),
    (False, f"jq . {R}/done/a.json"),
    (False, f"ls {R}/claimed/other {R}/ready/default"),
    (False, f"cd {R} && mv ready/default/x claimed/me/"),
    (False, f"cd {R} && mv failed/x.json inbox/"),
    (False, f"cd {R} && rm done/x.json"),
    (False, f"cp {R}/log.jsonl /tmp/copy"),
    (False, f"echo x > {R}/claimed/me/.r && mv {R}/claimed/me/.r {R}/claimed/me/x.result.json"),
    (False, f"taskdir --root {R} finish {R}/claimed/me/x --output 1"),
    (False, f"grep '>' {R}/log.jsonl"),
    (False, f"echo 'rm {R}/log.jsonl'"),
    (False, f"./tool < {R}/log.jsonl"),
    (False, f"sed -n 1p {R}/log.jsonl"),
    (False, "rm -rf build; make > log.jsonl 2>&1"),
    (False, "echo state > state"),
    (False, ""),
    (False, ">"),
]


@pytest.mark.parametrize(("bad", "command"), SHELL)
def test_shell_commands(bad: bool, command: str) -> None:
    found = trespass(R, "me", "Bash", {"command": command}, "/work")
    assert (found is not None) == bad, found


TOOLS: list[tuple[bool, str, dict[str, Any]]] = [
    (True, "Edit", {"file_path": f"{R}/log.jsonl", "old_string": "a", "new_string": "b"}),
    (True, "MultiEdit", {"file_path": f"{R}/state/a.json", "edits": [{"old_string": "a", "new_string": "b"}]}),
    (True, "NotebookEdit", {"notebook_path": f"{R}/claimed/other/x.ipynb", "new_source": "x"}),
    (True, "mcp__filesystem__move_file", {"source": "a", "destination": f"{R}/claimed/other/a"}),
    (True, "mcp__filesystem__write_file", {"path": f"file://{R}/log.jsonl", "content": "x"}),
    (True, "str_replace_based_edit_tool", {"command": "create", "path": f"{R}/log.jsonl", "file_text": "x"}),
    (True, "editFiles", {"files": ["a", f"{R}/log.jsonl"]}),
    (True, "unheard_of", {"target_file": f"{R}/log.jsonl"}),
    (True, "apply_patch", {"input": f"*** Begin Patch\n*** Update File: {R}/log.jsonl\n@@\n-a\n+b\n*** End Patch"}),
    (True, "apply_patch", {"patch": f"--- a/x\n+++ b{R}/x\n--- /dev/null\n+++ {R}/log.jsonl\n"}),
    (True, "shell", {"command": ["bash", "-lc", f"rm {R}/log.jsonl"], "workdir": "/"}),
    (True, "shell", {"command": ["rm", "log.jsonl"], "workdir": R}),
    (False, "Read", {"file_path": f"{R}/log.jsonl"}),
    (False, "Grep", {"path": R, "pattern": "x"}),
    (False, "mcp__filesystem__read_text_file", {"path": f"{R}/log.jsonl"}),
    (False, "Write", {"file_path": "notes.md", "content": f"rm {R}/log.jsonl"}),
    (False, "Task", {"prompt": f"look at {R}/log.jsonl", "description": "x"}),
    (False, "mcp__taskdir__finish", {"agent": "me", "id": "x", "attempt": 1, "output": {"path": "a"}}),
]


@pytest.mark.parametrize(("bad", "tool", "given"), TOOLS)
def test_tools(bad: bool, tool: str, given: dict[str, Any]) -> None:
    found = trespass(R, "me", tool, given, "/work")
    assert (found is not None) == bad, found


def test_as_a_process(session: Session) -> None:
    """As vendors call it: a process, JSON in and out, its root found by the environment."""
    text = json.dumps(INPUTS[session.vendor]["start"])
    words = [sys.executable, "-m", "taskdir", "hook", "--dialect", session.vendor]
    env = ENV | {"TASKDIR": str(session.root)}
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, env=env, cwd=session.project, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert session.agent in json.dumps(json.loads(done.stdout))
    assert taskdir("hook", "--dialect", session.vendor, "--bogus", input="").returncode == 1
