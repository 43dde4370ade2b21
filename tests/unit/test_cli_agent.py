"""The agent-side verbs on a root made by `init`: what they print, what they leave, how they exit. No daemon runs."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from taskdir import __version__, cli, gestures, names
from taskdir.cli import frame, parsers

SOURCE = Path(__file__).resolve().parents[2] / "daemon"
VERBS = SOURCE / "taskdir" / "cli"


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.err)["error"]
        return found


Run = Callable[..., Said]


@pytest.fixture
def td(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command in this process."""

    def run(*argv: str | Path) -> Said:
        code = cli.main([str(word) for word in argv])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def root(tmp_path: Path, td: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "jobs"
    assert td("init", made).code == 0
    monkeypatch.setenv("TASKDIR", str(made))
    return made


def put(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def offer(root: Path, seq: int = 1, place: str = "ready/default") -> Path:
    body = {"id": f"t{seq}", "attempt": 1, "type": "echo", "input": {}, "lease_seconds": 1800}
    return put(root / place / f"5-{seq:012d}.t{seq}.1.json", body)


@contextmanager
def judge(root: Path, pattern: str, steps: Callable[[Path], object]) -> Iterator[None]:
    """Play the daemon: hold the root's lock; do the steps with the first file of that pattern."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.002):
            for path in sorted(root.glob(pattern)):
                if not path.name.startswith("."):
                    steps(path)
                    return

    thread = threading.Thread(target=work)
    fd = os.open(root, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        os.close(fd)


def refuse(message: Path) -> None:
    reason = {
        "code": "unknown-type",
        "message": "no contract",
        "file": message.name,
        "pointer": "/type",
        "hint": "make one",
    }
    put(message.parents[1] / "rejected" / names.reason_name(message.name), reason)
    message.unlink()


def refuse_result(result: Path) -> None:
    stem = result.name.removesuffix(names.RESULT)
    put(result.with_name(stem + names.REFUSED), {"code": "output-contract", "message": "no", "pointer": "/output"})
    result.unlink()


def accept_result(result: Path) -> None:
    task = result.with_name(result.name.removesuffix(names.RESULT) + names.TASK)
    put(result.parents[2] / "done" / "t1.json", {"id": "t1", "state": "done", "output": 5})
    task.unlink()
    result.unlink()


class TestInit:
    def test_the_whole_tree(self, root: Path) -> None:
        tree = sorted(str(path.relative_to(root)) + "/" * path.is_dir() for path in root.rglob("*"))
        assert tree == sorted(
            ".gitignore .taskdir/ .taskdir/staging/ .taskdir/taken/ .taskdir/torn/ claimed/ contracts/"
            " contracts/echo.json done/ failed/ inbox/ ready/ ready/default/ rejected/ state/ taskdir.json".split()
        )
        assert (root / "ready").stat().st_mode & 0o777 == 0o555
        assert json.loads((root / "taskdir.json").read_bytes()) == {"protocol": 1}
        assert "description" in json.loads((root / "contracts/echo.json").read_bytes())

    def test_prints_the_export_line(self, td: Run, tmp_path: Path) -> None:
        where = tmp_path / "my jobs"
        said = td("init", where)
        assert said.out == f"export TASKDIR={shlex.quote(str(where))}\n"
        assert "taskdir run" in said.err
        assert td("--json", "init", where).data == {"root": str(where), "created": False}

    def test_again_mends_and_changes_nothing_else(self, td: Run, root: Path) -> None:
        put(root / "taskdir.json", '{"protocol": 1, "window": 9}')
        put(root / "contracts/echo.json", "{}")
        put(root / "done/x.json", "{}")
        (root / "inbox").rmdir()
        (root / "ready").chmod(0o755)
        (root / "ready/default").rmdir()
        assert td("init", root).code == 0
        assert json.loads((root / "taskdir.json").read_bytes())["window"] == 9
        assert (root / "contracts/echo.json").read_text() == "{}"
        assert (root / "inbox").is_dir()
        assert (root / "ready/default").is_dir()
        assert (root / "ready").stat().st_mode & 0o777 == 0o555

    def test_here_by_default_and_deep(self, td: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TASKDIR", raising=False)
        monkeypatch.chdir(tmp_path)
        assert td("init").code == 0
        assert td("init", "a/b/c").code == 0
        assert (tmp_path / "a/b/c/taskdir.json").is_file()
        assert (tmp_path / "taskdir.json").is_file()
        assert td("init", "x", "--root", "y").code == 2

    @pytest.mark.parametrize(
        "name", ["taskdir.json/", "inbox", "ready", "contracts/echo.json/", "done/of another kind"]
    )
    def test_what_is_in_the_way_stays(self, td: Run, tmp_path: Path, name: str) -> None:
        path = tmp_path / "jobs" / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            put(path, "mine")
        said = td("init", tmp_path / "jobs")
        assert said.code == 73
        assert "in-the-way" in said.err
        assert name.endswith("/") or path.read_text() == "mine"
        assert not (tmp_path / "jobs/taskdir.json").is_file()

    def test_contracts_may_be_there_already(self, td: Run, tmp_path: Path) -> None:
        put(tmp_path / "jobs/contracts/build.json", "{}")
        assert td("init", tmp_path / "jobs").code == 0

    def test_only_contracts_are_versioned(self, root: Path) -> None:
        git = ["git", "-C", str(root)]
        try:
            subprocess.run([*git, "init", "-q"], check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("NOT TESTED: this machine does not have git")
        put(root / "inbox/x.json", {})
        shown = subprocess.run([*git, "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True)
        assert shown.stdout == "?? contracts/echo.json\n"


class TestSubmit:
    def test_from_options(self, td: Run, root: Path) -> None:
        said = td(
            "submit", "--type", "echo", "--id", "x", "--input", '{"a": 1}', "--queue", "@me", "--priority", "0",
            "--lease-seconds", "0.5", "--after", "a", "--after", "b", "--resource", "gpu", "--from", "ci",
        )  # fmt: skip
        assert (said.code, said.out) == (0, "x\n")
        assert "no daemon is running" in said.err
        message = {
            "type": "echo", "input": {"a": 1}, "queue": "@me", "priority": 0, "lease_seconds": 0.5,
            "after": ["a", "b"], "resources": ["gpu"], "from": "ci",
        }  # fmt: skip
        assert json.loads((root / "inbox/x.json").read_bytes()) == message

    def test_mints_an_id(self, td: Run, root: Path) -> None:
        said = td("submit", "--type", "echo", "--json")
        assert said.data == {"id": said.data["id"], "verdict": "waiting"}
        assert said.err == ""
        assert json.loads((root / f"inbox/{said.data['id']}.json").read_bytes()) == {"type": "echo"}

    def test_files_keep_their_names_and_bytes(self, td: Run, root: Path, tmp_path: Path) -> None:
        text = '{"type":  "echo"}\n\n'
        said = td("submit", put(tmp_path / "a.json", text), put(tmp_path / "b", '{"kind": "batch", "messages": []}'))
        assert said.out == "a\nb\n"
        assert (root / "inbox/a.json").read_text() == text
        assert (root / "inbox/b.json").exists()
        assert td("submit", tmp_path / "a.json", "--id", "c").out == "c\n"

    @pytest.mark.parametrize(("own", "id"), [({}, None), ({"id": "own"}, "own")])
    def test_stdin(
        self, td: Run, root: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, str], id: str | None
    ) -> None:
        text = json.dumps({"type": "echo", **own})
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        said = td("submit", "-")
        assert said.code == 0
        assert id is None or said.out == f"{id}\n"
        assert (root / "inbox" / f"{said.out.strip()}.json").read_text() == text

    def test_nothing_goes_when_one_file_is_bad(self, td: Run, root: Path, tmp_path: Path) -> None:
        said = td("submit", put(tmp_path / "a.json", "{}"), put(tmp_path / "b.json", '{"a": 1, "a": 2}'))
        assert (said.code, said.out) == (65, "")
        assert "json-duplicate-key" in said.err
        assert os.listdir(root / "inbox") == []

    def test_a_taken_name_stops_there(self, td: Run, root: Path, tmp_path: Path) -> None:
        files = [put(tmp_path / f"{name}.json", {"type": "echo"}) for name in "abc"]
        put(root / "inbox/b.json", "first")
        said = td("submit", *files)
        assert (said.code, said.out) == (73, "a\n")
        assert (root / "inbox/b.json").read_text() == "first"
        assert not (root / "inbox/c.json").exists()

    def test_accepted(self, td: Run, root: Path) -> None:
        with judge(root, "inbox/*.json", Path.unlink):
            said = td("submit", "--type", "echo", "--id", "x")
        assert said == (0, "x\n", "")
        with judge(root, "inbox/*.json", Path.unlink):
            assert td("--json", "submit", "--type", "echo", "--id", "x").data["verdict"] == "accepted"

    def test_refused(self, td: Run, root: Path) -> None:
        with judge(root, "inbox/*.json", refuse):
            said = td("submit", "--type", "nope", "--id", "x")
        assert (said.code, said.out) == (65, "")
        assert said.err == "taskdir: x.json: /type: no contract [unknown-type]\n  next: make one\n"
        with judge(root, "inbox/*.json", refuse):
            said = td("submit", "--type", "nope", "--id", "y", "--json")
        assert said.code == 65
        assert (said.data["id"], said.data["verdict"], said.data["reason"]["pointer"]) == ("y", "refused", "/type")
        assert said.error["code"] == "unknown-type"

    def test_a_daemon_that_is_busy(self, td: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(frame, "VERDICT_SECONDS", 0.01)
        with judge(root, "nothing", print):
            said = td("submit", "--type", "echo", "--id", "x")
        assert (said.code, said.out) == (0, "x\n")
        assert "not judged yet: the daemon is busy" in said.err


class TestClaimNoteFinish:
    def test_a_session(self, td: Run, root: Path) -> None:
        name = offer(root).name
        said = td("claim", "--agent", "me")
        path = root / "claimed/me" / name
        assert said == (0, f"{path}\n", "")
        assert td("note", path, "half way") == (0, "", "")
        assert path.with_name(name.replace(".json", ".notes.jsonl")).read_text() == "half way\n"
        said = td("finish", path, "--output", '{"a": 1}')
        assert (said.code, said.out) == (0, "")
        assert "not judged yet: no daemon is running here" in said.err
        result = path.with_name(name.replace(".json", ".result.json"))
        assert json.loads(result.read_bytes()) == {"status": "ok", "output": {"a": 1}}
        assert sorted(os.listdir(path.parent)) == sorted([name, result.name, name.replace(".json", ".notes.jsonl")])

    def test_claim_as_json(self, td: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(root)
        monkeypatch.delenv("TASKDIR")
        name = offer(root, place="ready/@me").name
        said = td("claim", "--agent", "me", "--queue", "@me", "--json")
        assert said.data["path"] == str(root / "claimed/me" / name)
        assert said.data["task"]["id"] == "t1"

    def test_an_unfinished_claim_comes_first(self, td: Run, root: Path) -> None:
        held, free = offer(root, 1, "claimed/me"), offer(root, 2)
        said = td("claim", "--agent", "me")
        assert (said.code, said.out) == (75, "")
        assert str(held) in said.err
        assert "resume it, or delete the file" in said.err
        assert free.exists()
        assert td("claim", "--agent", "me", "--json").error["code"] == "unfinished"

    def test_waiting_for_an_offer(self, td: Run, root: Path) -> None:
        thread = threading.Timer(0.05, offer, [root])
        thread.start()
        assert td("claim", "--agent", "me", "--wait", "20").code == 0
        thread.join()

    def test_an_error_result(self, td: Run, root: Path) -> None:
        path = offer(root, 1, "claimed/me")
        assert td("finish", path, "--error", "disk full", "--code", "no-space", "--retry", "--json").data == {
            "path": str(path),
            "verdict": "waiting",
        }
        error = {"code": "no-space", "message": "disk full"}
        result = json.loads(Path(str(path).replace(".json", ".result.json")).read_bytes())
        assert result == {"status": "error", "error": error, "retry": True}

    def test_output_from_a_file_and_stdin(
        self, td: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = offer(root, 1, "claimed/me")
        result = Path(str(path).replace(".json", ".result.json"))
        assert td("finish", path, "--output", f"@{put(tmp_path / 'out', '[1]')}").code == 0
        assert json.loads(result.read_bytes())["output"] == [1]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"null")))
        assert td("finish", path, "--output", "-").code == 0
        assert json.loads(result.read_bytes())["output"] is None

    def test_accepted(self, td: Run, root: Path) -> None:
        path = offer(root, 1, "claimed/me")
        with judge(root, "claimed/me/*.result.json", accept_result):
            assert td("finish", path, "--output", "5") == (0, "", "accepted\n")

    def test_refused(self, td: Run, root: Path) -> None:
        path = offer(root, 1, "claimed/me")
        with judge(root, "claimed/me/*.result.json", refuse_result):
            said = td("finish", path, "--output", "5", "--json")
        assert said.code == 65
        assert (said.data["verdict"], said.error["code"]) == ("refused", "output-contract")
        assert said.error["pointer"] == "/output"
        assert path.exists()

    def test_relative_paths(self, td: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = offer(root, 1, "claimed/me")
        monkeypatch.delenv("TASKDIR")
        monkeypatch.chdir(path.parent)
        assert td("note", path.name, "x").code == 0
        assert td("finish", path.name, "--output", "5").code == 0

    def test_remarks_for_the_log(self, td: Run, root: Path) -> None:
        id = td("note", "hm", "--task", "x", "--from", "ann").out.strip()
        expected = {"kind": "note", "message": "hm", "task": "x", "from": "ann"}
        assert json.loads((root / f"inbox/{id}.json").read_bytes()) == expected

    def test_cancel(self, td: Run, root: Path) -> None:
        said = td("cancel", "a", "b", "--from", "ann")
        assert (said.code, said.out) == (0, "")
        asked = [json.loads(path.read_bytes()) for path in sorted((root / "inbox").iterdir())]
        assert asked == [{"kind": "cancel", "task": task, "from": "ann"} for task in "ab"]
        for path in (root / "inbox").iterdir():
            path.unlink()
        with judge(root, "inbox/*.json", refuse):
            assert td("cancel", "c").code == 65


class TestWait:
    def test_all_done(self, td: Run, root: Path) -> None:
        for id in "ab":
            put(root / f"done/{id}.json", {"id": id, "state": "done", "output": id})
        assert td("wait", "a", "b", "a") == (0, "a done\nb done\n", "")
        records = [json.loads(line) for line in td("wait", "a", "b", "--json").out.splitlines()]
        assert [record["output"] for record in records] == ["a", "b"]

    @pytest.mark.parametrize(
        ("name", "body", "line"),
        [
            (
                "failed/x.json",
                {"state": "failed", "error": {"message": "disk\x1b[31m\nfull"}},
                "x failed: disk�[31m full",
            ),
            ("failed/x.json", {"state": "canceled"}, "x canceled"),
            ("rejected/x.reason.json", {"code": "c", "message": "no contract"}, "x rejected: no contract"),
        ],
    )
    def test_bad_ends(self, td: Run, root: Path, name: str, body: dict[str, object], line: str) -> None:
        put(root / name, body)
        put(root / "done/a.json", {"id": "a", "state": "done"})
        assert td("wait", "x", "a") == (1, f"{line}\na done\n", "")
        shown = json.loads(td("wait", "x", "--json").out)
        assert shown == ({"id": "x", "state": "rejected", "reason": body} if "rejected" in name else body)

    def test_what_has_ended_is_told_beside_what_is_unknown(self, td: Run, root: Path) -> None:
        put(root / "done/a.json", {"id": "a", "state": "done"})
        said = td("wait", "nobody", "a")
        assert (said.code, said.out) == (66, "a done\n")
        assert "nobody knows a task of the id nobody" in said.err

    def test_it_ends_while_waiting(self, td: Run, root: Path) -> None:
        put(root / "inbox/x.json", {})
        thread = threading.Timer(0.05, put, [root / "done/x.json", {"id": "x", "state": "done"}])
        thread.start()
        said = td("wait", "x", "--timeout", "20")
        assert (said.code, said.out) == (0, "x done\n")
        assert "waits for `taskdir run`" in said.err
        thread.join()


CLAIMED = "claimed/me/5-000000000001.t1.1.json"


@pytest.mark.parametrize(
    ("argv", "code", "rule", "said"),
    [
        ("", 2, "usage", "a verb is missing"),
        ("sumbit", 2, "usage", "did you mean 'submit'?"),
        ("--root", 2, "usage", "a verb is missing"),
        ("submit", 2, "usage", "either FILE or --type"),
        ("submit x --type echo", 2, "usage", "either FILE or --type"),
        ("submit x --queue y", 2, "usage", "write them into the file"),
        ("submit x y --id z", 2, "usage", "--id goes with one FILE"),
        ("submit --type echo --priority high", 2, "usage", "--priority"),
        ("submit --typ echo", 2, "usage", "unrecognized"),
        ("submit --type echo --input {a", 65, "json-syntax", "--input: "),
        ("submit --type echo --input @nope", 66, "no-file", "nope: there is no such file"),
        ("submit --type echo --id A", 65, "name-grammar", "1 to 64 of a-z"),
        ("submit nope.json", 66, "no-file", "nope.json"),
        ("submit taskdir.json --id _", 65, "name-grammar", "taskdir.json: '_'"),
        ("claim", 2, "usage", "--agent"),
        ("claim --agent me", 75, "nothing", "no daemon is running here; start `taskdir run`"),
        ("claim --agent me --wait -1", 2, "usage", "0 or more"),
        ("claim --agent ME", 65, "name-grammar", "1 to 64 of a-z"),
        ("claim --agent me --queue nope", 66, "unknown-queue", "one of default"),
        ("claim --agent me --queue @you", 2, "wrong-queue", "the agent you alone"),
        ("--root nowhere claim --agent me", 66, "no-root", "taskdir init"),
        ("claim --agent me --root nowhere", 66, "no-root", "--root names it"),
        (f"finish {CLAIMED}", 2, "usage", "--output"),
        (f"finish {CLAIMED} --output 1 --error x", 2, "usage", "not allowed with"),
        (f"finish {CLAIMED} --output 1 --retry", 2, "usage", "go with --error"),
        (f"finish {CLAIMED} --error x --code Q", 65, "name-grammar", "error code"),
        (f"finish {CLAIMED} --output {{", 65, "json-syntax", "in shell quotes"),
        (f"finish {CLAIMED} --output 1", 66, "claim-lost", "you no longer own the task"),
        ("finish taskdir.json --output 1", 2, "no-claim", "claimed/<agent>/"),
        (f"note {CLAIMED} hm", 66, "claim-lost", "stop working on it"),
        ("note a b c", 2, "usage", "in quotes"),
        ("note ''", 2, "usage", "empty"),
        (f"note {CLAIMED} hm --task x", 2, "usage", "without PATH"),
        ("cancel", 2, "usage", "ID"),
        ("cancel X", 65, "name-grammar", "1 to 64 of a-z"),
        ("wait X", 65, "name-grammar", "1 to 64 of a-z"),
        ("wait x --timeout -1", 2, "usage", "0 or more"),
        ("wait x --timeout 5", 66, "unknown-task", "look for a typo"),
        ("wait t9 --timeout 0.01", 124, "timed-out", "no daemon is running here"),
    ],
)
def test_exit_codes_and_words(
    td: Run, root: Path, monkeypatch: pytest.MonkeyPatch, argv: str, code: int, rule: str, said: str
) -> None:
    """Each mistake has its exit code, its rule code and a next step, for people and as JSON."""
    monkeypatch.chdir(root)
    offer(root, 9, "claimed/other")
    words = shlex.split(argv)
    told = td(*words)
    assert told.code == code
    assert told.out == ""
    assert said in told.err
    assert f"[{rule}]" in told.err
    assert "Traceback" not in told.err
    told = td("--json", *words)
    assert (told.code, told.out) == (code, "")
    assert told.error["code"] == rule
    assert told.error["message"]


def test_another_protocol_is_a_config_error(td: Run, root: Path) -> None:
    put(root / "taskdir.json", {"protocol": 2})
    said = td("claim", "--agent", "me")
    assert said.code == 78
    assert "protocol-version" in said.err


@pytest.mark.parametrize("argv", [["--root", "{}", "claim", "--agent", "me"], ["claim", "--agent", "me", "--root={}"]])
def test_root_before_and_after_the_verb(td: Run, root: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    offer(root)
    monkeypatch.setenv("TASKDIR", "/nowhere")
    assert td(*(word.format(root) for word in argv)).code == 0


def test_help(td: Run) -> None:
    said = td("--help")
    assert said.code == 0
    assert all(f"  {verb} " in said.out for verb in parsers.VERBS)
    assert td("-h") == said
    assert td("--version") == (0, f"taskdir {__version__}\n", "")


@pytest.mark.parametrize("verb", parsers.VERBS)
def test_help_of_each_verb(td: Run, verb: str) -> None:
    for argv in ([verb, "-h"], ["--help", verb]):
        said = td(*argv)
        assert (said.code, said.err) == (0, "")
        assert f"usage: taskdir {verb}" in said.out
        assert "--root DIR" in said.out
        assert "--json" in said.out


def test_help_and_the_version_load_no_verb() -> None:
    program = (
        "import sys; from taskdir.cli import main; main(['--help']); main(['--version'])\n"
        "ours = {m.removeprefix('taskdir.cli.') for m in sys.modules if m.startswith('taskdir.cli.')}\n"
        "sys.exit(','.join(ours - {'frame', 'parsers', 'quick'}))"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_the_list_of_verbs_is_that_of_the_files() -> None:
    shared = {"__init__", "frame", "parsers", "described", "words", "findings", "argparser", "quick"}
    assert {path.stem for path in VERBS.glob("*.py")} - shared == {*parsers.VERBS}


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141), (OSError(28, "No space left", "x"), 1)],
)
def test_what_comes_from_outside(
    td: Run, root: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(gestures, "claim", fail)
    said = td("claim", "--agent", "me")
    assert said.code == code
    assert said.err == ("taskdir: x: No space left [os-error]\n" if code == 1 else "")


def test_a_reader_that_has_gone_ends_it_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "taskdir", "--help"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_progress_shows_on_a_terminal_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with frame.Env(None, as_json=False).progress(2, "ended") as progress:
        progress.step()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with frame.Env(None, as_json=False).progress(2, "ended") as progress:
        progress.step(2)
    assert capsys.readouterr().err == "\rended: 0/2 \r\x1b[K"
