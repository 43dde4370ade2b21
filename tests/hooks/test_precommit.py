"""The real pre-commit runs our hooks from a clean clone of this checkout: bad commits are refused, good ones pass.

It installs taskdir into an environment of its own, from wheels that were fetched before, without a network.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hooks.conftest import ROOT, Git
from support.chain import story

yaml: Any = pytest.importorskip("yaml", reason="NOT TESTED: pre-commit is missing; `make test` installs it")
pytestmark = [
    pytest.mark.skipif(shutil.which("pre-commit", path=str(ROOT / ".venv/bin")) is None, reason="NOT TESTED"),
    pytest.mark.xdist_group("hooks"),
    pytest.mark.timeout(300),  # installs from scratch, which a busy machine draws out
]
MANIFEST: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
HOOKS = [hook["id"] for hook in MANIFEST]
DAMAGED = "\n".join([*story().lines[:1], "{}", *story().lines[1:], ""])


@pytest.fixture(scope="module")
def project(clone: Path, git: Git, offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a user's repository whose pre-commit configuration has all our hooks; the environment is made once."""
    made = tmp_path_factory.mktemp("user")
    repo = {"repo": str(clone), "rev": git(clone, "rev-parse", "HEAD").strip(), "hooks": [{"id": id} for id in HOOKS]}
    (made / ".pre-commit-config.yaml").write_text(json.dumps({"repos": [repo]}))
    git(made, "init", "--quiet")
    commit(made, offline, "install", "--install-hooks")
    return made


def commit(directory: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run pre-commit."""
    command = ["pre-commit", *words]
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=280, check=False)


def put(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)


def outcomes(said: str) -> dict[str, str]:
    """Return what pre-commit says of each hook, by its id: Passed, Failed or Skipped."""
    names = {hook["name"]: hook["id"] for hook in MANIFEST}
    found = re.findall(r"^(.+?)\.{3,}(?:\(.*\))?(Passed|Failed|Skipped)$", said, re.MULTILINE)
    return {names[name]: outcome for name, outcome in found}


GOOD = {
    "inbox/good.json": '{"type": "echo"}\n',
    "tasks/x.json": '{"$schema": "urn:taskdir:v1:message", "type": "echo"}\n',
    "contracts/sum.json": '{"input": {"type": "object"}}\n',
    "contracts/state/head.json": "{}\n",
    "package.json": '{"type": "module", "$schema": "https://example.org/message.schema.json"}\n',
    "tsconfig.json": '{\n  // not even JSON\n}\n',
    "state/README.md": "not ours\n",
}  # fmt: skip
BAD = [
    ("taskdir-validate", "inbox/bad.json", '{\n  "type": "echo",\n  "inptu": 1\n}\n', ":3:3: /inptu: "),
    ("taskdir-validate", "inbox/open.json", '{"type": "echo"\n', ":2:1: "),
    ("taskdir-validate", "tasks/a.json", '{"$schema": "urn:taskdir:v1:message"}\n', ":1:1: "),
    ("taskdir-contracts", "sub/contracts/a.json", '{"input": {"pattern": "\\\\d"}}\n', ":1:23: /input/pattern: "),
    ("taskdir-contracts", "contracts/state/a.json", '{"input": {"type": "strin"}}\n', ":1:20: /input/type: "),
    ("taskdir-no-live-state", "jobs/taskdir.json", '{"protocol": 1}\n', ": this is the live state of the taskdir jobs"),
    ("taskdir-log", "audit/log.jsonl", DAMAGED, ":2: "),
]
"""The hook that complains, the file, its content, and what is said behind the file's name."""


def test_try_repo_catches_bad_files(clone: Path, git: Git, offline: dict[str, str], tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    put(tmp_path, GOOD | {name: text for _, name, text, _ in BAD})
    git(tmp_path, "add", "--all")
    done = commit(tmp_path, offline, "try-repo", str(clone))
    assert done.returncode == 1, done.stdout + done.stderr
    assert outcomes(done.stdout) == dict.fromkeys(HOOKS, "Failed"), done.stdout
    parts = dict(
        zip(outcomes(done.stdout), re.split(r"^.+\.Failed$", done.stdout, flags=re.MULTILINE)[1:], strict=True)
    )
    assert [bad for hook, *bad in BAD if f"{bad[0]}{bad[2]}" not in parts[hook]] == [], done.stdout
    assert "[unknown-field]\n  next: did you mean 'input'?" in done.stdout
    assert not [name for name in GOOD if f"{name}:" in done.stdout], done.stdout


def run(project: Path, git: Git, env: dict[str, str], files: dict[str, str], *hook: str) -> tuple[int, str]:
    """Stage files alone, run a hook or all on them, and take them away again."""
    put(project, files)
    git(project, "add", "--force", ".pre-commit-config.yaml", *files)
    try:
        done = commit(project, env, "run", *hook)
        return done.returncode, done.stdout + done.stderr
    finally:
        git(project, "rm", "-r", "--force", "--quiet", *files)


def test_good_files_pass(project: Path, git: Git, offline: dict[str, str]) -> None:
    code, said = run(project, git, offline, GOOD)
    assert code == 0, said
    expected = dict.fromkeys(HOOKS, "Passed") | {"taskdir-log": "Skipped"}
    assert outcomes(said) == expected


def test_logs(project: Path, git: Git, offline: dict[str, str], tmp_path: Path) -> None:
    """A log is kept as evidence: the hook takes it whole, though only its live file is new in the commit."""
    lines = (story().write(tmp_path / "x") / "log.jsonl").read_text().splitlines(keepends=True)
    old = {"audit/log/000000000001.jsonl": "".join(lines[:4])}
    live = {"audit/log.jsonl": "".join(lines[4:])}
    code, said = run(project, git, offline, old | live, "taskdir-log")
    assert (code, outcomes(said)) == (0, {"taskdir-log": "Passed"}), said
    put(project, {name: text.replace('"good"', '"evil"') for name, text in old.items()})
    code, said = run(project, git, offline, live, "taskdir-log")
    shutil.rmtree(project / "audit")
    assert code == 1, said
    assert "[log-chain]" in said


def test_a_commit_that_holds_a_live_root(project: Path, git: Git, offline: dict[str, str]) -> None:
    """The whole way: `git commit` with the hook installed; .gitignore was overruled."""
    files = {"inbox/a.json": '{"type": "echo"}\n', "state/k.json": "{}\n", "contracts/b.json": "{}\n"}
    put(project, {"taskdir.json": '{"protocol": 1}\n'})  # the root lives here, and is not tracked
    code, said = run(project, git, offline, files, "taskdir-no-live-state")
    (project / "taskdir.json").unlink()
    assert code == 1, said
    assert re.findall(r"^(\S+): this is the live state", said, re.MULTILINE) == ["inbox/a.json", "state/k.json"]


def test_the_manifest_is_as_providers_write_it() -> None:
    for hook in MANIFEST:
        assert hook["id"].startswith("taskdir-")
        assert (hook["language"], hook["minimum_pre_commit_version"]) == ("python", "3.2.0")
        assert hook["entry"].split()[0] == "taskdir"
        assert "args" not in hook, "what we need stands in entry"
        assert f"`{hook['id']}`" in (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
