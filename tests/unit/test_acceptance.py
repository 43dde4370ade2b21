"""What a workflow must meet to be accepted, and when its tasks may start (SPEC 6.4, 7.13, 7.15, 7.17, 8.3, 8.6)."""

from __future__ import annotations

import graphlib
import hashlib
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from taskdir import clock
from taskdir.acceptance import find_cycle
from taskdir.conformance.stage import Stage, events_of
from taskdir.daemon import Daemon
from taskdir.documents import timestamp
from taskdir.observe import PASS_LIMIT
from taskdir.papers import Papers

Graph = dict[str, list[str]]
MANY = 10_000
YEARS = 315_360_000.0
"""Seconds: ten years."""


# --- cycles ------------------------------------------------------------------------------------------------------

CYCLES: dict[str, tuple[Graph, list[str]]] = {
    "nothing": ({}, []),
    "one alone": ({"a": []}, []),
    "itself": ({"a": ["a"]}, ["a", "a"]),
    "two": ({"a": ["b"], "b": ["a"]}, ["a", "b", "a"]),
    "a diamond is none": ({"d": ["b", "c"], "c": ["a"], "b": ["a"], "a": []}, []),
    "behind a tail": ({"x": ["y"], "y": ["a"], "a": ["b"], "b": ["a"]}, ["a", "b", "a"]),
    "in the second branch": ({"x": ["y", "a"], "y": [], "a": ["b"], "b": ["c"], "c": ["a"]}, ["a", "b", "c", "a"]),
    "in another part": ({"x": ["y"], "y": [], "a": ["a"]}, ["a", "a"]),
    "back to the middle": ({"a": ["b"], "b": ["c"], "c": ["b"]}, ["b", "c", "b"]),
}


@pytest.mark.parametrize(("graph", "cycle"), CYCLES.values(), ids=CYCLES)
def test_find_cycle(graph: Graph, cycle: list[str]) -> None:
    assert find_cycle(graph) == cycle


@given(strategies.lists(strategies.lists(strategies.integers(0, 7), max_size=3), min_size=8, max_size=8))
def test_find_cycle_finds_one_if_there_is_one(edges: list[list[int]]) -> None:
    graph = {str(node): [str(after) for after in found] for node, found in enumerate(edges)}
    cycle = find_cycle(graph)
    try:
        graphlib.TopologicalSorter(graph).prepare()
        assert cycle == []
    except graphlib.CycleError:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1 > 0
        assert all(after in graph[node] for node, after in itertools.pairwise(cycle))


@pytest.mark.parametrize("ring", [False, True])
def test_find_cycle_takes_no_time_and_no_stack(ring: bool) -> None:
    graph: Graph = {f"t{at}": [f"t{at + 1}"] for at in range(MANY - 1)} | {f"t{MANY - 1}": ["t0"] if ring else []}
    begun = time.process_time()
    cycle = find_cycle(graph)
    assert time.process_time() - begun < 1.0
    assert len(cycle) == (MANY + 1 if ring else 0)


# --- a root with its daemon, and a clock that the test moves --------------------------------------------------------


def stage_at(path: Path, **scenario: Any) -> Stage:
    return Stage(path / "root", scenario)


def submit(stage: Stage, id: str, **message: Any) -> None:
    stage.do({"write": f"inbox/{id}.json", "json": message})


def task(stage: Stage, id: str, **message: Any) -> None:
    submit(stage, id, type="echo", **message)


def batch(stage: Stage, id: str, graph: Graph) -> None:
    submit(
        stage,
        id,
        kind="batch",
        messages=[{"id": each, "type": "echo", "after": after} for each, after in graph.items()],
    )


def offered(stage: Stage) -> list[str]:
    return [name.split(".")[1] for name in sorted(os.listdir(stage.root / "ready/default"))]


def finish(stage: Stage, id: str, result: Any) -> None:
    """Claim one offered task and end it, seen in one pass."""
    (path,) = (stage.root / "ready/default").glob(f"*.{id}.*.json")
    home = stage.root / "claimed/me"
    home.mkdir(exist_ok=True)
    offer = json.loads(path.read_bytes())
    os.rename(path, home / path.name)
    stage.do({"write": f"claimed/me/{offer['result_file']}", "json": result})
    stage.rest()


def done(stage: Stage, id: str, output: Any = None) -> None:
    finish(stage, id, {"status": "ok", "output": output})


def fail(stage: Stage, id: str) -> None:
    finish(stage, id, {"status": "error", "error": {"message": "no"}, "retry": True})


def reason(stage: Stage, id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((stage.root / f"rejected/{id}.reason.json").read_bytes())
    return found


def facts(stage: Stage, *names: str) -> list[dict[str, Any]]:
    return [event for event in events_of(stage.root) if event["event"] in names]


# --- what a message names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("settle", [0, 2, 30])
def test_an_unknown_dependency_is_refused_after_the_settle_time(tmp_path: Path, settle: int) -> None:
    stage = stage_at(tmp_path, settings={"settle_seconds": settle})
    task(stage, "compile-all")
    stage.rest()
    task(stage, "link", after=["compile-al"])
    stage.rest()
    if settle:
        stage.do({"wait": settle - 1})
        assert (stage.root / "inbox/link.json").exists()
        assert not facts(stage, "rejected")
        stage.do({"wait": 1})
    found = reason(stage, "link")
    assert (found["code"], found["pointer"]) == ("unknown-dependency", "/after/0")
    assert found["hint"] == "did you mean 'compile-all'?"
    stage.close()


def test_a_changed_message_waits_anew(tmp_path: Path) -> None:
    stage = stage_at(tmp_path)
    task(stage, "b", after=["a"])
    stage.do({"wait": 1})
    task(stage, "b", after=["a"], priority=1)
    stage.do({"wait": 1})
    assert not facts(stage, "rejected")
    stage.do({"wait": 1})
    assert reason(stage, "b")["code"] == "unknown-dependency"
    stage.close()


def test_what_waits_does_not_keep_what_it_waits_for_from_being_read(tmp_path: Path) -> None:
    """More messages than one pass reads, all waiting for one that lies behind them: none is refused."""
    stage = stage_at(tmp_path)
    for number in range(PASS_LIMIT + 88):
        task(stage, f"a{number:04}", after=["z"])
    task(stage, "z")
    stage.do({"wait": 3})
    assert len(facts(stage, "accepted")) == PASS_LIMIT + 89
    assert offered(stage) == ["z"]
    stage.close()


def test_what_could_not_be_taken_away_sets_no_deadline(tmp_path: Path) -> None:
    papers, path = Papers(), tmp_path / "b.json"
    path.write_text('{"type": "echo", "after": ["a"]}')
    paper = papers.read(str(path), "b.json", 1000, 5.0, 2.0)
    assert paper is not None
    assert not paper.settled
    assert papers.next_deadline(2.0) == 7.0
    papers.set_stuck(str(path))
    assert papers.next_deadline(2.0) is None


@given(order=strategies.permutations(["top", "left", "right", "end"]))
@settings(max_examples=12)
def test_the_order_inside_a_batch_is_free(tmp_path_factory: pytest.TempPathFactory, order: list[str]) -> None:
    stage = stage_at(tmp_path_factory.mktemp("order"))
    diamond: Graph = {"top": [], "left": ["top"], "right": ["top"], "end": ["left", "right"]}
    batch(stage, "all", {id: diamond[id] for id in order})
    stage.rest()
    assert [event["id"] for event in facts(stage, "accepted")] == order
    seen = []
    while ready := offered(stage):
        seen.append(set(ready))
        done(stage, ready[0])
    assert seen == [{"top"}, {"left", "right"}, {"left", "right"} - {seen_first(order)}, {"end"}]
    stage.close()


def seen_first(order: list[str]) -> str:
    return min(("left", "right"), key=order.index)


LONG = {f"t{at:02}": [f"t{(at + 1) % 60:02}"] for at in range(60)}
REFUSED: dict[str, tuple[Graph, str, str]] = {
    "two": ({"a": ["b"], "b": ["a"]}, "/messages/0/after", "a after b after a"),
    "behind others": ({"x": [], "y": ["x"], "b": ["a"], "a": ["b", "x"]}, "/messages/2/after", "b after a after b"),
    "long ones are told in part": (LONG, "/messages/0/after", " after ".join([*list(LONG)[:8], "…"])),
}


@pytest.mark.parametrize(("graph", "pointer", "said"), REFUSED.values(), ids=REFUSED)
def test_a_cycle_is_named(tmp_path: Path, graph: Graph, pointer: str, said: str) -> None:
    stage = stage_at(tmp_path)
    batch(stage, "all", graph)
    stage.rest()
    found = reason(stage, "all")
    assert (found["code"], found["pointer"]) == ("dependency-cycle", pointer)
    assert found["message"] == f"the tasks wait for each other: {said}"
    assert not facts(stage, "accepted", "batch")
    stage.close()


# --- cancelling --------------------------------------------------------------------------------------------------


@given(edges=strategies.lists(strategies.sets(strategies.integers(0, 8), max_size=2), min_size=9, max_size=9))
@settings(max_examples=15)
def test_cancel_with_dependants_ends_what_is_reachable(
    tmp_path_factory: pytest.TempPathFactory, edges: list[set[int]]
) -> None:
    """Batch and cancel in one pass, which is judged before anything of it is in the index."""
    graph = {f"t{at}": [f"t{dep}" for dep in sorted(deps) if dep < at] for at, deps in enumerate(edges)}
    stage = stage_at(tmp_path_factory.mktemp("cancel"))
    batch(stage, "graph", graph)
    submit(stage, "stop", kind="cancel", task="t0", dependants=True)
    stage.rest()
    ended = {"t0"}
    for id, after in graph.items():
        ended |= {id} if ended.intersection(after) else set()
    assert {event["id"] for event in facts(stage, "canceled")} == ended
    assert {path.stem for path in (stage.root / "failed").iterdir()} == ended
    assert set(offered(stage)) == {id for id, after in graph.items() if not after} - ended
    stage.close()


# --- contexts ----------------------------------------------------------------------------------------------------

TEXT = "ä" * 4
"""As compact JSON, 26 bytes: four escapes of six, and two quotes."""
BUDGETS = {0: "", 25: "", 26: "a", 51: "a", 52: "ab", 77: "ab", 78: "abc"}


@pytest.mark.parametrize(("budget", "inside"), BUDGETS.items())
def test_outputs_beyond_the_budget_are_named_by_file_and_hash(tmp_path: Path, budget: int, inside: str) -> None:
    stage = stage_at(tmp_path, settings={"context_bytes": budget})
    batch(stage, "graph", {"end": ["a", "b", "c"], "a": [], "b": [], "c": []})
    stage.rest()
    for id in "abc":
        done(stage, id, TEXT)
    (path,) = (stage.root / "ready/default").iterdir()
    offer = json.loads(path.read_bytes())
    assert offer["context"] == dict.fromkeys(inside, TEXT)
    outside = offer.get("context_files", {})
    assert list(outside) == list("abc"[len(inside) :])
    for id, file in outside.items():
        assert file["path"] == f"done/{id}.json"
        assert hashlib.sha256((stage.root / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    stage.close()


def test_one_small_output_behind_a_large_one_is_not_let_past(tmp_path: Path) -> None:
    stage = stage_at(tmp_path, settings={"context_bytes": 10})
    batch(stage, "graph", {"end": ["a", "b"], "a": [], "b": []})
    stage.rest()
    done(stage, "a", "x" * 20)
    done(stage, "b", 1)
    (path,) = (stage.root / "ready/default").iterdir()
    offer = json.loads(path.read_bytes())
    assert (offer["context"], sorted(offer["context_files"])) == ({}, ["a", "b"])
    stage.close()


# --- time --------------------------------------------------------------------------------------------------------


class FakeTime:
    """The module ``time`` as the clock uses it: a wall clock that can be set, and a steady one that cannot."""

    CLOCK_BOOTTIME = 7

    def __init__(self) -> None:
        self.steady, self.wall = 1000.0, 1_800_000_000.0

    def time(self) -> float:
        return self.wall

    def clock_gettime(self, number: int) -> float:
        return self.steady

    def monotonic(self) -> float:
        return self.steady

    def pass_by(self, seconds: float) -> None:
        self.steady, self.wall = self.steady + seconds, self.wall + seconds


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    made = FakeTime()
    monkeypatch.setattr(clock, "time", made)
    return made


class Real:
    """A root whose daemon has the real clock, on a time that the test sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.daemon: Daemon | None = None

    def start(self) -> None:
        self.daemon = Daemon(str(self.root))
        self.daemon.open()
        self.rest()

    def rest(self) -> None:
        assert self.daemon is not None
        while self.daemon.one_pass():
            pass

    def restart(self) -> None:
        assert self.daemon is not None
        self.daemon.close()
        self.start()

    def offered(self) -> bool:
        self.rest()
        return bool(os.listdir(self.root / "ready/default"))


@pytest.fixture
def real(tmp_path: Path, fake: FakeTime) -> Real:
    stage = Stage(tmp_path / "root", {})
    stage.do({"daemon": "kill"})
    made = Real(stage.root)
    made.start()
    return made


@pytest.mark.parametrize("jump", [-YEARS, -60.0, 0.0, 60.0, YEARS])
def test_a_jump_of_the_clock_wakes_nothing_early_or_late(real: Real, fake: FakeTime, jump: float) -> None:
    at = timestamp(fake.wall + 60)
    (real.root / "inbox/a.json").write_text(json.dumps({"type": "echo", "not_before": at}))
    assert not real.offered()
    fake.wall += jump
    fake.pass_by(59)
    assert not real.offered()
    fake.pass_by(1)
    assert real.offered()


def test_a_start_sees_the_clock_as_it_is_set_then(real: Real, fake: FakeTime) -> None:
    (real.root / "inbox/a.json").write_text(json.dumps({"type": "echo", "not_before": timestamp(fake.wall + 60)}))
    assert not real.offered()
    fake.wall -= 1000
    real.restart()
    fake.pass_by(61)
    assert not real.offered()
    fake.wall += YEARS
    real.restart()
    assert real.offered()


@pytest.mark.parametrize("wall", [-YEARS, -100.0, 0.0])
def test_over_a_restart_a_delay_is_never_longer_than_its_full_length(real: Real, fake: FakeTime, wall: float) -> None:
    message = {"type": "echo", "backoff_seconds": 40}
    (real.root / "inbox/a.json").write_text(json.dumps(message))
    assert real.offered()
    home = real.root / "claimed/me"
    home.mkdir()
    (path,) = (real.root / "ready/default").iterdir()
    os.rename(path, home / path.name)
    result = home / path.name.replace(".json", ".result.json")
    result.write_text('{"status": "error", "error": {"message": "no"}, "retry": true}')
    assert not real.offered()
    fake.pass_by(30)
    fake.wall += wall
    real.restart()
    fake.pass_by(9)
    assert not real.offered()
    fake.pass_by(1 if wall == 0.0 else 31)
    assert real.offered()


@pytest.mark.parametrize("restart", [False, True])
def test_the_backoff_doubles_to_an_hour(tmp_path: Path, restart: bool) -> None:
    stage = stage_at(tmp_path, settings={"bench_after": 0})
    task(stage, "a", backoff_seconds=500, max_attempts=20)
    stage.rest()
    for delay in (500, 1000, 2000, 3600, 3600, 3600):
        fail(stage, "a")
        assert facts(stage, "errored")[-1]["delay"] == delay
        for seconds in (delay / 2, delay / 2 - 1):
            stage.do({"suspend": seconds})
            if restart:
                stage.do({"daemon": "restart"})
            stage.rest()
            assert offered(stage) == []
        stage.do({"suspend": 1})
        stage.rest()
        assert offered(stage) == ["a"]
    stage.close()


# --- shared state ------------------------------------------------------------------------------------------------

SWAPS: dict[str, tuple[int, int | None, int | None]] = {
    "made": (0, 0, 1),
    "made without asking": (0, None, 1),
    "absent, not at 1": (0, 1, None),
    "changed": (3, 3, 4),
    "changed without asking": (3, None, 4),
    "there already": (3, 0, None),
    "one too old": (3, 2, None),
    "one too new": (3, 4, None),
}


@pytest.mark.parametrize(("version", "asked", "then"), SWAPS.values(), ids=SWAPS)
@pytest.mark.parametrize("at_once", [False, True], ids=["in turn", "in one pass"])
def test_compare_and_set(tmp_path: Path, version: int, asked: int | None, then: int | None, at_once: bool) -> None:
    """(version before, if_version, version after or None: refused), with what went before in the index or not yet."""
    stage = stage_at(tmp_path)
    for number in range(version):
        submit(stage, f"a{number}", kind="state", key="head", value=number)
        if not at_once:
            stage.rest()
    named = {} if asked is None else {"if_version": asked}
    submit(stage, "b", kind="state", key="head", value="new", **named)
    stage.rest()
    path = stage.root / "state/head.json"
    entry = json.loads(path.read_bytes()) if path.exists() else {"version": 0}
    assert entry["version"] == (version if then is None else then)
    if then is None:
        found = reason(stage, "b")
        assert (found["code"], found["expected"]) == ("state-conflict", str(version))
    else:
        assert (entry["value"], entry["by"]) == ("new", "b")
    assert [event["version"] for event in facts(stage, "set")] == list(range(1, entry["version"] + 1))
    stage.close()


def test_contracts_of_keys_and_of_types_do_not_meet(tmp_path: Path) -> None:
    """contracts/state/<key>.json is for values of state alone; a type called ``state`` is a type like others."""
    stage = stage_at(tmp_path, contracts={"echo": {}, "state": {"input": {"type": "string"}}})
    stage.do({"mkdir": "contracts/state"})
    stage.do({"write": "contracts/state/echo.json", "json": {"input": {"type": "integer"}}})
    task(stage, "t", input="no integer")
    submit(stage, "u", type="state", input="text")
    submit(stage, "v", kind="state", key="echo", value="no integer")
    submit(stage, "w", kind="state", key="state", value=1)
    stage.rest()
    assert [event["id"] for event in facts(stage, "accepted")] == ["t", "u"]
    assert [event["by"] for event in facts(stage, "set")] == ["w"]
    found = reason(stage, "v")
    assert (found["code"], found["pointer"]) == ("state-contract", "/value")
    stage.close()
