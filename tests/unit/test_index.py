"""The index is a replay of the log: whatever was applied live, the log alone gives it again (SPEC section 10.4)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import history
from support.history import START, accepted, body, numbered, sha
from taskdir import lifecycle, rules, validate
from taskdir.disk import Disk
from taskdir.documents import Event
from taskdir.index import Index, open_for_reading
from taskdir.journal import Journal
from taskdir.lifecycle import IllegalEvent
from taskdir.logread import Batch, Mark

ERROR = {"code": "c", "message": "m"}
NOW = START + 500.0


@pytest.fixture
def index() -> Iterator[Index]:
    made = Index(":memory:")
    yield made
    made.close()


def held(id: str, attempt: int = 1, agent: str = "al") -> dict[str, Any]:
    return {"id": id, "attempt": attempt, "agent": agent}


def claimed(id: str, attempt: int = 1, agent: str = "al") -> Event:
    return {"event": "claimed", **held(id, attempt, agent)}


def reason(file: str) -> dict[str, str]:
    return {"code": "json-syntax", "message": "m", "file": file}


def apply(index: Index, *events: Event, now: float | None = NOW) -> Batch:
    """Apply events as one batch after what the index knows, as the daemon does after the commit."""
    full = numbered(index.mark.seq + 1, events)
    batch = Batch(full, Mark(full[-1]["seq"], sha(str(full)), 1, full[-1]["seq"] * 100))
    index.apply(batch, now)
    return batch


# --- replay


STORY: list[list[Event]] = [
    [{"event": "started", "version": "0.1.0", "protocol": 1, "pid": 1}],
    [
        {"event": "contract", "type": "echo", "sha256": history.SHA, "contract": {}},
        accepted("a", max_attempts=2),
        accepted("b", priority=0, queue="@al", **{"x-mine": {"deep": [1]}}),
        {"event": "batch", "by": "many", "sha256": sha("many"), "count": 2},
        accepted("m1") | {"batch": "many"},
        accepted("m2") | {"batch": "many"},
        {"event": "rejected", "file": "c.json", "sha256": sha("bad"), "reason": reason("c.json")},
        {"event": "rejected", "file": "link.json", "reason": reason("link.json")},
        {"event": "duplicate", "by": "a", "sha256": sha("a")},
        {"event": "noted", "by": "n", "sha256": sha("n"), "message": "hello", "id": "a", "from": "bo"},
    ],
    [claimed("a"), claimed("b"), claimed("m1", 1, "bo")],
    [{"event": "refused", **held("a"), "sha256": sha("r"), "reason": reason("r")}],
    [{"event": "errored", **held("a"), "error": ERROR, "retry": True, "sha256": sha("e"), "notes": "n", "delay": 4.0}],
    [claimed("a", 2, "bo"), accepted("c")],
    [
        {"event": "expired", **held("a", 2, "bo"), "notes": "gone"},
        {"event": "failed", "id": "a", "error": {"code": "expired", "message": "m"}},
        {"event": "done", **held("b"), "output": {"x": "é"}, "sha256": sha("ok")},
        {"event": "returned", **held("m1", 1, "bo"), "reason": "max-claims"},
    ],
    [
        {"event": "late", **held("a"), "file": "f.json", "sha256": sha("late"), "reason": reason("f.json")},
        {"event": "breach", "code": "ready-stranger", "place": "ready/default", "name": "x", "reason": reason("x")},
        {"event": "redriven", "id": "a", "attempt": 3, "sha256": sha("record")},
        {"event": "contract", "type": "echo", "sha256": sha("2"), "contract": {"description": "new"}},
        claimed("m1", 2),
        {"event": "canceled", **held("m1", 2), "by": "stop", "sha256": sha("stop")},
        {"event": "canceled", "id": "m2", "by": "stop2", "sha256": sha("stop2")},
    ],
    [{"event": "redriven", "id": "m1", "attempt": 3, "sha256": sha("record2")}, claimed("a", 3)],
    [{"event": "abandoned", **held("a", 3), "delay": 1.0}, claimed("m1", 3, "bo"), claimed("c", 1, "cy")],
    [{"event": "timed_out", **held("m1", 3, "bo"), "delay": 2.0}],
    [
        accepted("w", after=["c"], resources=["repo", "gpu"]),
        {"event": "set", "by": "s1", "sha256": sha("s1"), "key": "head", "version": 1, "value": {"x": 1}},
        {"event": "benched", "agent": "bo", "seconds": 60},
    ],
    [{"event": "set", "by": "s2", "sha256": sha("s2"), "key": "head", "version": 2, "value": None, "from": "al"}],
    [{"event": "unbenched", "agent": "bo"}, {"event": "stopped"}],
]
"""Every kind of event, in batches."""


def test_the_story_has_every_event_and_each_meets_its_schema() -> None:
    told = [event for events in STORY for event in events]
    assert {event["event"] for event in told} == set(rules.schema("event")["properties"]["event"]["enum"])
    own = validate.document("event")
    for event in numbered(1, told):
        assert own.check(event | {"prev": history.GENESIS}) is None, event


def live(root: Path, story: list[list[Event]]) -> Index:
    """Let a journal and an index live through a story, in a log of several segments."""
    (root / ".taskdir" / "torn").mkdir(parents=True)
    index = Index(str(root / ".taskdir" / "index.sqlite"))
    journal = Journal(str(root), Disk(), 2000)
    journal.open(index.mark, index.apply)
    for events in story:
        batch = journal.append(numbered(journal.mark.seq + 1, events))
        assert batch is not None
        index.apply(batch, NOW)
    journal.close()
    return index


def replayed(root: Path, index: Index) -> None:
    journal = Journal(str(root), Disk(), 2000)
    journal.open(index.mark, index.apply)
    journal.close()


def facts(index: Index) -> list[tuple[str, tuple[Any, ...]]]:
    return list(index.facts())


def test_a_deleted_index_is_the_same_again(tmp_path: Path) -> None:
    index = live(tmp_path, STORY)
    known, mark = facts(index), index.mark
    tables = {table for table, _ in known}
    expected = {"tasks", "bodies", "endings", "attempts", "messages", "redrives", "refusals", "contracts"}
    assert tables == expected | {"shelf", "standing", "waits", "needs"}
    index.close()
    os.unlink(index.path)
    again = Index(index.path)
    assert facts(again) == []
    replayed(tmp_path, again)
    assert facts(again) == known
    assert again.mark == mark
    again.close()


LEFT_OUT = {"tasks": 2, "refusals": 1, "needs": 3}
"""Columns that follow the clock or the settings: wake_at and stalled; stale; priority, seq and front."""


def test_facts_are_all_that_the_tables_hold(tmp_path: Path) -> None:
    """Timers aside, a new table or column must be compared too."""
    index = live(tmp_path, STORY)
    listed = {name for (name,) in index.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert listed - {"meta"} == {table for table, _ in facts(index)}
    for table in listed - {"meta"}:
        columns = [name for (name,) in index.rows("SELECT name FROM pragma_table_info(?)", (table,))]
        width = {len(row) for name, row in facts(index) if name == table}
        assert width == {len(columns) - LEFT_OUT.get(table, 0)}, table
    index.close()


@pytest.mark.parametrize("behind", range(len(STORY) + 1))
def test_an_index_that_lags_catches_up(tmp_path: Path, behind: int) -> None:
    index = live(tmp_path, STORY)
    known = facts(index)
    index.close()
    short = tmp_path / "short"
    late = live(short, STORY[:behind])
    replayed(tmp_path, late)
    assert facts(late) == known
    late.close()


STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.booleans()), min_size=1, max_size=40)
FIELDS: dict[str, dict[str, Any]] = {
    "claimed": {"agent": "al"},
    "refused": {"sha256": history.SHA, "reason": reason("r")},
    "errored": {"error": ERROR, "retry": True, "delay": 2.0},
    "expired": {"notes": "n"},
    "done": {"output": 1, "sha256": history.SHA},
    "failed": {"error": ERROR},
    "canceled": {"by": "x", "sha256": history.SHA},
    "redriven": {"sha256": history.SHA},
}


@settings(max_examples=60)
@given(STEPS)
def test_any_history_replays_to_the_same_facts(steps: list[tuple[int, int, bool]]) -> None:
    """Four tasks go random ways through the table; batch borders fall anywhere."""
    index = Index(":memory:")
    batches: list[Batch] = []
    events: list[Event] = []
    tasks: dict[str, Any] = {}
    for number, choice, border in [*steps, (0, 0, True)]:
        id, seq = f"t{number}", index.mark.seq + len(events) + 1
        task = tasks.get(id)
        ways = [name for state, name in lifecycle.NEXT if task and state == task.state]
        if task is None:
            event = accepted(id)
        elif not ways:
            continue
        else:
            name = ways[choice % len(ways)]
            event = {"event": name, "id": id, "attempt": task.attempt, "agent": task.agent} | FIELDS.get(name, {})
        (full,) = numbered(seq, [{name: value for name, value in event.items() if value is not None}])
        tasks[id] = lifecycle.fold(task, full, NOW)
        events.append(full)
        if border:
            batches.append(Batch(events, Mark(seq, sha(str(seq)), 1, seq)))
            index.apply(batches[-1], NOW)
            events = []
    again = Index(":memory:")
    for batch in batches:
        again.apply(batch)
    assert facts(again) == facts(index)
    again.close()
    index.close()


# --- a batch is applied whole or not at all


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ([claimed("a", 2)], IllegalEvent),
        ([claimed("none")], IllegalEvent),
        ([accepted("a")], IllegalEvent),
        ([{"event": "claimed", "id": "a"}], KeyError),
    ],
)
def test_an_illegal_event_takes_its_whole_batch_back(index: Index, wrong: list[Event], error: type[Exception]) -> None:
    apply(index, accepted("a"), {"event": "rejected", "file": "c.json", "reason": reason("c.json")})
    known, mark = facts(index), index.mark
    before = [accepted("b"), claimed("b"), {"event": "contract", "type": "t", "sha256": "2", "contract": {}}]
    with pytest.raises(error):
        apply(index, *before, {"event": "noted", "by": "c", "sha256": "s", "message": "m"}, *wrong)
    assert facts(index) == known
    assert index.mark == mark
    apply(index, claimed("a"))
    assert index.mark.seq == mark.seq + 1


def test_nobody_reads_half_a_batch(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "i"))
    apply(index, accepted("a"))
    other = sqlite3.connect(index.path)
    with pytest.raises(IllegalEvent):
        apply(index, accepted("b"), claimed("a", 7))
    assert other.execute("SELECT COUNT(*) FROM tasks").fetchone() == (1,)
    other.close()
    index.close()


# --- what may start now


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["default", "@al"])), min_size=1, max_size=30), st.data())
def test_the_window_is_in_exact_order(tasks: list[tuple[int, str]], data: st.DataObject) -> None:
    index = Index(":memory:")
    apply(index, *(accepted(f"t{n}", priority=rank, queue=queue) for n, (rank, queue) in enumerate(tasks)))
    taken = data.draw(st.sets(st.sampled_from(range(len(tasks)))))
    if taken:
        apply(index, *(claimed(f"t{n}") for n in taken))
    for queue in ("default", "@al", "none"):
        line = sorted((rank, n) for n, (rank, there) in enumerate(tasks) if there == queue and n not in taken)
        for size in (1, 2, 64):
            assert [task.id for task in index.window(queue, size)] == [f"t{n}" for _, n in line[:size]]
            assert sorted(task.stem for task in index.window(queue, size)) == [
                task.stem for task in index.window(queue, size)
            ], "byte order of the names is that order"
    offering = {queue for n, (_, queue) in enumerate(tasks) if n not in taken}
    assert index.queues() == sorted(offering)
    index.close()


def test_a_task_sleeps_until_its_delay_is_over(index: Index) -> None:
    apply(index, accepted("a"), accepted("b"), claimed("a"), claimed("b"))
    assert index.next_wake() is None
    ended = {"event": "expired", "delay": 8.0}
    apply(index, ended | held("a"), now=100.0)
    apply(index, ended | held("b"), now=103.0)
    assert index.queues() == []
    assert index.next_wake() == 108.0
    assert not index.wake(107.9)
    assert index.wake(108.0)
    assert [task.id for task in index.window("default", 9)] == ["a"]
    assert index.queues() == ["default"]
    assert index.next_wake() == 111.0
    assert index.wake(200.0)
    assert [task.id for task in index.window("default", 9)] == ["a", "b"]
    assert index.next_wake() is None


def test_a_replayed_delay_counts_from_the_events_own_time(index: Index) -> None:
    apply(index, accepted("a"), claimed("a"), now=None)
    apply(index, {"event": "expired", **held("a"), "delay": 8.0}, now=None)
    assert index.next_wake() == START + 3 + 8.0


@pytest.mark.parametrize(
    ("now", "wake"), [(START + 5, START + 11), (START + 100, START + 11), (START - 900, START - 892)]
)
def test_no_delay_outlasts_itself_after_a_start(index: Index, now: float, wake: float) -> None:
    """The clock was set back while no daemon ran: what is left is at most the whole delay."""
    apply(index, accepted("a"), claimed("a"), now=None)
    apply(index, {"event": "expired", **held("a"), "delay": 8.0}, now=None)
    index.clamp_delays(now)
    assert index.next_wake() == wake


# --- what is remembered


def test_what_is_known_of_a_task(index: Index) -> None:
    assert index.task("a") is None
    apply(index, accepted("a", input=[1]), claimed("a"))
    task = index.task("a")
    assert task is not None
    assert (task.state, task.agent, task.since, task.seq) == ("claimed", "al", 2, 1)
    assert index.tasks("state = ?", ("claimed",)) == [task]
    assert index.body("a") == body(input=[1])
    assert index.ended("a") == {}
    assert index.ended("none") == {}
    attempt = {"attempt": 1, "agent": "al", "claimed": "2026-01-01T00:00:02.000000Z"}
    assert index.attempts("a") == [attempt]
    apply(index, {"event": "errored", **held("a"), "error": ERROR, "retry": True, "sha256": "s", "notes": "n"})
    ended = {"ended": "2026-01-01T00:00:03.000000Z", "outcome": "errored", "error": ERROR, "notes": "n"}
    assert index.attempts("a") == [attempt | ended]
    assert (index.judged("a", 1), index.judged("a", 2)) == ("s", None)
    again = index.task("a")
    assert again is not None
    assert again.last_error == ERROR
    apply(index, claimed("a", 2), {"event": "refused", **held("a", 2), "sha256": "r", "reason": reason("r")})
    refused = index.task("a")
    assert refused is not None
    assert refused.refusal == reason("r")
    assert "outcome" not in index.attempts("a")[1], "a refusal ends nothing"


@pytest.mark.parametrize(
    ("ends", "ended"),
    [
        ([{"event": "done", **held("a"), "output": None, "sha256": "s"}], {"output": None}),
        ([{"event": "expired", **held("a")}, {"event": "failed", "id": "a", "error": ERROR}], {"error": ERROR}),
        ([{"event": "canceled", **held("a"), "by": "x", "sha256": "s"}], {}),
        (
            [
                {"event": "expired", **held("a")},
                {"event": "failed", "id": "a", "error": ERROR},
                {"event": "redriven", "id": "a", "attempt": 2, "sha256": "s"},
            ],
            {},
        ),
    ],
)
def test_how_a_task_ended(index: Index, ends: list[Event], ended: dict[str, Any]) -> None:
    apply(index, accepted("a"), claimed("a"), *ends)
    assert index.ended("a") == ended


def test_ids_are_taken_once_and_for_all(index: Index) -> None:
    apply(index, accepted("a"), {"event": "noted", "by": "n", "sha256": "s", "message": "m"})
    apply(index, {"event": "duplicate", "by": "n", "sha256": "other"})
    taken = [index.register.message(id) for id in ("a", "n", "free")]
    assert taken == [sha("a"), "s", None]


def test_a_redrive_is_known_by_its_record(index: Index) -> None:
    apply(index, accepted("a"), {"event": "canceled", "id": "a", "by": "x", "sha256": "s"})
    apply(index, {"event": "redriven", "id": "a", "attempt": 2, "sha256": "record"})
    assert (index.register.redriven("record"), index.register.redriven("s")) == ("a", None)


def test_a_refusal_lasts_until_its_file_is_accepted(index: Index) -> None:
    for number, file in enumerate(["a.json", "n.json", "r.json", "other.json"], 1):
        apply(index, {"event": "rejected", "file": file, "sha256": "s", "reason": reason(file)})
        assert index.register.refusal(file) == ("s", reason(file), number)
    apply(index, {"event": "rejected", "file": "a.json", "reason": reason("a.json")})
    assert index.register.refusal("a.json") == ("", reason("a.json"), 5)
    apply(index, accepted("a"), accepted("r"), {"event": "noted", "by": "n", "sha256": "s", "message": "m"})
    assert index.register.refusal("a.json") is None
    assert sorted(index.register.stale_refusals()) == ["a.json", "n.json", "r.json"]
    for file in index.register.stale_refusals():
        index.register.forget_refusal(file)
    index.register.forget_refusal("other.json")
    assert index.register.stale_refusals() == []
    assert index.register.refusal("other.json") is not None
    apply(index, {"event": "rejected", "file": "r.json", "sha256": "edited", "reason": reason("r.json")})
    apply(index, {"event": "canceled", "id": "r", "by": "x", "sha256": "s"})
    apply(index, {"event": "redriven", "id": "r", "attempt": 2, "sha256": "record"})
    assert index.register.stale_refusals() == ["r.json"]


def test_contracts_by_hash_and_the_last_of_a_type(index: Index) -> None:
    for sha256, contract in (("1", {}), ("2", {"description": "d"}), ("1", {})):
        apply(index, {"event": "contract", "type": "echo", "sha256": sha256, "contract": contract})
    assert index.register.contract("echo", "1") == {}
    assert index.register.contract("echo", "3") is None
    assert index.register.last_contract("echo") == ("2", {"description": "d"})
    assert index.register.last_contract("none") is None


# --- the file


def test_an_index_is_there_again_when_it_is_opened(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "i"))
    apply(index, accepted("a"))
    index.set_meta("mine", "1")
    index.set_meta("mine", "2")
    known, mark = facts(index), index.mark
    index.close()
    again = Index(index.path)
    assert (facts(again), again.mark, again.meta("mine"), again.meta("none")) == (known, mark, "2", None)
    again.close()


@pytest.mark.parametrize(
    "damage", [None, b"", b"no database at all", b"\0" * 5000], ids=["other layout", "empty", "text", "zeros"]
)
def test_another_layout_or_no_index_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    index = Index(str(tmp_path / "i"))
    apply(index, accepted("a"))
    index.set_meta("layout", "0")
    index.close()
    if damage is not None:
        Path(index.path).write_bytes(damage)
        Path(index.path + "-wal").write_bytes(b"stale")
    again = Index(index.path)
    assert (facts(again), again.mark) == ([], Mark())
    apply(again, accepted("b"))
    again.close()
    assert os.listdir(tmp_path) == ["i"]


def test_reading_beside_the_daemon(tmp_path: Path) -> None:
    path = str(tmp_path / "i")
    assert open_for_reading(path) is None
    assert os.listdir(tmp_path) == [], "looking makes no file"
    index = Index(path)
    apply(index, accepted("a"))
    reader = open_for_reading(path)
    assert reader is not None
    apply(index, accepted("b"))
    assert [task.id for task in reader.tasks("1")] == ["a"], "what it saw when it was opened"
    reader.close()
    index.close()
    before = sorted(os.listdir(tmp_path))
    reader = open_for_reading(path)
    assert reader is not None
    assert len(reader.tasks("1")) == 2
    with pytest.raises(sqlite3.OperationalError):
        reader.set_meta("x", "y")
    reader.close()
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("damage", ["layout", "text", "directory"])
def test_what_is_no_index_is_not_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "i"
    if damage == "directory":
        path.mkdir()
    elif damage == "text":
        path.write_text("no database at all, and long enough to be looked at" * 20)
    else:
        index = Index(str(path))
        index.set_meta("layout", "0")
        index.close()
    assert open_for_reading(str(path)) is None
