"""The vendors' own programs, where they are on PATH, with what `init --agent` wrote: only the model is a stand-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hooks.model import Asked, model
from support.live import ENV, Root, taskdir

SECONDS = 110
SHELLS: dict[str, tuple[str, str]] = {
    "claude": ("Bash", "command"),
    "codex": ("exec_command", "cmd"),
    "gemini": ("run_shell_command", "command"),
}
"""Of each vendor the tool that runs a command, and the member of its input that holds it."""


def words(vendor: str, url: str, home: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that does one turn without a person, and its environment."""
    if vendor == "claude":
        quiet = {"DISABLE_TELEMETRY": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        argv = ["claude", "-p", "work", "--model", "stand-in", "--output-format", "json", "--allowedTools", "Bash"]
        return argv, {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", **quiet}
    if vendor == "codex":
        argv = [
            "codex",
            "exec",
            "--json",
            "--dangerously-bypass-approvals-and-sandbox",
            "--dangerously-bypass-hook-trust",
        ]
        served = f'{{name="stand-in",base_url="{url}/v1",wire_api="responses",env_key="STAND_IN"}}'
        argv += ["-m", "stand-in", "-c", "model_provider=stand", "-c", f"model_providers.stand={served}", "work"]
        return argv, {"STAND_IN": "none"}
    (home / ".gemini").mkdir()
    security = {"folderTrust": {"enabled": False}, "auth": {"selectedType": "gemini-api-key"}}
    settings = {"security": security, "privacy": {"usageStatisticsEnabled": False}}
    (home / ".gemini/settings.json").write_text(json.dumps(settings))
    argv = ["gemini", "-m", "gemini-2.5-flash", "--approval-mode", "yolo", "-o", "json", "-p", "work"]
    return argv, {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "none"}


@pytest.mark.parametrize("vendor", SHELLS)
def test_a_session(vendor: str, tmp_path: Path) -> None:
    """The model is told who it is; writing into others' places is denied; the stop is held back, once."""
    if shutil.which(vendor) is None:
        pytest.skip(f"NOT TESTED: there is no {vendor} on PATH")
    root, project, home = Root(tmp_path / "jobs").path, tmp_path / "project", tmp_path / "home"
    for path in (project, home / ".codex", root / "claimed/a1", root / "claimed/other"):
        path.mkdir(parents=True)
    (home / ".codex/config.toml").write_text(f'[projects."{project}"]\ntrust_level = "trusted"\n')
    (root / "claimed/a1/5-000000000003.t1.1.json").write_text('{"id": "t1", "attempt": 1, "lease_seconds": 60}')
    subprocess.run(["git", "init", "-q", "."], cwd=project, check=True)
    assert taskdir("init", root, "--agent", vendor, cwd=project).returncode == 0
    tool, member = SHELLS[vendor]
    tools: list[Asked] = [(tool, {member: f"echo x > {root}/claimed/other/y", "description": "x"})]
    tools += [(tool, {member: f"echo x > {project}/mine", "description": "x"})]
    with model(vendor, tools) as stand_in:
        argv, env = words(vendor, stand_in.url, home)
        clean = {
            name: value for name, value in ENV.items() if not name.startswith(("CLAUDE", "CODEX", "GEMINI", "GOOGLE"))
        }
        done = subprocess.run(
            argv, cwd=project, env=clean | env | {"HOME": str(home), "TASKDIR_AGENT": "a1"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    shown = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    told = stand_in.told
    assert len(told) == 4, shown
    assert "you are the agent a1" in told[0]
    assert ["is not yours to write" in text for text in told] == [False, True, True, True], shown
    assert ["you still hold t1 attempt 1" in text for text in told] == [False, False, False, True], shown
    assert not (root / "claimed/other/y").exists()
    assert (project / "mine").exists(), shown
    assert os.listdir(root / "claimed/a1") == ["5-000000000003.t1.1.json"]
