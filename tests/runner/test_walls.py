"""`taskdir work --sandbox`: what the command tries outside its workspace fails, and the log says so."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.stage import Stage, ended, git, script
from support.live import Root, until
from taskdir.errors import ConfigError
from taskdir.runner import landlock, sandbox

try:
    WAY = sandbox.mechanism()
except ConfigError as fault:
    pytest.skip(f"NOT TESTED: {fault.message}", allow_module_level=True)

OK = """echo '{"status": "ok", "output": {"n": 1}}' > "$TASKDIR_RESULT" """


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory that is seen from inside: /tmp would be another one there."""
    made = Path(tempfile.mkdtemp(prefix="taskdir-walls-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def stage(base: Path) -> Stage:
    return Stage(base)


@pytest.fixture(params=["bubblewrap", "landlock"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment in which the runner finds this mechanism: for Landlock with a bubblewrap that does not work."""
    if request.param == WAY:
        return {}
    if request.param == "bubblewrap" or (fault := landlock.why_not()) is not None:
        pytest.skip(f"NOT TESTED: {fault if request.param == 'landlock' else 'bubblewrap does not work here'}")
    script(tmp_path / "bwrap", "exit 1")
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def notes(stage: Stage, agent: str = "me") -> str:
    return "".join(path.read_text() for path in stage.root.glob(f"claimed/{agent}/*.notes.jsonl"))


def test_the_log_says_so(base: Path, way: dict[str, str]) -> None:
    """With a real daemon: the error is in the event, and a note is in the record, though the command went on."""
    with Root(base / "jobs", settle_seconds=0, scan_seconds=0.2, bench_after=0) as root:
        stage = Stage.__new__(Stage)
        stage.base, stage.root, stage.work = base, root.path, base / "jobs.work"
        for name, rest in (("bold", ""), ("bolder", OK)):
            root.put(f"inbox/{name}.json", {"type": "echo", "max_attempts": 1})
            until(root.offered, "the offer")
            command = script(base / name, f'echo x >> "$TASKDIR/log.jsonl" || {rest or "exit 3"}')
            stage.run("--sandbox", "--tries", "1", "--", command, env=way)
            until(lambda: root.events("failed", "done"), "the end of the task")
        (errored,) = root.events("errored")
        assert "log.jsonl" in errored["error"]["message"]
        assert "Read-only" in errored["error"]["message"] or "Permission denied" in errored["error"]["message"]
        done = until(lambda: root.events("done"), "the other end")[0]
        (walls,) = [note["walls"] for note in map(json.loads, done["notes"].splitlines()) if "walls" in note]
        assert "log.jsonl" in walls[0]
        assert not [event for event in root.events() if event["event"] == "breach"]


def test_neither_neighbours_nor_repository(stage: Stage, way: dict[str, str]) -> None:
    """In a worktree: all that is not the worktree stays as it is; the work is committed from outside."""
    repo = stage.repo()
    stage.offer("a")
    stage.offer("other")
    os.makedirs(stage.root / "claimed/you")
    held = (stage.root / "ready/default/5-000000000002.other.1.json").rename(
        stage.root / "claimed/you/5-000000000002.other.1.json"
    )
    before = {path: path.read_bytes() for path in (held, repo / "file", repo / ".git/config")}
    tries = [f"echo x > {path}" for path in before]
    tries += [f"git branch stolen; git commit --allow-empty -m x; touch {repo}/.git/hooks/x {stage.work}/me/b.1"]
    command = script(stage.base / "cmd", "\n".join([*tries, "git log -1 --oneline > seen; echo mine > new", OK]))
    (told,) = ended(stage.run("--sandbox", "--worktree", repo, "--", command, env=way))
    assert told == ("a", "done", None, 1)
    assert {path: path.read_bytes() for path in before} == before
    assert git(repo, "branch", "--list", "--format=%(refname:short)").split() == ["main", "taskdir/a.1"]
    assert git(repo, "show", "--name-only", "--format=", "taskdir/a.1").split() == ["new", "seen"]
    assert git(repo, "show", "taskdir/a.1:seen").strip().endswith("first")
    assert not (repo / ".git/hooks/x").exists()
    assert len(json.loads(notes(stage).splitlines()[0])["walls"]) > 0


def test_what_git_runs_outside(stage: Stage) -> None:
    """A repository inside the worktree cannot have the runner's git run something of its own."""
    repo = stage.repo()
    stage.offer("a")
    command = script(
        stage.base / "cmd",
        f"""set -e; export HOME=$PWD
        git init -q evil; cd evil; echo x > f; git add f
        git -c user.name=a -c user.email=a@b commit -q -m x
        printf '#!/bin/sh\\necho $* >> {stage.base}/owned\\n' > hook; chmod +x hook
        git config core.fsmonitor $PWD/hook; git config filter.x.clean $PWD/hook; echo '* filter=x' > .gitattributes
        cd ..; printf '[submodule "evil"]\\n path = evil\\n url = ./evil\\n ignore = none\\n' > .gitmodules
        echo y > evil/f; {OK}""",
    )
    stage.run("--sandbox", "--worktree", repo, "--", command)
    stage.offer("b")
    stage.run("--sandbox", "--worktree", repo, "--", script(stage.base / "ok", OK))
    assert not (stage.base / "owned").exists()
    assert stage.results()["b"]["n"] == 1


@pytest.mark.parametrize("trick", ["rm -r .taskdir-work; ln -s {0} .taskdir-work", "rm -r .taskdir-work"])
@pytest.mark.parametrize("walls", [[], ["--sandbox"]])
def test_the_desk_leads_nowhere_else(stage: Stage, trick: str, walls: list[str]) -> None:
    """What the runner itself writes cannot be led elsewhere by a link in the place of the desk."""
    stage.offer("a")
    away = stage.base / "away"
    (away / "artifacts").mkdir(parents=True)
    (away / "artifacts/secret").write_text("x")
    (away / "result.json").write_text('{"status": "ok", "output": {"n": 1}}')
    before = sorted(path.name for path in away.rglob("*"))
    told = stage.run(*walls, "--", script(stage.base / "cmd", trick.format(away)))
    assert [each[1:3] for each in ended(told)] == [("failed", "desk-gone")]
    assert sorted(path.name for path in away.rglob("*")) == before


def test_artifacts_behind_a_link(stage: Stage) -> None:
    stage.offer("a")
    (stage.base / "away").mkdir()
    (stage.base / "away/secret").write_text("x")
    command = script(stage.base / "cmd", f"rmdir $TASKDIR_ARTIFACTS; ln -s {stage.base}/away $TASKDIR_ARTIFACTS; {OK}")
    assert [each[1:3] for each in ended(stage.run("--tries", "1", "--", command))] == [("failed", "bad-artifact")]
    assert (stage.base / "away/secret").exists()


def test_more_places_and_the_network(stage: Stage) -> None:
    stage.offer("a")
    more = stage.base / "more"
    more.mkdir()
    stage.run("--sandbox", "--writable", more, "--network", "--", script(stage.base / "cmd", f"touch {more}/x; {OK}"))
    assert (more / "x").exists()
    assert stage.results() == {"a": {"n": 1}}


def test_refusals(stage: Stage, tmp_path: Path) -> None:
    """Without walls nothing is claimed; options that mean nothing are told."""
    stage.offer("a")
    stage.run("--network", "--", "true", code=2)
    stage.run("--sandbox", "--writable", stage.base / "none", "--", "true", code=66)
    for name, text in (("bwrap", "echo no namespaces >&2; exit 1"), ("uname", "echo m68k")):
        script(tmp_path / name, text)
    (tmp_path / "sitecustomize.py").write_text("import platform; platform.machine = lambda: 'm68k'\n")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": f"{tmp_path}:{Path(sandbox.__file__).parents[2]}"}
    stage.run("--sandbox", "--", "true", code=78, env=path)
    assert len(list((stage.root / "ready/default").iterdir())) == 1
