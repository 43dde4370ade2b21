"""taskdir import: real lists become tasks, nothing is lost in silence, and importing twice doubles nothing.

The samples in backlog/ were written by Backlog.md 1.52 itself; the others follow the formats' documents.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.world import Countdown, World
from taskdir.cli import main
from taskdir.interchange.items import word

SAMPLES = Path(__file__).parent / "samples"
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "world", Countdown())
    made.write("contracts/issue.json", {"input": {"type": "object", "required": ["title"]}})
    made.passes()
    yield made
    made.stop()


@pytest.fixture
def ask(world: World, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Import into the root; returns what was printed, a line each."""

    def asked(*words: object, code: int = 0) -> list[dict[str, Any]]:
        world.stop()  # its lock would be seen as a daemon that does not answer
        assert main(["--root", str(world.root), "--json", "import", *map(str, words)]) == code, capsys.readouterr()
        world.passes()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return asked


def tasks(world: World) -> dict[str, dict[str, Any]]:
    """Return every task as it was accepted."""
    return {event["id"]: event["task"] for event in world.events() if event["event"] == "accepted"}


def outcomes(lines: list[dict[str, Any]]) -> dict[str, str]:
    return {each.get("from", each.get("reason", {}).get("code")): each["outcome"] for each in lines}


def test_beads(world: World, ask: Ask) -> None:
    lines = ask("beads", SAMPLES / "beads.jsonl")
    assert outcomes(lines) == {
        "bd-a1b2": "made", "bd-c3d4": "made", "bd-epic": "made", "bd-late": "made", "bd-old": "left-out",
        "bd-ice": "left-out",
    }  # fmt: skip
    made = tasks(world)
    task = made["bd-a1b2"]
    assert (task["priority"], task["after"], task["type"]) == (1, ["bd-c3d4"], "issue")
    assert (task["input"]["title"], task["input"]["description"]) == ("Refresh tokens", "Rotate them.")
    assert task["input"]["source"] == {"format": "beads", "id": "bd-a1b2"}
    context = task["input"]["context"]
    assert context["after_ended"] == ["bd-old"]
    assert [each["type"] for each in context["dependencies"]] == ["parent-child"]
    assert (context["design"], context["labels"], context["issue_type"]) == ("Keep one a device.", ["auth"], "feature")
    assert made["bd-c3d4"]["input"]["context"]["status"] == "in_progress"
    assert made["bd-late"]["not_before"] == "2030-02-01T07:00:00.000000Z"
    everything = json.loads((SAMPLES / "beads.jsonl").read_text().splitlines()[0])
    mapped = {"id", "title", "description", "status", "priority", "dependencies"}
    assert everything.keys() - mapped <= context.keys(), "something was lost"


def test_backlog(world: World, ask: Ask) -> None:
    lines = ask("backlog", SAMPLES / "backlog")
    assert outcomes(lines) == {"task-1": "made", "task-1.1": "made", "task-2": "made", "task-3": "left-out"}
    made = tasks(world)
    assert (made["task-1"]["priority"], made["task-2"]["after"]) == (3, ["task-1"])
    assert made["task-1"]["input"]["title"] == 'Add: parse "quoted" titles'
    assert made["task-1"]["input"]["description"].endswith("- [ ] #2 two\n<!-- AC:END -->")
    assert made["task-1"]["input"]["context"]["assignee"] == ["@ann"]
    folded = "writer has to fold it over two lines maybe"
    assert made["task-2"]["input"]["title"].endswith(folded)
    assert made["task-2"]["input"]["context"] | {"created_date": ""} == {
        "status": "In Progress", "ordinal": 2000, "created_date": ""
    }  # fmt: skip
    assert made["task-1_1"]["input"]["context"]["parent_task_id"] == "TASK-1"


def test_taskmaster(world: World, ask: Ask) -> None:
    lines = ask("taskmaster", SAMPLES / "tasks.json")
    assert outcomes(lines) == {
        "1": "left-out", "2.1": "left-out", "2.2": "made", "2.3": "made", "2": "made", "3": "made", "4": "left-out",
        "web.1": "made",
    }  # fmt: skip
    made = tasks(world)
    assert {id: task.get("after") for id, task in made.items()} == {
        "tm-2_2": None, "tm-2_3": ["tm-2_2"], "tm-2": ["tm-2_2", "tm-2_3"], "tm-3": ["tm-2"], "tm-web_1": None
    }  # fmt: skip
    assert (made["tm-2"]["priority"], made["tm-3"]["priority"]) == (3, 7)
    assert made["tm-3"]["input"]["context"] == {"metadata": {"issue": 42}}
    assert made["tm-2"]["input"]["context"]["testStrategy"] == "Samples of each kind."
    assert made["tm-web_1"]["input"]["context"]["priority"] == "urgent"


def test_importing_again_doubles_nothing(world: World, ask: Ask, tmp_path: Path) -> None:
    ask("beads", SAMPLES / "beads.jsonl")
    before = tasks(world)
    assert set(outcomes(ask("beads", SAMPLES / "beads.jsonl")).values()) == {"already", "left-out"}
    issues = tmp_path / "issues.jsonl"
    text = (SAMPLES / "beads.jsonl").read_text().replace("Store tokens", "Keep tokens")
    issues.write_text(text + '{"id":"bd-new","title":"New","dependencies":[{"depends_on_id":"bd-c3d4"}]}\n')
    lines = {each["from"]: each for each in ask("beads", issues)}
    assert (lines["bd-c3d4"]["same"], lines["bd-a1b2"]["same"], lines["bd-new"]["outcome"]) == (False, True, "made")
    after = tasks(world)
    assert after.pop("bd-new")["after"] == ["bd-c3d4"]
    assert after == before


def test_importing_again_before_the_daemon_looked(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.stop()
    for _ in range(2):
        assert main(["--root", str(world.root), "import", "taskmaster", str(SAMPLES / "tasks.json")]) == 0
    assert len(list((world.root / "inbox").iterdir())) == 1
    assert "5 made, 0 already there, 3 left out" in capsys.readouterr().err
    world.passes()
    assert len(tasks(world)) == 5


BAD_LINES = """
{"id":"a","title":"good"}
{"id":"b"
{"title":"no id"}
["x"]
{"id":"c","title":3}
{"id":"d","title":"waits for nobody","dependencies":[{"depends_on_id":"zz"}]}
{"id":"e","title":"waits for d","dependencies":[{"depends_on_id":"d"}]}
{"id":"f","title":"round","dependencies":[{"depends_on_id":"g"}]}
{"id":"g","title":"round","dependencies":[{"depends_on_id":"f"}]}
{"id":"A","title":"the same id"}
{"id":"h","title":"held","status":"pinned"}
{"id":"i","title":"waits for h","dependencies":[{"depends_on_id":"h"}]}
{"id":"j","title":"time","defer_until":"soon"}
{"id":"k","title":"odd","priority":17,"dependencies":{"a":1}}
{"id":"l","title":"odd","dependencies":[{}]}
{"id":"m","title":"17","priority":17}
{"id":"n","title":"a day","defer_until":"2030-02-01"}
"""


def test_bad_lines_are_named_and_the_rest_goes_on(world: World, ask: Ask, tmp_path: Path) -> None:
    issues = tmp_path / "issues.jsonl"
    issues.write_text(BAD_LINES)
    lines = ask("beads", issues, code=65)
    reasons = [each["reason"] for each in lines if each["outcome"] == "refused"]
    told = sorted((int(each["file"].rpartition(":")[2]), each["code"]) for each in reasons)
    assert told == [
        (3, "json-syntax"), (4, "missing-field"), (5, "wrong-type"), (6, "wrong-type"), (7, "unknown-dependency"),
        (8, "unknown-dependency"), (9, "dependency-cycle"), (11, "id-taken"), (13, "unknown-dependency"),
        (14, "bad-value"), (15, "wrong-type"), (16, "wrong-type"),
    ]  # fmt: skip
    assert tasks(world).keys() == {"a", "m", "n"}
    assert tasks(world)["n"]["not_before"] == "2030-02-01T00:00:00.000000Z"
    assert tasks(world)["m"]["input"]["context"] == {"priority": 17}


@pytest.mark.parametrize(
    ("head", "code", "line"),
    [
        ("id: t\ntitle: x\nmeta:\n  a: 1", "bad-value", 4),
        ("id: t\ntitle: &a x", "bad-value", 3),
        ('id: t\ntitle: "x', "bad-value", 3),
        ("id: t\nwhat is this", "bad-value", 3),
        ("id: t", "missing-field", 1),
    ],
)
def test_heads_that_are_not_understood(ask: Ask, tmp_path: Path, head: str, code: str, line: int) -> None:
    (tmp_path / "t.md").write_text(f"---\n{head}\n---\nbody\n")
    (told,) = ask("backlog", tmp_path / "t.md", code=65)
    assert (told["reason"]["code"], told["reason"]["file"]) == (code, f"{tmp_path}/t.md:{line}")


def test_heads_that_are_understood(world: World, ask: Ask, tmp_path: Path) -> None:
    head = "id: T-9\ntitle: 'it''s'\nlabels: [a, 'b']\n# a word\nstatus: to do\nplan: |-\n  one\n  two\nnone: null"
    head += "\nflag: true"
    (tmp_path / "t.md").write_text(f"---\n{head}\npriority: someday\n---\n")
    (tmp_path / "u.md").write_text("no head")
    (tmp_path / "v.md").write_bytes(b"---\nid: \xff\n---\n")
    assert len(ask("backlog", tmp_path, code=65)) == 3
    task = tasks(world)["t-9"]["input"]
    assert (task["title"], "description" in task) == ("it's", False)
    assert task["context"] == {"labels": ["a", "b"], "plan": "one\ntwo", "flag": True, "priority": "someday"}


@pytest.mark.parametrize("text", ["{", "[]", '{"master": 1}', '{"tasks": {}}'])
def test_files_that_are_no_list(ask: Ask, tmp_path: Path, text: str) -> None:
    (tmp_path / "tasks.json").write_text(text)
    (told,) = ask("taskmaster", tmp_path / "tasks.json", code=65)
    assert told["reason"]["file"] == f"{tmp_path}/tasks.json"


def test_tasks_that_are_none(ask: Ask, tmp_path: Path) -> None:
    found: list[Any] = [1, {"id": 1}, {"id": 2, "title": "x", "dependencies": 3}]
    found.append({"id": 3, "title": "y", "subtasks": [{}, {"id": 1}]})
    (tmp_path / "tasks.json").write_text(json.dumps({"tasks": found}))
    lines = ask("taskmaster", tmp_path / "tasks.json", code=65)
    assert [each["reason"]["pointer"] for each in lines if each["outcome"] == "refused"] == [
        "/tasks/0", "/tasks/1", "/tasks/2/dependencies", "/tasks/3/subtasks/0", "/tasks/3/subtasks/1"
    ]  # fmt: skip


def test_what_the_contract_refuses(world: World, ask: Ask, tmp_path: Path) -> None:
    """One bad task would refuse the whole batch: it stays behind, and what waits for it."""
    world.write("contracts/short.json", {"input": {"properties": {"title": {"maxLength": 5}}}})
    lines = [
        {"id": "a", "title": "much too long"},
        {"id": "b", "title": "b", "dependencies": [{"depends_on_id": "a"}]},
        {"id": "c", "title": "c"},
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, lines)))
    told = ask("beads", tmp_path / "x.jsonl", "--type", "short", code=65)
    assert [each["reason"]["code"] for each in told[1:]] == ["input-contract", "unknown-dependency"]
    assert tasks(world).keys() == {"c"}


def test_ids_that_are_taken_by_other_messages(world: World, ask: Ask, tmp_path: Path) -> None:
    world.write("inbox/bd-1.json", {"kind": "note", "message": "mine"})
    world.passes()
    (tmp_path / "x.jsonl").write_text('{"id":"bd-1","title":"x"}')
    assert ask("beads", tmp_path / "x.jsonl", code=65)[0]["reason"]["code"] == "id-taken"
    assert ask("beads", tmp_path / "x.jsonl", "--prefix", "web")[0]["id"] == "web-bd-1"


def test_a_dry_run_submits_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--root", str(world.root), "import", "backlog", str(SAMPLES / "backlog"), "--dry-run", "--queue", "review"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert [json.loads(line)["queue"] for line in said.out.splitlines()] == ["review"] * 3
    assert "3 would be made, 0 already there, 1 left out (1 Done), 0 refused; kept as context: assignee" in said.err
    assert list((world.root / "inbox").iterdir()) == []


def test_what_cannot_start(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, sample = str(world.root), str(SAMPLES / "beads.jsonl")
    assert main(["--root", root, "import", "beads", sample, "--type", "none"]) == 66
    assert "contracts/none.json, or name another with --type" in capsys.readouterr().err
    assert main(["--root", root, "import", "beads", sample, "--prefix", "No"]) == 2
    assert main(["--root", root, "import", "beads", str(tmp_path / "none")]) == 66
    world.write("contracts/bad.json", {"input": {"type": "strin"}})
    assert main(["--root", root, "import", "beads", sample, "--type", "bad"]) == 65
    shutil.rmtree(world.root / "contracts")


def test_ids_are_stable() -> None:
    assert [word("bd-a1B2"), word("task-1.2"), word("3", "tm")] == ["bd-a1b2", "task-1_2", "tm-3"]
    odd = [word("Ümlaut/1"), word("ümlaut 1"), word("///"), word("x" * 80)]
    assert odd == [word("Ümlaut/1"), "mlaut-1-" + odd[1][-8:], "x-" + odd[2][-8:], "x" * 55 + "-" + odd[3][-8:]]
    assert len(set(odd)) == 4
