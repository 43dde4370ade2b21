"""Hints, with the real inotify and the real watchdog. What should not be heard is shown by a later event that is.

Inotify's events are there as soon as the act is done. Watchdog's come in order, from a thread: once a mark that was
made afterwards has passed, all that came before it has been judged.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent

from support.live import PATIENCE, until
from taskdir import watch
from taskdir.places import Places
from taskdir.watch import Hints, Watchdog

TRAP = 0.5
"""Seconds: what watchdog waits for the other half of a move; events behind it wait as well."""


class Marked(Watchdog):
    """Watchdog that keeps the names of all events that passed."""

    def __init__(self, root: str, wake: Callable[[], None]) -> None:
        self.passed: set[str] = set()
        super().__init__(root, wake)

    def note(self, event: object) -> None:
        super().note(event)
        assert isinstance(event, FileSystemEvent)
        self.passed.add(os.path.basename(os.fsdecode(event.dest_path or event.src_path)))


def settle(hints: Hints, root: Path) -> None:
    """Wait until every event so far was judged."""
    source = hints._source
    if isinstance(source, Marked):
        mark = f"mark-{time.monotonic_ns()}"
        (root / "done" / mark).write_text("")
        until(lambda: mark in source.passed, "the mark to pass")


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


@pytest.fixture(params=["inotify", "watchdog"])
def hints(root: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hints]:
    if request.param == "inotify" and sys.platform != "linux":
        pytest.skip("NOT TESTED: inotify is Linux's")
    monkeypatch.setattr(watch, "SOURCE", watch.Inotify if request.param == "inotify" else Marked)
    made = Hints(str(root))
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
def test_what_others_do_is_heard(root: Path, hints: Hints, act: Callable[[Path], object]) -> None:
    act(root)
    assert hints.wait(PATIENCE)


@pytest.mark.parametrize("act", UNHEARD.values(), ids=list(UNHEARD))
def test_what_the_daemon_does_itself_is_not_heard(root: Path, hints: Hints, act: Callable[[Path], object]) -> None:
    act(root)
    settle(hints, root)
    assert not hints.wait(0)
    submit(root)
    assert hints.wait(PATIENCE), "and it still listens"


def test_a_move_right_before_does_not_hold_back_a_message(root: Path, tmp_path: Path) -> None:
    """Watchdog waits for the other half of a move, and events behind it wait as well; the best of some rounds counts:
    a busy machine may delay any of them, the trap delays them all."""
    best = PATIENCE
    for number in range(6):
        source = Marked(str(root), lambda: None)
        move("inbox/old.json", "rejected/old.json")(root)
        submit(root, f"new-{number}.json")
        start = time.monotonic()
        until(partial(source.passed.__contains__, f"new-{number}.json"), "the message to pass")
        best = min(best, time.monotonic() - start)
        source.close()
        write("inbox/old.json")(root)
    assert best < TRAP / 2


# --- inotify's own watches


def test_what_a_new_agent_does_is_heard(root: Path, hints: Hints) -> None:
    (root / "claimed/bo").mkdir()
    assert hints.wait(PATIENCE)
    move("ready/default/5.json", "claimed/bo/5.json")(root)
    assert hints.wait(PATIENCE)


def test_a_place_that_is_made_again_is_heard(root: Path, hints: Hints) -> None:
    (root / "inbox/old.json").unlink()
    (root / "inbox").rmdir()
    (root / "inbox").mkdir()
    settle(hints, root)
    hints.wait(0)
    submit(root)
    assert hints.wait(PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: inotify is Linux's")
def test_more_events_than_the_kernel_keeps(root: Path) -> None:
    """The queue overflows while nobody waits: that is a hint, and new directories are watched all the same."""
    hints = Hints(str(root))
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 10):  # the name and its close: two events
        write(f"inbox/.{number % 10}.{number % 2}")(root)
    (root / "claimed/bo").mkdir()
    assert hints.wait(0)
    assert not hints.wait(0)
    move("ready/default/5.json", "claimed/bo/5.json")(root)
    assert hints.wait(0)
    hints.close()


# --- waiting


def test_a_wait_ends_by_its_limit(hints: Hints) -> None:
    for seconds in (-1.0, 0.0, 0.01):
        assert not hints.wait(seconds)


def test_a_hint_is_told_once(hints: Hints) -> None:
    for _ in range(3):
        hints.wake()
    assert hints.wait(PATIENCE)
    assert not hints.wait(0)


def test_a_hint_is_not_lost_between_two_waits(root: Path, hints: Hints) -> None:
    submit(root)
    settle(hints, root)
    assert hints.wait(0)
    assert not hints.wait(0)


def test_hints_without_end_block_nobody(hints: Hints) -> None:
    for _ in range(70_000):  # more than a pipe holds
        hints.wake()
    assert hints.wait(PATIENCE)
    assert not hints.wait(0)


def test_a_signal_ends_the_wait(hints: Hints) -> None:
    os.write(hints.wakeup_fd, b"\x0f")
    assert hints.wait(PATIENCE)


# --- pacing


def test_a_pass_that_worked_is_followed_at_once(hints: Hints) -> None:
    assert not hints.pace(True, PATIENCE)


def test_nothing_heard_is_told(root: Path, hints: Hints) -> None:
    assert hints.pace(False, 0.0)
    submit(root)
    assert not hints.pace(False, PATIENCE)


# --- where nothing can be watched


def test_without_watching_scanning_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_watches(*words: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(watch, "SOURCE", no_watches)
    with caplog.at_level(logging.WARNING, logger="taskdir"):
        hints = Hints(str(root))
    assert "changes are seen by scanning only" in caplog.text
    assert hints.pace(False, 0.01)
    hints.wake()
    assert not hints.pace(False, PATIENCE)
    hints.close()
