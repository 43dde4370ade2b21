"""Shared state from outside: the verb `state`, the client and its asyncio twin; a real daemon (SPEC section 7.17)."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.live import ENV, Root, taskdir, until
from taskdir import AsyncTaskdir, Taskdir, cli, shared
from taskdir.disk import Disk
from taskdir.errors import Invalid, NoDaemon, TimedOut
from taskdir.places import Places

KEYS = (f"key-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A root with its daemon; `digits` takes integers alone."""
    made = Root(tmp_path_factory.mktemp("shared") / "root", scan_seconds=0.1, settle_seconds=0)
    (made.path / "contracts/state").mkdir()
    made.put("contracts/state/digits.json", {"input": {"type": "integer"}})
    with made:
        yield made


@pytest.fixture
def td(root: Root) -> Taskdir:
    return Taskdir(root.path)


@pytest.fixture
def key() -> str:
    return next(KEYS)


def say(root: Root, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["--root", str(root.path), "state", *words])
    return code, *capsys.readouterr()


# --- the client ---


def test_set_and_read(td: Taskdir, key: str) -> None:
    assert td.state(key) is None
    assert td.set_state(key, {"a": [1]}, 0) == 1
    assert td.state(key) == ({"a": [1]}, 1)
    assert td.set_state(key, None) == 2
    assert td.state(key) == (None, 2), "null is a value"


def test_a_conflict_says_what_the_version_is(td: Taskdir, key: str) -> None:
    td.set_state(key, 1)
    for version in (0, 2, 99):
        with pytest.raises(Invalid, match="at version 1") as caught:
            td.set_state(key, 2, version)
        assert (caught.value.code, caught.value.expected) == ("state-conflict", "1")
    assert td.state(key) == (1, 1)


def test_a_value_must_meet_its_contract(td: Taskdir) -> None:
    with pytest.raises(Invalid) as caught:
        td.set_state("digits", "five")
    assert (caught.value.code, caught.value.pointer) == ("state-contract", "/value")
    with pytest.raises(Invalid, match="wrong-type"):
        td.update_state("digits", lambda value: "five")
    assert td.update_state("digits", lambda value: 5)[0] == 5


@pytest.mark.parametrize("bad", ["", "Head", "../x", "a" * 65])
def test_a_key_is_a_word(td: Taskdir, bad: str) -> None:
    for use in (td.state, lambda key: td.set_state(key, 1)):
        with pytest.raises(Invalid) as caught:
            use(bad)
        assert caught.value.code == "name-grammar"


def test_update_tries_again_when_another_was_faster(td: Taskdir, root: Root, key: str) -> None:
    seen: list[Any] = []

    def change(value: Any) -> Any:
        if len(seen) < 3:
            td.set_state(key, f"other {len(seen)}")
        seen.append(value)
        return "mine"

    assert td.update_state(key, change) == ("mine", 4)
    assert seen == [None, "other 0", "other 1", "other 2"]
    assert [name for name in root.names("rejected") if root.events("set")[-1]["by"] in name] == []


def test_update_gives_up(td: Taskdir, key: str) -> None:
    def change(value: Any) -> Any:
        td.set_state(key, "other")
        return "mine"

    with pytest.raises((Invalid, TimedOut)):
        td.update_state(key, change, timeout=0.2)
    assert td.state(key) is not None


def test_without_a_daemon(tmp_path: Path) -> None:
    made = Root(tmp_path / "root")
    here = Taskdir(made.path)
    with pytest.raises(NoDaemon):
        here.update_state("head", lambda value: 1)
    assert made.names("inbox") == []
    assert here.set_state("head", 1, 0) is None, "nobody has judged it"
    assert len(made.names("inbox")) == 1
    assert taskdir("run", "--once", root=made.path).returncode == 0
    assert here.state("head") == (1, 1)
    done = taskdir("state", "set", "head", "2", root=made.path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "not judged yet: no daemon is running here" in done.stderr


def test_what_was_overwritten_has_no_version(root: Root, key: str) -> None:
    places, disk = Places(str(root.path)), Disk()
    first = shared.send(places, disk, key, 1)
    assert shared.judged(places, first, 20).word == "accepted"
    second = shared.send(places, disk, key, 2)
    assert shared.judged(places, second, 20).word == "accepted"
    assert (shared.version_of(places, first), shared.version_of(places, second)) == (None, 2)


def test_the_same_for_asyncio(root: Root, key: str) -> None:
    async def play() -> None:
        td = AsyncTaskdir(root.path)
        assert await td.state(key) is None
        assert await td.set_state(key, 1, 0) == 1
        with pytest.raises(Invalid, match="at version 1"):
            await td.set_state(key, 2, 0)
        told = await asyncio.gather(*(td.update_state(key, lambda value: value + 1) for _ in range(4)))
        assert sorted(told) == [(2, 2), (3, 3), (4, 4), (5, 5)]
        await td.cancel("nobody", dependants=True)

    asyncio.run(play())


def test_a_task_with_all_that_it_may_wait_for(td: Taskdir, root: Root) -> None:
    td.submit("echo", id="first")
    moment = datetime(2099, 1, 1, 12, tzinfo=UTC)
    td.submit("echo", id="then", after=["first"], resources=["gpu"], not_before=moment)
    until(lambda: [event for event in root.events("accepted") if event["id"] == "then"], "its acceptance")
    (task,) = [event["task"] for event in root.events("accepted") if event["id"] == "then"]
    assert (task["after"], task["resources"], task["not_before"]) == (
        ["first"], ["gpu"], "2099-01-01T12:00:00.000000Z"
    )  # fmt: skip
    td.cancel("first", dependants=True)
    assert td.wait("then", 20)["state"] == "canceled"


# --- the verb ---


def test_get_set_list(root: Root, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = say(root, capsys, "get", key)
    assert (code, out) == (66, "")
    assert "was never set" in err
    assert say(root, capsys, "set", key, '{"b": 1}', "--if-version", "0", "--from", "me") == (0, "1\n", "")
    assert say(root, capsys, "get", key) == (0, '{"b":1}\n', "")
    code, out, err = say(root, capsys, "set", key, "2", "--if-version", "0")
    assert (code, out) == (65, "")
    assert f"{key} is at version 1, not 0" in err
    code, out, err = say(root, capsys, "set", key, "-5", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["verdict"], told["version"], told["key"]) == ("accepted", 2, key)
    entry = json.loads(say(root, capsys, "get", key, "--json")[1])
    assert (entry["value"], entry["version"], entry["by"]) == (-5, 2, told["id"])
    assert f"{key}  v2  -5\n" in say(root, capsys, "list")[1]
    assert entry in json.loads(say(root, capsys, "list", "--json")[1])
    sent = [event for event in root.events("set") if event["key"] == key]
    assert sent[0]["from"] == "me"


def test_watch_prints_each_change_that_it_sees(td: Taskdir, root: Root, key: str) -> None:
    command = [sys.executable, "-m", "taskdir", "--root", str(root.path), "state", "watch", key, "--count", "3"]
    with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        for number in range(3):
            td.set_state(key, number)
            assert watching.stdout.readline() == f"{key}  v{number + 1}  {number}\n"
        assert watching.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "code", "rule"),
    [
        ("get", 2, "usage"),
        ("get a b", 2, "usage"),
        ("set a", 2, "usage"),
        ("list a", 2, "usage"),
        ("drop a", 2, "usage"),
        ("get A", 65, "name-grammar"),
        ("set a {", 65, "json-syntax"),
        ("set a @nope", 66, "no-file"),
        ("watch never-set --timeout 0", 124, "timed-out"),
        ("watch a --timeout -1", 2, "usage"),
    ],
)
def test_what_makes_no_sense(
    words: str, code: int, rule: str, root: Root, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    found, out, err = say(root, capsys, *words.split(), "--json")
    assert (found, out, json.loads(err)["error"]["code"]) == (code, "", rule)
