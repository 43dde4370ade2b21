"""Agents that are users of their own, in earnest: real uids, a daemon of its own user, and what one of them tries.

The tables of attacks are in ``wall_attacks``. Each kind has its planted fault: a mode left open, a check left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faults import ledger
from faults import wall_attacks as attacks
from faults.wall_attacks import MESSAGES
from support.live import until
from support.walled import DAEMON, USERS, Walled, as_user, become, needs_root, spawn
from taskdir import client, gestures, ownership, roots, walls
from taskdir.disk import Disk
from taskdir.errors import TaskdirError
from taskdir.held import Claim
from taskdir.places import Places
from taskdir.rooms import Rooms

pytestmark = [needs_root, pytest.mark.xdist_group("walls")]
DOCS = Path(__file__).parents[2] / "docs" / "walls.md"


@pytest.fixture
def house() -> Iterator[Walled]:
    """A root with three agents; no daemon yet."""
    made = Walled()
    try:
        yield made
    finally:
        made.close()


def put(house: Walled, agent: str, name: str, value: Any) -> None:
    """Submit as a shell does: a file of the agent's in its inbox."""
    inbox = house.path / "agents" / agent / "inbox"

    def write() -> None:
        (inbox / f".{name}").write_text(value if isinstance(value, str) else json.dumps(value))
        os.rename(inbox / f".{name}", inbox / f"{name}.json")

    assert become(USERS[agent], write) is None


def accepted(house: Walled, id: str) -> bool:
    return any(event["id"] == id for event in house.events("accepted"))


def ended(house: Walled, id: str, *kinds: str) -> Any:
    return until(lambda: [event for event in house.events(*kinds) if event.get("id") == id], f"{id} is {kinds}")[0]


def take(house: Walled, agent: str, queue: str = "default") -> Path:
    """Ask for a task until there is one; returns its file."""
    done = house.agent(agent, "claim", "--agent", agent, "--queue", queue, "--wait", "20")
    assert done.code == 0, done.err + house.words()
    return Path(done.out.strip())


def finish(house: Walled, agent: str, path: Path, output: Any = 1) -> None:
    done = house.agent(agent, "finish", path, "--output", json.dumps(output))
    assert done.code == 0, done.err


def settle(house: Walled) -> str:
    """Play until bob has a record, a waiting task, and holds a task of carol's; returns the stem of that."""
    house.start()
    put(house, "bob", "bob-done", {"type": "echo", "input": "bob's"})
    finish(house, "carol", take(house, "carol"))
    put(house, "carol", "carol-1", {"type": "echo", "lease_seconds": 600})
    held = take(house, "bob")
    put(house, "bob", "bob-wait", {"type": "echo", "input": "a secret"})
    until(lambda: accepted(house, "bob-wait"), "bob's task is accepted")
    return held.name.removesuffix(".json")


def others(house: Walled) -> dict[str, str]:
    """Return what lies there that is not alice's, by path: mode, owner and bytes."""
    found = {}
    for at, directories, files in os.walk(house.path):
        for name in (*directories, *files):
            path = Path(at) / name
            told = str(path.relative_to(house.path))
            if "alice/" in told or told.startswith(".taskdir/") or not path.exists():
                continue
            seen = path.lstat()
            data = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[told] = f"{seen.st_mode:o} {seen.st_uid}:{seen.st_gid} {data}"
    return found


def test_the_kernel_stops_what_is_tried_at_files(house: Walled, monkeypatch: pytest.MonkeyPatch) -> None:
    stem = settle(house)
    monkeypatch.setenv("WALLS_DAEMON", str(house.daemon))
    table, before = attacks.paths(stem), others(house)
    with ledger.entry("attacks of one agent's user on others", seed=None, unit="attacks") as entry:
        found = become(USERS["alice"], lambda: attacks.tried(house.path, table))
        entry.runs = len(table)
        assert found == {attack.what: attack.shown for attack in table}
    assert len(table) >= 50
    assert others(house) == before
    assert not house.ended()


OPENED = {
    "claimed/bob": "read the task that bob holds",
    "agents/bob": "",  # a door in front of rooms that are closed themselves
    "agents/bob/inbox": "",
    "agents/bob+agents/bob/inbox": "submit as bob",
    "agents/bob+agents/bob/done": "read bob's record",
    "claimed": "become an agent",
    "agents": "make a room",
    "done": "read a record by its name",
    "inbox": "submit as the operator",
    ".": "lock the daemon out of the root",
    "log.jsonl": "read the log",
    "taskdir.json": "change the settings",
    "contracts": "add a type",
    "contracts/echo.json": "change a contract",
    "state": "set a key by hand",
    "ready+ready/default": "offer something",
    ".taskdir": "lock the daemon's own directory",
}
"""Planted faults: places that were left open, and an attack that then gets through, if there is one."""


def test_a_mode_left_open_is_seen_by_an_attack_and_by_the_doctor(
    house: Walled, monkeypatch: pytest.MonkeyPatch
) -> None:
    stem = settle(house)
    assert house.daemon is not None
    house.kill()
    monkeypatch.setenv("WALLS_DAEMON", "1")
    table = attacks.paths(stem)
    for number, (places, what) in enumerate(OPENED.items()):
        root = house.base / f"open{number}"
        subprocess.run(["cp", "-a", house.path, root], check=True)
        for place in places.split("+"):
            (root / place).chmod(0o777)
        said = as_user(DAEMON, "doctor", "--json", root=root)
        faults = [each["message"] for each in json.loads(said.out)["findings"] if each["code"] == "d-walls-mode"]
        assert len(faults) >= len(places.split("+")), f"{places} is open, and the doctor says: {said.out}"
        assert said.code == 1
        found = become(USERS["alice"], partial(attacks.tried, root, table))
        through = [name for name, how in found.items() if how == attacks.THROUGH]
        assert what in through if what else not through, f"{places} is open: {through}"
        shutil.rmtree(root)


def sent(house: Walled, id: str, message: dict[str, Any]) -> Any:
    """Send a message as alice; returns the code that refused it, or None."""

    def send() -> str | None:
        places = roots.place(str(house.path))
        data = gestures.submit(places, Disk(), message, id)
        verdict = gestures.verdict(lambda: gestures.submit_verdict(places, id, data), 20)
        return verdict.reason["code"] if verdict.reason else verdict.word

    return become(USERS["alice"], send)


def test_what_is_tried_by_messages_is_refused(house: Walled) -> None:
    settle(house)
    before = len(house.events())
    found = {id: sent(house, id, message) for id, (message, _) in MESSAGES.items()}
    assert found == {id: code for id, (_, code) in MESSAGES.items()}
    assert {event["event"] for event in house.events()[before:]} == {"rejected"}
    reasons = {
        event["reason"]["file"]: {**event["reason"], "file": "", "sha256": ""} for event in house.events("rejected")
    }
    for mine, nobodys in (("alice-stop", "alice-stop2"), ("alice-after", "alice-after2")):  # no answer tells of bob's
        told = [json.dumps(reasons[f"{id}.json"]) for id in (mine, nobodys)]
        assert told[0].replace("bob-done", "nobody-1") == told[1]
    assert sent(house, "alice-own", {"type": "echo", "from": "alice"}) == "accepted"
    assert ended(house, "alice-own", "accepted")["task"]["from"] == "alice"


def test_a_check_that_is_left_out_is_noticed(house: Walled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: messages may name everything."""
    monkeypatch.setattr(ownership, "trespass", lambda *_: None)
    settle(house)
    assert sent(house, "alice-stop", MESSAGES["alice-stop"][0]) == "accepted"
    assert ended(house, "bob-wait", "canceled")


def trapped(house: Walled) -> str:
    """Let alice hold a task and lay every trap; returns the stem of bob's waiting task."""
    settle(house)
    put(house, "carol", "carol-for-alice", {"type": "echo", "queue": "@alice", "lease_seconds": 600})
    mine = take(house, "alice", "@alice").name.removesuffix(".json")
    seq = ended(house, "bob-wait", "accepted")["seq"]
    waiting = f"5-{seq:012d}.bob-wait.1"
    assert become(USERS["alice"], lambda: attacks.litter(house.path, mine, waiting)) is None
    return waiting


def test_traps_in_ones_own_directories_reach_nobody(house: Walled) -> None:
    waiting = trapped(house)
    put(house, "alice", "alice-late", {"type": "echo", "queue": "@carol"})
    finish(house, "carol", take(house, "carol", "@carol"))
    held = take(house, "carol")
    assert held.name == f"{waiting}.json"
    assert json.loads(become(USERS["carol"], held.read_text))["input"] == "a secret"
    finish(house, "carol", held, "the true one")
    assert ended(house, "bob-wait", "done")["agent"] == "carol"
    assert ended(house, "alice-late", "done")
    record = json.loads(become(USERS["bob"], (house.path / "agents/bob/done/bob-wait.json").read_text))
    assert record["output"] == "the true one"
    refused = {event["file"]: event["reason"]["code"] for event in house.events("rejected")}
    assert refused == {"alice-own.json": "unreadable", "alice-secret.json": "unreadable"}
    assert not house.events("breach", "late")
    assert [event["agent"] for event in house.events("claimed") if event["id"] == "bob-wait"] == ["carol"]
    assert not house.ended(), house.words()
    assert as_user(DAEMON, "log", root=house.path).code == 0
    asked = os.listdir(house.path / "claimed/alice")
    assert {"@bob.ask", "nowhere.ask", "default.ask"}.isdisjoint(asked), "each ask was answered by nothing"


def test_a_forged_claim_that_counts_is_noticed(house: Walled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: what lies in an agent's directory was handed out."""
    monkeypatch.setattr(Rooms, "_was_handed", lambda self, slot: True)
    trapped(house)
    assert ended(house, "bob-wait", "done")["agent"] == "alice", "she answered for a task that nobody gave her"


def test_no_agent_keeps_a_task_beyond_its_lease(house: Walled) -> None:
    """Ways to hide a claim: among many names, behind a directory in its place, where nobody can look."""
    house.start()
    for number in range(3):
        put(
            house, "bob", f"bob-{number}", {"type": "echo", "lease_seconds": 1, "max_attempts": 9, "backoff_seconds": 0}
        )
    mine = house.path / "claimed/alice"

    def many() -> None:
        for number in range(3000):
            (mine / f"{number % 10}-{number:012d}.junk.1.json").touch()

    assert become(USERS["alice"], many) is None
    take_one(house, mine)
    first = house.events("claimed")[-1]["id"]
    assert ended(house, first, "expired")["agent"] == "alice"

    def clear() -> None:
        for path in mine.glob("*junk*"):
            path.unlink()

    assert become(USERS["alice"], clear) is None

    seqs = {event["id"]: event["seq"] for event in house.events("accepted")}
    attempts = {id: 1 + sum(event["id"] == id for event in house.events("expired")) for id in seqs}
    names = [f"5-{seq:012d}.{id}.{attempts[id]}.json" for id, seq in seqs.items()]

    def block() -> None:
        for name in names:
            (mine / name / "x").mkdir(parents=True)

    assert become(USERS["alice"], block) is None
    take_one(house, mine)
    second = until(lambda: house.events("claimed")[1:], "the second claim")[0]
    until(lambda: [e for e in house.events("expired")[1:] if e["id"] == second["id"]], "its lease ends, too")
    finish(house, "carol", take(house, "carol"))

    for name in names:
        shutil.rmtree(mine / name, ignore_errors=True)
    before = len(house.events("expired"))
    take_one(house, mine)
    os.chown(mine, 0, 0)  # as if something were mounted there that nobody else may look into
    mine.chmod(0)
    until(lambda: len(house.events("expired")) > before, "its lease ends though nobody can look")
    assert house.events("claimed")[-1]["agent"] == "alice"
    assert not house.ended(), house.words()


def take_one(house: Walled, mine: Path) -> None:
    """Ask as alice with nothing but a file, and wait for the answer."""
    assert become(USERS["alice"], (mine / "default.ask").touch) is None
    until(lambda: not (mine / "default.ask").exists(), "the ask is answered")


def test_no_agent_hoards(house: Walled) -> None:
    """A result that cannot be answered, since a directory is in the answer's place, makes no room for another claim."""
    house.start()
    for number in range(3):
        put(house, "bob", f"bob-{number}", {"type": "echo"})
    held = take(house, "alice")
    mine, stem = held.parent, held.name.removesuffix(".json")

    def block() -> None:
        (mine / f"{stem}.refused.json/x").mkdir(parents=True)
        (mine / ".r").write_text('{"status": "maybe"}')
        (mine / ".r").rename(mine / f"{stem}.result.json")

    assert become(USERS["alice"], block) is None
    until(lambda: house.events("refused"), "the result is refused")
    for _ in range(3):
        take_one(house, mine)
    assert len(house.events("claimed")) == 1
    finish(house, "carol", take(house, "carol"))


def flooded(house: Walled) -> int:
    """Let alice send 1,500 messages before bob's one; returns how many of hers were judged before his."""
    inbox = house.path / "agents/alice/inbox"

    def flood() -> None:
        for number in range(1500):
            (inbox / f"alice-{number}.json").write_text('{"type": "echo"}')

    assert become(USERS["alice"], flood) is None
    put(house, "bob", "bob-1", {"type": "echo"})
    house.start()
    until(lambda: accepted(house, "bob-1"), "bob's message is accepted")
    ids = [event["id"] for event in house.events("accepted")]
    return ids.index("bob-1")


def test_a_flood_of_one_agent_delays_no_other(house: Walled) -> None:
    assert flooded(house) <= 2


def test_a_flood_that_goes_first_is_noticed(house: Walled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: one room after the other."""

    def rounds(self: Rooms) -> Iterator[list[tuple[str, str, str]]]:
        for agent in USERS:
            yield from ([message] for message in self._messages(agent))

    monkeypatch.setattr(Rooms, "rounds", rounds)
    assert flooded(house) >= 500


def worker(house: Walled, agent: str) -> Callable[[], int]:
    """The whole of an agent's program: it works off what it is given, and is slow at its third task."""

    def work() -> int:
        seen = 0

        def handle(claim: Claim) -> Any:
            nonlocal seen
            seen += 1
            if agent == "bob" and seen == 3:
                (house.path / "claimed/bob/here").touch()
                time.sleep(600)  # it is killed in here
            claim.note("at it")
            return claim.input * 2

        client.Taskdir(house.path).work(agent, handle, idle=3)
        return 0

    return work


def test_three_users_work_off_a_queue_and_one_is_killed(house: Walled) -> None:
    house.start()
    for agent in USERS:
        tasks = [
            {"id": f"{agent}-{number}", "type": "echo", "input": number, "backoff_seconds": 0, "lease_seconds": 1}
            for number in range(12)
        ]
        put(house, agent, f"{agent}-all", {"kind": "batch", "messages": tasks})
    with open(house.base / "agents.err", "ab") as words:
        pids = {agent: spawn(uid, worker(house, agent), words.fileno(), words.fileno()) for agent, uid in USERS.items()}
    until((house.path / "claimed/bob/here").exists, "bob is in the middle of a task")
    os.kill(pids["bob"], signal.SIGKILL)
    os.waitpid(pids["bob"], 0)
    for agent in ("alice", "carol"):
        assert os.waitpid(pids[agent], 0)[1] == 0, (house.base / "agents.err").read_text()
    done = {event["id"]: event for event in house.events("done")}
    assert {id: event["output"] for id, event in done.items()} == {f"{a}-{n}": 2 * n for a in USERS for n in range(12)}
    assert [event["agent"] for event in house.events("abandoned", "expired")] == ["bob"]
    assert {event["agent"] for event in done.values()} == set(USERS)
    for agent in USERS:
        shown = become(USERS[agent], partial(os.listdir, house.path / f"agents/{agent}/done"))
        assert sorted(shown) == sorted(f"{agent}-{number}.json" for number in range(12))
    assert as_user(DAEMON, "check", root=house.path).code == 0


def test_the_client_and_the_verbs_are_as_elsewhere(house: Walled) -> None:
    """Submit, wait, state, cancel, a refused result, the last one, a failure that is redriven: from the user's side."""
    house.start()

    def alice() -> Any:
        root = client.Taskdir(house.path)
        one, two = root.submit("echo", 1, max_attempts=1), root.submit("echo", 2, queue="@alice")
        assert root.set_state("release", "v1") == 1
        root.cancel(two)
        assert root.wait(two, 20)["state"] == "canceled"
        return one

    one = become(USERS["alice"], alice)

    def bob() -> Any:
        root = client.Taskdir(house.path)
        assert root.state("release") == ("v1", 1)
        claim = root.claim("bob", wait=20)
        assert claim is not None
        claim.fail("no luck")
        return claim.id

    assert become(USERS["bob"], bob) == one
    room = house.path / "agents/alice"
    again = become(USERS["alice"], lambda: client.Taskdir(house.path).wait(one, 20)["error"]["message"])
    assert again == "no luck"
    assert become(USERS["alice"], lambda: os.rename(room / f"failed/{one}.json", room / f"inbox/{one}.json")) is None
    until(lambda: house.events("redriven"), "the task is redriven")

    def last() -> Any:
        claim = client.Taskdir(house.path).claim("bob", wait=20)
        assert claim is not None
        told = []
        for _ in range(3):
            try:
                claim.finish_json(b'"x", "surplus": 1', wait=20)
            except TaskdirError as error:
                told.append(error.code)
        return told

    assert become(USERS["bob"], last) == ["unknown-field", "unknown-field", "refusal-cap"]
    nobody = as_user(64199, "submit", "--type", "echo", root=house.path)
    assert (nobody.code, "no agent here" in nobody.err) == (66, True)
    assert house.agent("alice", "status").code != 0, "the whole is the operator's to see"


def test_the_gestures_of_the_shell(house: Walled) -> None:
    """What docs/walls.md shows is what works: its lines are run as they stand."""
    house.start()
    text = DOCS.read_text()
    lines = text.split("```sh\n# an agent, as its own user\n")[1].split("```")[0]
    script = lines.replace("ROOT", str(house.path)).replace("\nset -- ", "\n# ")
    with open(house.base / "sh.err", "wb") as words:
        pid = spawn(
            USERS["bob"], lambda: os.execv("/bin/sh", ["sh", "-eu", "-c", script]), words.fileno(), words.fileno()
        )
        status = os.waitpid(pid, 0)[1]
    assert status == 0, (house.base / "sh.err").read_text()
    assert ended(house, "bob-1", "done")["agent"] == "bob"


def changed(path: Path, mode: int | None = None, uid: int = -1, gid: int = -1) -> None:
    os.chown(path, uid, gid)
    if mode is not None:
        path.chmod(mode)


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a room of another user": (lambda root: changed(root / "agents/bob/inbox", uid=64101), "d-walls-owner"),
    "claims of another user": (lambda root: changed(root / "claimed/bob", uid=64102), "d-walls-owner"),
    "another agent's group": (lambda root: changed(root / "claimed/bob", 0o770, gid=64101), "d-walls-group"),
    "the daemon's group": (lambda root: changed(root / "claimed/bob", 0o770, gid=DAEMON), "d-walls-group"),
    "a room that its agent cannot use": (lambda root: changed(root / "agents/bob/inbox", 0o700), "d-walls-mode"),
    "a room that is gone": (lambda root: (root / "agents/bob/failed").rmdir(), "d-walls-room"),
    "claims without a room": (lambda root: (root / "claimed/eve").mkdir(), "d-walls-room"),
    "a link for a room": (lambda root: link_away(root / "agents/bob/done"), "d-walls-room"),
    "a name that begins with another's": (lambda root: (root / "agents/bob-by").mkdir(), "d-walls-name"),
    "the root of root's": (lambda root: changed(root, uid=0), "d-walls-owner"),
    "a directory above that others write": (lambda root: root.parent.chmod(0o777), "d-walls-above"),
    "an access list": (lambda root: attacks.let_in(root / "claimed/bob"), "d-walls-acl"),
}


def link_away(path: Path) -> None:
    path.rmdir()
    path.symlink_to("/tmp")


@pytest.mark.parametrize("what", WRONG)
def test_the_doctor_finds_what_is_wrong(what: str, house: Walled) -> None:
    break_it, code = WRONG[what]
    well = as_user(DAEMON, "doctor", "--json", root=house.path)
    assert not [each for each in json.loads(well.out)["findings"] if "walls" in each["code"] and each["level"] != "ok"]
    try:
        break_it(house.path)
    except OSError as error:
        pytest.skip(f"this file system has none: {error}")
    ill = as_user(0, "doctor", "--json", root=house.path)
    found = [each for each in json.loads(ill.out)["findings"] if each["code"] == code and each["level"] == "error"]
    assert found, ill.out
    assert ill.code == 1
    assert all(each["fix"] for each in found)


def test_who_may_be_an_agent(house: Walled) -> None:
    def add(*words: str, uid: int = 0) -> tuple[int, str]:
        done = as_user(uid, "agent", "add", *words, root=house.path)
        return done.code, done.err

    assert add("bob-two", "--user", "64110:64110")[0] == 65, "its ids would be bob's"
    assert add("x" * 33, "--user", "64110:64110")[0] == 65
    assert "alice's" in add("eve", "--user", "64110:64101")[1]
    assert add("eve", "--user", "0:0")[0] == 78
    assert add("eve", "--user", f"{DAEMON}:{DAEMON}")[0] == 78
    assert add("eve", "--user", "no-such-user")[0] == 66
    assert add("eve", "--user", "64110")[0] == 66, "a number without a name says nothing of its group"
    assert add("eve")[0] == 2
    code, said = add("eve", "--user", "64110:64110", uid=DAEMON)
    assert (code, "sudo taskdir" in said) == (73, True)
    assert add("eve", "--user", "64110:64110") == (0, "eve may submit, and claim by `taskdir claim --agent eve`\n")
    shown = as_user(DAEMON, "agent", "list", "--json", root=house.path)
    assert {each["agent"]: each["group"] for each in json.loads(shown.out)} == USERS | {"eve": 64110}
    for at in (house.path / "agents/eve/inbox", house.path / "claimed/eve"):
        assert (at.stat().st_mode & 0o7777, at.stat().st_uid, at.stat().st_gid) == (0o770, DAEMON, 64110)


def test_the_daemon_behind_walls_is_its_own_user_and_no_other(house: Walled) -> None:
    for uid in (0, USERS["alice"]):
        assert as_user(uid, "run", "--once", root=house.path).code == 78
    plain = house.base / "plain"
    assert as_user(0, "init", plain).code == 0
    assert as_user(0, "init", "--walls", plain).code == 73, "it is another root already"
    assert as_user(0, "agent", "add", "eve", "--user", "64110:64110", root=plain).code == 78


def test_what_a_start_finds_open_it_closes(house: Walled) -> None:
    for path in walls.own(Places(str(house.path))):
        if os.path.isdir(path):
            os.chmod(path, 0o755)
    house.start()
    for path, most in walls.own(Places(str(house.path))).items():
        assert not os.path.exists(path) or not os.stat(path).st_mode & 0o777 & ~most, path
    changed(house.path / "taskdir.json", 0o644)
