"""`check` of dependencies, resources and versions: from the log alone; then ready/, state/ and the index against it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from faults.test_kill_points import STORIES
from faults.world import Countdown, World
from support.chain import SHA, Chain
from taskdir import check
from taskdir.check import Report

SPARE = {"type": "count", "max_attempts": 1}


def look(root: Path, pause: Callable[[float], None] = lambda seconds: None) -> Report:
    return check.check_root(str(root), lambda count: None, pause)


def told(report: Report) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in report.findings]


# --- from the log alone ---


def alone(log: Chain, tmp_path: Path) -> Report:
    path = log.write(tmp_path / "root") / "log.jsonl"
    return check.check_files([str(path)], lambda count: None)


def setting(log: Chain, version: int, key: str = "head") -> dict[str, Any]:
    return {"event": "set", "by": f"s{log.seq}-{version}", "sha256": SHA, "key": key, "version": version, "value": 1}


def member(id: str, **task: Any) -> dict[str, Any]:
    log = Chain()
    log.accept(id, **task)
    (line,) = log.lines[-1:]
    return {name: value for name, value in json.loads(line).items() if name not in ("seq", "time", "prev", "end")}


def test_a_claim_before_its_dependencies_were_done(tmp_path: Path) -> None:
    log = Chain()
    log.accept("a")
    log.accept("b")
    log.accept("c", after=["a", "b"])
    log.about("claimed", "a", "al")
    log.about("done", "a", "al", output=1, sha256=SHA)
    log.about("claimed", "c", "al")
    assert told(alone(log, tmp_path)) == [("log-event", "claimed of c before b was done")]


def test_a_failed_dependency_is_not_done(tmp_path: Path) -> None:
    log = Chain()
    log.accept("a")
    log.accept("b", after=["a"])
    log.add({"event": "canceled", "id": "a", "by": "x", "sha256": SHA})
    log.about("claimed", "b", "al")
    assert told(alone(log, tmp_path)) == [("log-event", "claimed of b before a was done")]


def test_what_the_order_within_a_batch_allows(tmp_path: Path) -> None:
    """Members depend on each other in any order; a claim may be logged after what it waited for, in one batch."""
    log = Chain()
    log.add(member("late", after=["early"]), member("early"))
    log.about("claimed", "early", "al")
    done = {"event": "done", "id": "early", "attempt": 1, "agent": "al", "output": 1, "sha256": SHA}
    log.add(done, {"event": "claimed", "id": "late", "attempt": 1, "agent": "al"}, setting(log, 1), setting(log, 2))
    log.add(setting(log, 3), setting(log, 1, "other"))
    assert told(alone(log, tmp_path)) == []


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([member("b", after=["ghost"])], "accepted of b after ghost, which nobody knows"),
        ([member("b", after=["b"])], "accepted of b, which waits for itself"),
    ],
)
def test_dependencies_that_cannot_be(events: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    log = Chain()
    log.add(*events)
    assert told(alone(log, tmp_path)) == [("log-event", said)]


def test_a_cycle(tmp_path: Path) -> None:
    log = Chain()
    log.add(member("a", after=["b"]), member("b", after=["a"]), member("c", after=["a"]))
    found = told(alone(log, tmp_path))
    assert [said for _, said in found][:2] == [f"accepted of {id}, which waits for itself" for id in "ab"]


@pytest.mark.parametrize("versions", [[2], [1, 1], [1, 3], [1, 2, 2]])
def test_versions_without_gaps(versions: list[int], tmp_path: Path) -> None:
    log = Chain()
    for version in versions:
        log.add(setting(log, version))
    (found,) = told(alone(log, tmp_path))
    assert found[1].startswith(f"set of head names version {versions[-1]} after ")


def test_versions_within_a_batch(tmp_path: Path) -> None:
    log = Chain()
    log.add(setting(log, 1), setting(log, 1))
    assert [code for code, _ in told(alone(log, tmp_path))] == ["log-event"]


def two_holders(tmp_path: Path) -> Chain:
    log = Chain()
    for id in "ab":
        log.accept(id, resources=["repo"])
        log.about("claimed", id, id)
    return log


def test_how_many_held_a_resource_at_once(tmp_path: Path) -> None:
    """A claim that is given back in the same batch held nothing."""
    assert alone(two_holders(tmp_path), tmp_path).held == {"repo": 2}
    log = Chain()
    log.accept("a", resources=["repo"])
    log.accept("b", resources=["repo"])
    log.about("claimed", "a", "al")
    claim: dict[str, Any] = {"event": "claimed", "id": "b", "attempt": 1, "agent": "bo"}
    log.add(claim, claim | {"event": "returned", "reason": "resources"})
    report = alone(log, tmp_path)
    assert (told(report), report.held) == ([], {"repo": 1})


# --- with the settings ---


def test_a_resource_beyond_its_capacity(tmp_path: Path) -> None:
    """No finding: the log does not tell what the capacity was at the time of the claim."""
    log = two_holders(tmp_path)
    root = log.write(tmp_path / "root")
    report = look(root)
    assert "log-event" not in [code for code, _ in told(report)]
    assert report.remarks[0] == "a, b hold repo beyond its capacity of now, 1"
    (root / "taskdir.json").write_text('{"protocol": 1, "resources": {"repo": 2}}')
    assert not [said for said in look(root).remarks if "repo" in said]
    log.about("returned", "a", "a")
    report = look(log.write(root))
    assert report.remarks[0] == "up to 2 tasks held repo at once; its capacity is 1 now"
    assert report.held == {"repo": 2}


# --- against the directories ---


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Tasks that wait for a task, a resource, a time; one that holds the resource; a key that was set twice."""
    made = World(tmp_path, Countdown())
    made.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "window": 2, "queues": ["review"]})
    made.passes()
    members: list[dict[str, Any]] = [
        {"id": "asleep", "not_before": "2027-01-15T09:00:00Z", "priority": 1},
        {"id": "sleeper", "resources": ["repo"], "not_before": "2027-01-15T09:00:00Z", "priority": 1},
        {"id": "holder", "resources": ["repo"], "queue": "review"},
        {"id": "first", "resources": ["repo"]},
        {"id": "second", "resources": ["repo"]},
        {"id": "after", "after": ["first"]},
        {"id": "free1"},
        {"id": "free2"},
        {"id": "free3"},
    ]
    made.write("inbox/all.json", {"kind": "batch", "messages": [SPARE | each for each in members]})
    for number in (1, 2):
        made.write(f"inbox/s{number}.json", {"kind": "state", "key": "head", "value": number})
    made.passes()
    made.claim("al", "review")
    made.passes()
    yield made
    if made.daemon is not None:
        made.daemon.abandon()


def offered(world: World) -> list[str]:
    return [name.split(".")[1] for name in sorted(os.listdir(world.root / "ready/default"))]


def test_nothing_is_found_while_they_wait_and_when_they_wake(world: World) -> None:
    assert offered(world) == ["free1", "free2"]
    assert told(look(world.root)) == []
    world.clock.seconds += 7200
    assert told(look(world.root)) == [], "the daemon has not looked yet, so nobody is awake"
    world.passes()
    assert offered(world) == ["asleep", "free1"]
    assert told(look(world.root)) == []
    world.result("al", {"status": "ok", "output": 1})
    world.passes()
    assert offered(world) == ["asleep", "sleeper"], "who slept stands before who came first, by priority"
    assert told(look(world.root)) == []
    world.stop()
    assert told(look(world.root)) == []
    shutil.rmtree(world.root / ".taskdir")
    assert told(look(world.root)) == []


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_nothing_is_found_after_any_story(story: Callable[[World], None], tmp_path: Path) -> None:
    world = World(tmp_path, Countdown())
    story(world)
    world.passes()
    assert told(look(world.root)) == []
    world.stop()
    assert told(look(world.root)) == []


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("after", "after still waits for other tasks"),
        ("first", "first is not in front of the line for repo"),
        ("free3", "free3 is not among the first 2 of its queue"),
    ],
)
def test_an_offer_that_comes_too_early(id: str, said: str, world: World) -> None:
    """Right in every byte, and yet nobody may take it now."""
    daemon = world.start()
    task = daemon.index.task(id)
    assert task is not None
    (world.root / f"ready/default/{task.stem}.json").write_bytes(daemon._window.offer_bytes(task))
    assert told(look(world.root)) == [("view-stranger", said)]


def test_an_offer_that_is_missing(world: World) -> None:
    (name,) = [name for name in os.listdir(world.root / "ready/default") if "free1" in name]
    (world.root / "ready/default" / name).unlink()
    assert told(look(world.root)) == [("view-missing", "free1 may start now, and is not offered")]


def test_a_new_capacity_counts_at_once(world: World) -> None:
    """Until the next pass there is an offer too few; then there is none."""
    world.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "window": 9, "resources": {"repo": 2}})
    assert ("view-missing", "first may start now, and is not offered") in told(look(world.root))
    assert told(look(world.root, lambda seconds: world.passes())) == []
    assert "first" in offered(world)


@pytest.mark.parametrize("name", ["key.json", "head.txt"])
def test_a_stranger_in_state(name: str, world: World) -> None:
    (world.root / "state" / name).write_text("{}")
    assert [(each.code, each.file) for each in look(world.root).findings] == [("view-stranger", f"state/{name}")]


def test_an_entry_of_an_older_version(world: World) -> None:
    path = world.root / "state/head.json"
    path.write_text(path.read_text().replace('"version": 2', '"version": 1'))
    assert [each.code for each in look(world.root).findings] == ["view-differs"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE shelf SET value = '9'",
        "DELETE FROM shelf",
        "DELETE FROM waits",
        "INSERT INTO waits VALUES('free1', 'free2')",
        "UPDATE needs SET held = 1 WHERE id = 'first'",
        "DELETE FROM needs WHERE id = 'second'",
        "UPDATE tasks SET blocked = 0",
        "INSERT INTO standing VALUES('al', 3, NULL)",
    ],
)
def test_a_row_of_the_index_changed_by_hand(change: str, world: World) -> None:
    world.stop()
    with closing(sqlite3.connect(world.root / ".taskdir" / "index.sqlite")) as db:
        assert db.execute(change).rowcount > 0
        db.commit()
    assert {each.code for each in look(world.root).findings} == {"index-differs"}


def test_a_forged_claim_of_a_task_that_waits(world: World) -> None:
    """Nobody offered it, so nobody can have taken it: it is no claim, and the log stays right."""
    task = world.start().index.task("after")
    assert task is not None
    world.write(f"claimed/al/{task.stem}.json", {"id": "after"})
    world.passes()
    assert [event["code"] for event in world.events() if event["event"] == "breach"] == ["claim-unknown"]
    assert not [event for event in world.events() if event["event"] == "claimed" and event["id"] == "after"]
    assert not (world.root / f"claimed/al/{task.stem}.json").exists()
    assert (world.root / f"rejected/{task.stem}.reason.json").exists()
    assert (world.root / f"rejected/{task.stem}.json").exists()
    assert told(look(world.root)) == []
