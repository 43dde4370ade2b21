"""Reading the log: what counts as committed, and where and why reading stops (SPEC section 9).

The logs are written by tests/support/history.py; what the journal makes of damage stands in test_journal.py.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.history import GENESIS, chained, notes, sha
from taskdir import logread
from taskdir.documents import Event
from taskdir.errors import LogDamaged
from taskdir.logread import Batch, Damage, Follower, Mark, Reader

BATCHES = [notes(1, 1), notes(2, 3), notes(5, 2)]
DATA = chained(BATCHES)
WHOLE = b"".join(DATA)


def put(root: Path, *closed: bytes, live: bytes | None = b"") -> list[tuple[int, str]]:
    """Write a log's files: closed segments under the seq they begin with, then the live one."""
    for data in closed:
        seq = int(data.split(b'"seq":')[1].split(b",")[0])
        (root / "log").mkdir(exist_ok=True)
        (root / "log" / f"{seq:012d}.jsonl").write_bytes(data)
    if live is not None:
        (root / "log.jsonl").write_bytes(live)
    return logread.segments(str(root))


def read(root: Path, start: Mark | None = None) -> tuple[list[Batch], Reader]:
    reader = Reader(logread.segments(str(root)), start)
    return list(reader.batches()), reader


def shape(batches: list[Batch]) -> list[list[int]]:
    return [[event["seq"] for event in batch.events] for batch in batches]


def mark(number: int, first: int = 1, skipped: int = 0) -> Mark:
    """Return the mark after the first ``number`` batches; ``skipped`` of them stand in earlier segments."""
    data = b"".join(DATA[:number])
    last = data.splitlines()[-1].decode()
    return Mark(BATCHES[number - 1][-1]["seq"], sha(last), first, sum(map(len, DATA[skipped:number])))


# --- whole logs


def test_a_root_of_the_name_log_has_a_torn_tail_too(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    put(tmp_path / "log", live=WHOLE + b'{"seq"')
    assert read(tmp_path / "log")[1].damage == Damage(
        "log-line", "the line is cut short", str(tmp_path / "log" / "log.jsonl"), 7, 7, len(WHOLE), True
    )


def test_what_can_be_had_of_a_segment_that_does_not_unpack(tmp_path: Path) -> None:
    put(tmp_path, DATA[0] + DATA[1], live=DATA[2])
    plain = tmp_path / "log" / "000000000001.jsonl"
    plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes())[:-4])
    plain.unlink()
    assert shape(read(tmp_path)[0]) == [[1], [2, 3, 4]]
    reader = Reader(logread.segments(str(tmp_path)), thorough=True)
    assert list(reader.batches()) == []
    assert reader.damage is not None
    assert (reader.damage.code, reader.damage.line) == ("log-line", 0)


def test_batches_and_marks(tmp_path: Path) -> None:
    put(tmp_path, live=WHOLE)
    batches, reader = read(tmp_path)
    assert shape(batches) == [[1], [2, 3, 4], [5, 6]]
    assert [batch.mark for batch in batches] == [mark(1), mark(2), mark(3)]
    assert reader.mark == mark(3)
    assert reader.damage is None


@pytest.mark.parametrize("known", [1, 2, 3])
def test_reading_on_from_a_mark(tmp_path: Path, known: int) -> None:
    put(tmp_path, live=WHOLE)
    batches, reader = read(tmp_path, mark(known))
    assert shape(batches) == [[1], [2, 3, 4], [5, 6]][known:]
    assert (reader.mark, reader.damage) == (mark(3), None)


@pytest.mark.parametrize(
    ("closed", "live"),
    [(1, b"".join(DATA[1:])), (2, DATA[2]), (3, b""), (3, None)],
    ids=["1", "2", "3", "no live file"],
)
@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_the_chain_runs_across_segments(tmp_path: Path, closed: int, live: bytes | None, known: int) -> None:
    put(tmp_path, *DATA[:closed], live=live)
    whole, _ = read(tmp_path)
    start = whole[known - 1].mark if known else None
    batches, reader = read(tmp_path, start)
    assert [batch.mark for batch in batches] == [batch.mark for batch in whole][known:]
    assert reader.damage is None


@pytest.mark.parametrize("live", [None, b""])
def test_no_log_yet(tmp_path: Path, live: bytes | None) -> None:
    put(tmp_path, live=live)
    batches, reader = read(tmp_path)
    assert (batches, reader.mark, reader.damage) == ([], Mark(), None)


# --- the files


def test_segments_in_order(tmp_path: Path) -> None:
    files = put(tmp_path, *DATA[:2], live=DATA[2])
    log = tmp_path / "log"
    (log / "000000000002.jsonl").rename(log / "000000000002.jsonl.gz")
    for stranger in ("000000000009.jsonl.zst", "9.jsonl", "00000000000x.jsonl", "notes", "000000000009"):
        (log / stranger).write_text("")
    assert [first for first, _ in files] == [1, 2, 5]
    assert logread.segments(str(tmp_path)) == [
        (1, f"{log}/000000000001.jsonl"),
        (2, f"{log}/000000000002.jsonl.gz"),
        (5, f"{tmp_path}/log.jsonl"),
    ]


def test_a_second_name_of_the_live_segment_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, live=WHOLE)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "000000000001.jsonl").hardlink_to(tmp_path / "log.jsonl")
    assert logread.segments(str(tmp_path)) == [(1, f"{tmp_path}/log.jsonl")]


@pytest.mark.parametrize(
    ("live", "first"),
    [(b"", 0), (b"\0\0", 0), (b'{"event":"x"}\n', 0), (b'{"event":"x","seq":"1"}\n', 0), (DATA[2], 5)],
)
def test_first_seq_of_the_live_segment(tmp_path: Path, live: bytes, first: int) -> None:
    assert put(tmp_path, live=live) == [(first, f"{tmp_path}/log.jsonl")]


# --- damage


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(WHOLE)), st.integers(0, 900), st.binary(max_size=30))
@example(0, len(WHOLE), b"")
@example(len(DATA[0]), len(DATA[1]), b"")
def test_no_edit_makes_a_fact(tmp_path: Path, at: int, length: int, text: bytes) -> None:
    """Whatever a part of the log is replaced with: what is read is how the log began. Of the last line read only the
    next one's prev can tell, so that it alone may differ when there is no next one."""
    edited = WHOLE[:at] + text + WHOLE[at + length :]
    put(tmp_path, live=edited)
    batches, reader = read(tmp_path)
    marks = [batch.mark for batch in batches]
    assert marks[:-1] == [mark(1), mark(2), mark(3)][: len(marks[:-1])]
    if reader.damage is None:
        assert WHOLE.startswith(edited[: edited.rfind(b"\n", 0, -1) + 1])
    else:
        assert reader.damage.offset == reader.mark.offset


# where the last batch is damaged: (lines of it, in their places; the code, the line, torn)
LAST = DATA[2].splitlines(keepends=True)
TAILS = [
    ([LAST[0]], "log-torn", 0, True),
    ([LAST[0], LAST[1][:-1]], "log-line", 6, True),
    ([LAST[0][:-1]], "log-line", 5, True),
    ([b"\0" * 99 + b"\n", LAST[1]], "log-line", 5, True),
    ([LAST[0], LAST[1].replace(b'"end":5', b'"end":6')], "log-end", 6, False),
    ([LAST[0].replace(b'"x"', b'"y"'), LAST[1]], "log-chain", 6, True),
    ([LAST[0].replace(b'"prev":"', b'"prev":"f'), LAST[1]], "log-chain", 5, False),
    ([b'{"event":"x","end":9}\n'], "log-seq", 5, False),
]


@pytest.mark.parametrize(("lines", "code", "line", "torn"), TAILS)
@pytest.mark.parametrize("closed", [0, 2])
def test_what_is_wrong_with_the_last_batch(
    tmp_path: Path, lines: list[bytes], code: str, line: int, torn: bool, closed: int
) -> None:
    before = b"".join(DATA[closed:2])
    put(tmp_path, *DATA[:closed], live=before + b"".join(lines))
    batches, reader = read(tmp_path)
    assert shape(batches) == [[1], [2, 3, 4]]
    found = reader.damage
    assert found is not None
    assert (found.code, found.torn, found.offset) == (code, torn, len(before))
    assert found.path == f"{tmp_path}/log.jsonl"
    assert found.line == (line if not line or not closed else line - 4)
    assert found.seq == (line or 6)


def test_lines_are_counted_from_the_segments_start(tmp_path: Path) -> None:
    """Wherever the reading began."""
    put(tmp_path, live=WHOLE[:-9])
    for start in (None, mark(1), mark(2)):
        _, reader = read(tmp_path, start)
        assert reader.damage is not None
        assert reader.damage.line == 6


@pytest.mark.parametrize("line", [0, 7])
def test_damage_as_an_error(line: int) -> None:
    with pytest.raises(LogDamaged) as caught:
        logread.raise_damage(Damage("log-line", "the line is cut short", "log.jsonl", line, 9, 0, False))
    assert caught.value.code == "log-line"
    assert caught.value.path == ("log.jsonl, line 7" if line else "log.jsonl")
    assert "(seq 9): the line is cut short" in caught.value.message


# --- looking back


def test_the_line_before_an_offset(tmp_path: Path) -> None:
    put(tmp_path, live=WHOLE)
    path, at = str(tmp_path / "log.jsonl"), 0
    assert logread.line_hash_before(path, 0) == GENESIS
    ends = {}
    for line in WHOLE.splitlines(keepends=True):
        at += len(line)
        ends[at] = sha(line[:-1].decode())
    for offset in range(1, len(WHOLE) + 20):
        assert logread.line_hash_before(path, offset) == ends.get(offset), offset


@pytest.mark.parametrize("length", [65_534, 65_535, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("before", [b"", b"{}\n"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_line_before_may_be_long(tmp_path: Path, length: int, before: bytes, suffix: str) -> None:
    line = b"x" * length
    data = before + line + b"\n"
    path = tmp_path / f"segment{suffix}"
    path.write_bytes(gzip.compress(data, 1) if suffix else data)
    assert logread.line_hash_before(str(path), len(data)) == sha(line.decode())
    assert logread.line_hash_before(str(path), len(data) - 1) is None


@pytest.mark.parametrize(
    ("seq", "start"), [(1, Mark()), (2, 2), (4, 2), (5, 5), (6, 5), (99, 5)], ids=lambda value: str(value)[:6]
)
def test_the_mark_before_a_seq(tmp_path: Path, seq: int, start: Mark | int) -> None:
    """Offline, a part of the log is enough: what came before the segment is taken on trust."""
    files = put(tmp_path, *DATA[:2], live=DATA[2])
    found = logread.mark_before(files, seq)
    if isinstance(start, int):
        prev = mark(1 if start == 2 else 2).hash
        start = Mark(start - 1, prev, start, 0)
        (tmp_path / "log" / "000000000001.jsonl").unlink()
    assert found == start
    batches, reader = read(tmp_path, found)
    assert reader.damage is None
    assert shape(batches) == [[1], [2, 3, 4], [5, 6]][{0: 0, 1: 1, 4: 2}[start.seq] :]


# --- following


def grow(root: Path, *parts: bytes) -> None:
    with open(root / "log.jsonl", "ab") as file:
        for part in parts:
            file.write(part)


def news(follower: Follower) -> list[list[int]]:
    return shape(list(follower.news()))


def seems_torn(follower: Follower) -> bool:
    return follower.damage is not None and follower.damage.torn


def test_news_are_what_was_committed_since(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path))
    assert news(follower) == []
    grow(tmp_path, DATA[0])
    assert news(follower) == [[1]]
    assert news(follower) == []
    grow(tmp_path, DATA[1][:40])
    assert news(follower) == []
    assert seems_torn(follower), "a batch that is being written looks so"
    grow(tmp_path, DATA[1][40:], DATA[2])
    assert news(follower) == [[2, 3, 4], [5, 6]]
    assert follower.mark == mark(3)
    assert follower.damage is None


def test_news_go_on_after_a_rotation(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path), mark(1))
    grow(tmp_path, *DATA[:2])
    assert news(follower) == [[2, 3, 4]]
    put(tmp_path, b"".join(DATA[:2]), live=b"")
    assert news(follower) == []
    grow(tmp_path, DATA[2])
    assert news(follower) == [[5, 6]]
    assert follower.mark == mark(3, first=5, skipped=2)


def test_a_rotation_between_listing_and_reading_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list says the log is one file; when it is opened, that file has become a closed segment."""
    listed = put(tmp_path, live=b"".join(DATA[:2]))
    put(tmp_path, b"".join(DATA[:2]), live=DATA[2])
    real = logread.segments
    answers = iter([listed])
    monkeypatch.setattr(logread, "segments", lambda root: next(answers, None) or real(root))
    follower = Follower(str(tmp_path))
    assert news(follower) == [[1], [2, 3, 4], [5, 6]]
    assert follower.damage is None


def test_damage_ends_the_news(tmp_path: Path) -> None:
    grow(tmp_path, DATA[0], DATA[1].replace(b'"x"', b'"y"', 1), DATA[2])
    follower = Follower(str(tmp_path))
    assert news(follower) == [[1]]
    assert follower.damage is not None
    assert not follower.damage.torn


def test_events_come_as_they_were_written(tmp_path: Path) -> None:
    put(tmp_path, live=WHOLE)
    batches, _ = read(tmp_path)
    plain: list[list[Event]] = [
        [{name: value for name, value in event.items() if name not in ("prev", "end")} for event in batch.events]
        for batch in batches
    ]
    assert plain == BATCHES
