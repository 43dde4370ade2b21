"""The operator's verbs: what they print, for people and with --json, and their exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.world import Countdown, World
from support.live import ENV, Root, taskdir, until
from taskdir import facts, rules, validate, waiting
from taskdir.cli import main
from taskdir.clock import Clock
from taskdir.documents import Now, timestamp
from taskdir.index import Index, open_for_reading

Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A daemon that is open and idle, and a task in each state: done, failed, canceled, claimed, queued, in backoff."""
    made = World(tmp_path, Countdown())
    made.passes()
    ids = ("done1", "fail1", "back1", "held1", "line1", "line2", "gone1")
    for id in ids:
        body = {"type": "count", "input": {"of": id}, "backoff_seconds": 60, "max_attempts": 2 if id == "back1" else 1}
        made.write(f"inbox/{id}.json", {**body, "queue": "review" if id == "line2" else "default"})
        made.passes()
    for value in (
        {"status": "ok", "output": 4},
        {"status": "error", "error": {"code": "no-luck", "message": "it \x1b[31mburnt\x1b[0m down"}},
        {"status": "error", "error": {"message": "try again"}, "retry": True},
    ):
        made.claim("al")
        made.passes()
        made.note("al", "a word\n")
        made.passes()
        made.result("al", value)
        made.passes()
    made.claim("bo")
    made.write("inbox/stop.json", {"kind": "cancel", "task": "gone1"})
    made.write("inbox/wrong.json", {"typ": "count"})
    made.passes()
    yield made
    if made.daemon is not None:
        made.daemon.abandon()


@pytest.fixture
def verb(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Run a verb on the world's root, at the world's time: (exit code, stdout, stderr)."""
    monkeypatch.setattr(Clock, "now", lambda self: world.clock.now())

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main(["--root", str(world.root), *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def data(result: tuple[int, str, str]) -> Any:
    """What --json printed, and that it went well."""
    code, out, err = result
    assert code == 0, err
    return json.loads(out)


def fault(result: tuple[int, str, str]) -> tuple[int, str]:
    """Exit code and rule code of an error told with --json."""
    code, _, err = result
    return code, json.loads(err.splitlines()[-1])["error"]["code"]


STATES = {
    "done1": "done",
    "fail1": "failed",
    "back1": "queued",
    "held1": "claimed",
    "line1": "queued",
    "line2": "queued",
    "gone1": "canceled",
}


# --- show ---


@pytest.mark.parametrize("id", STATES)
def test_show_gives_the_shape_of_a_record_in_every_state(id: str, verb: Verb) -> None:
    found = data(verb("show", id, "--json"))
    assert (found["id"], found["state"], found["task"]["input"]) == (id, STATES[id], {"of": id})
    as_if = {"state": "canceled"} if found["state"] in ("queued", "claimed") else {}
    end = {"outcome": "canceled", "ended": "2027-01-15T08:00:00.000000Z"}
    attempts = [end | attempt for attempt in found["attempts"]]
    assert validate.document("record").check(found | as_if | {"attempts": attempts}) is None


@pytest.mark.parametrize("place", ["done/done1.json", "failed/fail1.json", "failed/gone1.json"])
def test_show_of_what_has_ended_is_its_record(place: str, world: World, verb: Verb) -> None:
    assert data(verb("show", Path(place).stem, "--json")) == json.loads((world.root / place).read_text())


def test_show_says_why_it_waits(verb: Verb) -> None:
    assert data(verb("show", "back1", "--json"))["x-waiting"]["why"] == "backoff"
    assert "now: backoff until 2027-" in verb("show", "back1")[1]
    found = data(verb("show", "line1", "--json"))["x-waiting"]
    assert (found["position"], found["of"], found["queue"]) == (1, 1, "default")
    assert found["offer"].startswith("ready/default/5-")
    assert "position 1 of 1 in the line of default, offered as ready/" in verb("show", "line1")[1]


def test_show_tells_position_and_missing_daemon(world: World, verb: Verb) -> None:
    world.write("inbox/line3.json", {"type": "count", "priority": 4})
    world.passes()
    world.stop()
    assert "position 2 of 2 in the line of default" in (said := verb("show", "line1")[1])
    assert "no daemon is running" in said


def test_show_a_message_that_is_none_of_the_states(world: World, verb: Verb) -> None:
    world.write("inbox/new1.json", {"type": "count"})
    assert data(verb("show", "new1", "--json"))["state"] == "submitted"
    found = data(verb("show", "wrong", "--json"))
    assert (found["state"], found["reason"]["code"], found["error"]["code"]) == ("rejected", *["unknown-field"] * 2)
    assert "did you mean 'type'?" in (said := verb("show", "wrong")[1])
    assert "mv rejected/wrong.json inbox/" in said
    assert data(verb("show", "stop", "--json")) == {"kind": "message", "id": "stop", "state": "accepted"}
    assert verb("show", "stop", "new1")[0] == 0


def test_show_prints_what_it_knows_and_complains_about_the_rest(verb: Verb) -> None:
    code, out, err = verb("show", "done1", "done")
    assert (code, out.splitlines()[0]) == (66, "done1  done")
    assert "did you mean 'done1'?" in err
    assert fault(verb("show", "nobody", "--json")) == (66, "unknown-task")


def test_people_see_no_control_characters(verb: Verb) -> None:
    for words in (["show", "fail1"], ["status"], ["log"]):
        assert "burnt" in (said := verb(*words)[1])
        assert "\x1b" not in said


# --- list ---


def listed(result: tuple[int, str, str]) -> list[str]:
    return [each.get("id") or each["file"] for each in data(result)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["done1", "fail1", "back1", "held1", "line1", "line2", "gone1"]),
        (["--state", "queued"], ["back1", "line1", "line2"]),
        (["--state", "claimed"], ["held1"]),
        (["--state", "queued", "--queue", "review"], ["line2"]),
        (["--agent", "al"], ["done1", "fail1", "back1"]),
        (["--agent", "bo"], ["held1"]),
        (["--type", "echo"], []),
        (["--limit", "2"], ["done1", "fail1"]),
        (["--state", "rejected"], ["wrong.json"]),
    ],
)
def test_list(words: list[str], expected: list[str], verb: Verb) -> None:
    assert listed(verb("list", *words, "--json")) == expected
    code, out, _ = verb("list", *words)
    assert (code, len(out.splitlines())) == (0, len(expected))
    assert all(name in line for name, line in zip(expected, out.splitlines(), strict=True))


def test_list_refuses_what_makes_no_sense(verb: Verb) -> None:
    assert fault(verb("list", "--state", "rejected", "--queue", "review", "--json")) == (2, "usage")
    assert fault(verb("list", "--limit", "-1", "--json")) == (2, "usage")


# --- status ---


def test_status(world: World, verb: Verb) -> None:
    world.write("contracts/bad.json", {"input": {"type": "strin"}})
    found = data(verb("status", "--json"))
    assert found["daemon"]["running"] is True
    assert found["daemon"]["pid"] == os.getpid()
    assert found["tasks"] == {"queued": 3, "claimed": 1, "done": 1, "failed": 1, "canceled": 1}
    queues = {each["queue"]: (each["depth"], each["delayed"]) for each in found["queues"]}
    assert queues == {"default": (2, 1), "review": (1, 0)}
    holds = {each["agent"]: [held["id"] for held in each["holds"]] for each in found["agents"]}
    assert holds == {"al": [], "bo": ["held1"]}
    assert [each["id"] for each in found["failures"]] == ["fail1"]
    assert [(each["file"], each["code"]) for each in found["contracts"]["bad"]] == [
        ("contracts/bad.json", "schema-invalid")
    ]
    assert (found["rejected"], found["log"]["segments"]) == (1, 1)
    _, said, _ = verb("status")
    phrases = ["a daemon runs (pid", "default: 2 waiting, the oldest", "s, 1 asleep", "bo: held1 #1", "BAD"]
    for words in [*phrases, "fail1: it"]:
        assert words in said
    assert len(said.splitlines()) < 24, "one screen"


def test_status_without_a_daemon_and_with_bad_settings(world: World, verb: Verb) -> None:
    world.stop()
    world.write("taskdir.json", {"protocol": 1, "window": -1})
    found = data(verb("status", "--json"))
    assert found["daemon"] == {"running": False}
    assert found["settings"]["pointer"] == "/window"
    assert "no daemon is running" in (said := verb("status")[1])
    assert "taskdir.json: " in said


# --- where the facts come from ---


def answers(verb: Verb) -> list[Any]:
    shown = [data(verb("show", id, "--json")) for id in STATES]
    for each in shown:
        each.get("x-waiting", {}).pop("seconds", None)
    return [shown, data(verb("list", "--json")), data(verb("status", "--json"))["tasks"]]


def test_the_answers_are_the_same_from_the_index_and_from_the_log(world: World, verb: Verb) -> None:
    live = answers(verb)
    world.stop()
    assert answers(verb) == live
    shutil.rmtree(world.root / ".taskdir")
    assert answers(verb) == live
    assert not (world.root / ".taskdir").exists()


def test_an_index_that_lags_is_not_believed(world: World, tmp_path: Path, verb: Verb) -> None:
    shutil.copytree(world.root / ".taskdir", tmp_path / "old")
    world.write("inbox/late1.json", {"type": "count"})
    world.passes()
    world.stop()
    shutil.rmtree(world.root / ".taskdir")
    shutil.copytree(tmp_path / "old", world.root / ".taskdir")
    assert data(verb("show", "late1", "--json"))["state"] == "queued"


def test_an_index_of_another_log_is_not_believed(world: World, tmp_path: Path, verb: Verb) -> None:
    world.stop()
    other = World(tmp_path / "other", Countdown())
    other.write("inbox/else1.json", {"type": "echo"})
    other.passes()
    other.stop()
    shutil.rmtree(world.root / ".taskdir")
    shutil.copytree(other.root / ".taskdir", world.root / ".taskdir")
    assert listed(verb("list", "--json")) == list(STATES)


def test_reading_leaves_nothing_beside_the_index(world: World) -> None:
    world.stop()
    before = sorted(os.listdir(world.root / ".taskdir"))
    index = open_for_reading(str(world.root / ".taskdir" / "index.sqlite"))
    assert index is not None
    assert index.task("done1") is not None
    index.close()
    assert sorted(os.listdir(world.root / ".taskdir")) == before


def test_no_index_no_facts_of_it(tmp_path: Path) -> None:
    assert open_for_reading(str(tmp_path / "none")) is None
    (tmp_path / "rubbish").write_bytes(b"x" * 5000)
    assert open_for_reading(str(tmp_path / "rubbish")) is None
    Index(str(tmp_path / "empty")).close()
    found = open_for_reading(str(tmp_path / "empty"))
    assert found is not None
    assert found.mark.seq == 0
    found.close()


def test_show_of_a_damaged_log_says_so_and_tells_what_is_known(world: World, verb: Verb) -> None:
    world.stop()
    shutil.rmtree(world.root / ".taskdir")
    log = world.root / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:10], b"?\n", *lines[10:]]))
    code, out, err = verb("show", "done1")
    assert (code, out.splitlines()[0]) == (0, "done1  claimed")
    assert "the log is damaged at seq 11" in err


def test_the_position_of_one_in_backoff_that_is_over(world: World) -> None:
    """The index still has it asleep; by the clock it stands in line."""
    late = Now(2e9, timestamp(2e9))
    known = facts.open_facts(str(world.root), late)
    task = known.index.task("back1")
    assert task is not None
    assert waiting.waiting(known, task, late) == {"why": "line", "position": 1, "of": 1, "queue": "default"}
    known.close()


# --- log ---


@pytest.mark.parametrize(
    ("words", "events"),
    [
        (["--id", "done1"], ["accepted", "claimed", "done"]),
        (["--id", "wrong"], ["rejected"]),
        (["--id", "stop"], ["canceled"]),
        (["--event", "done", "--event", "failed"], ["done", "failed"]),
        (["--agent", "bo"], ["claimed"]),
        (["--id", "done1", "--since-seq", "4"], ["claimed", "done"]),
        (["--since-seq", "9999"], []),
    ],
)
def test_log(words: list[str], events: list[str], verb: Verb) -> None:
    _, out, _ = verb("log", *words, "--json")
    assert [json.loads(line)["event"] for line in out.splitlines()] == events
    _, said, _ = verb("log", *words)
    assert [line.split()[2] for line in said.splitlines()] == events


def test_log_prints_the_lines_as_they_stand(world: World, verb: Verb) -> None:
    assert verb("log", "--json")[1] == (world.root / "log.jsonl").read_text()


def test_log_reads_every_segment_and_starts_in_the_middle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, Countdown())
    world.write("taskdir.json", {"protocol": 1, "log_segment_bytes": 4096})
    for number in range(20):
        world.write(f"inbox/t{number}.json", {"type": "echo", "input": "x" * 900})
        world.passes()
    world.stop()
    assert len(os.listdir(world.root / "log")) > 2

    def seqs(*words: str) -> list[int]:
        assert main(["--root", str(world.root), "log", "--json", *words]) == 0
        return [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()]

    last = seqs()[-1]
    assert seqs() == list(range(1, last + 1))
    for start in range(1, last + 1):
        assert seqs("--since-seq", str(start)) == list(range(start, last + 1))
    first = sorted((world.root / "log").iterdir())[0]
    first.unlink()
    assert main(["--root", str(world.root), "log"]) == 1
    assert "log-segment" in capsys.readouterr().err


def test_log_follows_across_segments(tmp_path: Path) -> None:
    with Root(tmp_path / "root", log_segment_bytes=4096, scan_seconds=0.1) as root:
        command = [sys.executable, "-m", "taskdir", "--root", str(root.path), "log", "-f", "--json"]
        command += ["--event", "accepted"]
        with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, text=True) as following:
            try:
                for number in range(12):
                    root.put(f"inbox/t{number}.json", {"type": "echo", "input": "x" * 900})
                    assert following.stdout is not None
                    assert json.loads(following.stdout.readline())["id"] == f"t{number}"
                assert len(root.names("log")) > 1
            finally:
                following.kill()


# --- contract ---


def test_contract_list_and_check(world: World, verb: Verb) -> None:
    found = data(verb("contract", "list", "--json"))
    assert [(each["type"], each["checks"]) for each in found] == [("count", ["output"]), ("echo", [])]
    assert verb("contract", "check")[0] == 0
    world.write("contracts/bad.json", {"input": {"$ref": "http://example.org/x"}})
    world.write("contracts/torn.json", '{"input":')
    code, out, _ = verb("contract", "check", "--json")
    assert code == 65
    told = {Path(each["file"]).name: (each["code"], each.get("pointer")) for each in json.loads(out)}
    assert told == {"bad.json": ("schema-ref", "/input/$ref"), "torn.json": ("json-syntax", None)}
    assert verb("contract", "check", world.root / "contracts/echo.json")[0] == 0
    assert "BAD" in verb("contract", "list")[1]


def test_contract_add(world: World, verb: Verb, tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    source.write_text('{"description": "adds"}')
    assert data(verb("contract", "add", "sum", source, "--json"))["type"] == "sum"
    assert (world.root / "contracts/sum.json").read_bytes() == source.read_bytes()
    assert verb("contract", "add", "sum", source)[0] == 0, "the same text again is no conflict"
    source.write_text('{"description": "adds up"}')
    assert fault(verb("contract", "add", "sum", source, "--json")) == (73, "exists")
    assert verb("contract", "add", "sum", source, "--replace")[0] == 0
    assert (world.root / "contracts/sum.json").read_bytes() == source.read_bytes()
    source.write_text('{"inptu": {}}')
    assert fault(verb("contract", "add", "sum", source, "--replace", "--json")) == (65, "unknown-field")
    assert fault(verb("contract", "add", "Sum", source, "--json")) == (2, "usage")
    assert fault(verb("contract", "add", "sum", tmp_path / "none", "--json")) == (66, "no-file")
    assert sorted(os.listdir(world.root / "contracts")) == ["count.json", "echo.json", "sum.json"]


def test_contract_add_from_stdin(world: World) -> None:
    done = taskdir("contract", "add", "piped", root=world.root, input='{"description": "x"}')
    assert (done.returncode, done.stdout) == (0, "piped\n")


# --- validate ---

URN = "urn:taskdir:v1:"
DOCUMENTS: list[tuple[str, object, tuple[str, ...], str | None]] = [
    ("inbox/a.json", {"type": "echo"}, (), None),
    ("inbox/a.json", {"type": "echo", "id": "b"}, (), "id-mismatch"),
    ("inbox/A.json", {"type": "echo"}, (), "name-grammar"),
    ("inbox/a.json", {"type": "echo", "after": ["b"], "resources": ["gpu"]}, (), None),
    ("inbox/a.json", {"type": "echo", "after": "b"}, (), "wrong-type"),
    ("inbox/a.json", {"kind": "state", "key": "k"}, (), "missing-field"),
    ("inbox/a.json", {"kind": "batch", "messages": []}, (), "out-of-range"),
    ("inbox/a.json", '{"type": "echo", "type": "x"}', (), "json-duplicate-key"),
    ("any/a.json", {"type": "echo"}, (), "unknown-kind"),
    ("any/a.json", {"type": "echo"}, ("--as", "message"), None),
    ("any/a.json", {"$schema": URN + "message", "typ": "echo"}, (), "unknown-field"),
    ("any/a.json", {"$schema": "../schemas/v1/contract.schema.json"}, (), None),
    ("contracts/a.json", {"input": {"pattern": "\\d"}}, (), "schema-pattern"),
    ("contracts/a.json", {"defaults": {"priority": 10}}, (), "contract-default"),
    ("taskdir.json", {"protocol": 2}, (), "protocol-version"),
    ("taskdir.json", {"protocol": 1, "window": 0}, (), "out-of-range"),
    ("any/x.result.json", {"status": "ok"}, (), "missing-field"),
    ("any/x.refused.json", {"code": "late"}, (), "missing-field"),
    ("done/a.json", {"kind": "record"}, (), "missing-field"),
    ("state/a.json", {"key": "a"}, (), "missing-field"),
    ("ready/default/5-000000000001.a.1.json", {"id": "a"}, (), "missing-field"),
    ("log.jsonl", '{"seq": 1}\n', (), "missing-field"),
    ("log.jsonl", '{"seq": 1', (), "log-line"),
]


@pytest.mark.parametrize(("file", "document", "words", "code"), DOCUMENTS)
def test_validate(file: str, document: object, words: tuple[str, ...], code: str | None, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    done = taskdir("validate", path, *words, "--json")
    assert done.returncode == (65 if code else 0), done.stderr
    assert [each["code"] for each in json.loads(done.stdout)] == ([code] if code else [])


def test_validate_all_that_a_daemon_writes(world: World, verb: Verb) -> None:
    places = ("done", "failed", "ready/default", "claimed/bo", "contracts")
    files = [path for place in places for path in (world.root / place).glob("*.json")]
    files += [world.root / name for name in ("taskdir.json", "log.jsonl", "rejected/wrong.reason.json")]
    assert len(files) >= 9
    assert data(verb("validate", *files, "--json")) == []
    code, out, _ = verb("validate", world.root / "rejected/wrong.json")
    assert code == 65
    assert ": /typ: " in out
    assert "next: did you mean 'type'?" in out


def test_validate_names_the_line(world: World, verb: Verb) -> None:
    log = world.root / "log.jsonl"
    copy = world.base / "copy.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join([*lines[:3], lines[3].replace(b'"accepted"', b'"acepted"'), *lines[4:]]))
    column = lines[3].index(b'"accepted"') + 1
    code, out, _ = verb("validate", copy)
    assert (code, out.startswith(f"{copy}:4:{column}: /event: ")) == (65, True)


@pytest.mark.parametrize(
    ("make", "code"), [(os.mkfifo, "not-regular"), (os.mkdir, "not-regular"), (None, "unreadable")]
)
def test_validate_what_is_no_file(make: Callable[[Path], object] | None, code: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if make is not None:
        make(path)
    done = taskdir("validate", path, "--as", "message", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["code"]) == (65, code)


# --- check ---


def test_check(world: World, verb: Verb) -> None:
    found = data(verb("check", "--json"))
    assert (found["ok"], found["findings"], found["tasks"]) == (True, [], 7)
    code, out, err = verb("check")
    assert (code, out) == (0, "")
    assert "all is as it should be" in err
    world.stop()
    (world.root / "done" / "ghost.json").write_text("{}")
    code, out, _ = verb("check", "--json")
    assert (code, [each["code"] for each in json.loads(out)["findings"]]) == (1, ["view-stranger"])
    code, out, err = verb("check")
    assert code == 1
    assert out.startswith("error: done/ghost.json: ")
    assert "1 finding" in err


def test_check_of_a_log_alone(world: World, verb: Verb) -> None:
    log = world.root / "log.jsonl"
    assert verb("check", "--log", log)[0] == 0
    copy = world.base / "copy.jsonl"
    copy.write_bytes(log.read_bytes() + b"{")
    code, out, _ = verb("check", "--log", copy)
    assert (code, out.startswith(f"warning: {copy}:")) == (0, True)
    copy.write_bytes(log.read_bytes().replace(b'"al"', b'"eve"'))
    assert verb("check", "--log", copy)[0] == 1
    assert fault(verb("check", "--log", world.base / "none", "--json")) == (66, "no-file")


# --- restore ---


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("place", ["done/done1.json", "failed/fail1.json", "failed/gone1.json"])
def test_restore_writes_the_same_bytes(place: str, live: bool, world: World, verb: Verb) -> None:
    path = world.root / place
    before = path.read_bytes()
    if not live:
        world.stop()
    for damage in (Path.unlink, lambda path: path.write_text("{}")):
        damage(path)
        assert data(verb("restore", path.stem, "--json"))["path"] == str(path)
        assert path.read_bytes() == before
    assert not [name for name in os.listdir(path.parent) if name.startswith(".")]


def test_restore_without_an_index(world: World, verb: Verb) -> None:
    before = (world.root / "done/done1.json").read_bytes()
    world.stop()
    shutil.rmtree(world.root / ".taskdir")
    (world.root / "done/done1.json").unlink()
    assert verb("restore", "done1")[0] == 0
    assert (world.root / "done/done1.json").read_bytes() == before


def test_restore_of_what_has_no_record(world: World, verb: Verb) -> None:
    (world.root / "done/done1.json").unlink()
    assert fault(verb("restore", "nobody", "done1", "--json")) == (66, "unknown-task")
    assert (world.root / "done/done1.json").exists(), "the others are restored all the same"
    assert fault(verb("restore", "held1", "--json")) == (66, "not-ended")


# --- run ---


def test_run_once_works_until_nothing_changes(tmp_path: Path) -> None:
    root = Root(tmp_path / "root", settle_seconds=0)
    root.put("inbox/a.json", {"type": "echo"})
    root.put("inbox/b.json", {"typ": "echo"})
    done = taskdir("run", "--once", root=root.path)
    assert (done.returncode, done.stdout) == (0, "")
    assert root.names("ready/default") == ["5-000000000003.a.1.json"]
    told = [line.split()[1] for line in done.stderr.splitlines() if " warning: " not in line]
    assert told == ["started", "rejected", "stopped"], "what matters to people is told unasked"
    assert "file=b.json" in done.stderr


def test_run_tells_every_event_when_asked_and_as_json(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    root.put("inbox/a.json", {"type": "echo"})
    done = taskdir("run", "--once", "-v", "--log-format", "json", root=root.path)
    every = [json.loads(line) for line in done.stderr.splitlines()]
    lines = [line for line in every if line["level"] == "info"]  # the file system may give reason for a warning
    assert [line["message"] for line in lines] == ["started", "contract", "accepted", "stopped"]
    assert lines[2]["id"] == "a"
    assert all(line["time"].endswith("Z") for line in every)


def test_a_second_daemon_is_told_who_runs(tmp_path: Path) -> None:
    with Root(tmp_path / "root") as root:
        assert root.daemon is not None
        for words in (["run"], ["run", "--once"]):
            done = taskdir(*words, root=root.path)
            assert done.returncode == 75
            assert "already running" in done.stderr
            assert f"pid {root.daemon.pid} on " in done.stderr
        assert root.stop() == 0
        assert [event["event"] for event in root.events()] == ["started", "stopped"]


def test_sigterm_ends_an_idle_daemon_at_once(tmp_path: Path) -> None:
    with Root(tmp_path / "root", scan_seconds=60) as root:
        until(lambda: root.names("ready"), "the first pass")
        assert root.stop() == 0
        words = (tmp_path / "root.err").read_text()
        assert f"runs in {root.path}" in words
        assert words.splitlines()[-1].endswith(" stopped")


@pytest.mark.parametrize("words", ['{"protocol": 1, "windw": 3}', '{"protocol": 2}', "{"])
def test_bad_settings_end_in_78(words: str, tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    (root.path / "taskdir.json").write_text(words)
    done = taskdir("run", "--once", root=root.path)
    assert done.returncode == 78, done.stderr
    assert "taskdir.json" in done.stderr
    assert not (root.path / "log.jsonl").exists()


def test_no_root_ends_in_66(tmp_path: Path) -> None:
    assert taskdir("run", "--once", root=tmp_path).returncode == 66


def test_a_damaged_log_ends_in_1_and_says_what_to_do(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    for _ in range(2):
        assert taskdir("run", "--once", root=root.path).returncode == 0
    log = root.path / "log.jsonl"
    log.write_bytes(before := log.read_bytes().replace(b'"pid":', b'"pid":1', 1))
    shutil.rmtree(root.path / ".taskdir")
    done = taskdir("run", "--once", root=root.path)
    assert done.returncode == 1
    assert "log-chain" in done.stderr
    assert "next: nothing was changed; " in done.stderr
    assert log.read_bytes() == before


def test_every_finding_has_a_rule() -> None:
    """Findings take level and hint from the rules: a code without one would be a crash in the worst moment."""
    told = {"log-line", "log-chain", "log-seq", "log-end", "log-event", "log-segment", "log-torn", "p6"}
    told |= {"view-missing", "view-differs", "view-stranger", "index-differs", "index-ahead"}
    assert told <= set(rules.codes())
