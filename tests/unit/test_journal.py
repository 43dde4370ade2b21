"""The log's writer: what a batch is, what a crash leaves of it, and what is refused instead of mended (SPEC section 9).

Bytes are compared with tests/support/history.py, which writes a log a second time from the text of the specification.
"""

from __future__ import annotations

import errno
import gzip
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.world import Countdown, Killed
from support.history import chained, notes, sha
from taskdir import lifecycle
from taskdir.disk import Disk, Hook
from taskdir.documents import Event
from taskdir.errors import LogDamaged
from taskdir.journal import Journal, SyncFailed
from taskdir.logread import Batch, Mark

BLOCK = 512


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return new_root(tmp_path / "root")


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the device where thousands of tails are tried and nothing but the bytes counts."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)


def new_root(path: Path) -> Path:
    (path / ".taskdir" / "torn").mkdir(parents=True)
    return path


@contextmanager
def opened(
    root: Path, known: Mark | None = None, *, hook: Hook | None = None, segment_bytes: int = 1 << 30
) -> Iterator[tuple[Journal, list[Batch]]]:
    """Open a root's log; gives the journal and the batches that it replayed."""
    journal = Journal(str(root), Disk(hook), segment_bytes)
    replayed: list[Batch] = []
    try:
        journal.open(known or Mark(), replayed.append)
        yield journal, replayed
    finally:
        journal.close()


def histories(*sizes: int, text: str = "x") -> list[list[Event]]:
    """Make batches of so many events, numbered from 1."""
    firsts = itertools.accumulate(sizes, initial=1)
    return [notes(first, size, text) for first, size in zip(firsts, sizes, strict=False)]


def segments(root: Path) -> dict[str, bytes]:
    """Read the log's files in order, by name."""
    closed = sorted((root / "log").glob("*")) if (root / "log").is_dir() else []
    return {path.name: path.read_bytes() for path in [*closed, root / "log.jsonl"] if path.exists()}


def log_of(root: Path) -> bytes:
    return b"".join(segments(root).values())


def torn(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((root / ".taskdir" / "torn").iterdir())]


def seqs(batches: list[Batch]) -> list[list[int]]:
    return [[event["seq"] for event in batch.events] for batch in batches]


# --- one batch, one write


def test_a_batch_is_chained_and_ended(root: Path) -> None:
    with opened(root) as (journal, replayed):
        assert replayed == []
        for events in histories(1, 3, 2):
            batch = journal.append(events)
            assert batch is not None
            assert batch.events == events
            assert batch.mark == journal.mark
    data = b"".join(chained(histories(1, 3, 2)))
    assert log_of(root) == data
    assert journal.mark == Mark(6, sha(data.splitlines()[-1].decode()), 1, len(data))
    assert [json.loads(line).get("end") for line in data.splitlines()] == [1, None, None, 2, None, 5]
    assert list(json.loads(data.splitlines()[0]))[-2:] == ["prev", "end"]


def test_nothing_is_no_batch(root: Path) -> None:
    with opened(root) as (journal, _):
        assert journal.append([]) is None
        assert journal.mark == Mark()
    assert log_of(root) == b""


def test_opening_replays_what_is_later_than_the_mark(root: Path) -> None:
    marks = [Mark()]
    with opened(root) as (journal, _):
        for events in histories(1, 3, 2):
            journal.append(events)
            marks.append(journal.mark)
    for number, known in enumerate(marks):
        with opened(root, known) as (journal, replayed):
            assert seqs(replayed) == [[1], [2, 3, 4], [5, 6]][number:]
            assert [batch.mark for batch in replayed] == marks[number + 1 :]
            assert journal.mark == marks[-1]


def test_a_seq_with_a_gap_is_the_callers_defect(root: Path) -> None:
    with opened(root) as (journal, _), pytest.raises(AssertionError):
        journal.append(notes(2, 1))


def test_writing_goes_on_after_every_opening(root: Path) -> None:
    for events in histories(2, 1, 1):
        with opened(root) as (journal, _):
            journal.append(events)
    assert log_of(root) == b"".join(chained(histories(2, 1, 1)))


# --- torn tails


def mended(root: Path, whole: list[list[Event]], tail: bytes) -> None:
    """Put a log there whose last batch did not arrive as it was sent; opening must cut it off, keep it and go on."""
    kept = b"".join(chained(whole))
    (root / "log.jsonl").write_bytes(kept + tail)
    with opened(root) as (journal, replayed):
        assert [[strip(event) for event in batch.events] for batch in replayed] == whole
        assert log_of(root) == kept
        assert torn(root) == ([tail] if tail else [])
        assert journal.mark.offset == len(kept)
        after = notes(sum(map(len, whole)) + 1, 1, "after")
        journal.append(after)
    assert log_of(root) == b"".join(chained([*whole, [strip(event) for event in after]]))
    for path in (root / ".taskdir" / "torn").iterdir():
        path.unlink()


def strip(event: Event) -> Event:
    return {name: value for name, value in event.items() if name not in ("prev", "end")}


@pytest.mark.usefixtures("no_sync")
@pytest.mark.parametrize("before", [0, 2])
def test_a_batch_cut_anywhere_is_cut_off(root: Path, before: int) -> None:
    batches = histories(*[1] * before, 3)
    last = chained(batches)[-1]
    for cut in range(len(last)):
        mended(root, batches[:-1], last[:cut])


LAYOUTS = [
    pytest.param(5, 200, 0, id="several lines a block"),
    pytest.param(2, 1100, 0, id="a line over several blocks"),
    pytest.param(3, 600, BLOCK, id="a batch from a block's first byte on"),
]


@pytest.mark.usefixtures("no_sync")
@pytest.mark.parametrize(("count", "length", "align"), LAYOUTS)
def test_a_batch_with_any_of_its_blocks_lost_is_cut_off(root: Path, count: int, length: int, align: int) -> None:
    """Blocks reach the disk in any order: every choice of lost ones, with the size of the file as sent, or shorter."""
    (short,) = chained([notes(1, 1)])
    first = notes(1, 1, "x" * (1 + (BLOCK - len(short)) % BLOCK if align else 1))
    whole = [first]
    start, last = len(chained(whole)[0]), chained([first, notes(2, count, "y" * length)])[1]
    assert not align or start == BLOCK
    end = start + len(last)
    blocks = range(start // BLOCK, -(-end // BLOCK))
    assert 4 <= len(blocks) <= 6
    for lost in itertools.chain.from_iterable(itertools.combinations(blocks, n + 1) for n in range(len(blocks))):
        tail = bytearray(last)
        for block in lost:
            here = slice(max(block * BLOCK, start) - start, min((block + 1) * BLOCK, end) - start)
            tail[here] = bytes(len(tail[here]))
        mended(root, whole, bytes(tail))
        if blocks[-1] in lost:  # the size was not written either
            there = max((block for block in blocks if block not in lost), default=blocks[0] - 1)
            mended(root, whole, bytes(tail[: max(0, (there + 1) * BLOCK - start)]))


def test_a_surviving_end_does_not_save_a_batch(root: Path) -> None:
    """The last line is whole, an earlier one of the same batch is not: no fact of that batch counts."""
    batches = histories(1, 3)
    lines = chained(batches)[1].splitlines(keepends=True)
    for number in range(2):
        damaged = [*lines]
        damaged[number] = b"\0" * len(lines[number])
        mended(root, batches[:1], b"".join(damaged))
        damaged[number] = lines[number].replace(b'"x"', b'"y"')
        mended(root, batches[:1], b"".join(damaged))


GARBAGE = [
    b"\0" * 700,
    b"\n",
    b"{}\n",
    b'{"event": 5}\n',
    b"[" * 100_000 + b"\n",
    b"1" * 10_000 + b"\n",
    b"\xff\xfe{}\n",
    b"no newline",
    b'{"event":"noted"}\n' * 3,
    b'{"seq":2,"event":"noted","end":1}\n',
    b'{"seq":2,"event":"noted","end":"9"}\n',
    b'{"event":"noted","end":2}\n',
    b'{"seq":2,"event":"noted","prev":"0"}\n',
    chained([notes(1, 1)])[0],
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:20]))
def test_garbage_behind_the_last_batch_is_cut_off(root: Path, garbage: bytes) -> None:
    mended(root, histories(1), garbage)


def test_the_same_tail_is_kept_once(root: Path) -> None:
    tail = chained(histories(1, 1))[1][:-9]
    for _ in range(2):
        (root / "log.jsonl").write_bytes(chained(histories(1))[0] + tail)
        with opened(root):
            assert torn(root) == [tail]


def test_a_kill_while_a_tail_is_cut_loses_nothing(tmp_path: Path) -> None:
    whole, tail = chained(histories(1))[0], chained(histories(1, 2))[1][:-9]
    steps = Countdown()
    for at in itertools.count(1):
        root, steps = new_root(tmp_path / str(at)), Countdown(at)
        (root / "log.jsonl").write_bytes(whole + tail)
        try:
            with opened(root, hook=steps):
                break
        except Killed:
            with opened(root):
                assert log_of(root) == whole
                assert tail in torn(root)
    assert [step.split()[0] for step in steps.seen] == ["open", "create", "write", "fsync", "rename", "truncate"]


# --- damage before the last batch


Lines = list[bytes]


def changed(line: int, old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    return lambda lines: [*lines[: line - 1], lines[line - 1].replace(old, new, 1), *lines[line:]]


def without(line: int) -> Callable[[Lines], Lines]:
    return lambda lines: lines[: line - 1] + lines[line:]


DAMAGE = [
    # batches of 1, 2, 2 events: lines 1, 2-3, 4-5
    pytest.param(changed(1, b'"x"', b'"y"'), "log-chain", 2, id="a word changed"),
    pytest.param(changed(3, b'"x"', b'"y"'), "log-chain", 4, id="a word changed just before the last batch"),
    pytest.param(changed(1, b"x", b"\0"), "log-line", 1, id="a byte zeroed"),
    pytest.param(changed(3, b"x", b"\0"), "log-line", 3, id="a byte zeroed in an end line"),
    pytest.param(changed(2, b'"x"', '"é"'.encode()), "log-line", 2, id="not ASCII"),
    pytest.param(changed(2, b"\n", b""), "log-line", 2, id="a newline gone"),
    pytest.param(changed(2, b'"event"', b'"invent"'), "log-line", 2, id="no event"),
    pytest.param(changed(2, b'"seq":2', b'"seq":7'), "log-seq", 2, id="another seq"),
    pytest.param(changed(3, b'"end":2', b'"end":1'), "log-end", 3, id="another end"),
    pytest.param(changed(3, b',"end":2', b""), "log-chain", 4, id="an end gone"),
    pytest.param(changed(2, b"}\n", b',"end":1}\n'), "log-end", 2, id="an end too many"),
    pytest.param(without(1), "log-segment", 0, id="the first line gone"),
    pytest.param(without(2), "log-seq", 2, id="a line gone"),
    pytest.param(without(3), "log-seq", 3, id="an end line gone"),
    pytest.param(lambda lines: [lines[0], lines[0], *lines[1:]], "log-seq", 2, id="a line twice"),
    pytest.param(lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "log-seq", 2, id="lines swapped"),
    pytest.param(lambda lines: [lines[0], b"\0" * BLOCK + b"\n", *lines[1:]], "log-line", 2, id="zeros between"),
    pytest.param(
        lambda lines: [*changed(4, b'"x"', b'"y"')(lines), b'{"event":"x","end":6}\n'],
        "log-chain",
        5,
        id="an end behind",
    ),
]


@pytest.mark.parametrize(("damage", "code", "line"), DAMAGE)
def test_damage_before_the_last_batch_is_refused(
    root: Path, damage: Callable[[Lines], Lines], code: str, line: int
) -> None:
    lines = damage(b"".join(chained(histories(1, 2, 2))).splitlines(keepends=True))
    (root / "log.jsonl").write_bytes(b"".join(lines))
    hook = Countdown()
    with pytest.raises(LogDamaged) as caught, opened(root, hook=hook):
        pass
    assert caught.value.code == code
    assert caught.value.path == f"{root / 'log.jsonl'}" + (f", line {line}" if line else "")
    assert "nothing was changed" in (caught.value.hint or "")
    assert log_of(root) == b"".join(lines)
    assert hook.seen == []


@pytest.mark.parametrize("error", [lifecycle.IllegalEvent("no"), KeyError("id"), ValueError("no such day")])
def test_a_log_that_breaks_the_table_is_refused(root: Path, error: Exception) -> None:
    (root / "log.jsonl").write_bytes(chained(histories(1))[0])

    def refuse(batch: Batch) -> None:
        raise error

    journal = Journal(str(root), Disk(), 1 << 30)
    with pytest.raises(LogDamaged) as caught:
        journal.open(Mark(), refuse)
    assert caught.value.code == "log-event"
    journal.close()


# --- trouble with the disk


class Trouble:
    """A disk hook that lets the operations of some kind fail, once or for good."""

    def __init__(self, operation: str, number: int, *, once: bool = True) -> None:
        self.operation, self.number, self.once, self.hit = operation, number, once, 0

    def __call__(self, operation: str, path: str) -> None:
        if operation == self.operation and not (self.once and self.hit):
            self.hit += 1
            raise OSError(self.number, os.strerror(self.number), path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failed_append_leaves_the_log_as_it_was(root: Path, number: int) -> None:
    trouble = Trouble("append", number)
    with opened(root) as (journal, _):
        journal.append(notes(1, 1))
    with opened(root, hook=trouble) as (journal, _):
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            journal.append(notes(2, 2))
        assert caught.value.errno == number
        assert not isinstance(caught.value, SyncFailed)
        assert log_of(root) == chained(histories(1))[0]
        journal.append(notes(2, 1))
    assert trouble.hit == 1
    assert log_of(root) == b"".join(chained(histories(1, 1)))


@pytest.mark.parametrize("taken", [0, 1, 100, 400])
def test_a_short_write_leaves_the_log_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """The same events may be sent again; what failed left no trace in them that matters."""
    write = os.write
    events = notes(1, 2)
    with opened(root) as (journal, _):
        with monkeypatch.context() as disk:
            disk.setattr(os, "write", lambda fd, data: write(fd, data[:taken]))
            with pytest.raises(OSError, match="only part of the batch") as caught:
                journal.append(events)
        assert caught.value.errno == errno.ENOSPC
        assert log_of(root) == b""
        assert journal.mark == Mark()
        journal.append(events)
    assert log_of(root) == chained([notes(1, 2)])[0]


def stuck(journal: Journal, root: Path, trouble: Trouble | None = None) -> None:
    """Show that a journal takes nothing more, and does not touch the disk when asked."""
    kept, hits = log_of(root), trouble.hit if trouble else 0
    with pytest.raises(SyncFailed):
        journal.append(notes(journal.mark.seq + 1, 1))
    assert log_of(root) == kept
    assert (trouble.hit if trouble else 0) == hits


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_failed_sync_ends_all_writing(root: Path, number: int) -> None:
    """The bytes may be there or not: only a restart, which reads them again, can tell."""
    trouble = Trouble("datasync", number)
    with opened(root, hook=trouble) as (journal, _):
        with pytest.raises(SyncFailed) as caught:
            journal.append(notes(1, 1))
        assert caught.value.errno == number
        stuck(journal, root, trouble)
    with opened(root) as (journal, replayed):
        assert seqs(replayed) == [[1]]
        journal.append(notes(2, 1))
    assert log_of(root) == b"".join(chained(histories(1, 1)))


def test_a_failed_cut_ends_all_writing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a batch stands at the end and cannot be taken back: nothing may be written behind it."""
    write, trouble = os.write, Trouble("truncate", errno.EIO, once=False)
    with opened(root, hook=trouble) as (journal, _):
        journal.append(notes(1, 1))
        with monkeypatch.context() as disk:
            disk.setattr(os, "write", lambda fd, data: write(fd, data[:50]))
            with pytest.raises(SyncFailed):
                journal.append(notes(2, 1))
        stuck(journal, root, trouble)
    with opened(root) as (_, replayed):
        assert seqs(replayed) == [[1]]
    assert log_of(root) == chained(histories(1))[0]


# --- segments

FULL = 1
"""Bytes: a segment is full after its first batch."""

ROTATION = [
    "mkdir log",
    "fsync root",
    "link 000000000001.jsonl",
    "fsync log",
    "create .log.jsonl.new",
    "write .log.jsonl.new",
    "fsync .log.jsonl.new",
    "rename log.jsonl",
    "fsync root",
    "open log.jsonl",
]
"""The second name is on the device before the first one goes, the empty file before anything is appended to it."""


def test_rotation_in_its_order(root: Path) -> None:
    hook = Countdown()
    with opened(root, hook=hook, segment_bytes=FULL) as (journal, _):
        journal.append(notes(1, 2))
        hook.seen.clear()
        journal.append(notes(3, 1))
        assert hook.seen == [*ROTATION, "append log.jsonl", "datasync log.jsonl"]
        hook.seen.clear()
        journal.append(notes(4, 1))
        again = [step.replace("000000000001", "000000000003") for step in (ROTATION[0], *ROTATION[2:])]
        assert hook.seen == [*again, "append log.jsonl", "datasync log.jsonl"]


def test_a_segment_is_closed_when_it_has_reached_its_size(root: Path) -> None:
    batches = histories(1, 2, 1, 1, 3)
    sizes = [len(data) for data in chained(batches)]
    with opened(root, segment_bytes=sum(sizes[:3])) as (journal, _):
        for events in batches[:3]:
            journal.append(events)
        assert list(segments(root)) == ["log.jsonl"]
        for events in batches[3:]:
            journal.append(events)
    assert {name: len(data) for name, data in segments(root).items()} == {
        "000000000001.jsonl": sum(sizes[:3]),
        "log.jsonl": sum(sizes[3:]),
    }
    assert log_of(root) == b"".join(chained(histories(1, 2, 1, 1, 3)))


def test_every_mark_opens_a_log_of_many_segments(root: Path) -> None:
    sizes = (1, 2, 1, 3)
    marks = [Mark()]
    with opened(root, segment_bytes=FULL) as (journal, _):
        for events in histories(*sizes):
            journal.append(events)
            marks.append(journal.mark)
    assert list(segments(root)) == ["000000000001.jsonl", "000000000002.jsonl", "000000000004.jsonl", "log.jsonl"]
    assert log_of(root) == b"".join(chained(histories(*sizes)))
    for number, known in enumerate(marks):
        with opened(root, known) as (journal, replayed):
            assert [batch.mark for batch in replayed] == marks[number + 1 :]
            assert journal.mark == marks[-1]


def whole_again(root: Path, sizes: tuple[int, ...]) -> None:
    """Open what a crash left, write what is missing, and hold the log to the text."""
    with opened(root, segment_bytes=FULL) as (journal, _):
        for events in histories(*sizes):
            if events[0]["seq"] > journal.mark.seq:
                journal.append(events)
    with opened(root) as (_, replayed):
        assert [len(batch.events) for batch in replayed] == list(sizes)
    assert log_of(root) == b"".join(chained(histories(*sizes)))
    firsts = list(itertools.accumulate(sizes[:-1], initial=1))
    assert list(segments(root)) == [*(f"{first:012d}.jsonl" for first in firsts[:-1]), "log.jsonl"]
    assert all((root / "log" / name).stat().st_nlink == 1 for name in list(segments(root))[:-1])
    aside = {".log.jsonl.new"}  # may stay until the next rotation, which makes it anew
    assert {path.name for path in root.iterdir()} - aside == {".taskdir", "log", "log.jsonl"}


def no_links(source: str, target: str, **options: object) -> None:
    raise PermissionError(errno.EPERM, "no hard links here", target)


@pytest.mark.usefixtures("no_sync")
@pytest.mark.parametrize("links", [True, False])
def test_a_kill_anywhere_in_a_rotation_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Killed before each operation of three rotations, and once more before each that follows the next start."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    sizes = (1, 2, 1, 1)
    for at in itertools.count(1):
        if not killed(new_root(tmp_path / str(at)), sizes, at):
            break
        for again in itertools.count(1):
            root = new_root(tmp_path / f"{at}-{again}")
            assert killed(root, sizes, at)
            second = killed(root, sizes, again)
            whole_again(root, sizes)
            if not second:
                break
    assert at > 3 * 8


def killed(root: Path, sizes: tuple[int, ...], at: int) -> bool:
    """Write a history, or what is left of it, until operation ``at``; says whether it came that far."""
    hook = Countdown(at)
    try:
        with opened(root, hook=hook, segment_bytes=FULL) as (journal, _):
            for events in histories(*sizes):
                if events[0]["seq"] > journal.mark.seq:
                    journal.append(events)
    except Killed:
        return True
    return False


@pytest.mark.usefixtures("no_sync")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("links", [True, False])
def test_an_error_anywhere_in_a_rotation_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, number: int
) -> None:
    """Either the next append goes on from there, or the journal says that it needs a restart, which does."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    sizes = (1, 2, 1, 1)
    for at in itertools.count(1):
        root, trouble = new_root(tmp_path / str(at)), Countdown()
        with opened(root, hook=failing(trouble, at, number), segment_bytes=FULL) as (journal, _):
            for events in histories(*sizes):
                try:
                    journal.append(events)
                except SyncFailed:
                    stuck(journal, root)
                    break
                except OSError:
                    journal.append(events)
        whole_again(root, sizes)
        if trouble.count < at:
            break
    assert at > 3 * 8


def failing(counter: Countdown, at: int, number: int) -> Hook:
    """Make a hook that fails before operation ``at``, the opening's own first one aside."""

    def hook(operation: str, path: str) -> None:
        if counter.seen or operation == "append":
            counter(operation, path)
            if counter.count == at:
                raise OSError(number, os.strerror(number), path)

    return hook


def test_a_name_that_is_taken_stops_the_rotation(root: Path) -> None:
    """Going on would drop the only name of a whole segment."""
    with opened(root, segment_bytes=FULL) as (journal, _):
        journal.append(notes(1, 1))
        (root / "log").mkdir()
        (root / "log" / "000000000001.jsonl").write_text("somebody's copy")
        with pytest.raises(LogDamaged, match="another file") as caught:
            journal.append(notes(2, 1))
    assert caught.value.code == "log-segment"
    assert (root / "log.jsonl").read_bytes() == chained(histories(1))[0]


@pytest.fixture
def old(root: Path) -> Path:
    """Return log/ of a log with three closed segments, of 1, 2 and 1 events, and one event in the live one."""
    with opened(root, segment_bytes=FULL) as (journal, _):
        for events in histories(1, 2, 1, 1):
            journal.append(events)
    return root / "log"


@pytest.mark.parametrize("first", [1, 2, 4])
def test_a_missing_segment_is_refused(root: Path, old: Path, first: int) -> None:
    (old / f"{first:012d}.jsonl").unlink()
    with pytest.raises(LogDamaged) as caught, opened(root):
        pass
    assert caught.value.code == "log-segment"
    assert caught.value.message.endswith(f"seq {first} should begin here")


@pytest.mark.parametrize("first", [1, 2, 4])
def test_damage_in_a_closed_segment_is_never_torn(root: Path, old: Path, first: int) -> None:
    path = old / f"{first:012d}.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    (root / "log.jsonl").write_bytes(b"")
    with pytest.raises(LogDamaged) as caught, opened(root):
        pass
    assert caught.value.code == "log-line"
    assert str(path) in str(caught.value.path)


def test_a_batch_does_not_run_on_in_the_next_segment(root: Path) -> None:
    lines = chained(histories(3))[0].splitlines(keepends=True)
    (root / "log").mkdir()
    (root / "log" / "000000000001.jsonl").write_bytes(b"".join(lines[:2]))
    (root / "log.jsonl").write_bytes(lines[2])
    with pytest.raises(LogDamaged) as caught, opened(root):
        pass
    assert caught.value.code == "log-end"


def test_a_torn_first_batch_of_a_segment_is_cut_off(root: Path, old: Path) -> None:
    whole = (root / "log.jsonl").read_bytes()
    for cut in range(len(whole)):
        (root / "log.jsonl").write_bytes(whole[:cut])
        with opened(root) as (journal, replayed):
            assert seqs(replayed) == [[1], [2, 3], [4]]
            assert journal.mark == Mark(4, replayed[-1].mark.hash, 5, 0)
        assert (root / "log.jsonl").read_bytes() == b""
    with opened(root) as (journal, _):
        journal.append(notes(5, 1))
    assert log_of(root) == b"".join(chained(histories(1, 2, 1, 1)))


def compress(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


@pytest.mark.parametrize("firsts", [(1,), (2, 4), (1, 2, 4)])
def test_compressed_segments_are_read(root: Path, old: Path, firsts: tuple[int, ...]) -> None:
    with opened(root) as (journal, replayed):
        marks = [Mark(), *(batch.mark for batch in replayed)]
    for first in firsts:
        compress(old / f"{first:012d}.jsonl")
    for number, known in enumerate(marks):
        with opened(root, known) as (journal, replayed):
            assert [batch.mark for batch in replayed] == marks[number + 1 :]
            assert journal.mark == marks[-1]


def test_a_segment_that_is_being_compressed_is_read_from_its_plain_file(root: Path, old: Path) -> None:
    (old / "000000000002.jsonl.gz").write_bytes(gzip.compress((old / "000000000002.jsonl").read_bytes())[:40])
    with opened(root) as (_, replayed):
        assert seqs(replayed) == [[1], [2, 3], [4], [5]]


def test_a_compressed_segment_that_cannot_be_unpacked_is_refused(root: Path, old: Path) -> None:
    packed = compress(old / "000000000002.jsonl")
    whole = packed.read_bytes()
    for damaged in (whole[:40], whole[:-4], whole[:30] + b"\0\0\0" + whole[33:], b"", b"no gzip"):
        packed.write_bytes(damaged)
        with pytest.raises(LogDamaged), opened(root):
            pass


# --- an index that knows more than the log


def test_an_index_ahead_of_the_log_is_refused(root: Path) -> None:
    """A committed fact was lost, or history was changed: nothing is guessed, nothing is written."""
    data = chained(histories(1, 2, 1))
    with opened(root) as (journal, _):
        marks = [mark.mark for mark in map(journal.append, histories(1, 2, 1)) if mark]
    other = sha("other")
    for log, known in [
        (b"", marks[0]),
        (data[0], marks[1]),
        (data[0], marks[2]),
        (b"".join(data[:2]), marks[2]),
        (b"".join(data)[:-5], marks[2]),
        (b"".join(data), Mark(1, other, 1, len(data[0]))),
        (b"".join(data), Mark(4, other, 1, sum(map(len, data)))),
        (b"".join(data), Mark(2, other, 1, len(data[0]) + 9)),
        (b"".join(data), Mark(9, other, 1, 9999)),
        (b"".join(chained([notes(1, 1, "y"), *histories(1, 2, 1)[1:]])), marks[2]),
    ]:
        (root / "log.jsonl").write_bytes(log)
        hook = Countdown()
        with pytest.raises(LogDamaged) as caught, opened(root, known, hook=hook):
            pass
        assert caught.value.code == "index-ahead"
        assert hook.seen == []
        assert log_of(root) == log


def test_an_index_ahead_of_lost_segments_is_refused(root: Path, old: Path) -> None:
    with opened(root) as (journal, _):
        known = journal.mark
    (root / "log.jsonl").unlink()
    with pytest.raises(LogDamaged) as caught, opened(root, known):
        pass
    assert caught.value.code == "index-ahead"
