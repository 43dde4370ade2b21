"""The chain, looked at fast: nothing is found that the strict reader does not find, and nothing is overlooked."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskdir import chain, check, logread
from taskdir.logread import Damage, Mark, Reader

LINES = 60


def write(
    path: Path, sizes: list[int], first: int = 1, prev: str = logread.GENESIS, spoilt: tuple[bytes, bytes] = (b"", b"")
) -> str:
    """Write batches of so many events each, as a daemon would; returns the last line's hash.

    ``spoilt``: replaced by the other in each line before it is sealed.
    """
    seq = first - 1
    lines = []
    for size in sizes:
        begin = seq + 1
        for number in range(size):
            seq += 1
            event = {"seq": seq, "time": "2027-01-15T08:00:00.000000Z", "event": "noted", "by": f"n{seq}"}
            event |= {"sha256": "0" * 64, "message": "x" * (seq % 7), "prev": prev}
            event |= {"end": begin} if number == size - 1 else {}
            lines.append(json.dumps(event, separators=(",", ":")).encode().replace(*spoilt, 1))
            prev = hashlib.sha256(lines[-1]).hexdigest()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return prev


def found(paths: list[Path], *, fast: bool) -> tuple[Damage | None, Mark]:
    """Return the damage and where reading ended: by the strict reader alone, or with ``skip`` before it."""
    files = [(logread.first_seq(str(path)), str(path)) for path in paths]
    start = logread.mark_before(files[:1], files[0][0])
    if fast:
        start = chain.skip(files, start, (), {}, lambda count: None)
    reader = Reader(files, start, thorough=True)
    for _ in reader.batches():
        pass
    return reader.damage, reader.mark


@pytest.fixture
def log(tmp_path: Path) -> list[Path]:
    """Two closed segments, one of them compressed, and the live one."""
    dice = random.Random(3)
    sizes = [[dice.randint(1, 5) for _ in range(LINES // 10)] for _ in range(3)]
    first, prev, paths = 1, logread.GENESIS, []
    for number, batches in enumerate(sizes):
        path = tmp_path / "log.jsonl" if number == 2 else tmp_path / "log" / f"{first:012}.jsonl"
        prev = write(path, batches, first, prev)
        first += sum(batches)
        if number == 0:
            packed = path.with_name(path.name + ".gz")
            packed.write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
            path = packed
        paths.append(path)
    return paths


def test_a_sound_log_is_skipped_but_for_its_last_batch(log: list[Path]) -> None:
    files = [(logread.first_seq(str(path)), str(path)) for path in log]
    told: list[int] = []
    known: dict[int, str] = {}
    mark = chain.skip(files, Mark(), {1, 2, 5}, known, told.append)
    damage, last = found(log, fast=False)
    rest = Reader(files, mark, thorough=True)
    assert len(list(rest.batches())) == 1
    assert (damage, rest.damage, rest.mark) == (None, None, last)
    assert sum(told) == sum(path.stat().st_size for path in log)
    lines = gzip.decompress(log[0].read_bytes()).splitlines()
    assert known == {seq: hashlib.sha256(lines[seq - 1]).hexdigest() for seq in (1, 2, 5)}


def test_any_changed_byte_is_found_as_the_strict_reader_finds_it(log: list[Path]) -> None:
    """Every kind of change at places drawn by lot, among them each byte of a line's frame."""
    dice = random.Random(5)
    sound = {path: path.read_bytes() for path in log}
    codes = set()
    for number in range(250):
        path = dice.choice(log)
        changed = change(dice, sound[path])
        path.write_bytes(changed)
        damage, mark = found(log, fast=False)
        assert found(log, fast=True) == (damage, mark), (number, path.name, changed)
        codes.add(damage.code if damage else "sound")
        path.write_bytes(sound[path])
    assert codes >= {"log-line", "log-seq", "log-chain", "log-end", "log-torn", "log-segment", "sound"}, codes


def change(dice: random.Random, data: bytes) -> bytes:
    """Change a file at a place drawn by lot: a byte, some bytes, a line, a seq or an end."""
    at, lines = dice.randrange(len(data)), data.splitlines(keepends=True)
    line = dice.randrange(len(lines))
    changes: list[Callable[[], bytes]] = [
        lambda: data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :],
        lambda: data[:at] + data[at + dice.randint(1, 300) :],
        lambda: data[:at] + dice.choice([b"\n", b"{", b" ", b"\xff", b',"end":1}\n']) + data[at:],
        lambda: data[:at],
        lambda: b"".join(lines[:line] + lines[line + 1 :]),
        lambda: b"".join(lines[: line + 1]),
        lambda: data[:at] + data[at:].replace(b'"end":', b'"end":1', 1),
        lambda: data[:at] + data[at:].replace(b'"seq":', b'"seq":1', 1),
        lambda: data + dice.choice([b"", b"{", b"{}\n", lines[line]]),
    ]
    return dice.choice(changes)()


SEALED: dict[str, tuple[bytes, bytes, str | None]] = {
    "not ASCII": (b"xxx", "\u00e9".encode(), "log-line"),
    "another seq": (b'"seq":9,', b'"seq":10,', "log-seq"),
    "a seq that is none": (b'"seq":9,', b'"seq":9.0,', "log-seq"),
    "another end": (b'"end":9}', b'"end":8}', "log-end"),
    "an end too few": (b',"end":9}', b"}", "log-end"),
    "a prev of zeros": (b'"prev":"0', b'"prev":"1', "log-chain"),
    "members in another order": (b'"seq":9,"time"', b'"x-a":1,"seq":9,"time"', None),
    "spaces": (b'"seq":9,', b'"seq": 9 , ', None),
    "members behind the end": (b'"end":9}', b'"end":9,"x-a":1}', None),
}


@pytest.mark.parametrize(("old", "new", "code"), SEALED.values(), ids=SEALED)
def test_a_line_that_was_spoilt_before_it_was_sealed(old: bytes, new: bytes, code: str | None, tmp_path: Path) -> None:
    """No hash tells of these; and what only looks unusual is no fault."""
    path = tmp_path / "log.jsonl"
    write(path, [2, 2, 2, 2, 2, 2, 2], spoilt=(old, new))
    assert new in path.read_bytes()
    damage, mark = found([path], fast=True)
    assert (damage, mark) == found([path], fast=False)
    assert (damage.code if damage else None) == code


@pytest.mark.parametrize("take_away", [0, 1])
def test_a_missing_segment_is_found(log: list[Path], take_away: int) -> None:
    del log[take_away]
    assert found(log, fast=True) == found(log, fast=False)


def test_parts_by_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PART", 4000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    path = tmp_path / "long.jsonl"
    write(path, [3, 1, 20, 2] * 4)
    cuts = chain._cuts(str(path))
    assert len(cuts) == 3
    sound = path.read_bytes()
    told: list[int] = []
    known: dict[int, str] = {}
    mark = chain.skip([(1, str(path))], Mark(), {1, 103}, known, told.append)
    assert (mark.seq, sorted(known), sum(told)) == (102, [1, 103], len(sound))
    for at in (cuts[1] - 2, cuts[1] + 2, cuts[1] + 250, cuts[2] + 9, len(sound) - 40):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        assert found([path], fast=True) == found([path], fast=False), at


def test_parts_of_two_logs_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both halves are whole chains: only where they meet is anything wrong."""
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write(path, [2] * 30)
    write(other, [2] * 30, prev="1" * 64)
    monkeypatch.setattr(chain, "PART", path.stat().st_size // 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    (_, cut) = chain._cuts(str(path))
    path.write_bytes(path.read_bytes()[:cut] + other.read_bytes()[cut:])
    damage, _ = found([path], fast=True)
    assert damage is not None
    assert (damage, damage.code) == (found([path], fast=False)[0], "log-chain")


def test_a_long_batch_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PART", 100)
    monkeypatch.setattr(chain, "_BLOCK", 64)
    path = tmp_path / "long.jsonl"
    write(path, [50])
    assert chain._cuts(str(path)) == [0]
    assert found([path], fast=True) == found([path], fast=False)


def test_a_part_that_cannot_start_is_left_to_the_strict_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PART", 1000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    path = tmp_path / "long.jsonl"
    write(path, [2] * 30)
    assert check.check_files([str(path)], lambda count: None, deep=False).events == 60


def test_no_module_of_the_working_directory_is_run(tmp_path: Path) -> None:
    """A log may lie among files that nobody trusts."""
    path = tmp_path / "long.jsonl"
    write(path, [1, 1, 1])
    (tmp_path / "json.py").write_text("raise SystemExit('run')")
    words = [sys.executable, "-P", "-m", "taskdir.chain", path.name, "0", str(path.stat().st_size)]
    done = subprocess.run(words, cwd=tmp_path, input=b"[2]", capture_output=True, timeout=60, check=True)
    said = json.loads(done.stdout)
    assert (said["seq"], [mark[0] for mark in said["marks"]], list(said["known"]), said["stopped"]) == (
        1, [2, 3], ["2"], False
    )  # fmt: skip


def test_what_only_deep_finds(tmp_path: Path) -> None:
    """An event that cannot be, well sealed: the chain is whole, and it says so and no more."""
    path = tmp_path / "log.jsonl"
    write(path, [1, 2])
    fast = check.check_files([str(path)], lambda count: None, deep=False)
    assert (fast.findings, fast.level, fast.events) == ([], "chain", 3)
    deep = check.check_files([str(path)], lambda count: None)
    assert {each.code for each in deep.findings} == {"log-event"}
