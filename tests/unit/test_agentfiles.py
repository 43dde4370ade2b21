"""`taskdir init --agent`: what it adds to a project's files, that it adds it once, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from support.live import PATIENCE, Root, taskdir
from taskdir import agentfiles, cli, jsonc
from taskdir.dialects import DIALECTS

FILES = {
    "claude": {".claude/settings.json", ".mcp.json", "AGENTS.md", "CLAUDE.md"},
    "codex": {".codex/hooks.json", ".codex/config.toml", "AGENTS.md"},
    "gemini": {".gemini/settings.json", "AGENTS.md", "GEMINI.md"},
    "cursor": {".cursor/hooks.json", ".cursor/mcp.json", "AGENTS.md"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "a project"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def init(project: Path, *vendors: str, code: int = 0) -> Path:
    root = project.parent / "a root"
    words = [word for vendor in vendors for word in ("--agent", vendor)]
    assert cli.main(["init", str(root), *words]) == code
    return root


def files(project: Path) -> dict[str, str]:
    found = (path for path in project.rglob("*") if path.is_file())
    return {str(path.relative_to(project)): path.read_text() for path in found}


def commands(value: Any) -> list[str]:
    """Return every command in settings, at any depth."""
    if isinstance(value, list):
        return [found for each in value for found in commands(each)]
    if not isinstance(value, dict):
        return []
    own = [value["command"]] if isinstance(value.get("command"), str) else []
    return own + [found for each in value.values() for found in commands(each)]


@pytest.mark.parametrize("vendor", FILES)
def test_what_is_written(project: Path, vendor: str) -> None:
    root = init(project, vendor)
    made, dialect = files(project), DIALECTS[vendor]
    assert made.keys() == FILES[vendor]
    settings = json.loads(made[dialect.settings])
    assert settings["hooks"].keys() == {*dialect.register}
    for event, entries in settings["hooks"].items():
        (command,) = commands(entries)
        assert shlex.split(command)[-5:] == ["--root", str(root), "hook", "--dialect", vendor], event
    if dialect.servers.endswith(".toml"):
        server = tomllib.loads(made[dialect.servers])["mcp_servers"]["taskdir"]
    else:
        server = json.loads(made[dialect.servers])["mcpServers"]["taskdir"]
    assert server["args"][-3:] == ["--root", str(root), "mcp"]
    assert str(root) in made["AGENTS.md"]
    if dialect.reads is not None:
        assert made[dialect.reads[0]] == dialect.reads[1] + "\n"
    init(project, vendor)
    assert files(project) == made, "the second time changed something"


def test_every_dialect_is_tried() -> None:
    assert FILES.keys() == DIALECTS.keys()


def test_all_of_them_together(project: Path) -> None:
    init(project, *FILES)
    assert files(project).keys() == set().union(*FILES.values())
    assert files(project)["AGENTS.md"].count("## Tasks: taskdir") == 1


@pytest.mark.parametrize("vendor", FILES)
def test_the_hooks_that_were_written_work(project: Path, vendor: str) -> None:
    """The very words of the settings, run by a shell as the vendor does, at a real root."""
    init(project, vendor)
    settings = json.loads((project / DIALECTS[vendor].settings).read_text())
    (command,) = set(commands(settings["hooks"]))
    event = {"hook_event_name": DIALECTS[vendor].register[0], "session_id": "s1", "conversation_id": "s1"}
    env = {**os.environ, "PYTHONPATH": str(Path(agentfiles.__file__).parents[1])}
    import subprocess

    done = subprocess.run(
        ["sh", "-c", command],
        input=json.dumps(event),
        capture_output=True,
        text=True,
        env=env,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"you are the agent {vendor}-" in done.stdout


OWN = """{
  // mine
  "permissions": {"allow": ["Bash(make:*)"]},
  "hooks": {
    "PreToolUse": [
      {"matcher": "Bash", "hooks": [{"type": "command", "command": "./check.sh"}]}, // keep
    ],
  },
}
"""


def test_what_is_there_stays(project: Path) -> None:
    """Comments, order and other hooks stay, byte for byte; what is new stands behind."""
    put(project, ".claude/settings.json", OWN)
    put(project, ".mcp.json", '{"mcpServers": {"other": {"command": "x"}}}')
    put(project, "AGENTS.md", "# Ours\r\n\r\nText.\r\n")
    put(project, "CLAUDE.md", "See AGENTS.md, too.\n")
    init(project, "claude")
    made = files(project)
    text = made[".claude/settings.json"]
    for line in OWN.splitlines()[:6]:
        assert line in text, line
    settings = jsonc.parse(text)
    assert [*settings.members] == ["permissions", "hooks"]
    before = settings.members["hooks"].members["PreToolUse"]
    assert len(before.items) == 2
    assert "./check.sh" in text[before.items[0].start : before.items[0].end]
    assert json.loads(made[".mcp.json"])["mcpServers"].keys() == {"other", "taskdir"}
    raw = (project / "AGENTS.md").read_bytes().decode()
    assert raw.startswith("# Ours\r\n\r\nText.\r\n\r\n<!-- taskdir -->\r\n")
    assert "\n" not in raw.replace("\r\n", "")
    assert made["CLAUDE.md"] == "See AGENTS.md, too.\n"
    init(project, "claude")
    assert files(project) == made


def test_toml_is_added_to(project: Path) -> None:
    own = 'model = "x" # mine\n\n[mcp_servers.other]\ncommand = "y"'
    put(project, ".codex/config.toml", own)
    init(project, "codex")
    text = files(project)[".codex/config.toml"]
    assert text.startswith(own + "\n")
    found = tomllib.loads(text)
    assert found["mcp_servers"].keys() == {"other", "taskdir"}
    assert (found["model"], found["mcp_servers"]["other"]) == ("x", {"command": "y"})


def test_our_section_is_kept_up_to_date(project: Path) -> None:
    put(project, "AGENTS.md", "before\n<!-- taskdir -->\nold\n<!-- end of taskdir -->\nafter\n")
    init(project, "codex")
    text = files(project)["AGENTS.md"]
    assert (text.startswith("before\n<!-- taskdir -->\n"), text.endswith("<!-- end of taskdir -->\nafter\n")) == (
        True,
        True,
    )
    assert "old" not in text


def test_what_stands_under_our_name_stays(project: Path) -> None:
    """For another root, perhaps, or with other options: it is its owner's to change."""
    mine = {"hooks": {"Stop": [{"hooks": [{"command": "cd x && taskdir hook --dialect claude"}]}]}}
    put(project, ".claude/settings.json", json.dumps(mine))
    put(project, ".mcp.json", '{"mcpServers": {"taskdir": {"url": "http://127.0.0.1:1/mcp"}}}')
    init(project, "claude")
    made = files(project)
    assert json.loads(made[".claude/settings.json"])["hooks"]["Stop"] == mine["hooks"]["Stop"]
    assert json.loads(made[".mcp.json"])["mcpServers"]["taskdir"] == {"url": "http://127.0.0.1:1/mcp"}


BROKEN = [
    ("claude", ".claude/settings.json", '{"hooks": '),
    ("claude", ".claude/settings.json", "[]"),
    ("claude", ".claude/settings.json", '{"hooks": []}'),
    ("claude", ".claude/settings.json", '{"hooks": {"Stop": {}}}'),
    ("claude", ".mcp.json", '{"mcpServers": 5}'),
    ("codex", ".codex/config.toml", "a = \n"),
    ("codex", ".codex/config.toml", 'mcp_servers = {other = {command = "x"}}\n'),
    ("codex", ".codex/config.toml", "mcp_servers = 5\n"),
    ("gemini", "AGENTS.md", "<!-- taskdir -->\nno end\n"),
    ("cursor", ".cursor/hooks.json", b"\xff\xfe"),
]


@pytest.mark.parametrize(("vendor", "name", "text"), BROKEN)
def test_a_broken_file_is_refused(
    project: Path, vendor: str, name: str, text: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stays as it is, no other file is touched, and the message says which, where, and what to do next."""
    data = text.encode() if isinstance(text, str) else text
    put(project, name, "")
    (project / name).write_bytes(data)
    init(project, vendor, code=73)
    said = capsys.readouterr().err
    assert all(what in said for what in (name, "[in-the-way]", f"taskdir init --agent {vendor}")), said
    assert [str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()] == [name]
    assert (project / name).read_bytes() == data


def test_links_and_modes_stay(project: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.json"
    kept.write_text("{}")
    kept.chmod(0o600)
    (project / ".mcp.json").symlink_to(kept)
    init(project, "claude")
    assert (project / ".mcp.json").is_symlink()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "taskdir" in kept.read_text()


def test_what_is_told(project: Path) -> None:
    """With --json the files that were changed; without them none."""
    root = Root(project.parent / "jobs").path
    words = ("--json", "init", root, "--agent", "cursor", "--agent", "codex", "--editor", "vscode")
    told = json.loads(taskdir(*words, cwd=project).stdout)
    assert {os.path.relpath(path, project) for path in told["agents"]} == FILES["cursor"] | FILES["codex"]
    assert json.loads(taskdir(*words, cwd=project).stdout) == {
        "root": str(root),
        "created": False,
        "editor": [],
        "agents": [],
    }
    assert "have it all already" in taskdir(*words[1:], cwd=project).stderr


def put(project: Path, name: str, text: str) -> None:
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_bytes(text.encode())
