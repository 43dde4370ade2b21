"""Why tasks wait: what show, list, status and wait say of dependencies, resources and times (SPEC 7.15, 7.16, 8.6)."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.world import Countdown, World
from taskdir import Taskdir, asking, facts, roots, waiting
from taskdir.cli import main
from taskdir.clock import Clock
from taskdir.documents import Now, timestamp
from taskdir.errors import Busy, TimedOut
from taskdir.places import Places
from taskdir.toolbox import Toolbox

SPARE = {"type": "count", "max_attempts": 1}
FAILED = {"status": "error", "error": {"message": "no"}}
Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An open daemon; two resources, of which gpu may be held twice."""
    made = World(tmp_path, Countdown())
    made.write(
        "taskdir.json", {"protocol": 1, "settle_seconds": 0, "queues": ["review"], "resources": {"gpu": 2}}
    )  # fmt: skip
    made.passes()
    yield made
    if made.daemon is not None:
        made.daemon.abandon()


@pytest.fixture
def verb(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verb:
    monkeypatch.setattr(Clock, "now", lambda self: world.clock.now())

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["--root", str(world.root), *words])
        return code, *capsys.readouterr()

    return run


def submit(world: World, *members: dict[str, Any]) -> None:
    world.write(f"inbox/b{len(world.events())}.json", {"kind": "batch", "messages": [SPARE | each for each in members]})
    world.passes()


def end(world: World, result: dict[str, Any], agent: str = "al", queue: str = "default") -> None:
    """Let an agent take the first offer and hand in a result."""
    world.claim(agent, queue)
    world.passes()
    world.result(agent, result)
    world.passes()


def why(world: World, id: str, now: float | None = None) -> dict[str, Any]:
    seconds = world.clock.seconds if now is None else now
    at = Now(seconds, timestamp(seconds))
    known = facts.open_facts(str(world.root), at)
    try:
        task = known.index.task(id)
        assert task is not None
        return waiting.waiting(known, task, at)
    finally:
        known.close()


DIAMOND = (
    {"id": "end", "after": ["left", "right"]},
    {"id": "left", "after": ["top"]},
    {"id": "right", "after": ["top"]},
    {"id": "top"},
)


def test_dependencies_that_are_not_done(world: World) -> None:
    submit(world, *DIAMOND)
    assert why(world, "end") == {"why": "after", "for": ["left", "right"], "unmet": 2}
    end(world, {"status": "ok", "output": 1})
    assert why(world, "left")["why"] == "line"
    assert why(world, "end")["unmet"] == 2
    end(world, {"status": "ok", "output": 1})
    assert why(world, "end") == {"why": "after", "for": ["right"], "unmet": 1}


def test_a_failed_root_is_named_however_far_away_it_is(world: World, verb: Verb) -> None:
    submit(world, *DIAMOND, {"id": "far", "after": ["end"]}, {"id": "free"})
    end(world, FAILED)
    for id in ("left", "right", "end", "far"):
        told = why(world, id)
        assert (told["why"], told["by"]) == ("blocked", [{"id": "top", "state": "failed"}])
    assert "now: blocked by top (failed)" in verb("show", "far")[1]
    assert "1 task waits for it" in verb("show", "end")[1]
    _, out, _ = verb("list", "--blocked", "--json")
    assert [each["id"] for each in json.loads(out)] == ["end", "left", "right", "far"]
    assert "far  count  default  p5  blocked by top (failed)" in verb("list", "--blocked")[1]
    assert verb("list", "--blocked", "--limit", "1")[1].count("\n") == 1
    found = json.loads(verb("status", "--json")[1])
    assert found["blocked"] == {"tasks": 4, "by": [{"id": "top", "state": "failed", "tasks": 4}]}
    _, said, _ = verb("status")
    assert "blocked   4 tasks by what failed or was canceled" in said
    assert "top: failed, blocks 4 tasks" in said
    os.rename(world.root / "failed/top.json", world.root / "inbox/top.json")
    world.passes()
    assert why(world, "far")["why"] == "after"
    assert json.loads(verb("status", "--json")[1])["blocked"] == {"tasks": 0, "by": []}


def test_what_stands_above_a_canceled_task_is_no_cause(world: World) -> None:
    """The canceled one is the cause: to redrive what failed above it would not help."""
    submit(world, *DIAMOND)
    world.write("inbox/stop.json", {"kind": "cancel", "task": "left"})
    world.passes()
    end(world, FAILED)
    assert why(world, "end")["by"] in (
        [{"id": "left", "state": "canceled"}, {"id": "top", "state": "failed"}],
        [{"id": "top", "state": "failed"}, {"id": "left", "state": "canceled"}],
    )
    os.rename(world.root / "failed/top.json", world.root / "inbox/top.json")
    world.passes()
    assert why(world, "end")["by"] == [{"id": "left", "state": "canceled"}]


def test_a_long_chain_is_walked_to_its_root(world: World) -> None:
    chain = [{"id": f"n{number}", "after": [f"n{number - 1}"] if number else []} for number in range(2000)]
    submit(world, *chain)
    end(world, FAILED)
    assert why(world, "n1999")["by"] == [{"id": "n0", "state": "failed"}]
    index = str(world.root / ".taskdir/index.sqlite")
    assert asking.blocked(index, ["n1999", "n0", "none"]) == {"n1999": {"n0": "failed"}}


def test_of_many_tasks_the_same_is_said_as_of_each(world: World) -> None:
    """Many are looked at from their causes down, few from themselves up."""
    layers: list[dict[str, Any]] = [
        {"id": f"n{layer}-{place}", "after": [f"n{layer - 1}-{(place + step) % 6}" for step in (0, 1)] if layer else []}
        for layer in range(8)
        for place in range(6)
    ]
    submit(world, *layers)
    for id in ("n0-1", "n1-4", "n3-0", "n3-1"):
        world.write(f"inbox/stop-{id}.json", {"kind": "cancel", "task": id})
    world.passes()
    end(world, FAILED)
    index, ids = str(world.root / ".taskdir/index.sqlite"), [layer["id"] for layer in layers]
    assert len(ids) > asking.FEW
    many = asking.blocked(index, ids)
    assert {id: by for id in ids for by in asking.blocked(index, [id]).values()} == many
    assert {cause for by in many.values() for cause in by} == {"n0-0", "n0-1", "n1-4", "n3-0", "n3-1"}
    assert all(len(by) <= asking.MOST for by in many.values())


def test_times(world: World, verb: Verb) -> None:
    later = timestamp(world.clock.seconds + 3600).replace(".000000", "")
    submit(world, {"id": "later", "not_before": later}, {"id": "both", "after": ["later"], "not_before": later})
    told = why(world, "later")
    assert (told["why"], told["seconds"]) == ("not_before", 3600)
    assert f"now: not before {told['until']}" in verb("show", "later")[1]
    assert why(world, "both") == {
        "why": "after", "for": ["later"], "unmet": 1, "until": told["until"], "seconds": 3600.0
    }  # fmt: skip
    assert "now: waits for later; not before" in verb("show", "both")[1]
    submit(world, {"id": "again", "max_attempts": 3, "backoff_seconds": 60})
    end(world, {**FAILED, "retry": True})
    assert (why(world, "again")["why"], why(world, "again")["seconds"]) == ("backoff", 60)
    world.clock.seconds += 3601
    world.passes()
    assert [why(world, id)["why"] for id in ("later", "again", "both")] == ["line", "line", "after"]


def test_resources(world: World, verb: Verb) -> None:
    submit(world, *({"id": f"r{number}", "resources": ["repo"], "queue": "review"} for number in range(3)))
    assert why(world, "r0")["why"] == "line"
    assert why(world, "r1")["resources"] == [
        {"resource": "repo", "capacity": 1, "held_by": [], "next": ["r0"], "ahead": 1}
    ]
    assert "waits for the resource repo, next is r0; position 2 in its line" in verb("show", "r1")[1]
    world.claim("al", "review")
    world.passes()
    told = why(world, "r2")
    assert told["resources"] == [{"resource": "repo", "capacity": 1, "held_by": ["r0"], "next": [], "ahead": 2}]
    assert "waits for the resource repo, held by r0; position 3 in its line" in verb("show", "r2")[1]
    assert "r2  count  review  p5  waits for 1 resource" in verb("list")[1]
    found = json.loads(verb("status", "--json")[1])
    assert found["resources"] == [{"resource": "repo", "capacity": 1, "held_by": ["r0"], "waiting": 2}]
    assert {each["queue"]: each["stalled"] for each in found["queues"]} == {"default": 0, "review": 2}
    assert "resources repo: held by r0, 2 waiting" in verb("status")[1]
    world.give_back("al")
    world.passes()
    assert why(world, "r0")["why"] == "line"


def test_the_line_is_of_those_that_may_start(world: World) -> None:
    submit(
        world,
        {"id": "a", "after": ["z"]},
        {"id": "b", "resources": ["repo"]},
        {"id": "c", "resources": ["repo"]},
        {"id": "d", "not_before": "2099-01-01T00:00:00Z"},
        {"id": "z"},
    )
    assert (why(world, "b")["position"], why(world, "z")["position"], why(world, "z")["of"]) == (1, 2, 2)


def test_the_same_from_the_log_alone(world: World) -> None:
    """Without an index the capacities of taskdir.json count, and the clock says who sleeps."""
    submit(world, *({"id": f"g{number}", "resources": ["gpu"]} for number in range(4)))
    live = [why(world, f"g{number}")["why"] for number in range(4)]
    assert live == ["line", "line", "resource", "resource"]
    world.stop()
    for path in (world.root / ".taskdir").glob("index.sqlite*"):
        path.unlink()
    assert [why(world, f"g{number}")["why"] for number in range(4)] == live


def test_list_what_comes_after_a_task(world: World, verb: Verb) -> None:
    submit(world, *DIAMOND)
    end(world, {"status": "ok", "output": 1})
    for id, expected in (("top", ["left", "right"]), ("left", ["end"]), ("end", [])):
        _, out, _ = verb("list", "--after", id, "--json")
        assert [each["id"] for each in json.loads(out)] == expected, "done or not: it names it"


def test_a_benched_agent_and_a_renewal(world: World, verb: Verb) -> None:
    submit(world, {"id": "x", "max_attempts": 9, "backoff_seconds": 0}, {"id": "y", "queue": "review"})
    for _ in range(5):
        end(world, {**FAILED, "retry": True}, "clumsy")
    world.claim("bo", "review")
    world.passes()
    os.utime(world.held("bo"), (1_700_000_000, 1_700_000_000))
    agents = {each["agent"]: each for each in json.loads(verb("status", "--json")[1])["agents"]}
    assert agents["clumsy"]["benched_seconds"] > 0
    (held,) = agents["bo"]["holds"]
    assert (held["id"], held["renewed"]) == ("y", "2023-11-14T22:13:20.000000Z")
    assert held["renewed_seconds"] > 0
    assert "benched for" in (said := verb("status")[1])
    assert "bo: y #1 for " in said


def test_show_tells_the_history(world: World, verb: Verb) -> None:
    submit(world, {"id": "x", "max_attempts": 2, "backoff_seconds": 0})
    for number in range(2):
        world.clock.seconds += 300
        world.claim(f"al{number}")
        world.passes()
        world.note(f"al{number}", "half way\n")
        world.passes()
        world.result(f"al{number}", {**FAILED, "retry": True})
        world.passes()
    said = verb("show", "x")[1].splitlines()
    history = [" ".join(line.split()) for line in said[said.index("  history:") + 1 :]]
    assert history == [
        "2027-01-15 08:00:00 accepted",
        "2027-01-15 08:05:00 +5 min claimed #1 al0",
        "2027-01-15 08:05:00 +0 s errored #1 al0: error: no",
        "half way",
        "2027-01-15 08:10:00 +5 min claimed #2 al1",
        "2027-01-15 08:10:00 +0 s errored #2 al1: error: no",
        "half way",
        "every event: taskdir log --id x",
    ]


# --- wait ---


def test_wait_says_what_blocks(world: World, verb: Verb) -> None:
    submit(world, *DIAMOND)
    end(world, FAILED)
    assert verb("wait", "end") == (75, "end blocked by top (failed)\n", "")
    assert verb("wait", "end", "left")[:2] == (75, "end blocked by top (failed)\nleft blocked by top (failed)\n")
    code, out, _ = verb("wait", "end", "top")
    assert (code, out.splitlines()) == (1, ["top failed: no", "end blocked by top (failed)"])
    with pytest.raises(Busy, match="end is blocked by top"):
        Taskdir(world.root).wait("end")


def test_wait_goes_on_while_something_may_still_end(world: World) -> None:
    """One that is blocked is told last: until the others have ended, somebody may redrive what blocks it."""
    submit(world, *DIAMOND, {"id": "slow", "queue": "review"})
    end(world, FAILED)
    with pytest.raises(TimedOut, match=r"end, slow"):
        list(roots.ended(Places(str(world.root)), ["end", "slow"], 0.3))
    path = world.root / "done/slow.json"
    thread = threading.Timer(0.05, path.write_text, ['{"state": "done"}'])
    thread.start()
    found = list(roots.ended(Places(str(world.root)), ["end", "slow"], 20))
    assert [(id, told.state) for id, told in found] == [("slow", "done"), ("end", "blocked")]
    thread.join()


def test_a_redrive_on_its_way_blocks_nobody(world: World) -> None:
    submit(world, *DIAMOND)
    end(world, FAILED)
    os.rename(world.root / "failed/top.json", world.root / "inbox/top.json")
    with pytest.raises(TimedOut):
        list(roots.ended(Places(str(world.root)), ["end"], 0.3))


def test_nothing_is_asked_of_an_index_that_is_none(tmp_path: Path) -> None:
    assert asking.blocked(str(tmp_path / "none"), ["x"]) == {}
    (tmp_path / "rubbish").write_bytes(b"x" * 5000)
    assert asking.blocked(str(tmp_path / "rubbish"), ["x"]) == {}
    assert asking.state(str(tmp_path / "rubbish"), "x") is None


# --- submit and cancel ---


def test_submit_and_cancel_take_what_the_protocol_takes(world: World, verb: Verb) -> None:
    world.stop()
    asked = "submit --type echo --id x --after a --after b --resource gpu --not-before 2099-01-01T00:00:00Z"
    assert verb(*asked.split())[:2] == (0, "x\n")
    assert json.loads((world.root / "inbox/x.json").read_text()) == {
        "type": "echo", "after": ["a", "b"], "resources": ["gpu"], "not_before": "2099-01-01T00:00:00Z"
    }  # fmt: skip
    assert verb("cancel", "a", "--dependants")[0] == 0
    (sent,) = [path for path in (world.root / "inbox").glob("*.json") if path.name != "x.json"]
    assert json.loads(sent.read_text()) == {"kind": "cancel", "task": "a", "dependants": True}


def test_a_cancel_of_both_between_two_looks_shows_none_as_blocked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(world, {"kind": "task", "id": "first"}, {"kind": "task", "id": "then", "after": ["first"]})
    connect = asking._connect

    class Slow(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == asking.BLOCKERS:
                world.write("inbox/c.json", {"kind": "cancel", "task": "first", "dependants": True})
                world.passes()
            return super().execute(sql, *values)

    def slow(path: str) -> sqlite3.Connection | None:
        assert connect(path) is not None
        return sqlite3.connect(path, factory=Slow)

    monkeypatch.setattr(asking, "_connect", slow)
    index = str(world.root / ".taskdir" / "index.sqlite")
    assert (asking.blocked(index, ["then"]), asking.state(index, "then")) == ({}, "canceled")


def test_what_is_being_redriven_blocks_nobody_whoever_asks(world: World) -> None:
    submit(world, {"kind": "task", "id": "first"}, {"kind": "task", "id": "then", "after": ["first"]})
    end(world, FAILED)
    assert waited(world)["blocked_by"] == {"then": ["first"]}
    os.rename(world.root / "failed/first.json", world.root / "inbox/first.json")
    assert roots.blocked(Places(str(world.root)), ["then"]) == {}
    assert "blocked_by" not in waited(world)


def waited(world: World) -> dict[str, Any]:
    """Return what the tool ``wait`` says at once."""
    steps = Toolbox(str(world.root)).call("wait", {"ids": ["then"], "wait_seconds": 0})
    with pytest.raises(StopIteration) as over:
        next(steps)
    found: dict[str, Any] = over.value.value
    return found
