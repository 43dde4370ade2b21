"""All languages at once drain a queue from a start barrier, while the daemon is killed now and then.

TASKDIR_RACE is the number of tasks (5,000), TASKDIR_RACE_SEED the seed of the kills; both are printed. Each worker is
its program's `work` without a command, so the output of a task is its offer. Who accounts is ``oracle``.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.oracle import account, events
from adapters.programs import MAKERS
from faults import ledger
from support.chain import Chain
from support.live import ENV, PATIENCE, Root, until

TASKS = int(os.environ.get("TASKDIR_RACE", "5000"))
SEED = int(os.environ.get("TASKDIR_RACE_SEED", random.SystemRandom().randrange(1 << 32)))
KILLS = 5


class Tail:
    """Counts events in a log that grows, reading each batch once; one in flight may still be cut off by a start."""

    def __init__(self, root: Path) -> None:
        self._path, self._at = root / "log.jsonl", 0
        self.done = self.started = 0

    def waits(self, done: int = 0, started: int = 0) -> None:
        """Wait until so many tasks are done and so many daemons have started; fails when nothing moves any more."""
        while self.done < done or self.started < started:
            until(self._read, f"{done} done and {started} started; it is {self.done} and {self.started}")

    def _read(self) -> bool:
        """Read on, whole batches only (SPEC section 9.3); says whether there was something."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        ends = [match.end() for match in re.finditer(rb'"end":[0-9]+\}\n', data)]
        whole = data[: ends[-1]] if ends else b""
        self._at += len(whole)
        self.done += whole.count(b'"event":"done"')
        self.started += whole.count(b'"event":"started"')
        return bool(whole)


def test_what_a_start_cuts_off_was_never_counted(tmp_path: Path) -> None:
    log, tail = tmp_path / "log.jsonl", Tail(tmp_path)
    first, torn = b'{"seq":1,"event":"started","end":1}\n', b'{"seq":2,"event":"done"}\n{"seq":3,"event":"done"}\n{"se'
    log.write_bytes(first + torn)
    tail.waits(started=1)
    log.write_bytes(first + b'{"seq":2,"event":"started","end":2}\n{"seq":3,"event":"done","end":3}\n')
    tail.waits(started=2, done=1)
    assert (tail.started, tail.done) == (2, 1)


@contextmanager
def workers(root: Root, programs: dict[str, list[str]]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start a worker of each language and wait until each stands at the barrier: it made its directory and waits."""
    started: dict[str, subprocess.Popen[bytes]] = {}
    env = ENV | {"TASKDIR": str(root.path)}
    try:
        for language, command in programs.items():
            with open(root.path.parent / f"{language}.err", "wb") as words:
                argv = [*command, "work", language]
                started[language] = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=words)
        for language in programs:
            until((root.path / "claimed" / language).is_dir, f"{language} at the barrier")
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.wait()


@pytest.mark.timeout(600)
def test_all_languages_drain_one_queue(tmp_path: Path, programs: dict[str, list[str]]) -> None:
    print(f"TASKDIR_RACE={TASKS} TASKDIR_RACE_SEED={SEED}: {', '.join(programs)}")
    began = time.monotonic()
    dice = random.Random(SEED)
    inputs: dict[str, Any] = {f"t{number}": {"n": number, "text": "é"} for number in range(TASKS)}
    messages = [{"id": id, "type": "echo", "input": value} for id, value in inputs.items()]
    root = Root(tmp_path / "root", window=256, scan_seconds=0.2)
    with open(tmp_path / "daemon.err", "wb") as words, root, workers(root, programs) as started:
        tail, run = Tail(root.path), [sys.executable, "-m", "taskdir", "--root", str(root.path), "run"]
        root.put("inbox/all.json", {"kind": "batch", "messages": messages})
        for number, at in enumerate(sorted(dice.sample(range(1, TASKS), KILLS)), 2):
            tail.waits(done=at)
            root.kill()
            root.daemon = subprocess.Popen(run, env=ENV, stdout=subprocess.DEVNULL, stderr=words)
            tail.waits(started=number)
        tail.waits(done=TASKS)
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        ended = {language: process.wait(PATIENCE) for language, process in started.items()}
        assert root.stop() == 0
    assert ended == dict.fromkeys(programs, 0)
    faults = account(root.path, inputs, {*programs})
    assert not faults, f"seed {SEED}, {len(faults)} faults:\n" + "\n".join(faults[:20])
    share = Counter(event["agent"] for event in events(root.path, []) if event["event"] == "done")
    print(f"who did how many: {dict(share.most_common())}")
    assert len([1 for event in events(root.path, []) if event["event"] == "started"]) == KILLS + 1
    ledger.note(tester="mixed race", runs=TASKS, unit="tasks", seed=SEED, seconds=time.monotonic() - began)


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The programs that this machine can run."""
    found = {}
    for language, make in MAKERS.items():
        try:
            found[language] = make(tmp_path_factory)
        except pytest.skip.Exception as why:
            print(why)
    return found


@pytest.mark.parametrize("language", MAKERS)
def test_takes_part(language: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A language that this machine cannot run is not in the race, and this says so."""
    assert MAKERS[language](tmp_path_factory)


Plant = Callable[[Path, Chain], object]


def quiet_root(tmp_path: Path) -> tuple[Path, Chain]:
    """Make a root in which two tasks are done."""
    log = Chain()
    for place in ("inbox", "failed", "rejected", "state", "ready/default", "claimed/al", ".taskdir/taken", "done"):
        (tmp_path / "root" / place).mkdir(parents=True)
    for id in ("a", "b"):
        log.accept(id, input=id)
        log.about("claimed", id, "al")
        output = {"id": id, "attempt": 1, "input": id}
        log.about("done", id, "al", output=output, sha256="0" * 64)
        (tmp_path / "root" / "done" / f"{id}.json").write_text(
            json.dumps({"id": id, "state": "done", "output": output})
        )
    return log.write(tmp_path / "root"), log


def test_the_oracle_finds_nothing_in_a_good_root(tmp_path: Path) -> None:
    root, _ = quiet_root(tmp_path)
    assert account(root, {"a": "a", "b": "b"}, {"al"}) == []


def edit(line: int, old: str, new: str) -> Plant:
    """Return what changes one line of a log."""

    def change(root: Path, log: Chain) -> None:
        assert old in log.lines[line]
        log.lines[line] = log.lines[line].replace(old, new)

    return change


PLANTED: dict[str, tuple[dict[str, Any], Plant, str]] = {
    "a task that was lost": ({"c": "c"}, lambda root, log: None, "c: nothing"),
    "a task that nobody submitted": ({}, lambda root, log: log.accept("x"), "of x, which nobody submitted"),
    "done twice": ({}, lambda root, log: log.about("done", "a", "al", output={}), "done done"),
    "claimed twice": ({}, lambda root, log: log.about("claimed", "a", "bo"), "a: accepted claimed done claimed"),
    "a late result": ({}, lambda root, log: log.about("late", "b", "bo"), "b: accepted claimed done late"),
    "a claim that was left": (
        {},
        lambda root, log: (root / "claimed/al/5-000000000003.a.1.json").write_text(""),
        "claimed/al/5-000000000003.a.1.json: left behind",
    ),
    "a record that is gone": ({}, lambda root, log: (root / "done/a.json").unlink(), "done/a.json: not as the log"),
    "another record": (
        {},
        lambda root, log: (root / "done/a.json").write_text('{"id": "a", "state": "done", "output": 2}'),
        "done/a.json: another record",
    ),
    "a line that was edited": ({}, edit(2, "count", "Count"), "the chain is broken"),
    "half a batch": ({}, lambda root, log: log.lines.append('{"seq":9,"prev":"","event":"noted"}'), "whole batch"),
    "another's output": ({}, edit(-1, '{"id": "b"', '{"id": "a"'), "b: the output is another task's"),
    "another's claim": ({}, edit(-1, '"agent": "al"', '"agent": "bo"'), "b: claimed by al, done by bo"),
}
"""What is planted → (tasks that were submitted besides, the change, what the oracle has to say)."""


@pytest.mark.parametrize("planted", PLANTED)
def test_the_oracle_finds_what_is_planted(planted: str, tmp_path: Path) -> None:
    more, change, said = PLANTED[planted]
    root, log = quiet_root(tmp_path)
    change(root, log)
    log.write(root)
    faults = account(root, {"a": "a", "b": "b", **more}, {"al"})
    assert any(said in fault for fault in faults), faults


def test_the_oracle_misses_who_did_nothing(tmp_path: Path) -> None:
    root, _ = quiet_root(tmp_path)
    assert account(root, {"a": "a", "b": "b"}, {"al", "bo"}) == ["bo did nothing"]
    assert account(root, {"a": "a", "b": "b"}, set()) == ["al is nobody"]
