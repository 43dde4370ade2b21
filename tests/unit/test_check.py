"""``check``: clean after every scenario, and each kind of damage found under its own code."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conformance import runner
from faults.world import Countdown, World
from taskdir import check, logread
from taskdir.audit import balance
from taskdir.check import Report
from taskdir.lifecycle import ROWS

SCENARIOS = Path(__file__).parents[1] / "conformance" / "vectors" / "scenarios"


def no_pause(seconds: float) -> None:
    raise AssertionError("nothing was to be looked at twice")


def ignore(count: int) -> None:
    """No progress is shown."""


def codes(report: Report) -> list[str]:
    return sorted({finding.code for finding in report.findings})


def look(root: Path, pause: Callable[[float], None] = lambda seconds: None) -> Report:
    return check.check_root(str(root), ignore, pause)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A root with a bit of everything; its daemon is open, and the last records are not synced."""
    made = World(tmp_path, Countdown())
    made.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "log_segment_bytes": 4096, "window": 3})
    made.passes()
    for number in range(12):
        made.write(f"inbox/t{number}.json", {"type": "count", "max_attempts": 2, "input": "x" * 500})
        if number % 4 == 3:
            made.passes()
    made.write("inbox/wrong.json", {"typ": "count"})
    made.write("inbox/z-many.json", {"kind": "batch", "messages": [{"id": "m1", "type": "echo"}]})
    made.passes()
    made.claim("al")
    made.passes()
    for output in ("no number", 1):
        made.result("al", {"status": "ok", "output": output})
        made.passes()
    made.claim("al")
    made.passes()
    made.result("al", {"status": "error", "error": {"message": "no"}})
    made.passes()
    made.write("inbox/stop.json", {"kind": "cancel", "task": "t5"})
    made.passes()
    made.claim("al")
    made.passes()
    yield made
    if made.daemon is not None:
        made.daemon.abandon()


def ended(world: World) -> Path:
    """The same root after a clean stop."""
    world.stop()
    return world.root


def scenarios() -> Iterator[Any]:
    for path in sorted(SCENARIOS.glob("*.json")):
        for scenario in json.loads(path.read_bytes()):
            yield pytest.param(scenario, id=f"{path.stem}: {scenario['description']}")


@pytest.mark.parametrize("scenario", [*scenarios()])
def test_nothing_is_found_in_any_scenario(scenario: dict[str, Any], tmp_path: Path) -> None:
    """A pause is what it is for a daemon: some passes, and time to put records on the device."""

    def find_nothing(stage: runner.Stage) -> None:
        def pause(seconds: float) -> None:
            stage.wait({"wait": seconds})
            if stage._running is not None:
                stage._running._records.sync()

        assert look(stage.root, pause).findings == []

    runner.play(scenario, tmp_path / "root", find_nothing)


def test_nothing_is_found_live_stopped_and_without_an_index(world: World) -> None:
    report = look(world.root, no_pause)
    assert (report.findings, report.tasks, report.records) == ([], 13, 3)
    root = ended(world)
    assert look(root, no_pause).findings == []
    assert len(logread.segments(str(root))) > 2, "the fixture spans several segments"
    shutil.rmtree(root / ".taskdir")
    assert look(root, no_pause).findings == []


def test_a_check_leaves_no_trace(world: World) -> None:
    root = ended(world)

    def listing() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}

    before = listing()
    assert not look(root).failed
    assert listing() == before


def lines_of(root: Path) -> list[bytes]:
    return (root / "log.jsonl").read_bytes().splitlines(keepends=True)


def edit(root: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    (root / "log.jsonl").write_bytes(b"".join(change(lines_of(root))))


def chain(root: Path, events: list[dict[str, Any]]) -> None:
    """Append events to the log with all that makes the chain right."""
    *_, last = lines_of(root) or [(sorted((root / "log").iterdir())[-1]).read_bytes().splitlines(keepends=True)[-1]]
    seq, prev = json.loads(last)["seq"], hashlib.sha256(last[:-1]).hexdigest()
    with (root / "log.jsonl").open("ab") as file:
        for number, event in enumerate(events, 1):
            full = {"seq": seq + number, "time": "2027-01-15T08:00:00.000000Z", **event, "prev": prev}
            if number == len(events):
                full["end"] = seq + 1
            line = json.dumps(full, separators=(",", ":")).encode()
            prev = hashlib.sha256(line).hexdigest()
            file.write(line + b"\n")


def forget_index(root: Path) -> None:
    """Without an index, so that only the log can tell."""
    shutil.rmtree(root / ".taskdir")


LOG_DAMAGE: dict[str, tuple[str, Callable[[list[bytes]], list[bytes]]]] = {
    "an edited line": ("log-chain", lambda lines: [lines[0].replace(b"al", b"eve"), *lines[1:]]),
    "another seq": ("log-seq", lambda lines: [lines[0], lines[1].replace(b'"seq":', b'"seq":1'), *lines[2:]]),
    "a removed line": ("log-seq", lambda lines: [lines[0], *lines[2:]]),
    "swapped lines": ("log-seq", lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]),
    "a line twice": ("log-seq", lambda lines: [lines[0], lines[0], *lines[1:]]),
    "rubbish between": ("log-line", lambda lines: [lines[0], b"?\n", *lines[1:]]),
    "no ASCII": ("log-line", lambda lines: [lines[0].replace(b"al", "ål".encode()), *lines[1:]]),
    "an empty line": ("log-line", lambda lines: [lines[0], b"\n", *lines[1:]]),
    "a wrong end": ("log-end", lambda lines: [lines[0].replace(b'"end":', b'"end":1'), *lines[1:]]),
}


@pytest.mark.parametrize("kind", LOG_DAMAGE)
def test_damage_in_the_log(kind: str, world: World) -> None:
    root = ended(world)
    for _ in range(5):
        chain(root, [{**START, "x-who": "al"}])
    code, change = LOG_DAMAGE[kind]
    edit(root, lambda lines: [*lines[:-5], *change(lines[-5:])])
    report = look(root)
    assert codes(report) == [code]
    assert report.failed
    assert report.findings[0].file == "log.jsonl"


def test_a_removed_first_line(world: World) -> None:
    root = ended(world)
    edit(root, lambda lines: lines[1:])
    assert codes(look(root)) == ["log-segment"]


def test_the_line_of_damage_is_told(world: World) -> None:
    root = ended(world)
    edit(root, lambda lines: [*lines[:3], b"?\n", *lines[3:]])
    (finding,) = look(root).findings
    assert (finding.code, finding.line) == ("log-line", 4)
    assert str(finding).startswith("log.jsonl:4: ")


def test_a_torn_tail_is_a_warning(world: World) -> None:
    root = ended(world)
    with (root / "log.jsonl").open("ab") as file:
        file.write(b'{"seq":')
    report = look(root)
    assert (codes(report), report.failed) == (["log-torn"], False)


def test_a_committed_batch_that_was_cut_off_shows_by_the_index(world: World) -> None:
    root = ended(world)
    edit(root, lambda lines: lines[:-1])
    assert codes(look(root)) == ["index-ahead"]
    edit(root, lambda lines: [*lines, b'{"seq":'])
    assert codes(look(root)) == ["index-ahead", "log-torn"]


def test_a_missing_and_a_misnamed_segment(world: World) -> None:
    root = ended(world)
    segments = sorted((root / "log").iterdir())
    segments[1].rename(root / "log" / "000000000999.jsonl")
    assert codes(look(root)) == ["log-segment"]
    (root / "log" / "000000000999.jsonl").unlink()
    assert codes(look(root)) == ["log-segment"]


def test_a_compressed_segment_is_as_good_and_a_cut_one_is_found(world: World) -> None:
    root = ended(world)
    first = sorted((root / "log").iterdir())[0]
    packed = gzip.compress(first.read_bytes())
    first.unlink()
    first.with_name(first.name + ".gz").write_bytes(packed)
    assert look(root).findings == []
    first.with_name(first.name + ".gz").write_bytes(packed[: len(packed) // 2])
    assert codes(look(root)) == ["log-line"]


def claimed(id: str, attempt: int = 1) -> dict[str, Any]:
    return {"event": "claimed", "id": id, "attempt": attempt, "agent": "eve"}


def redriven(id: str, attempt: int) -> dict[str, Any]:
    return {"event": "redriven", "id": id, "attempt": attempt, "sha256": "0" * 64}


DONE = {"event": "done", "attempt": 1, "agent": "eve", "output": 1, "sha256": "0" * 64}
START, STOP = {"event": "started", "version": "1", "protocol": 1, "pid": 1}, {"event": "stopped"}
ILLEGAL: dict[str, list[dict[str, Any]]] = {
    "done without a claim": [START, {**DONE, "id": "t6"}],
    "claimed twice": [START, claimed("t6"), claimed("t6")],
    "a claim of another attempt": [START, claimed("t6", 7)],
    "a task that never was": [START, claimed("ghost")],
    "done by another agent": [START, claimed("t6"), {**DONE, "id": "t6", "agent": "al"}],
    "accepted again": [START, {"event": "accepted", "id": "t6", "sha256": "0" * 64, "contract": "", "task": {}}],
    "failed out of nothing": [START, {"event": "failed", "id": "t6", "error": {"code": "x", "message": "x"}}],
    "a redrive of what is done": [START, redriven("t0", 2)],
    "a redrive that turns the token back": [START, redriven("t1", 1)],
    "a batch that does not count right": [START, {"event": "batch", "by": "b", "sha256": "0" * 64, "count": 2}],
    "an event while nobody runs": [claimed("t6")],
    "a member too many": [START, {**claimed("t6"), "surprise": 1}],
    "a member too few": [START, {"event": "claimed", "id": "t6", "agent": "eve"}],
    "an unknown event": [START, {"event": "promoted", "id": "t6"}],
    "a day that no calendar has": [START, {**claimed("t6"), "time": "2027-02-31T00:00:00.000000Z"}],
}


@pytest.mark.parametrize("kind", ILLEGAL)
def test_an_impossible_event_in_a_chain_that_is_right(kind: str, world: World) -> None:
    root = ended(world)
    chain(root, ILLEGAL[kind])
    report = look(root)
    assert codes(report) == ["log-event"]
    assert [finding.line for finding in report.findings] == [len(lines_of(root))]


def test_the_daemon_refuses_such_a_log_too(world: World) -> None:
    root = ended(world)
    chain(root, ILLEGAL["done without a claim"])
    with pytest.raises(Exception, match="breaks the rules of the log") as caught:
        world.start()
    assert getattr(caught.value, "code", None) == "log-event"


def test_books_that_do_not_balance(world: World) -> None:
    """The table allows a cancel while queued; that it names a holder puts the two ways of counting at odds."""
    root = ended(world)
    forget_index(root)
    cancel = {"event": "canceled", "id": "t6", "by": "odd", "sha256": "0" * 64, "attempt": 1, "agent": "eve"}
    chain(root, [START, cancel, STOP])
    assert "p6" in codes(look(root))


def test_the_balance_knows_every_row_of_the_table() -> None:
    """Each row moves one task: the sum stays, whatever happens."""
    from collections import Counter

    for state, _, event, then in ROWS:
        if state == "submitted":
            continue
        name = f"canceled from {state}" if event == "canceled" else event
        before = balance(Counter(accepted=9))
        after = balance(Counter({"accepted": 9, event: 1, name: 1}))
        change = {place: after[place] - before[place] for place in after if after[place] != before[place]}
        joined = {"failed": "failed or canceled", "canceled": "failed or canceled"}
        expected = {joined.get(then, then): 1, joined.get(state, state): -1} if state != then else {}
        assert change == expected, (state, event, then)


def replace_text(path: Path) -> None:
    path.write_text(path.read_text().replace('"', "'", 1))


def plant(path: Path) -> None:
    path.write_text("{}")


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


VIEW_DAMAGE: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "a forged done file": ("view-stranger", "done/ghost.json", plant),
    "a done file of a queued task": ("view-stranger", "done/t6.json", plant),
    "a changed done file": ("view-differs", "done/t0.json", replace_text),
    "a link for a done file": ("view-differs", "done/t0.json", link),
    "a removed recent done file": ("view-missing", "done/t0.json", Path.unlink),
    "a changed failed file": ("view-differs", "failed/t1.json", replace_text),
    "a removed recent failed file": ("view-missing", "failed/t5.json", Path.unlink),
    "a stranger in failed/": ("view-stranger", "failed/t0.json", plant),
    "a changed reason": ("view-differs", "rejected/wrong.reason.json", replace_text),
    "a reason nobody gave": ("view-stranger", "rejected/else.reason.json", plant),
    "a refused file nobody refused": ("view-stranger", "rejected/else.json", plant),
    "something in state/": ("view-stranger", "state/key.json", plant),
    "a claim nobody holds": ("view-stranger", "claimed/eve/9-000000000001.t6.1.json", plant),
    "a stranger in ready/": ("view-stranger", "ready/default/x.json", plant),
    "a stranger beside the queues": ("view-stranger", "ready/x.json", plant),
}


@pytest.mark.parametrize("kind", VIEW_DAMAGE)
def test_damage_in_the_directories(kind: str, world: World) -> None:
    """The daemon is open but makes no pass, so nothing mends."""
    code, file, change = VIEW_DAMAGE[kind]
    (world.root / "claimed" / "eve").mkdir()
    (world.root / "ready").chmod(0o755)
    change(world.root / file)
    report = look(world.root)
    assert [(finding.code, finding.file) for finding in report.findings] == [(code, file)]


def test_damage_in_the_window(world: World) -> None:
    shown = sorted((world.root / "ready" / "default").iterdir())
    assert len(shown) == 3
    replace_text(shown[0])
    shown[1].unlink()
    beyond = world.root / "ready" / "default" / shown[2].name.replace(".t", ".u")
    shown[2].rename(beyond)
    found = {finding.file: finding.code for finding in look(world.root).findings}
    expected = {shown[0]: "view-differs", shown[1]: "view-missing", shown[2]: "view-missing", beyond: "view-stranger"}
    assert found == {str(path.relative_to(world.root)): code for path, code in expected.items()}


def test_an_offer_beyond_the_window(world: World) -> None:
    """A window that is made smaller: until the next pass there is one offer too many."""
    last = sorted((world.root / "ready" / "default").iterdir())[-1]
    world.write("taskdir.json", {"protocol": 1, "window": 2})
    found = [(finding.code, finding.file) for finding in look(world.root).findings]
    assert found == [("view-stranger", str(last.relative_to(world.root)))]
    assert look(world.root, lambda seconds: world.passes()).findings == []


def test_what_a_gesture_explains_is_no_finding(world: World) -> None:
    """Without a daemon, offers may be taken, given back by rm or by mv, and finished: the next pass will see it."""
    root = ended(world)
    ready, al = root / "ready" / "default", root / "claimed" / "al"
    held = next(path for path in al.glob("*.json"))
    shown = sorted(ready.iterdir())
    shown[0].unlink()
    shown[1].rename(root / "claimed" / "al" / shown[1].name)
    held.rename(ready / held.name)
    assert look(root).findings == []


def test_a_finding_must_last_one_scan(world: World) -> None:
    offer = sorted((world.root / "ready" / "default").iterdir())[0]
    offer.unlink()
    paused: list[float] = []

    def a_pass(seconds: float) -> None:
        paused.append(seconds)
        world.passes()

    assert look(world.root, a_pass).findings == []
    assert paused == [2.0]


def test_an_old_absence_was_pruned(world: World) -> None:
    root = ended(world)
    (root / "done" / "t0.json").unlink()
    report = look(root)
    assert (report.findings, report.pruned) == ([], 1)
    forget_index(root)
    assert codes(look(root)) == ["view-missing"], "nobody knows any more that it was published"


TAMPERED: dict[str, str] = {
    "a state": "UPDATE tasks SET state = 'done' WHERE id = 't6'",
    "a lost task": "DELETE FROM tasks WHERE id = 't6'",
    "an invented task": "INSERT INTO bodies VALUES('ghost', '{}', NULL)",
    "an input": "UPDATE bodies SET task = '{}' WHERE id = 't6'",
    "an attempt": "UPDATE attempts SET agent = 'eve'",
    "the first of a table": "DELETE FROM attempts WHERE id = 't0'",
    "a contract": "UPDATE contracts SET contract = '{\"output\":true}'",
    "a known id": "DELETE FROM messages WHERE id = 'stop'",
    "the last of all": "DELETE FROM tasks WHERE id = 't9'",
    "a key that is none": "INSERT INTO messages VALUES(x'00', '', 1)",
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_a_row_of_the_index_changed_by_hand(kind: str, world: World) -> None:
    root = ended(world)
    with closing(sqlite3.connect(root / ".taskdir" / "index.sqlite")) as db:
        assert db.execute(TAMPERED[kind]).rowcount > 0
        db.commit()
    assert codes(look(root)) == ["index-differs"]


def test_an_index_that_is_no_database_is_no_finding(world: World) -> None:
    """The next daemon builds it again."""
    root = ended(world)
    (root / ".taskdir" / "index.sqlite").write_bytes(b"x" * 10000)
    assert look(root).findings == []


def test_another_history_under_the_same_numbers(world: World) -> None:
    root = ended(world)
    edit(root, lambda lines: lines[:-1])
    chain(root, [{"event": "stopped", "x-other": True}])
    assert codes(look(root)) == ["index-ahead"]


def test_log_files_alone(world: World, tmp_path: Path) -> None:
    root = ended(world)
    copies = []
    for number, (_, path) in enumerate(logread.segments(str(root))):
        copies.append(str(shutil.copy(path, tmp_path / f"part{number}")))
    report = check.check_files(copies[::-1], ignore)
    assert (report.findings, report.tasks) == ([], 13)
    report = check.check_files(copies[1:], ignore)
    assert report.findings == []
    assert "what came before" in report.remarks[0]
    assert codes(check.check_files([copies[0], *copies[2:]], ignore)) == ["log-segment"]
    with open(copies[-1], "ab") as file:
        file.write(b"{")
    assert codes(check.check_files(copies, ignore)) == ["log-torn"]
    with open(copies[0], "ab") as file:
        file.write(b"{")
    assert codes(check.check_files(copies, ignore)) == ["log-line"]
    assert os.listdir(tmp_path)


def test_progress_comes_to_the_size_of_the_log(world: World) -> None:
    root = ended(world)
    told: list[int] = []
    check.check_root(str(root), told.append, no_pause)
    assert sum(told) == sum(os.path.getsize(path) for _, path in logread.segments(str(root)))


def test_an_empty_root_is_clean(tmp_path: Path) -> None:
    fresh = World(tmp_path, Countdown())
    assert look(fresh.root, no_pause).findings == []


def test_a_log_that_is_rotated_while_it_is_read(world: World) -> None:
    """The reader has listed the segments already: it lists again, as often as that brings it further."""
    follower = logread.Follower(str(world.root))
    news = follower.news()
    seqs = [event["seq"] for event in next(news).events]
    for number in range(20, 40):
        world.write(f"inbox/t{number}.json", {"type": "echo", "input": "x" * 1500})
        world.passes()
    for batch in news:
        seqs += [event["seq"] for event in batch.events]
        if seqs[-1] < 100:
            world.write(f"inbox/n{seqs[-1]}.json", {"type": "echo", "input": "x" * 1500})
            world.passes()
    assert follower.damage is None
    assert seqs == list(range(1, follower.mark.seq + 1))
    assert world.daemon is not None
    assert follower.mark.seq == world.daemon.index.mark.seq
