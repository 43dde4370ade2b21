"""Checkpoints: what is taken, how files of them are read, and that edits of the past are found (P11)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.chain import Chain
from taskdir import check, checkpoint
from taskdir.checkpoint import Checkpoint, Witness
from taskdir.cli import main
from taskdir.conformance.trees import Damage
from taskdir.documents import Now
from taskdir.errors import Invalid, LogDamaged, Missing

NOW = Now(0.0, "2026-01-02T04:00:00.000000Z")


def ignore(count: int) -> None:
    """No progress is shown."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a log of several batches, and what came before in a closed segment."""
    chain = Chain()
    for number in range(6):
        chain.add(
            *({"event": "noted", "by": f"n{number}-{each}", "sha256": "a" * 64, "message": "m"} for each in "abc")
        )
    root = tmp_path / "root"
    chain.write(root)
    lines = (root / "log.jsonl").read_text().splitlines(keepends=True)
    (root / "log").mkdir()
    (root / "log/000000000001.jsonl").write_text("".join(lines[:5]))
    (root / "log.jsonl").write_text("".join(lines[5:]))
    return root


def found(root: Path, *checkpoints: Checkpoint) -> set[tuple[str, str]]:
    """Check the root, the log's files alone and their chain alone: all three say the same about checkpoints."""
    files = [*map(str, sorted((root / "log").iterdir())), str(root / "log.jsonl")]
    reports = [
        check.check_files(files, ignore, checkpoints),
        check.check_files(files, ignore, checkpoints, deep=False),
        check.check_root(str(root), ignore, lambda seconds: None, checkpoints),
    ]
    told = [
        {(each.code, each.message) for each in report.findings if each.code == "log-checkpoint"} for report in reports
    ]
    assert told[0] == told[1] == told[2], told
    assert {report.checkpoints for report in reports} == {len(set(checkpoints))}
    return told[0]


def test_every_edit_before_a_checkpoint_is_found_though_the_chain_is_made_right(root: Path, tmp_path: Path) -> None:
    """For each line: changed, taken out, put in twice; each time the whole chain is sealed anew."""
    kept = checkpoint.take(str(root), NOW)
    assert found(root, kept) == set()
    files = [("log/000000000001.jsonl", 5), ("log.jsonl", kept.seq - 5)]
    for file, count in files:
        for line in range(1, count + 1):
            for verb in ("replace", "drop_line", "repeat_line"):
                copy = tmp_path / "copy"
                shutil.copytree(root, copy)
                damage = Damage(copy)
                damage.do({verb: file, "line": line, "text": "2026-", "by": "2025-"})
                damage.rechain({})
                assert found(copy, kept), (file, line, verb)
                shutil.rmtree(copy)


def test_any_line_may_be_named_not_only_a_last_one(root: Path) -> None:
    lines = b"".join(path.read_bytes() for path in (root / "log/000000000001.jsonl", root / "log.jsonl")).splitlines()
    kept = checkpoint.take(str(root), NOW)
    prevs = [json.loads(line)["prev"] for line in lines]
    all_of_them = [Checkpoint(seq, prevs[seq], kept.log, NOW.text) for seq in range(1, len(lines))]
    assert found(root, *all_of_them, kept) == set()
    off = [Checkpoint(each.seq, each.hash[::-1], kept.log, NOW.text) for each in all_of_them]
    assert len(found(root, *off)) == len(off)


def test_a_log_cut_off_another_log_and_a_part(root: Path) -> None:
    kept = checkpoint.take(str(root), NOW)
    (said,) = found(root, Checkpoint(kept.seq, kept.hash, "0" * 64, NOW.text))
    assert "another log" in said[1]
    (said,) = found(root, Checkpoint(kept.seq + 1, kept.hash, kept.log, NOW.text))
    assert "cut off" in said[1]
    early = Checkpoint(2, "0" * 64, kept.log, NOW.text)
    report = check.check_files([str(root / "log.jsonl")], ignore, [early, kept])
    assert [each.code for each in report.findings] == ["log-checkpoint"], "the later one is borne out"
    assert "nothing is proven" in report.findings[0].message


def test_what_is_taken(root: Path, tmp_path: Path) -> None:
    log = root / "log.jsonl"
    whole = log.read_bytes()
    kept = checkpoint.take(str(root), NOW)
    log.write_bytes(whole + b'{"seq":')
    assert checkpoint.take(str(root), NOW) == kept, "a torn tail is no part of it"
    log.write_bytes(b"")
    assert checkpoint.take(str(root), NOW).seq == 5
    log.write_bytes(whole.replace(b'"message"', b'"massage"', 1))
    with pytest.raises(LogDamaged):
        checkpoint.take(str(root), NOW)
    log.write_bytes(whole[:40])
    shutil.rmtree(root / "log")
    with pytest.raises(Missing):
        checkpoint.take(str(root), NOW)
    with pytest.raises(Missing):
        checkpoint.take(str(tmp_path), NOW)


GOOD: dict[str, Any] = {"seq": 1, "hash": "a" * 64, "log": "b" * 64, "time": NOW.text}
LINE = json.dumps(GOOD)


@pytest.mark.parametrize(
    ("text", "count"), [(LINE, 1), (f"{LINE}\n", 1), (f"\n{LINE}\n\n{LINE}\n", 2), (json.dumps(GOOD, indent=1), 1)]
)
def test_files_of_checkpoints(text: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text(text)
    assert checkpoint.read(str(tmp_path / "kept")) == [Checkpoint(**GOOD)] * count


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("", "json-syntax", ""),
        ("\n \n", "json-syntax", ""),
        ("{", "json-syntax", ""),
        (f"{LINE}\n{{\n", "json-syntax", ":2"),
        (f'{LINE}\n{{"seq": 1}}\n', "missing-field", ":2"),
        (LINE.replace(": 1,", ": 1.0,"), "wrong-type", ""),
        (LINE.replace(": 1,", ': 1, "seq": 1,'), "json-duplicate-key", ""),
    ],
)
def test_bad_files_of_checkpoints(text: str, code: str, where: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text(text)
    with pytest.raises(Invalid) as caught:
        checkpoint.read(str(path))
    assert (caught.value.code, caught.value.path) == (code, f"{path}{where}")


def test_no_file_of_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        checkpoint.read(str(tmp_path / "none"))
    with pytest.raises(Invalid, match="directory"):
        checkpoint.read(str(tmp_path))


def test_from_the_command_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the README has it: one line a day into a file that lies elsewhere."""

    def play(*words: str | Path) -> tuple[int, str]:
        code = main(["--root", str(root), *map(str, words)])
        return code, capsys.readouterr().out

    code, line = play("log", "checkpoint")
    assert (code, line.count("\n"), json.loads(line)["seq"]) == (0, 1, 20)
    kept = tmp_path / "kept.jsonl"
    kept.write_text(line * 2)
    log: tuple[Any, ...] = ("--log", root / "log/000000000001.jsonl", root / "log.jsonl")
    for words in ((), log, (*log, "--deep")):
        assert play("check", "--json", "--checkpoint", kept, *words)[0] == 0
    damage = Damage(root)
    damage.do({"replace": "log.jsonl", "line": 2, "text": "2026-", "by": "2025-"})
    damage.rechain({})
    for words in ((), log, (*log, "--deep"), (log[0], "--whole", log[1])):
        code, said = play("check", "--json", "--checkpoint", kept, *words)
        assert (code, [each["code"] for each in json.loads(said)["findings"]]) == (1, ["log-checkpoint"]), words
    assert play("check", *log)[0] == 0, "without the checkpoint nobody can tell"
    assert play("check", "--checkpoint", tmp_path / "none")[0] == 66
    kept.write_text("{}")
    assert play("check", "--checkpoint", kept)[0] == 65
    assert play("log", "checkpoint", "--follow")[0] == 2


def test_a_witness_without_checkpoints_looks_at_nothing() -> None:
    assert (Witness([]).wanted, Witness([]).findings("log.jsonl", 0)) == (frozenset(), [])
