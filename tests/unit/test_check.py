"""``check``: clean after every scenario, and with a daemon at work. What it finds in a damaged root is data:
tests/conformance/vectors/trees/."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.world import Countdown, World
from support.chain import story
from taskdir import check, logread
from taskdir.audit import Finding, balance
from taskdir.check import Report
from taskdir.cli import main
from taskdir.conformance import stage as scenes
from taskdir.conformance.own import Own
from taskdir.conformance.trees import Damage
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

    def find_nothing(stage: scenes.Stage) -> None:
        def pause(seconds: float) -> None:
            stage.wait({"wait": seconds})
            assert isinstance(stage.subject, Own)
            if stage.subject.daemon is not None:
                stage.subject.daemon._records.sync()

        assert look(stage.root, pause).findings == []

    scenes.play(scenario, tmp_path / "root", find_nothing)


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


def test_the_daemon_refuses_such_a_log_too(world: World) -> None:
    root = ended(world)
    start = {"event": "started", "version": "1", "protocol": 1, "pid": 1}
    done = {"event": "done", "id": "t6", "attempt": 1, "agent": "eve", "output": 1, "sha256": "0" * 64}
    Damage(root).do({"log": [start, done]})
    with pytest.raises(Exception, match="breaks the rules of the log") as caught:
        world.start()
    assert getattr(caught.value, "code", None) == "log-event"


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


def test_a_finding_tells_where() -> None:
    said = str(Finding("log-line", "the line is no event", "log.jsonl", 4))
    assert said.startswith("log.jsonl:4: the line is no event [log-line]\n  next: ")


def test_a_finding_must_last_one_scan(world: World) -> None:
    offer = sorted((world.root / "ready" / "default").iterdir())[0]
    offer.unlink()
    paused: list[float] = []

    def a_pass(seconds: float) -> None:
        paused.append(seconds)
        world.passes()

    assert look(world.root, a_pass).findings == []
    assert paused == [2.0]


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


def test_whole_logs_by_the_files_that_were_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit names some segments of several logs: each log is checked whole, by itself."""
    lives = []
    for name in ("a", "b"):
        log = story().write(tmp_path / name) / "log.jsonl"
        lines = log.read_text().splitlines(keepends=True)
        (tmp_path / name / "log").mkdir()
        (tmp_path / name / "log" / "000000000001.jsonl").write_text("".join(lines[:4]))
        log.write_text("".join(lines[4:]))
        lives.append(log)
    old = lives[1].parent / "log" / "000000000001.jsonl"
    words = ["check", "--log", "--whole", "--deep", "--json", *map(str, lives), str(old)]
    assert main(words) == 0
    both = json.loads(capsys.readouterr().out)
    assert both["tasks"] == 2 * check.check_root(str(lives[0].parent), ignore, lambda _: None).tasks
    old.write_text(old.read_text().replace('"bad"', '"mad"'))
    assert main(words[:-1]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["code"], lives[1].parent in Path(finding["file"]).parents) == ("log-chain", True)
    copy = tmp_path / "elsewhere.jsonl"
    copy.write_bytes(old.read_bytes())
    assert check.check_logs([str(copy)], ignore).events == 4, "a file elsewhere is a log by itself"


@pytest.mark.parametrize("words", ["--log", "x.jsonl", "--whole", "--whole x.jsonl", "--deep", "--deep x.jsonl"])
def test_log_files_need_their_option(words: str) -> None:
    assert main(["check", *words.split()]) == 2


def test_progress_comes_to_the_size_of_the_log(world: World) -> None:
    root = ended(world)
    told: list[int] = []
    check.check_root(str(root), told.append, no_pause)
    assert sum(told) == sum(os.path.getsize(path) for _, path in logread.segments(str(root)))


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
