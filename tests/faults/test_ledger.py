"""The ledger of the testers: what it keeps of a run that went well and of one that did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import ledger


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the ledger lies, in a tier and with a seed of our choice."""
    for name in ledger._KNOBS:  # in a night they are set
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TASKDIR_LEDGER", str(tmp_path / "deep/ledger.jsonl"))
    monkeypatch.setenv("TASKDIR_TORTURE", "1")
    monkeypatch.setenv("TASKDIR_SEED", "7")
    return tmp_path / "deep/ledger.jsonl"


def test_a_good_run_and_a_bad_one_are_both_kept(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = ledger.seed()
    with ledger.entry("kills", seed=seed, unit="kills") as entry:
        entry.runs += 300
    with pytest.raises(AssertionError), ledger.entry("kills", seed=seed) as entry:  # noqa: PT012
        entry.runs += 1
        entry.findings.append("a told one")
        assert entry.runs == 2, "a task was lost"
    good, bad = ledger.read(path)
    assert (good["tester"], good["runs"], good["unit"], good["seed"]) == ("kills", 300, "kills", 7)
    assert (good["findings"], good["tier"]) == ([], "nightly")
    assert (bad["runs"], bad["findings"]) == (1, ["a told one", "AssertionError: a task was lost"])
    here = "tests/faults/test_ledger.py::test_a_good_run_and_a_bad_one_are_both_kept"
    line = f"TASKDIR_TORTURE=1 TASKDIR_SEED=7 .venv/bin/python -m pytest -n0 {here}"
    assert bad["replay"] == line
    assert f"replay: {line}\n" in capsys.readouterr().out


def test_no_environment_draws_a_seed_in_the_small_tier(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKDIR_SEED")
    monkeypatch.setenv("TASKDIR_TORTURE", "0")
    assert not ledger.torture()
    assert ledger.seed() > 0
    ledger.note(tester="attacks", runs=40, seed=None, seconds=1.25)
    (line,) = ledger.read(path)
    assert (line["tier"], line["seed"], line["seconds"], line["findings"]) == ("change", None, 1.2, [])
    assert "TASKDIR_SEED" not in str(line["replay"])
