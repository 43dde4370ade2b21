"""The GitHub action: the steps of action.yml, run as a runner runs the steps of a composite action."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hooks.conftest import ROOT, need
from support import fetch

yaml: Any = pytest.importorskip("yaml", reason="NOT TESTED: pre-commit, which brings PyYAML, is missing")
pytestmark = [
    pytest.mark.skipif(shutil.which("bash") is None, reason="NOT TESTED: there is no bash"),
    pytest.mark.xdist_group("action"),
    pytest.mark.timeout(300),  # installs from scratch, which a busy machine draws out
]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""What `shell: bash` means on a runner."""


class Runner:
    """Runs the action's steps in one job, with the inputs of a workflow; keeps what steps hand on."""

    def __init__(self, home: Path, source: Path, env: dict[str, str]) -> None:
        self.home, self.source, self.env = home, source, env
        self.outputs: dict[str, str] = {}
        (home / "temp").mkdir(parents=True)

    def use(self, workspace: Path, **given: str) -> subprocess.CompletedProcess[str]:
        """Run the steps up to the first that fails; returns how the last one ended."""
        inputs = {name: str(each["default"]) for name, each in ACTION["inputs"].items()} | given
        assert set(given) <= set(ACTION["inputs"])
        known = {f"inputs.{name}": value for name, value in inputs.items()}
        known["github.action_path"] = str(self.source)
        self.outputs = {}
        ended = []
        for step in ACTION["runs"]["steps"]:
            ended.append(self._step(step, workspace, known))
            if ended[-1].returncode:
                break
        return ended[-1]

    def _step(self, step: dict[str, Any], workspace: Path, known: dict[str, str]) -> subprocess.CompletedProcess[str]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an expression in a script lets a workflow's input run commands"
        script, files = self.home / "script.sh", {name: self.home / name for name in ("GITHUB_OUTPUT", "GITHUB_PATH")}
        script.write_text(step["run"])
        for file in files.values():
            file.write_text("")
        own = {
            name: re.sub(r"\$\{\{ (\S+) \}\}", lambda match: known[match[1]], text)
            for name, text in step["env"].items()
        }
        runner = {"GITHUB_ACTIONS": "true", "RUNNER_TEMP": str(self.home / "temp"), "GITHUB_WORKSPACE": str(workspace)}
        env = self.env | runner | {name: str(file) for name, file in files.items()} | own
        words = [*SHELL, str(script)]
        done = subprocess.run(words, cwd=workspace, env=env, capture_output=True, text=True, timeout=280, check=False)
        for line in files["GITHUB_PATH"].read_text().splitlines():
            self.env = self.env | {"PATH": f"{line}{os.pathsep}{self.env['PATH']}"}
        if step.get("id") == "check":
            self.outputs |= dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        return done


Use = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def runner(clone: Path, offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A runner of which the action is all that has a `taskdir`."""
    ours = str(Path(fetch.FETCHED).parent / "bin")
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != ours)
    made = Runner(tmp_path_factory.mktemp("runner"), clone, offline | {"PATH": path})
    done = made.use(tmp_path_factory.mktemp("empty"))
    assert done.returncode == 0, done.stdout + done.stderr
    install, *_ = ACTION["runs"]["steps"]
    assert install["name"] == "Install taskdir"
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A checkout with good and bad documents."""
    files = {
        "good/inbox/a.json": '{"type": "echo"}',
        "jobs/inbox/a, 100%.json": '{"type": "echo"}',
        "jobs/inbox/b.json": '{\n "typ": "echo"\n}',
        "tasks/x.json": '{"type": 1}',
        "package.json": '{"name": "other"}',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def heads(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the workflow commands that were printed, without their messages."""
    return [line.rpartition("::")[0] if line.count("::") == 2 else line for line in done.stdout.splitlines()]


@pytest.fixture
def use(runner: Runner, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Run the steps that come after the install, which is there: each workflow would repeat it."""
    monkeypatch.setitem(ACTION["runs"], "steps", ACTION["runs"]["steps"][1:])
    return lambda **given: runner.use(workspace, **given)


def test_annotations(use: Use) -> None:
    done = use()
    assert done.returncode == 65, done.stderr
    assert [line.split("::")[1] for line in done.stdout.splitlines()] == [
        "error file=jobs/inbox/a%2C 100%25.json,line=1,col=1,title=name-grammar",
        "error file=jobs/inbox/b.json,line=2,col=2,title=unknown-field",
    ]
    assert "did you mean 'type'?" in done.stdout


def test_paths(use: Use) -> None:
    assert use(paths="good").returncode == 0
    assert use(paths="\ngood/**/*.json\n  \njobs/inbox/*.none\n").returncode == 65, "a blank line of spaces is a name"
    assert use(paths="good/**/*.json\ntasks", kind="").returncode == 0, "tasks/ has nothing that is known"
    assert use(paths="good/**/a.json\njobs/inbox/[b].json").returncode == 65
    done = use(paths="tasks/*.json")
    assert "title=unknown-kind::" in done.stdout
    done = use(paths="tasks/*.json", kind="message")
    assert "file=tasks/x.json,line=1,col=10,title=wrong-type::" in done.stdout
    done = use(paths="none/*.json")
    assert (done.returncode, done.stdout.startswith("::error title=no-file::")) == (66, True)
    assert "title=unreadable::" in use(paths="missing.json").stdout


def test_hostile_inputs_run_nothing(use: Use, workspace: Path) -> None:
    for name in ("$(touch pwned).json", "`touch pwned`.json", "; touch pwned", "--json", "-x.json", "a b.json"):
        done = use(paths=name)
        assert (done.returncode, "title=unreadable::" in done.stdout) == (65, True), (name, done)
    assert not (workspace / "pwned").exists()


def test_sarif(use: Use, runner: Runner, workspace: Path) -> None:
    need(fetch.SARIF_SCHEMA, "the schema of SARIF")
    sarif = jsonschema.Draft4Validator(json.loads(fetch.SARIF_SCHEMA.read_bytes()))
    found: dict[str, Any] = {}
    for paths, code, count in ((".", 65, 2), ("good", 0, 0), ("missing.json", 65, 1)):
        done = use(paths=paths, sarif="out/taskdir.sarif")
        assert (done.returncode, runner.outputs) == (code, {"sarif": "out/taskdir.sarif"}), done.stderr
        found = json.loads((workspace / "out" / "taskdir.sarif").read_bytes())
        sarif.validate(found)
        assert len(found["runs"][0]["results"]) == count
    found["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        sarif.validate(found)


def test_a_python_that_is_missing(runner: Runner, workspace: Path) -> None:
    assert runner.use(workspace, python="python-that-is-not-there").returncode == 127
