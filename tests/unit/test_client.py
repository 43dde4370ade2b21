"""The gestures and the Python client on a root made by hand: no daemon; where one is needed, the test plays it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from taskdir import AsyncTaskdir, Claim, Taskdir, TaskdirError, gestures, names, roots
from taskdir.disk import Disk
from taskdir.errors import Busy, CannotCreate, ConfigError, Invalid, Missing, TimedOut, Usage
from taskdir.places import Places

SOURCE = Path(__file__).resolve().parents[2] / "daemon"
PLACES = ("inbox", "ready/default", "claimed", "done", "failed", "rejected", "contracts", ".taskdir")
DISK = Disk()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root, as ``init`` makes it, that every look finds."""
    made = tmp_path / "a root"
    for place in PLACES:
        (made / place).mkdir(parents=True)
    put(made / "taskdir.json", {"protocol": 1, "queues": ["review"]})
    monkeypatch.setenv("TASKDIR", str(made))
    return made


@pytest.fixture
def places(root: Path) -> Places:
    return Places(str(root))


@pytest.fixture
def td(root: Path) -> Taskdir:
    return Taskdir()


def put(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def offer(root: Path, seq: int = 1, queue: str = "default", priority: int = 5, **fields: object) -> Path:
    """Put an offer into ready/, as the daemon does."""
    stem = names.Stem(priority, seq, f"t{seq}", 1)
    body = {"id": stem.id, "attempt": 1, "type": "echo", "input": {"n": seq}, "lease_seconds": 1800, **fields}
    return put(root / "ready" / queue / f"{stem}.json", body)


def claimed(td: Taskdir, agent: str = "me", **more: Any) -> Claim:
    found = td.claim(agent, **more)
    assert found is not None
    return found


def until(fact: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a fact; a test never waits for a time."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


def is_locked(path: str | Path) -> bool:
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def result_of(claim: Claim) -> Any:
    return json.loads(Path(claim.path.removesuffix(".json") + names.RESULT).read_bytes())


@contextmanager
def judge(root: Path, steps: Callable[[Path], None], pattern: str) -> Iterator[None]:
    """Play the daemon: hold the root's lock, and once a file of that pattern is there, do the steps with it."""
    fd = os.open(root, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.002):
            for path in root.glob(pattern):
                if not path.name.startswith("."):
                    steps(path)
                    return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        os.close(fd)


def refuse(result: Path) -> None:
    """Refuse a result in the daemon's order: the answer, then the result goes."""
    stem = result.name.removesuffix(names.RESULT)
    put(result.with_name(stem + names.REFUSED), {"code": "output-contract", "message": "no", "file": result.name})
    result.unlink()


def accept(result: Path) -> None:
    """Accept a result in the daemon's order: the record, then the task file goes, then the result."""
    stem = names.parse_stem(result.name.removesuffix(names.RESULT))
    assert stem is not None
    put(result.parents[2] / "done" / f"{stem.id}.json", {"id": stem.id, "state": "done", "output": 1})
    result.with_name(f"{stem}.json").unlink()
    result.unlink()


class TestRoots:
    def test_named_beats_variable_beats_parents(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = put(root.parent / "other" / "taskdir.json", {}).parent
        monkeypatch.chdir(other)
        assert roots.find(str(root / "." / "")) == str(root)
        assert roots.find() == str(root)
        monkeypatch.setenv("TASKDIR", "")
        monkeypatch.chdir(put(other / "deep" / "down" / "x", 0).parent)
        assert roots.find() == str(other)

    def test_no_root_tells_the_next_step(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TASKDIR", raising=False)
        monkeypatch.chdir(tmp_path)
        for named in (None, str(tmp_path)):
            with pytest.raises(Missing) as caught:
                roots.find(named)
            assert caught.value.code == "no-root"
            assert "taskdir init" in str(caught.value)

    @pytest.mark.parametrize("text", ["", "{", "[1]", '{"queues": 5, "max_claims": "x"}'])
    def test_settings_are_read_leniently(self, root: Path, text: str) -> None:
        (root / "taskdir.json").write_text(text)
        assert roots.queues(str(root)) == ["default"]
        assert roots.max_claims(str(root)) == 1

    def test_another_protocol_is_not_ours(self, root: Path) -> None:
        put(root / "taskdir.json", {"protocol": 2})
        with pytest.raises(ConfigError, match="another protocol"):
            Taskdir()

    def test_the_daemon_is_told_by_its_lock(self, root: Path) -> None:
        assert not roots.daemon_runs(str(root))
        with judge(root, lambda path: None, "nothing"):
            assert roots.daemon_runs(str(root))
        assert not roots.daemon_runs(str(root))

    def test_minted_ids_are_ids_and_sort_by_age(self) -> None:
        minted = [roots.mint_id() for _ in range(200)]
        assert all(map(names.is_word, minted))
        assert len({*minted}) == 200
        ages = [id[:15] for id in minted]
        assert ages == sorted(ages)


class TestSubmit:
    def test_a_message_appears_whole_under_its_name(self, root: Path, td: Taskdir) -> None:
        assert td.submit("echo", {"a": 1}, id="x", priority=0, from_="ci") == "x"
        message = json.loads((root / "inbox/x.json").read_bytes())
        assert message == {"type": "echo", "input": {"a": 1}, "priority": 0, "from": "ci"}
        assert os.listdir(root / "inbox") == ["x.json"]

    def test_minted_and_batch_ids(self, root: Path, td: Taskdir) -> None:
        minted = td.submit("echo")
        assert json.loads((root / f"inbox/{minted}.json").read_bytes()) == {"type": "echo"}
        (root / f"inbox/{minted}.json").unlink()
        ids = td.submit_batch([{"type": "echo", "id": "a"}, {"type": "echo"}])
        (batch,) = (json.loads(path.read_bytes()) for path in (root / "inbox").iterdir())
        assert batch["kind"] == "batch"
        assert [member["id"] for member in batch["messages"]] == ids
        assert ids[0] == "a"
        assert names.is_word(ids[1])

    def test_other_messages(self, root: Path, td: Taskdir) -> None:
        asked, said = td.cancel("x"), td.note("hm", task="x")
        assert json.loads((root / f"inbox/{asked}.json").read_bytes()) == {"kind": "cancel", "task": "x"}
        expected = {"kind": "note", "message": "hm", "task": "x"}
        assert json.loads((root / f"inbox/{said}.json").read_bytes()) == expected

    def test_never_in_place_of_another(self, root: Path, td: Taskdir) -> None:
        td.submit("echo", 1, id="x")
        with pytest.raises(CannotCreate, match="already"):
            td.submit("echo", 2, id="x")
        assert json.loads((root / "inbox/x.json").read_bytes())["input"] == 1
        assert os.listdir(root / "inbox") == ["x.json"]

    def test_durable_before_it_shows(self, places: Places) -> None:
        done: list[str] = []
        gestures.submit(places, Disk(lambda operation, path: done.append(operation)), {"type": "echo"}, "x")
        assert done == ["create", "write", "fsync", "link", "unlink", "fsync"]

    @pytest.mark.parametrize("value", [{"a": {1}}, {"a": float("nan")}])
    def test_what_is_no_json_is_not_submitted(self, root: Path, td: Taskdir, value: object) -> None:
        with pytest.raises(Invalid, match="cannot be written as JSON"):
            td.submit("echo", value, id="x")
        with pytest.raises(Invalid, match="name of an id"):
            td.submit("echo", id="../x")
        assert os.listdir(root / "inbox") == []

    def test_a_missing_inbox_tells_the_next_step(self, root: Path, td: Taskdir) -> None:
        (root / "inbox").rmdir()
        with pytest.raises(Missing, match="taskdir init"):
            td.submit("echo")

    def test_verdicts(self, root: Path, places: Places) -> None:
        data = gestures.submit(places, DISK, {"type": "x"}, "x")

        def look() -> str | None:
            found = gestures.submit_verdict(places, "x", data)
            return found.word if found else None

        assert look() is None
        (root / "inbox/x.json").unlink()
        assert look() == "accepted"
        put(root / "rejected/x.reason.json", {"code": "c", "message": "m", "sha256": sha256(b"other").hexdigest()})
        assert look() == "accepted", "that reason is about an older file"
        put(root / "rejected/x.reason.json", {"code": "c", "message": "m", "sha256": sha256(data).hexdigest()})
        assert look() == "refused"


class TestClaim:
    def test_byte_order_and_only_offers(self, root: Path, places: Places) -> None:
        for seq, priority in ((3, 5), (1, 9), (2, 5), (7, 0)):
            offer(root, seq, priority=priority)
        for stranger in (".5-000000000000.a.1.json", "0-1.json", "README"):
            put(root / "ready/default" / stranger, {})
        order = ["0-000000000007.t7.1.json", "5-000000000002.t2.1.json", "5-000000000003.t3.1.json"]
        assert gestures.offers(places) == [*order, "9-000000000001.t1.1.json"]
        found = gestures.claim(places, DISK, "me")
        assert isinstance(found, gestures.Claimed)
        assert found.path == str(root / "claimed/me" / order[0])
        assert found.offer["input"] == {"n": 7}
        assert not (root / "ready/default" / order[0]).exists()

    def test_a_lost_race_leads_to_the_next_name_and_lists_once(
        self, root: Path, places: Places, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second, third = (offer(root, seq) for seq in (1, 2, 3))
        asked: list[str] = []
        lists: list[str] = []
        real = os.scandir

        def hook(operation: str, path: str) -> None:
            if operation == "rename":
                asked.append(os.path.basename(path))
                for taken in (first, second):
                    taken.unlink(missing_ok=True)

        def scandir(path: str) -> Any:
            lists.append(path)
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
        found = gestures.claim(places, Disk(hook), "me")
        assert isinstance(found, gestures.Claimed)
        assert asked == [first.name, second.name, third.name]
        assert len([path for path in lists if path.endswith("default")]) == 1

    def test_a_list_used_up_leads_to_a_new_one(self, root: Path, places: Places) -> None:
        gone, later = offer(root, 1), root / "ready/default/5-000000000002.t2.1.json"

        def hook(operation: str, path: str) -> None:
            if operation == "rename" and gone.exists():
                gone.rename(later)

        found = gestures.claim(places, Disk(hook), "me")
        assert isinstance(found, gestures.Claimed)
        assert os.path.basename(found.path) == later.name

    def test_nothing_is_a_value(self, root: Path, places: Places, td: Taskdir) -> None:
        assert isinstance(gestures.claim(places, DISK, "me"), gestures.Nothing)
        assert isinstance(gestures.claim(places, DISK, "me", "review"), gestures.Nothing)
        assert isinstance(gestures.claim(places, DISK, "me", "@me"), gestures.Nothing)
        assert td.claim("me", wait=0.01) is None

    def test_waiting_ends_with_an_offer(self, root: Path, td: Taskdir) -> None:
        thread = threading.Timer(0.05, offer, [root, 1, "review"])
        thread.start()
        with claimed(td, queue="review", wait=20) as claim:
            assert claim.id == "t1"
        thread.join()

    def test_unfinished_comes_first(self, root: Path, places: Places, td: Taskdir) -> None:
        offer(root, 1)
        offer(root, 2)
        held = gestures.claim(places, DISK, "me")
        assert isinstance(held, gestures.Claimed)
        assert gestures.claim(places, DISK, "me") == gestures.Unfinished([held.path])
        with pytest.raises(Busy, match="resume it, or delete it"):
            td.claim("me")
        with td.resume(held.path) as claim:
            assert (claim.id, claim.attempt, claim.input) == ("t1", 1, {"n": 1})
            claim.finish(0)
            assert isinstance(gestures.claim(places, DISK, "me"), gestures.Claimed), "a result stands for its claim"

    def test_more_claims_where_the_settings_allow(self, root: Path, td: Taskdir) -> None:
        put(root / "taskdir.json", {"protocol": 1, "max_claims": 2})
        offer(root, 1)
        offer(root, 2)
        with claimed(td) as first, claimed(td) as second:
            assert [first.id, second.id] == ["t1", "t2"]

    @pytest.mark.parametrize(
        ("agent", "queue", "error"),
        [
            ("Me", "default", Invalid),
            ("", "default", Invalid),
            ("../x", "default", Invalid),
            ("me", "..", Invalid),
            ("me", "@you", Usage),
            ("me", "nope", Missing),
        ],
    )
    def test_bad_names(self, places: Places, agent: str, queue: str, error: type[TaskdirError]) -> None:
        with pytest.raises(error):
            gestures.claim(places, DISK, agent, queue)

    def test_a_torn_offer_is_given_back(self, root: Path, places: Places) -> None:
        offer(root, 1).write_text('{"id": "t1", "at')
        offer(root, 2)
        found = gestures.claim(places, DISK, "me")
        assert isinstance(found, gestures.Claimed)
        assert found.offer["id"] == "t2"
        assert os.listdir(root / "claimed/me") == [os.path.basename(found.path)]

    def test_eight_processes_race_for_200_offers(self, root: Path) -> None:
        expected = sorted(offer(root, seq).name for seq in range(1, 201))
        program = (
            "import sys\n"
            "from taskdir import gestures\nfrom taskdir.disk import Disk\nfrom taskdir.places import Places\n"
            "places, disk, agent = Places(sys.argv[1]), Disk(), sys.argv[2]\n"
            "print('ready', flush=True)\nsys.stdin.readline()\n"
            "while isinstance(found := gestures.claim(places, disk, agent), gestures.Claimed):\n"
            "    print(found.path.rpartition('/')[2])\n"
            "    disk.unlink(found.path) or sys.exit('somebody else had it too')\n"
        )
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(root), f"a{number}"],
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(8)
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        won = [racer.communicate(timeout=60)[0].split() for racer in racers]
        assert [racer.returncode for racer in racers] == [0] * 8
        assert sorted(name for names in won for name in names) == expected
        assert os.listdir(root / "ready/default") == []


class TestKeep:
    def test_the_thread_renews_while_the_file_is_there(self, root: Path, td: Taskdir) -> None:
        offer(root, lease_seconds=0.03)
        with claimed(td, hold=False) as claim:
            for _ in range(3):
                os.utime(claim.path, (0, 0))
                until(lambda: os.stat(claim.path).st_mtime > 0)
            name = f"taskdir {os.path.basename(claim.path)}"
            (thread,) = (each for each in threading.enumerate() if each.name == name)
            os.unlink(claim.path)
            thread.join(20)
            assert not thread.is_alive()
            assert claim.lost
            assert not os.path.exists(claim.path), "renewing never makes the file again"
            claim.give_back()

    def test_a_lost_claim_is_told_everywhere(self, root: Path, td: Taskdir) -> None:
        offer(root)
        claim = claimed(td)
        assert (claim.lost, claim.renew()) == (False, True)
        os.unlink(claim.path)
        assert (claim.lost, claim.renew()) == (True, False)
        with pytest.raises(Missing, match="no longer own"):
            claim.note("still there?")
        with pytest.raises(Missing, match="no longer own"):
            claim.finish(1)
        assert os.listdir(root / "claimed/me") == [], "nothing was written"

    def test_notes(self, root: Path, td: Taskdir) -> None:
        offer(root)
        with claimed(td) as claim:
            claim.note("half way\n")
            claim.note({"percent": 50})
            notes = Path(claim.path.removesuffix(".json") + names.NOTES)
            assert notes.read_text() == 'half way\n{"percent":50}\n'

    def test_held_until_the_result_is_there(self, root: Path, td: Taskdir) -> None:
        offer(root)
        seen: list[tuple[str, bool]] = []
        with claimed(td) as claim:
            assert is_locked(claim.path)
            assert claim._hold.fd is not None
            assert not os.get_inheritable(claim._hold.fd)
            claim._disk = Disk(lambda operation, path: seen.append((operation, is_locked(claim.path))))
            claim.finish({"a": 1})
            assert not is_locked(claim.path)
            assert not claim.lost
        assert ("rename", True) in seen
        assert all(locked for _, locked in seen)
        assert result_of(claim) == {"status": "ok", "output": {"a": 1}}

    def test_without_hold_no_lock(self, root: Path, td: Taskdir) -> None:
        offer(root)
        with claimed(td, hold=False) as claim:
            assert not is_locked(claim.path)

    def test_locked_by_another_is_no_hold(self, root: Path, td: Taskdir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("taskdir.held.LOCK_SECONDS", 0.0)
        offer(root)
        with claimed(td) as first, td.resume(first.path) as second:
            assert second._hold.fd is None
            assert second.elsewhere
            second.finish(1)
            assert is_locked(first.path)


class TestLeaving:
    def test_by_an_exception_reports_it(self, root: Path, td: Taskdir) -> None:
        offer(root)
        with pytest.raises(ValueError, match="too bad"), claimed(td) as claim:
            raise ValueError("too bad")
        error = {"code": "valueerror", "message": "ValueError: too bad"}
        assert result_of(claim) == {"status": "error", "error": error, "retry": True}
        assert not is_locked(claim.path)

    def test_by_an_exception_of_a_lost_claim_tells_the_exception(self, root: Path, td: Taskdir) -> None:
        offer(root)
        claim = claimed(td)
        os.unlink(claim.path)
        with pytest.raises(ValueError, match="too bad"), claim:
            raise ValueError("too bad")
        assert os.listdir(root / "claimed/me") == []

    @pytest.mark.parametrize("error", [None, ValueError])
    def test_what_another_program_handed_in_stands(
        self, root: Path, td: Taskdir, error: type[Exception] | None
    ) -> None:
        offer(root)
        claim = claimed(td)
        gestures.finish(DISK, claim.path, {"status": "ok", "output": 1})
        try:
            with claim:
                if error is not None:
                    raise error
        except ValueError:
            pass
        assert result_of(claim) == {"status": "ok", "output": 1}
        assert os.path.exists(claim.path)

    @pytest.mark.parametrize("stop", [None, KeyboardInterrupt, SystemExit])
    def test_without_a_result_gives_back(self, root: Path, td: Taskdir, stop: type[BaseException] | None) -> None:
        offer(root)
        try:
            with claimed(td):
                if stop is not None:
                    raise stop
        except (KeyboardInterrupt, SystemExit):
            pass
        assert os.listdir(root / "claimed/me") == []

    def test_after_a_result_changes_nothing(self, root: Path, td: Taskdir) -> None:
        offer(root)
        with claimed(td) as claim:
            claim.fail("no space", code="no-space")
            with pytest.raises(Usage, match="over"):
                claim.finish(1)
            claim.give_back()
        error = {"code": "no-space", "message": "no space"}
        assert result_of(claim) == {"status": "error", "error": error, "retry": False}
        assert os.path.exists(claim.path)

    def test_errors_are_made_to_fit(self, root: Path, td: Taskdir) -> None:
        offer(root)
        with claimed(td) as claim:
            with pytest.raises(Invalid, match="error code"):
                claim.fail("x", code="No Space")
            claim.fail("x" * 10_000 + "\ud800")
        assert len(result_of(claim)["error"]["message"]) == 8192


class TestFinish:
    def test_accepted(self, root: Path, td: Taskdir) -> None:
        offer(root)
        with judge(root, accept, "claimed/me/*.result.json"), claimed(td) as claim:
            claim.finish(1)
        assert os.listdir(root / "claimed/me") == []
        assert td.wait("t1", 0)["output"] == td.output("t1") == 1

    def test_refused_goes_on(self, root: Path, td: Taskdir) -> None:
        offer(root)
        with claimed(td) as claim:
            with judge(root, refuse, "claimed/me/*.result.json"), pytest.raises(Invalid) as caught:
                claim.finish("x")
            assert (caught.value.code, caught.value.message) == ("output-contract", "no")
            assert is_locked(claim.path)
            with judge(root, accept, "claimed/me/*.result.json"):
                claim.finish(1)
        assert td.record("t1")["state"] == "done"

    def test_interrupted_while_waiting_the_result_stands(
        self, root: Path, td: Taskdir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(look: object, seconds: float) -> gestures.Verdict:
            raise KeyboardInterrupt

        offer(root)
        monkeypatch.setattr(gestures, "verdict", interrupted)
        with judge(root, lambda path: None, "nothing"), pytest.raises(KeyboardInterrupt), claimed(td) as claim:
            claim.finish(1)
        assert result_of(claim)["status"] == "ok"

    @pytest.mark.parametrize(
        ("result", "left", "word"),
        [
            ("ok", {"task", "result"}, None),
            ("ok", {"result"}, None),
            ("ok", {"result", "done"}, None),
            ("ok", {"task"}, "refused"),
            ("ok", {"task", "refused"}, "refused"),
            ("ok", {"done"}, "accepted"),
            ("ok", {"late"}, "late"),
            ("ok", {"late", "done"}, "late"),
            ("ok", set(), "refused"),
            ("error", set(), "accepted"),
            ("error", {"late"}, "late"),
        ],
    )
    def test_verdicts(self, root: Path, result: str, left: set[str], word: str | None) -> None:
        task = offer(root).rename(put(root / "claimed/me/x", 0).with_name("5-000000000001.t1.1.json"))
        document = {"status": "ok", "output": 1} if result == "ok" else {"status": "error", "error": {"message": "m"}}
        data = gestures.finish(DISK, str(task), document)
        stem = str(task).removesuffix(".json")
        files = {
            "task": task,
            "result": Path(stem + names.RESULT),
            "refused": Path(stem + names.REFUSED),
            "done": root / "done/t1.json",
            "late": root / "rejected" / (os.path.basename(stem) + ".result.reason.json"),
        }
        for name, path in files.items():
            if name not in left:
                path.unlink(missing_ok=True)
            elif not path.exists():
                put(path, {"code": name, "message": "m", "file": "f"})
        found = gestures.finish_verdict(str(task), data)
        assert (found and found.word) == word
        if left == {"task", "refused"}:
            assert found is not None
            assert found.error().code == "refused"

    def test_only_claimed_files_can_be_finished(self, root: Path) -> None:
        path = put(root / "claimed/me/todo.json", {})
        with pytest.raises(Usage, match="no claimed task"):
            gestures.finish(DISK, str(path), {})
        task = put(root / "claimed/me/5-000000000001.t1.1.json", {})
        gestures.finish(DISK, str(task), {"status": "ok", "output": 1})
        with pytest.raises(Usage, match="result lies beside"):
            gestures.give_back(DISK, str(task))


class TestWaiting:
    @pytest.mark.parametrize(
        ("files", "state"),
        [
            ({"done/x.json": {"state": "done"}}, "done"),
            ({"failed/x.json": {"state": "failed"}}, "failed"),
            ({"failed/x.json": {"state": "canceled"}}, "canceled"),
            ({"failed/x.json": {"state": "failed"}, "inbox/x.json": {}}, "submitted"),
            ({"inbox/x.json": {}, "rejected/x.reason.json": {"code": "c"}}, "submitted"),
            ({"rejected/x.reason.json": {"code": "c"}}, "rejected"),
            ({"ready/default/5-000000000001.x.2.json": {}}, "queued"),
            ({"ready/@me/5-000000000001.x.2.json": {}, "rejected/x.reason.json": {"code": "id-taken"}}, "queued"),
            ({"claimed/me/5-000000000001.x.2.json": {}}, "claimed"),
            ({"claimed/me/5-000000000001.x.2.result.json": {}}, "claimed"),
            (
                {"claimed/me/5-000000000001.x.2.notes.jsonl": {}, "ready/default/5-000000000001.xy.2.json": {}},
                "claimed",
            ),
            ({"ready/default/5-000000000001.xx.2.json": {}, "ready/default/a.x.b": {}}, "unknown"),
            ({}, "unknown"),
        ],
    )
    def test_files_tell_how_a_task_stands(
        self, root: Path, places: Places, files: dict[str, object], state: str
    ) -> None:
        for name, value in files.items():
            put(root / name, value)
        found = roots.standing(places, "x")
        assert found is not None
        assert found.state == state

    @pytest.mark.parametrize("wal", [False, True])
    def test_the_index_tells_what_no_file_shows(self, root: Path, places: Places, wal: bool) -> None:
        import sqlite3

        db = sqlite3.connect(root / ".taskdir/index.sqlite", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript("CREATE TABLE tasks(id TEXT PRIMARY KEY, state TEXT); INSERT INTO tasks VALUES('x','queued');")
        if not wal:
            db.close()
        assert (root / ".taskdir/index.sqlite-wal").exists() == wal
        before = sorted(os.listdir(root / ".taskdir"))
        assert roots.standing(places, "x") == roots.Standing("queued")
        assert roots.standing(places, "y") == roots.Standing("unknown")
        assert sorted(os.listdir(root / ".taskdir")) == before
        db.close()

    def test_a_pruned_record(self, root: Path, td: Taskdir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(roots, "indexed", lambda places, id: "done")
        assert next(roots.ended(td._places, ["x"], 20)) == ("x", roots.Standing("done"))
        with pytest.raises(Missing, match="taskdir restore x"):
            td.record("x")

    def test_an_index_ahead_of_the_files(self, root: Path, td: Taskdir, monkeypatch: pytest.MonkeyPatch) -> None:
        """The daemon commits, then shows: a look between the two must not take the record for pruned."""

        def indexed(places: Places, id: str) -> str:
            threading.Timer(0.03, put, [root / "done/x.json", {"state": "done", "output": 5}]).start()
            return "done"

        monkeypatch.setattr(roots, "indexed", indexed)
        assert td.wait("x", 20)["output"] == 5

    def test_wait(self, root: Path, td: Taskdir) -> None:
        with pytest.raises(Missing, match="nobody knows a task of the id x"):
            td.wait("x")
        td.submit("echo", id="x")
        with pytest.raises(TimedOut, match="no daemon is running"):
            td.wait("x", 0.01)
        with pytest.raises(Missing, match="is submitted"):
            td.record("x")
        thread = threading.Timer(0.05, put, [root / "done/x.json", {"state": "done", "output": 5}])
        thread.start()
        (root / "inbox/x.json").rename(put(root / "claimed/me/n", 0).with_name("5-000000000001.x.1.json"))
        assert td.wait("x", 20)["output"] == 5
        thread.join()

    def test_bad_ends(self, root: Path, td: Taskdir) -> None:
        put(root / "failed/x.json", {"state": "failed", "error": {"code": "no-space", "message": "disk full"}})
        assert td.wait("x")["state"] == "failed"
        with pytest.raises(TaskdirError, match="disk full") as caught:
            td.output("x")
        assert caught.value.code == "no-space"
        put(root / "rejected/y.reason.json", {"code": "unknown-type", "message": "no contract", "pointer": "/type"})
        with pytest.raises(Invalid, match="no contract") as refused:
            td.wait("y")
        assert (refused.value.code, refused.value.pointer) == ("unknown-type", "/type")


class TestAsync:
    def test_a_whole_session(self, root: Path) -> None:
        async def session() -> Any:
            td = AsyncTaskdir(root)
            assert await td.submit("echo", {"a": 1}, id="x") == "x"
            assert len(await td.submit_batch([{"type": "echo"}])) == 1
            await td.cancel("x")
            await td.note("hm")
            assert await td.claim("me") is None
            offer(root)
            claim = await td.claim("me", wait=20)
            assert claim is not None
            async with claim:
                assert (claim.id, claim.attempt, claim.input, claim.lost) == ("t1", 1, {"n": 1}, False)
                assert await claim.renew()
                await claim.note("half way")
                await claim.finish(1)
            accept(Path(claim.path.removesuffix(".json") + names.RESULT))
            assert (await td.wait("t1", 0))["state"] == "done"
            return await td.output("t1")

        assert asyncio.run(session()) == 1

    def test_leaving_by_an_exception(self, root: Path) -> None:
        async def session() -> str:
            offer(root)
            claim = await AsyncTaskdir(root).claim("me")
            assert claim is not None
            with pytest.raises(ValueError, match="too bad"):
                async with claim:
                    raise ValueError("too bad")
            return claim.path

        path = asyncio.run(session())
        assert json.loads(Path(path.removesuffix(".json") + names.RESULT).read_bytes())["retry"] is True

    def test_cancelled_while_claiming_gives_back(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        inside, go = threading.Event(), threading.Event()
        real = gestures.claim

        def slow(*args: Any) -> Any:
            inside.set()
            assert go.wait(20)
            return real(*args)

        async def session() -> None:
            claiming = asyncio.ensure_future(AsyncTaskdir(root).claim("me"))
            await asyncio.to_thread(inside.wait, 20)
            claiming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await claiming
            go.set()

        offer(root)
        monkeypatch.setattr(gestures, "claim", slow)
        asyncio.run(session())
        until(lambda: (root / "claimed/me").exists() and not os.listdir(root / "claimed/me"))


def test_the_package_is_light() -> None:
    """Importing the package loads nothing of it; the client none of what only asyncio or the daemon needs."""
    program = (
        "import sys, taskdir; assert not [m for m in sys.modules if m.startswith('taskdir.')]\n"
        "from taskdir import Taskdir, Claim, TaskdirError\n"
        "print(*{'asyncio', 'sqlite3', 'threading', 'subprocess', 'pathlib'} & {*sys.modules})\n"
        "print(*sorted(m for m in sys.modules if m.startswith('taskdir.')))\n"
        "assert 'AsyncTaskdir' in dir(taskdir); taskdir.AsyncTaskdir\n"
        "try: taskdir.nothing\nexcept AttributeError: pass\nelse: sys.exit('it has everything')"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    heavy, ours = done.stdout.splitlines()
    assert not {"asyncio", "sqlite3", "subprocess"} & {*heavy.split()}
    expected = "client disk errors gestures held names places roots shared strictjson system"
    assert ours.split() == [f"taskdir.{name}" for name in expected.split()]
