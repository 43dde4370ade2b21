"""One attempt of the runner from outside: its workspace, its desk, its command, its result."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

from runner.stage import Stage, ended, git, script, until
from support.live import Root, taskdir

OK = """echo '{"status": "ok", "output": {"n": 1}}' > "$TASKDIR_RESULT" """


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_desk_and_the_environment(stage: Stage) -> None:
    (stage.root / "contracts/echo.json").write_text('{"description": "Say it again."}')
    record = stage.root / "done/long.json"
    record.write_text('{"output": "very long"}')
    stage.offer(
        "a",
        2,
        input={"say": "``` hi"},
        context={"before": {"x": 5}},
        context_files={"long": {"path": "done/long.json", "sha256": hashlib.sha256(record.read_bytes()).hexdigest()}},
        output_schema={"type": "object", "required": ["n"]},
        last_error={"code": "no-luck", "message": "it rained"},
    )
    seen = stage.base / "seen"
    command = script(
        stage.base / "cmd",
        f"""set -e
        exec > {seen}; test ! -t 0; ! read line; pwd
        for each in TASK PROMPT SCHEMA RESULT ARTIFACTS; do eval echo $each \\$TASKDIR_$each; done
        echo $TASKDIR_ID $TASKDIR_ATTEMPT $TASKDIR_TRY $TASKDIR_AGENT; cat "$TASKDIR_TASK" "$TASKDIR_SCHEMA"
        cat "$TASKDIR_PROMPT"; cat .taskdir-work/context/long.json; echo; ps -o sid= -p $$; echo $$; {OK}""",
    )
    told = stage.run("--", command)
    assert ended(told) == [("a", "done", None, 1)]
    assert stage.results() == {"a": {"n": 1}}
    text = seen.read_text()
    here = stage.work / "me/a.2"
    for what in (f"{here}\n", f"TASK {here}/.taskdir-work/task.json", f"RESULT {here}/.taskdir-work/result.json",
                 "a 2 1 me\n", "Say it again.", "it rained", "very long", '"x": 5', "Task a, attempt 2 (echo)",
                 "````\n", '"required":["n"]'):  # fmt: skip
        assert what in text, what
    session, pid = text.split()[-2:]
    assert session == pid, "the command leads no session of its own"
    assert stage.workspaces() == [], "a workspace was left after success"
    assert [path.name for path in stage.work.glob("me/*")] == [".lock"]


def test_templates(stage: Stage) -> None:
    stage.offer("a", output_schema=True)
    stage.offer("b", input="x" * 200_000)
    words = '{id}/{attempt}/{agent}/{type}/{try}/{task}/{schema_json}/{other}/{"json": 1}'
    command = script(
        stage.base / "cmd", f'printf "%s\\n" "$1" > {stage.base}/seen-$TASKDIR_ID; echo "$2" | head -1; {OK}'
    )
    stage.run("--", command, words, "{prompt}")
    here = stage.work / "me/a.1/.taskdir-work"
    assert (stage.base / "seen-a").read_text() == f'a/1/me/echo/1/{here}/task.json/true/{{other}}/{{"json": 1}}\n'
    assert stage.results() == {"a": {"n": 1}, "b": {"n": 1}}, "a long prompt breaks the command line"


def test_a_bad_result_is_told_back_and_mended_in_the_same_workspace(stage: Stage) -> None:
    stage.offer("a", output_schema={"type": "object", "required": ["n"]})
    command = script(
        stage.base / "cmd",
        f"""touch try-$TASKDIR_TRY
        case $TASKDIR_TRY in
          1) echo 'no json' > "$TASKDIR_RESULT" ;;
          2) echo '{{"status": "ok", "output": {{}}}}' > "$TASKDIR_RESULT" ;;
          3) cat "$TASKDIR_PROMPT" > {stage.base}/prompt; test -e try-1 -a -e try-2 && {OK} ;;
        esac""",
    )
    assert ended(stage.run("--", command)) == [("a", "done", None, 3)]
    prompt = (stage.base / "prompt").read_text()
    assert "Your last try was not accepted" in prompt
    assert "lacks 'n'" in prompt
    stage.offer("b", output_schema={"type": "object", "required": ["n"]})
    assert ended(stage.run("--tries", "2", "--", command)) == [("b", "failed", "bad-result", 2)]
    assert stage.retries() == {"b": True}
    assert stage.workspaces() == ["me/b.1", "me/b.1.run"], "the workspace of a failure is not kept"


def test_exit_0_proves_nothing(stage: Stage) -> None:
    stage.offer("a"), stage.offer("b"), stage.offer("c")
    command = script(
        stage.base / "cmd", f"case $TASKDIR_ID in a) exit 0 ;; b) echo no luck >&2; exit 3 ;; c) {OK}; exit 4 ;; esac"
    )
    assert ended(stage.run("--", command)) == [
        ("a", "failed", "no-result", 3),
        ("b", "failed", "no-result", 1),
        ("c", "done", None, 1),
    ]
    assert "no luck" in stage.results()["b"]["message"]


def test_an_error_of_the_agents_own(stage: Stage) -> None:
    stage.offer("a")
    said = '{"status": "error", "error": {"code": "no-need", "message": "done before"}, "retry": false}'
    assert ended(stage.run("--", script(stage.base / "cmd", f"echo '{said}' > $TASKDIR_RESULT"))) == [
        ("a", "failed", "no-need", 1)
    ]
    assert (stage.results(), stage.retries()) == ({"a": {"code": "no-need", "message": "done before"}}, {"a": False})


def test_a_worktree_its_branch_its_commit_and_its_artifacts(stage: Stage) -> None:
    repo = stage.repo()
    stage.offer("a"), stage.offer("b"), stage.offer("c", output_schema={"type": "object", "additionalProperties": False,
                                                                      "properties": {"n": True}})  # fmt: skip
    work = f'case $TASKDIR_ID in a|c) echo two >> file; echo built > "$TASKDIR_ARTIFACTS/out" ;; esac; {OK}'
    told = stage.run("--worktree", repo, "--", script(stage.base / "cmd", work))
    assert [each[1] for each in ended(told)] == ["done", "done", "done"]
    found = stage.results()
    made = found["a"].pop("artifacts")
    digest = hashlib.sha256(b"built\n").hexdigest()
    assert made["files"] == [{"path": "out", "size": 6, "sha256": digest}]
    assert Path(made["dir"], "out").read_text() == "built\n"
    assert git(repo, "show", f"{made['commit']}:file") == "one\ntwo\n"
    assert git(repo, "rev-parse", "taskdir/a.1").strip() == made["commit"]
    assert found["b"]["artifacts"] == {"commit": git(repo, "rev-parse", "main").strip()}
    assert found["c"] == {"n": 1}, "a schema that lets nothing else stand there is broken"
    notes = json.loads(next(stage.root.glob("claimed/me/*.c.1.notes.jsonl")).read_text())
    assert notes["files"] == made["files"]
    assert len(git(repo, "worktree", "list").splitlines()) == 1
    branches = git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    assert branches == ["main", "taskdir/a.1", "taskdir/c.1"], "a branch without work is left, or one with work gone"
    assert git(repo, "status", "--porcelain") == ""


def test_the_contracts_verify_is_run_and_told_back(stage: Stage) -> None:
    repo = stage.repo()
    (stage.root / "contracts/echo.json").write_text(
        '{"verify": ["sh", "-c", "touch rubbish; grep two file || { echo no two here; exit 1; }"]}'
    )
    stage.offer("a")
    command = script(
        stage.base / "cmd",
        f"[ $TASKDIR_TRY = 2 ] && echo two >> file; cat $TASKDIR_PROMPT > {stage.base}/prompt; {OK}",
    )
    assert ended(stage.run("--worktree", repo, "--", command)) == [("a", "done", None, 2)]
    assert "no two here" in (stage.base / "prompt").read_text()
    assert stage.workspaces() == [], "what the check left keeps the worktree"
    assert git(repo, "ls-tree", "--name-only", "taskdir/a.1").split() == ["file"]
    stage.offer("b")
    told = stage.run("--worktree", repo, "--", script(stage.base / "cmd", OK))
    assert ended(told) == [("b", "failed", "verify-failed", 3)]
    assert "no two here" in stage.results()["b"]["message"]


def test_a_link_is_no_artifact(stage: Stage) -> None:
    stage.offer("a")
    told = stage.run("--", script(stage.base / "cmd", f'ln -s /etc/passwd "$TASKDIR_ARTIFACTS/x"; {OK}'))
    assert ended(told) == [("a", "failed", "bad-artifact", 3)]


def test_modes_do_not_keep_a_workspace_from_going(stage: Stage) -> None:
    stage.offer("a")
    stage.run("--", script(stage.base / "cmd", f"mkdir -p x/y; touch x/y/z; chmod 500 x/y x; {OK}"))
    assert stage.workspaces() == []
    assert stat.S_ISDIR((stage.work / "me").stat().st_mode)


def test_a_refusal_by_the_daemon_is_told_back(tmp_path: Path) -> None:
    """Only the daemon knows its limit on the size of results."""
    stage = Stage(tmp_path / "spare")
    command = script(
        tmp_path / "cmd",
        f"""cat "$TASKDIR_PROMPT" > {tmp_path}/prompt
        [ $TASKDIR_TRY = 1 ] && long=$(seq 2000)
        printf '{{"status": "ok", "output": "%s"}}' "$(echo $long)" > "$TASKDIR_RESULT" """,
    )
    with Root(tmp_path / "jobs", max_result_bytes=4096, settle_seconds=0.1, scan_seconds=0.05) as root:
        assert taskdir("submit", "--type", "echo", "--id", "a", root=root.path).returncode == 0
        stage.root, stage.work = root.path, tmp_path / "jobs.work"
        until(root.offered, "the offer")
        assert ended(stage.run("--", command)) == [("a", "done", None, 2)]
        until(lambda: root.names("done"), "the record")
    assert "too-large" in (tmp_path / "prompt").read_text()
    assert [event["event"] for event in root.events("refused", "done", "errored")] == ["refused", "done"]


def test_artifacts_are_those_of_the_try_that_was_taken(stage: Stage) -> None:
    """The first try's are not handed in with the second's result; what an older root left under the name stays."""
    (stage.root / "contracts/echo.json").write_text('{"verify": ["test", "-e", "good"]}')
    (stage.work / "_artifacts/a.1").mkdir(parents=True)
    stage.offer("a"), stage.offer("b")
    command = script(
        stage.base / "cmd",
        f"""[ $TASKDIR_TRY = 1 ] && echo x > "$TASKDIR_ARTIFACTS/x" || rm -f "$TASKDIR_ARTIFACTS/x"
        [ $TASKDIR_ID = a ] && echo y > "$TASKDIR_ARTIFACTS/y"; [ $TASKDIR_TRY = 2 ] && touch good; {OK}""",
    )
    assert [each[1:] for each in ended(stage.run("--", command))] == [("done", None, 2), ("done", None, 2)]
    found = stage.results()
    assert found["b"] == {"n": 1}
    assert [file["path"] for file in found["a"]["artifacts"]["files"]] == ["y"]
    assert found["a"]["artifacts"]["dir"] == str(stage.work / "_artifacts/a.1-2")
    assert list((stage.work / "_artifacts/a.1").iterdir()) == []


def test_what_an_earlier_runner_held_is_given_back_or_failed(stage: Stage) -> None:
    """Unfinished work gets a new attempt and a new workspace; a result that was refused is an error."""
    given, refused = stage.offer("a"), stage.offer("b")
    home = stage.root / "claimed/me"
    home.mkdir()
    for offer in (given, refused):
        offer.rename(home / offer.name)
    (home / f"{refused.stem}.refused.json").write_text('{"code": "output-contract"}')
    told = stage.run("--", "false")
    assert [(each["event"], each["id"]) for each in told] == [("given-back", "a"), ("given-back", "b")]
    assert not (home / given.name).exists()
    assert stage.results()["b"]["code"] == "refused"
    assert stage.retries() == {"b": True}
