"""Hints, with the real watchdog. What should be heard is waited for; what should not is shown by a later event.

Events come in order: once a mark that was made afterwards has passed, all that came before it has been judged.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from support.live import PATIENCE, until
from taskdir.places import Places
from taskdir.watch import BUSY_PASSES, IDLE_LOOKS, Hints

TRAP = 0.5
"""Seconds: what watchdog waits for the other half of a move; events behind it wait as well."""


class Watched(Hints):
    """Hints that keep the names of all events that passed."""

    def __init__(self, root: Path) -> None:
        self.passed: set[str] = set()
        super().__init__(str(root))

    def on_any_event(self, event: FileSystemEvent) -> None:
        super().on_any_event(event)
        self.passed.add(os.path.basename(os.fsdecode(event.dest_path or event.src_path)))

    def settle(self, root: Path) -> None:
        """Wait until every event so far was judged."""
        mark = f"mark-{time.monotonic_ns()}"
        (root / "done" / mark).write_text("")
        until(lambda: mark in self.passed, "the mark to pass")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "a röot"
    places = Places(str(made))
    for place in ("", *places.public(), *places.private()):
        (made / place).mkdir(exist_ok=True)
    for place in ("ready/default", "claimed/al", "elsewhere"):
        (made / place).mkdir()
    for name in ("inbox/old.json", "ready/default/5.json", "claimed/al/4.json", ".taskdir/staging/x", "log.jsonl"):
        (made / name).write_text("{}")
    return made


@pytest.fixture
def hints(root: Path) -> Iterator[Watched]:
    made = Watched(root)
    yield made
    made.close()


def move(source: str, target: str) -> Callable[[Path], object]:
    return lambda root: (root / source).rename(root / target)


def write(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text("{}")


def submit(root: Path, name: str = "new.json") -> None:
    """Publish a message as an agent does."""
    write(f"inbox/.{name}")(root)
    move(f"inbox/.{name}", f"inbox/{name}")(root)


HEARD = {
    "a message": submit,
    "a message, written in place": write("inbox/new.json"),
    "a message from another directory": move("elsewhere", "inbox/new.json"),
    "a claim": move("ready/default/5.json", "claimed/al/5.json"),
    "a claim moved back": move("claimed/al/4.json", "ready/default/4.json"),
    "a renewal by writing": write("claimed/al/4.json"),
    "notes": write("claimed/al/4.notes.jsonl"),
    "a result": move(".taskdir/staging/x", "claimed/al/4.result.json"),
    "a new agent": lambda root: (root / "claimed" / "bo").mkdir(),
    "a contract": write("contracts/new.json"),
    "settings": write("taskdir.json"),
}
UNHEARD = {
    "half a message": write("inbox/.new.json"),
    "half a result": write("claimed/al/.4.result.json"),
    "an offer": move(".taskdir/staging/x", "ready/default/6.json"),
    "a record": write("done/a.json"),
    "a dead letter": write("failed/a.json"),
    "a refusal": write("rejected/a.json"),
    "state": write("state/a.json"),
    "the log": write("log.jsonl"),
    "staging": write(".taskdir/staging/y"),
    "a taken message": move("inbox/old.json", ".taskdir/taken/old.json"),
    "a refused message": move("inbox/old.json", "rejected/old.json"),
    "a withdrawn offer": lambda root: (root / "ready/default/5.json").unlink(),
    "reading": lambda root: (root / "inbox/old.json").read_text(),
    "a stranger": write("elsewhere/inbox"),
}


@pytest.mark.parametrize("act", HEARD.values(), ids=list(HEARD))
def test_what_others_do_is_heard(root: Path, hints: Watched, act: Callable[[Path], object]) -> None:
    act(root)
    assert hints.wait(PATIENCE)


@pytest.mark.parametrize("act", UNHEARD.values(), ids=list(UNHEARD))
def test_what_the_daemon_does_itself_is_not_heard(root: Path, hints: Watched, act: Callable[[Path], object]) -> None:
    act(root)
    hints.settle(root)
    assert not hints.wait(0)
    submit(root)
    assert hints.wait(PATIENCE), "and it still listens"


BEFORE = {
    "a claim": move("ready/default/5.json", "claimed/al/5.json"),
    "a message taken": move("inbox/old.json", ".taskdir/taken/old.json"),
    "a message refused": move("inbox/old.json", "rejected/old.json"),
}


@pytest.mark.parametrize("act", BEFORE.values(), ids=list(BEFORE))
def test_a_move_right_before_does_not_hold_back_a_message(
    tmp_path: Path, root: Path, act: Callable[[Path], object]
) -> None:
    """The best of some rounds counts: a busy machine may delay any of them, the trap delays them all."""
    best = PATIENCE
    for number in range(6):
        here = tmp_path / f"round{number}"
        os.rename(root, here)
        hints = Watched(here)
        act(here)
        submit(here)
        start = time.monotonic()
        until(partial(hints.passed.__contains__, "new.json"), "the message to pass")
        best = min(best, time.monotonic() - start)
        hints.close()
        for name in ("inbox/old.json", "ready/default/5.json"):
            (here / name).write_text("{}")
        root = here
    assert best < TRAP / 2


# --- waiting


def test_a_wait_ends_by_its_limit(hints: Watched) -> None:
    for seconds in (-1.0, 0.0, 0.01):
        assert not hints.wait(seconds)


def test_a_hint_is_told_once(hints: Watched) -> None:
    for _ in range(3):
        hints.wake()
    assert hints.wait(PATIENCE)
    assert not hints.wait(0)


def test_a_hint_is_not_lost_between_two_waits(root: Path, hints: Watched) -> None:
    submit(root)
    hints.settle(root)
    assert hints.wait(0)
    assert not hints.wait(0)


def test_hints_without_end_block_nobody(hints: Watched) -> None:
    for _ in range(70_000):  # more than a pipe holds
        hints.wake()
    assert hints.wait(PATIENCE)
    assert not hints.wait(0)


def test_a_signal_ends_the_wait(hints: Watched) -> None:
    os.write(hints.wakeup_fd, b"\x0f")
    assert hints.wait(PATIENCE)


# --- pacing


def test_a_pass_that_worked_is_followed_at_once(hints: Watched) -> None:
    assert not hints.pace(True, PATIENCE)


def test_nothing_heard_is_told(root: Path, hints: Watched) -> None:
    assert hints.pace(False, 0.0)
    submit(root)
    assert not hints.pace(False, PATIENCE)


def test_a_busy_daemon_looks_instead_of_listening(root: Path, hints: Watched) -> None:
    """While events are off nothing is lost: every pace says to look, and the last one comes after listening again."""
    for _ in range(BUSY_PASSES):
        assert not hints.pace(True, PATIENCE)
    submit(root, "missed.json")
    paces = [hints.pace(False, PATIENCE) for _ in range(IDLE_LOOKS + 1)]
    assert not any(paces)
    assert "missed.json" not in hints.passed
    assert hints.pace(False, 0.0), "listening, and nothing to be heard"
    submit(root)
    assert not hints.pace(False, PATIENCE)


def test_some_work_between_idle_passes_keeps_listening(root: Path, hints: Watched) -> None:
    for _ in range(3):
        for _ in range(BUSY_PASSES - 1):
            assert not hints.pace(True, PATIENCE)
        submit(root)
        assert not hints.pace(False, PATIENCE)
        hints.settle(root)
        hints.wait(0)


# --- where nothing can be watched


def test_without_watching_scanning_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_watches(*words: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "schedule", no_watches)
    with caplog.at_level(logging.WARNING, logger="taskdir"):
        hints = Hints(str(root))
    assert "changes are seen by scanning only" in caplog.text
    assert hints.pace(False, 0.01)
    hints.wake()
    assert not hints.pace(False, PATIENCE)
    hints.close()
