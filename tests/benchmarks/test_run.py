"""Each part of a benchmark, as small as can be: it leaves its figures; table, page and plots can be made of them."""

from __future__ import annotations

import io
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bench import ground, history, page, run, table
from bench.parts import rates, rest, starts
from bench.peers.files import BareRename, Floor
from bench.sizes import Bench, Sizes

TINY = Sizes(20, 1, 2, 1, (20, 60), 10, 300, 0.1, (1, 2), 50)
LETTERS = {
    "abc": {"peers", "few", "phases", "beside"},
    "dh": {"starts", "latency"},
    "e": {"waiting", "restart waiting"},
    "f": {"waiting", "restart waiting", "restart history"},
    "gj": {"rest", "batch"},
    "i": {"agents", "phases"},
}


def measured(letters: str, under: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run parts on the ground as it is, without the peers that want servers or libraries."""
    monkeypatch.setattr(rates, "RIVALS", (Floor, BareRename))
    monkeypatch.setattr(rates, "BESIDE", ())
    monkeypatch.setattr(rest, "SETTLE", 0.1)
    monkeypatch.setattr(rest, "SLEEP", 0.01)
    monkeypatch.setattr(starts, "AGAIN", 1)
    monkeypatch.setattr(history, "SEGMENT", 100_000)
    kept = list[dict[str, Any]]()
    told = run.run(TINY, "here", str(under), letters, quick=True, keep=kept.append)
    assert kept[-1]["series"] == told["series"], "what a broken run leaves is not what there was"
    return told


@pytest.mark.parametrize("letters", ["abc", "dh", "f", "gj", "i"])
def test_a_part_leaves_its_figures(letters: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(json.dumps(measured(letters, tmp_path, monkeypatch)))
    assert set(told["series"]) == LETTERS[letters]
    assert not told["skipped"]
    assert list(tmp_path.iterdir()) == [], "something was left behind"
    assert {each["verdict"] for each in told["goals"] if each["part"] in "abdefij"} == {"not judged"}
    assert "no file system of our own" in told["file_system"]
    text = table.table(told)
    for name in ("date", "file_system"):
        assert told[name] in text
    assert told["machine"]["cpu"] in text
    written = page.markdown(told, None)
    assert all(title in written for title, _ in table.sections(told))
    for svg in page.pictures(told).values():
        assert ET.fromstring(svg).tag.endswith("svg")


def test_a_part_that_fails_is_told_and_ends_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(bench: Bench) -> None:
        raise OSError("planted")

    def works(bench: Bench) -> None:
        bench.series["worked"] = True

    monkeypatch.setattr(run, "PARTS", (("a", fails), ("b", works)))
    told = measured("ab", tmp_path, monkeypatch)
    assert told["series"] == {"worked": True}
    assert "planted" in table.table(told)
    assert "planted" in page.markdown(told, None)


def test_a_file_system_of_its_own_is_always_unmounted(tmp_path: Path) -> None:
    seen = list[str]()

    def interrupted() -> None:
        with ground.ground("ext4", str(tmp_path)) as where:
            if not where.judged:
                pytest.skip("NOT TESTED: no loop mounts here")
            assert os.path.ismount(where.path)
            seen.append(where.path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not os.path.exists(seen[0])
    assert list(tmp_path.iterdir()) == []


def test_without_root_it_runs_on_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    said = list[str]()
    with ground.ground("ext4", str(tmp_path), said.append) as where:
        assert not where.judged
        assert os.path.isdir(where.path)
    assert said == ["no ext4 of our own: that needs root"]


def test_a_process_in_no_group_says_its_own_nice(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"/proc/sys/kernel/sched_autogroup_enabled": b"1\n", "/proc/self/autogroup": b""}
    monkeypatch.setattr(ground, "open", lambda path, mode: io.BytesIO(shown[path]), raising=False)
    assert ground._nice() == os.nice(0)
    shown["/proc/self/autogroup"] = b"/autogroup-7 nice 3\n"
    assert ground._nice() == 3
