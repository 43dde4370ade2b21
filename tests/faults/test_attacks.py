"""Every attack of attacks.py is made, and what comes of it is what the table says; the page is made of the table."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import attacks, ledger
from faults.attacks import OTHER, SAME, Attack, Scene
from taskdir import check, checkpoint, claims, compare, entries
from taskdir.checkpoint import Checkpoint
from taskdir.documents import Now
from taskdir.errors import Busy, TaskdirError

NOBODY = 65534


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory that another user may enter."""
    directory = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    os.chmod(directory, 0o755)
    before = os.umask(0o022)
    yield Path(directory)
    os.umask(before)
    shutil.rmtree(directory)


def codes(root: str, checkpoints: list[Checkpoint]) -> set[str]:
    """Return the codes of what ``check`` finds."""
    try:
        found = check.check_root(root, lambda count: None, lambda seconds: None, checkpoints)
    except TaskdirError as error:
        return {error.code}
    return {each.code for each in found.findings}


def settle(scene: Scene) -> None:
    """Let the daemon come to rest, if what the attack left lets it."""
    for _ in range(3):
        scene.clock.seconds += 2
        try:
            scene.passes()
        except TaskdirError:
            if scene.daemon is not None:
                scene.daemon.abandon()
                scene.daemon = None
            return


def as_same_user(room: Path, attack: Attack) -> set[str]:
    """Make an attack; returns what shows it, in words such as ``wrong`` looks for."""
    scene = Scene(room)
    taken = checkpoint.take(str(scene.root), Now(0.0, scene.clock.now().text))
    succeeded = attack.act(scene)
    before = codes(str(scene.root), [])
    against = codes(str(scene.root), [taken]) - before
    settle(scene)
    after = codes(str(scene.root), [])
    shown = {f"found: {code}" for code in after | (before if attack.outcome == "found" else set())}
    shown |= {f"found against a checkpoint: {code}" for code in against}
    try:
        since = [json.loads(line) for line in scene.lines()[taken.seq :]]
    except ValueError:
        since = []
    shown |= {f"prevented: {event['code']}" for event in since if event["event"] == "breach"}
    refused = [event for event in since if event["event"] in ("rejected", "late", "refused")]
    shown |= {f"prevented: {event['reason']['code']}" for event in refused}
    shown |= {f"told: {event['event']}" for event in since}
    shown |= set() if after else {"prevented: "}
    if succeeded is not None and succeeded():
        shown.add("open: ")
    if scene.daemon is not None:
        scene.daemon.abandon()
    return shown


def wrong(attack: Attack, shown: set[str]) -> list[str]:
    """Return what is not as the table says, in words."""
    faults = [] if f"{attack.outcome}: {attack.code}" in shown else [f"{attack.outcome}: {attack.code} does not show"]
    if attack.outcome != "found":
        faults += sorted(word for word in shown if word.startswith("found: "))
    if attack.outcome == "open":
        faults += sorted(word for word in shown if word.startswith("prevented: ") and word != "prevented: ")
    return faults


@pytest.mark.parametrize("attack", SAME, ids=lambda attack: attack.what[:50])
def test_as_the_same_user(base: Path, attack: Attack) -> None:
    with ledger.entry("attacks", seed=None, unit="attacks") as entry:
        assert wrong(attack, as_same_user(base / "room", attack)) == []
        entry.runs += 1


def as_another_user(scene: Scene, attack: Attack) -> str:
    """Make an attack as nobody in a process of its own; returns the name of the error that stopped it, "" if none did.

    What it holds it holds until a good task has gone its way: that is asked for here, too.
    """
    ask, answer = os.pipe()
    go, hold = os.pipe()
    child = os.fork()
    if child == 0:
        done = False
        try:
            os.close(hold)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            succeeded = attack.act(scene)
            os.write(answer, b"\n")
            os.read(go, 1)
            done = succeeded is None or succeeded()
        except OSError as error:
            os.write(answer, errno.errorcode[error.errno or 0].encode() + b"\n")
        finally:
            os._exit(0 if done else 1)
    os.close(answer)
    os.close(go)
    try:
        with open(ask) as words:
            told = words.readline().strip()
        if scene.daemon is None and not told:
            with pytest.raises(Busy):
                scene.start()
        elif scene.daemon is not None:
            assert scene.work(f"good-{len(os.listdir(scene.root / 'done'))}") <= 3, "a good task goes its way meanwhile"
    finally:
        os.close(hold)
        _, status = os.waitpid(child, 0)
    assert (status == 0) == (told == "")
    return told


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")


@needs_root
@pytest.mark.parametrize("attack", OTHER, ids=lambda attack: attack.what[:50])
def test_as_another_user(base: Path, attack: Attack) -> None:
    scene = Scene(base / "room")
    with ledger.entry("attacks", seed=None, unit="attacks") as entry:
        if "no daemon" in attack.what:
            scene.stop()
        assert as_another_user(scene, attack) in attack.code.split(" or ")
        entry.runs += 1
        if attack.outcome == "open":
            os.chmod(scene.root, 0o700)
            assert as_another_user(scene, attack) == "EACCES", "in a private root"
            entry.runs += 1
    assert codes(str(scene.root), []) == set()
    scene.start().abandon()


def test_there_are_forty_and_each_says_why() -> None:
    assert len(SAME) + len(OTHER) >= 70
    for attack in SAME + OTHER:
        assert attack.outcome in attacks.OUTCOMES
        assert attack.why
    assert len({attack.what for attack in SAME}) == len(SAME)


def test_the_page_is_made_of_the_table() -> None:
    assert attacks.PAGE.read_text(encoding="utf-8") == attacks.page(), "run: PYTHONPATH=tests python -m faults.attacks"


@pytest.mark.parametrize(
    ("what", "owner", "name", "planted"),
    [
        ("change an entry in state/", entries.Entries, "heal", lambda self: None),
        ("change a record in done/", compare, "_records", lambda index, look: iter(())),
        ("copy another's claim", claims, "_breach", lambda *_: iter(())),
        ("rewrite history", checkpoint.Witness, "findings", lambda self, place, last: []),
    ],
)
def test_a_planted_fault_is_noticed(
    base: Path, monkeypatch: pytest.MonkeyPatch, what: str, owner: object, name: str, planted: object
) -> None:
    monkeypatch.setattr(owner, name, planted)
    (attack,) = (each for each in SAME if each.what.startswith(what))
    assert wrong(attack, as_same_user(base / "room", attack)) != []


@needs_root
def test_a_root_that_others_may_write_is_noticed(base: Path) -> None:
    scene = Scene(base / "room")
    os.chmod(scene.root / "inbox", 0o777)
    (attack,) = (each for each in OTHER if each.what == "hand in a FIFO")
    assert as_another_user(scene, attack) != attack.code
