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
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conformance import asking, lives
from conformance.asking import CHECKER, Driver, Found
from conformance.lives import Tree
from faults import ledger
from support.live import ENV
from taskdir import audit, checkpoint, compare, logread, strictjson
from taskdir.conformance import daemon, trees, vectors
from taskdir.documents import Now
from taskdir.precedence import Precedence

NODE = asking.node()
CHECKS = int(os.environ.get("TASKDIR_CHECKS", "600"))
SEED = int(os.environ.get("TASKDIR_SEED", "1"))
LIVES = max(6, CHECKS // 100)

pytestmark = pytest.mark.skipif(NODE is None, reason="NOT TESTED: the second auditor needs Node 20 or later")


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


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory for many short-lived roots: in memory, where there is such a place."""
    path = Path(tempfile.mkdtemp(prefix="taskdir-lot-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield path
    if not os.listdir(path):  # else it holds a root that somebody will want to look at
        path.rmdir()


@pytest.mark.timeout(7200)
def test_both_find_the_same_in_roots_drawn_by_lot(
    grown: list[Tree], driver: Driver, room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: Counter[str] = Counter()
    with ledger.entry("second auditor", seed=SEED, unit="roots") as entry:
        for number in range(CHECKS):
            case, root = asking.draw(SEED, number, grown), room / f"{number}"
            mine, theirs = asking.ask_both(driver, case, root)
            said = f"seed {SEED}, root {number} ({', '.join(case.harms)}), left at {root}"
            assert mine == theirs, (
                f"{said}\nonly ours: {sorted(mine - theirs, key=str)}\nonly theirs: {sorted(theirs - mine, key=str)}"
            )
            seen.update({code for code, _, _ in mine} or {"sound"})
            shutil.rmtree(root)
            entry.runs += 1
    with capsys.disabled():
        print(f"\nseed {SEED}: {CHECKS} roots, by what was found in them: {dict(seen.most_common())}")
    codes = {"log-line", "log-chain", "log-seq", "log-end", "log-event", "log-segment", "log-torn"}
    wanted = codes | {"view-missing", "view-differs", "view-stranger", "sound"}
    assert wanted <= seen.keys() or CHECKS < 300, f"the lot never fell on {wanted - seen.keys()}"


@pytest.fixture(scope="module")
def played(_no_device: None, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    return {
        (path.stem, end): trees.live(vectors.life(path.stem), end, tmp_path_factory.mktemp(path.stem))
        for path in vectors.files("trees")
        for end in ("stopped", "killed")
    }


def test_its_own_tests() -> None:
    command = [str(NODE), "--test", str(CHECKER.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=99, check=False)
    assert done.returncode == 0, done.stdout
    assert "# pass 0" not in done.stdout


def test_the_kit_for_daemons(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "taskdir", "conformance", "daemon", "--json", "--only=trees/*", "--only=logs/*"]
    done = subprocess.run([*command, "--", str(NODE), CHECKER], capture_output=True, text=True, env=ENV, check=False)
    report = json.loads(done.stdout)
    assert [case for case in report["cases"] if case["verdict"] == "failed"] == []
    assert (done.returncode, report["ok"]) == (0, True)
    skipped = [case["name"] for case in report["cases"] if case["verdict"] == "skipped"]
    assert len(skipped) < 25, f"only what is about the index is left out: {skipped}"
    assert report["counts"]["passed"] > 240


def test_requests_that_cannot_be_carried_out(driver: Driver, tmp_path: Path) -> None:
    driver.send(do="hello")
    driver.send(do="fly")
    driver.send(do="check-log", files=[str(tmp_path / "none")])
    driver.send(do="check", root=str(tmp_path))
    assert driver.receive()["offers"] == ["check", "check-log", "checkpoint"]
    assert "error" in driver.receive()
    assert driver.receive() == {"error": f"{tmp_path / 'none'}: there is no such file"}
    assert driver.receive() == {"findings": []}


def test_the_command(tmp_path: Path) -> None:
    def play(*words: str | Path) -> tuple[int, str]:
        done = subprocess.run([str(NODE), CHECKER, *words], capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout

    root = tmp_path / "root"
    for verb in (["init"], ["run", "--once"]):
        subprocess.run(
            [sys.executable, "-m", "taskdir", "--root", root, *verb, *([root] if verb == ["init"] else [])],
            env=ENV,
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
    (root / "done" / "ghost.json").unlink()
    kept, log = tmp_path / "kept.jsonl", root / "log.jsonl"
    for time in ("2027-01-15T08:00:00.000000Z", "2027-01-15T08:00:01.000000Z"):
        with kept.open("a") as file:
            file.write(strictjson.dumps(checkpoint.take(str(root), Now(0.0, time)).as_dict()) + "\n")
    assert play("--checkpoint", kept, root) == (0, "")
    kept.write_text(kept.read_text().replace('"hash":"', '"hash":"0', 1))
    assert play("--checkpoint", kept, root)[0] == 65
    log.write_bytes(log.read_bytes().replace(b'"version":"', b'"version":"9', 1))
    trees.Damage(root).rechain({})
    kept.write_text(kept.read_text().replace('"hash":"0', '"hash":"', 1))
    code, said = play("--checkpoint", kept, root)
    assert (code, said.count("[log-checkpoint]")) == (1, 2)


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
    "any log bears a checkpoint out": ("checkpoints.mjs", "this.hashes.get(seq) !== hash ||", "false &&"),
    "capacity is endless": ("tree.mjs", "settings?.resources.get(name) ?? 1", "99"),
}  # fmt: skip
FEW = 50
together = pytest.mark.xdist_group("second-checker")  # they share a fixture that takes a while


class Shown(NamedTuple):
    """A root on disk, whether its daemon seems to run, what its index tells, and what we find in it."""

    root: Path
    live: bool
    told: dict[str, Any]
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
    made: list[tuple[Path, bool, list[dict[str, Any]]]] = [(root, case.live, []) for root, case in roots]
    for number, (_, life, vector) in enumerate(vectors.trees()):
        root = base / f"{life}-{number}"
        shutil.copytree(played[life, daemon.end_of(vector)], root, symlinks=True)
        damage = trees.Damage(root)
        for operation in vector["damage"]:
            damage.do(operation)
        made.append((root, vector.get("daemon") == "running", damage.checkpoints))
    found = []
    for root, live, kept in made:
        found.append(Shown(root, live, {**daemon.told(root), "checkpoints": kept}, _ours(root, live, kept)))
    return found


def _ours(root: Path, live: bool, checkpoints: list[dict[str, Any]]) -> Found:
    with asking.running(root, live):
        return asking.ours(root, checkpoints)


def disagreements(command: list[str | Path], shown: list[Shown]) -> Iterator[Path]:
    driver = Driver(*command)
    try:
        for root, live, told, found in shown:
            with asking.running(root, live):
                driver.send(do="check", root=str(root), **told)
                if asking.findings(driver.receive()) != found:
                    yield root
    finally:
        driver.close()


@together
def test_without_a_fault_they_agree(shown: list[Shown]) -> None:
    assert NODE is not None
    assert list(disagreements([NODE, CHECKER], shown)) == []


@together
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


@together
def test_a_fault_of_ours_is_seen(shown: list[Shown], monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[tuple[Any, str, Any]] = [
        (Precedence, "fault", lambda self, event: None),
        (audit, "schema_fault", lambda event: None),
        (compare, "_refusals", lambda shown, refused: iter(())),
        (compare, "_too_early", lambda index, task, look: None),
        (logread, "unpacks", lambda path: True),
    ]
    for place, name, nothing in faults:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, nothing)
            assert any(_spoilt(each) != each.found for each in shown), f"no root shows that {name} does nothing"


def _spoilt(each: Shown) -> Found | None:
    try:
        return _ours(each.root, each.live, each.told["checkpoints"])
    except (KeyError, TypeError, AttributeError):  # what the skipped rule would have kept out
        return None
