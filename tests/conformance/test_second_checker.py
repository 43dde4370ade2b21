"""Two auditors, one written from SPEC.md in another language, find the same in roots drawn by lot: both directions.

``TASKDIR_CHECKS`` says how many roots, ``TASKDIR_SEED`` which; ``make torture`` draws 10,000. A disagreement is a fault
of ours, of theirs, or a hole in SPEC.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conformance import asking, lives, trees
from conformance.asking import CHECKER, Driver, Found
from conformance.lives import Tree
from taskdir import audit, compare, logread
from taskdir.precedence import Precedence

NODE = asking.node()
CHECKS = int(os.environ.get("TASKDIR_CHECKS", "600"))
SEED = int(os.environ.get("TASKDIR_SEED", "1"))
LIVES = max(6, CHECKS // 100)
VECTORS = sorted((Path(__file__).parent / "vectors" / "trees").glob("*.json"))

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="NOT TESTED: the second auditor needs Node 20 or later"),
    pytest.mark.xdist_group("second-checker"),
]


@pytest.fixture(autouse=True, scope="module")
def _no_device() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, lambda fd: None, raising=False)
        yield


@pytest.fixture(scope="module")
def grown(_no_device: None, tmp_path_factory: pytest.TempPathFactory) -> list[Tree]:
    base = tmp_path_factory.mktemp("lives")
    return [tree for number in range(LIVES) for tree in lives.grow(SEED * 1000 + number, base)]


@pytest.fixture
def driver() -> Iterator[Driver]:
    assert NODE is not None
    driver = Driver(NODE, CHECKER)
    yield driver
    assert driver.close() == 0


@pytest.mark.timeout(3600)
def test_both_find_the_same_in_roots_drawn_by_lot(grown: list[Tree], driver: Driver, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for number in range(CHECKS):
        case, root = asking.draw(SEED, number, grown), tmp_path / f"{number}"
        mine, theirs = asking.ask_both(driver, case, root)
        said = f"seed {SEED}, root {number} ({', '.join(case.harms)}), left at {root}"
        assert mine == theirs, (
            f"{said}\nonly ours: {sorted(mine - theirs, key=str)}\nonly theirs: {sorted(theirs - mine, key=str)}"
        )
        seen.update({code for code, _, _ in mine} or {"sound"})
        shutil.rmtree(root)
    print(f"seed {SEED}: {CHECKS} roots, by what was found in them: {dict(seen.most_common())}")
    codes = {"log-line", "log-chain", "log-seq", "log-end", "log-event", "log-segment", "log-torn"}
    wanted = codes | {"view-missing", "view-differs", "view-stranger", "sound"}
    assert wanted <= seen.keys(), f"the lot never fell on {wanted - seen.keys()}"


def vectors() -> Iterator[Any]:
    for path in VECTORS:
        for case in json.loads(path.read_bytes())["cases"]:
            yield pytest.param(path.stem, case, id=f"{path.stem}: {case['description']}")


@pytest.fixture(scope="module")
def played(_no_device: None, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    return {
        (path.stem, end): trees.live(json.loads(path.read_bytes())["life"], end, tmp_path_factory.mktemp(path.stem))
        for path in VECTORS
        for end in ("stopped", "killed")
    }


@pytest.fixture(scope="module")
def patient() -> Iterator[Driver]:
    assert NODE is not None
    driver = Driver(NODE, CHECKER)
    yield driver
    driver.close()


@pytest.mark.parametrize(("life", "case"), list(vectors()))
def test_tree_vector(
    life: str, case: dict[str, Any], played: dict[tuple[str, str], Path], patient: Driver, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    _harmed(played, life, case, root)
    about = asking.told(root)
    with asking.running(root, case.get("daemon") == "running"):
        patient.send(do="check", root=str(root), **about)
        found = asking.findings(patient.receive())
    wanted = {(each["code"], each["file"], each.get("line")) for each in case["findings"]}
    assert found == {each for each in wanted if not each[0].startswith("index-")}
    if files := [path for _, path in logread.segments(str(root))]:
        patient.send(do="check-log", files=files)
        alone = asking.findings(patient.receive())
        inside = {(code, os.path.relpath(root / place, root), line) for code, place, line in alone}
        about_log = [each for each in case["findings"] if each["code"].startswith("log-") or each["code"] == "p6"]
        told = case.get("log_alone", about_log)
        assert inside == {(each["code"], each["file"], each.get("line")) for each in told}


def _harmed(played: dict[tuple[str, str], Path], life: str, case: dict[str, Any], root: Path) -> None:
    """Copy what a life left to ``root``, and do a vector's damage to it."""
    end = "stopped" if case.get("daemon", "stopped") == "stopped" else "killed"
    shutil.copytree(played[life, end], root, symlinks=True)
    damage = trees.Damage(root)
    for operation in case["damage"]:
        damage.do(operation)


def test_requests_that_cannot_be_carried_out(driver: Driver, tmp_path: Path) -> None:
    driver.send(do="hello")
    driver.send(do="fly")
    driver.send(do="check-log", files=[str(tmp_path / "none")])
    driver.send(do="check", root=str(tmp_path))
    assert driver.receive()["offers"] == ["check", "check-log"]
    assert "error" in driver.receive()
    assert driver.receive() == {"error": f"{tmp_path / 'none'}: there is no such file"}
    assert driver.receive() == {"findings": []}


def test_the_command(tmp_path: Path) -> None:
    def play(*words: str | Path) -> tuple[int, str]:
        done = subprocess.run([str(NODE), CHECKER, *words], capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout

    root = tmp_path / "root"
    env = {**os.environ, "PYTHONPATH": str(asking.HOUSE / "daemon")}
    for verb in (["init"], ["run", "--once"]):
        subprocess.run(
            [sys.executable, "-m", "taskdir", "--root", root, *verb, *([root] if verb == ["init"] else [])],
            env=env,
            check=True,
        )
    assert play(root) == (0, "")
    assert play("--json", root) == (0, '{"ok":true,"findings":[]}\n')
    (root / "done" / "ghost.json").write_text("{}")
    code, said = play(root, root)
    assert code == 1
    assert said.splitlines() == [f"error: {root}/done/ghost.json: the log does not call for it [view-stranger]"] * 2
    assert json.loads(play("--json", root)[1])["findings"][0]["place"] == "done/ghost.json"
    assert play(tmp_path)[0] == 66
    assert play("--jsn", root)[0] == 2
    assert play("--published", "x", root)[0] == 2


# --- the test sees faults: of theirs, planted into a copy, and of ours

PLANTED: dict[str, tuple[str, str, str]] = {
    "a key may stand twice": ("json.mjs", "this.note('json-duplicate-key'", "void ('json-duplicate-key'"),
    "1.0 is written as 1": ("json.mjs", "whole.slice(exponent + 1) || '0'", "whole.slice(exponent + 1)"),
    "lines may be as deep as they like": ("log.mjs", "const DEPTH = 33", "const DEPTH = 99"),
    "the chain is not looked at": ("log.mjs", "if (event.get('prev') !== prev) return 'log-chain';", ""),
    "no tail is torn": ("log.mjs", "return highest <= batchFirst", "return false"),
    "a file in log/ may lack": ("log.mjs", "if (first !== seq + 1 && ", "if (first < seq + 1 && "),
    "anybody may end a claim": ("replay.mjs", "event.get('agent') !== task.agent", "false"),
    "a token may be anything": ("replay.mjs", "event.get('attempt') !== task.attempt", "false"),
    "a token does not rise": ("replay.mjs", "task.attempt += 1", "task.attempt += 0"),
    "dependencies do not block": ("replay.mjs", "task.unmet.size > 0", "false"),
    "failed needs no claim": ("replay.mjs", "!this.around.ended.has(event.get('id'))", "false"),
    "versions may jump": ("replay.mjs", "event.get('version') === before + 1", "true"),
    "done/ may be edited": ("tree.mjs", "found !== sha256(recordBytes(task))", "false"),
    "strangers in rejected/": ("tree.mjs", "if (!known) yield", "if (false) yield"),
    "offers may be edited": ("tree.mjs", "found !== sha256(offerBytes", "found === sha256(offerBytes"),
    "state/ may lack entries": ("tree.mjs", "{ code: 'view-missing', place: `state", "{ code: '', place: `state"),
    "capacity is endless": ("tree.mjs", "settings?.resources.get(name) ?? 1", "99"),
}  # fmt: skip
FEW = 80


class Shown(NamedTuple):
    """A root on disk, whether its daemon seems to run, and what we find in it."""

    root: Path
    live: bool
    found: Found


@pytest.fixture(scope="module")
def shown(
    grown: list[Tree], played: dict[tuple[str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Shown]:
    """Every tree vector, and some roots drawn by lot: something of each kind."""
    base = tmp_path_factory.mktemp("shown")
    roots = [(base / f"{number}", asking.draw(-1, number, grown)) for number in range(FEW)]
    for root, case in roots:
        lives.write_tree(case.tree, root)
    made = [(root, case.live) for root, case in roots]
    for path in VECTORS:
        for number, vector in enumerate(json.loads(path.read_bytes())["cases"]):
            made.append((base / f"{path.stem}-{number}", vector.get("daemon") == "running"))
            _harmed(played, path.stem, vector, made[-1][0])
    return [Shown(root, live, _ours(root, live)) for root, live in made]


def _ours(root: Path, live: bool) -> Found:
    with asking.running(root, live):
        return asking.ours(root)


def disagreements(command: list[str | Path], shown: list[Shown]) -> Iterator[Path]:
    driver = Driver(*command)
    try:
        for root, live, found in shown:
            with asking.running(root, live):
                driver.send(do="check", root=str(root), **asking.told(root))
                if asking.findings(driver.receive()) != found:
                    yield root
    finally:
        driver.close()


def test_without_a_fault_they_agree(shown: list[Shown]) -> None:
    assert NODE is not None
    assert list(disagreements([NODE, CHECKER], shown)) == []


@pytest.mark.parametrize(("file", "old", "new"), PLANTED.values(), ids=PLANTED)
def test_a_fault_of_theirs_is_seen(file: str, old: str, new: str, shown: list[Shown], tmp_path: Path) -> None:
    assert NODE is not None
    shutil.copytree(CHECKER.parent, tmp_path / "adapters" / "checker")
    shutil.copytree(asking.HOUSE / "schemas", tmp_path / "schemas")
    path = tmp_path / "adapters" / "checker" / file
    text = path.read_text()
    assert text.count(old) >= 1, f"nothing to spoil in {file}: {old}"
    path.write_text(text.replace(old, new))
    assert any(disagreements([NODE, path.with_name("check.mjs")], shown)), "no root showed the fault"


def test_a_fault_of_ours_is_seen(shown: list[Shown], monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[tuple[Any, str, Any]] = [
        (Precedence, "fault", lambda self, event: None),
        (audit, "schema_fault", lambda event: None),
        (compare, "_refusals", lambda shown, refused: iter(())),
        (compare, "_too_early", lambda index, task, look: None),
        (logread, "_unpacks", lambda path: True),
    ]
    for place, name, nothing in faults:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, nothing)
            assert any(_spoilt(each) != each.found for each in shown), f"no root shows that {name} does nothing"


def _spoilt(each: Shown) -> Found | None:
    try:
        return _ours(each.root, each.live)
    except (KeyError, TypeError, AttributeError):  # what the skipped rule would have kept out
        return None
