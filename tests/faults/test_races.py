"""Names that change hands while the daemon looks: files for directories, links and FIFOs, whole directories, floods.

An adversary acts before any call of the daemon's, and at every one in the nightly tier: no timing, so a finding can be
played again. Beside it one runs loose as a process of its own, as fast as it can. Whatever it does, the daemon goes on,
a good task passes, and the log stays whole (P6, P10).
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults import ledger
from faults.calls import Call, tapped
from faults.hostile import trees
from faults.hostile.stand import PASSES, Stand
from faults.test_kill_points import base
from faults.verdict import Wrong, judge_ends, lines_of
from taskdir import check, observe, papers, strictjson, view
from taskdir.seen import Paper

__all__ = ["base"]

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No waiting for devices, no words of the daemon's."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda fd: None)
    logging.getLogger("taskdir").setLevel(logging.CRITICAL + 1)
    yield
    logging.getLogger("taskdir").setLevel(logging.NOTSET)


def prepared(path: Path) -> Stand:
    """Return a root with something at every place: a claim with notes and a result, messages, an entry, an offer."""
    stand = Stand(path, max_claims=5)
    stand.write("inbox/plan.json", {"kind": "state", "key": "plan", "value": 1})
    stand.write("inbox/held.json", {"type": "echo"})
    stand.write("inbox/offered.json", {"type": "echo"})
    stand.passes()
    stem = stand.claim_one("al", "held").removesuffix(".json")
    stand.passes()
    stand.write(f"claimed/al/{stem}.notes.jsonl", "a note\n")
    stand.write(f"claimed/al/{stem}.result.json", {"status": "ok", "output": 1})
    stand.write("inbox/m.json", {"type": "echo"})
    stand.write("inbox/b.json", {"type": "nope"})
    stand.write("contracts/new.json", {"description": "new"})
    stand.clock.seconds += 2
    return stand


def targets(stand: Stand) -> list[str]:
    """Return the paths that the adversary may put its hand on, files first."""
    claimed = sorted(str(path.relative_to(stand.root)) for path in (stand.root / "claimed/al").iterdir())
    (offer,) = (f"ready/default/{name}" for name in os.listdir(stand.root / "ready/default") if ".offered." in name)
    found = [
        "inbox/m.json",
        "inbox/b.json",
        offer,
        *claimed,
        "state/plan.json",
        "contracts/new.json",
        "rejected/b.json",
    ]
    return [*found, "rejected/b.reason.json", *DIRECTORIES]


DIRECTORIES = ("inbox", "ready/default", "claimed/al", "rejected", "state", "done", "contracts")
PLACED: dict[str, trees.Make | None] = {
    "gone": None, "empty directory": trees.directory, "full directory": trees.full, "link to a secret": trees.link("/etc/passwd"), "loop": trees.link("loop"), "link to a directory": trees.link("/"),
    "FIFO": trees.fifo, "socket": trees.sock, "other bytes": trees.text("{}"), "half a file": trees.text('{"type": "ec'), "sparse": trees.sparse(1 << 40), "hard link": trees.hard('{"type": "echo"}'),
}  # fmt: skip


@dataclass
class Adversary:
    """Puts something else in a file's place before call number ``at`` (from 0); ``calls`` counts them all."""

    stand: Stand
    target: str
    place: trees.Make | None
    at: int
    calls: int = 0
    acted: bool = False

    def __call__(self, call: Call) -> Any:
        if self.calls == self.at:
            self.act()
        self.calls += 1
        return call.make()

    def act(self) -> None:
        """Move what is there away, as it is, and put the other thing there."""
        path = self.stand.root / self.target
        aside = self.stand.base / "aside"
        with contextlib.suppress(OSError):
            os.rename(path, aside)
        with contextlib.suppress(OSError):
            if self.place is not None and not os.path.lexists(path):
                self.place(str(path))
        self.acted = True

    def undo(self) -> None:
        """Put a directory back where it was, what took its place aside: then everybody can work again."""
        path = self.stand.root / self.target
        if self.target in DIRECTORIES and os.path.lexists(self.stand.base / "aside"):
            if os.path.lexists(path):
                os.rename(path, self.stand.base / "strange")
            os.rename(self.stand.base / "aside", path)


def sound(stand: Stand) -> list[str]:
    """Return what is wrong with the log of a root at rest: its chain, its balance, a task that ended twice."""
    report = check.check_root(str(stand.root), lambda count: None, lambda seconds: None)
    faults = [
        f"{each.code}: {each.message}" for each in report.findings if each.code.startswith(("log-", "p6", "index"))
    ]
    try:
        judge_ends([strictjson.loads(line, 64) for line in lines_of(str(stand.root))])
    except Wrong as error:
        faults.append(str(error))
    return faults


def attempt(room: Path, target: int, placed: str, at: int) -> int:
    """Let the adversary act once; returns how many calls there were. Raises what is wrong."""
    stand = prepared(room)
    paths = targets(stand)
    adversary = Adversary(stand, paths[target % len(paths)], PLACED[placed], at)
    with tapped() as calls, calls.watch(adversary):
        for _ in range(2):
            stand.start().one_pass()
    if not adversary.acted:
        adversary.act()
    stand.clock.seconds += 2
    for _ in range(3):
        stand.start().one_pass()
    adversary.undo()
    stand.clock.seconds += 2
    stand.passes()
    assert stand.work("good") <= 2
    assert sound(stand) == []
    stand.start().abandon()
    return adversary.calls


@pytest.mark.parametrize("target", range(18))
def test_an_adversary_before_any_call(base: Path, target: int) -> None:
    seed = ledger.seed()
    dice = random.Random(f"{seed}-races-{target}")
    most = attempt(base / "first", target, "gone", 10**9)
    lot = [(placed, at) for placed in PLACED for at in range(most)]
    with ledger.entry("an adversary before any call", seed=seed, unit="swaps") as entry:
        for number, (placed, at) in enumerate(lot if ledger.torture() else dice.sample(lot, 8)):
            try:
                attempt(base / str(number), target, placed, at)
            except Exception as error:
                raise AssertionError(
                    f"target {target}, {placed}, call {at}: {type(error).__name__}: {error}"
                ) from error
            entry.runs += 1
            shutil.rmtree(base / str(number))


@pytest.mark.parametrize(
    ("owner", "name", "planted"),
    [
        (view.View, "_safely", lambda self, path, step, *about: step(*about)),
        (papers, "_fill", lambda paper, *_, **__: careless(paper)),
        (observe, "_list", os.listdir),
    ],
)
def test_a_planted_fault_is_noticed(
    base: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, planted: Any
) -> None:
    """A daemon that ends at the first surprise, one that reads what it finds, one that expects a directory."""
    monkeypatch.setattr(owner, name, planted)
    with pytest.raises((OSError, AssertionError)):
        several(base, random.Random(7), 300)


def several(base: Path, dice: random.Random, count: int) -> None:
    """Make so many attempts drawn by lot."""
    for number in range(count):
        attempt(base / str(number), dice.randrange(18), dice.choice([*PLACED]), dice.randrange(75))


def careless(paper: Paper) -> None:
    """Read as a naive program does, and let what goes wrong out."""
    data = Path(paper.path).read_bytes() if not os.path.islink(paper.path) else os.readlink(paper.path).encode()
    paper.shape = papers.signature(paper.path)
    papers._judge(paper, data)


def loose(root: str, seed: str, over: Any, count: Any) -> None:
    """Swap names of a root as fast as can be, until told to stop: a process of its own."""
    dice = random.Random(seed)
    makers = [
        trees.directory,
        trees.fifo,
        trees.link("/etc/passwd"),
        trees.link("loop"),
        trees.text("{"),
        trees.text('{"type": "nope"}'),
    ]
    places = [f"inbox/r{number}.json" for number in range(4)] + [
        "claimed/eve/5-000000000099.r.1.json",
        "ready/default/r.json",
        "state/r.json",
    ]
    os.makedirs(f"{root}/claimed/eve", exist_ok=True)
    while not over.is_set():
        path, aside = os.path.join(root, dice.choice(places)), f"{root}/.eve"
        with contextlib.suppress(OSError):
            dice.choice(makers)(aside)
        with contextlib.suppress(OSError):
            os.rename(aside, path)
        with contextlib.suppress(OSError):
            (os.rmdir if dice.random() < 0.5 else os.unlink)(path)
        with contextlib.suppress(OSError):
            (os.rmdir if os.path.isdir(aside) and not os.path.islink(aside) else os.unlink)(aside)
        count.value += 1


def test_an_agent_that_swaps_names_in_a_loop(base: Path) -> None:
    """A process of its own swaps; good tasks go their way meanwhile, each in the pass after it came."""
    seed = ledger.seed()
    stand = Stand(base / "root", settle_seconds=0.01)
    over, count = FORK.Event(), FORK.Value("l", 0)
    racer = FORK.Process(target=loose, args=(str(stand.root), f"{seed}-loose", over, count))
    tasks = 2000 if ledger.torture() else 60
    with ledger.entry("an agent that swaps names in a loop", seed=seed, unit="swaps") as entry:
        racer.start()
        try:
            while not count.value:
                os.sched_yield()
            for number in range(tasks):
                stand.clock.seconds += 1
                assert stand.work_among(f"good-{number}") == 1
        finally:
            over.set()
            racer.join()
            entry.runs += count.value
    assert count.value > tasks
    stand.clock.seconds += 10
    stand.passes()
    assert sound(stand) == []


JUNK: list[tuple[str, Callable[[str], None]]] = [
    ("bad-{}.json", trees.text("{")), ("bad-{}.json", trees.text("")), ("Bad {}.json", trees.text('{"type": "echo"}')), ("x-{}.json", trees.text('{"type": "nope"}')),
    ("x-{}.json", trees.text('{"type": "echo", "inptu": 1}')), ("no-suffix-{}", trees.text("x")), (".hidden-{}.json", trees.text("x")), ("d-{}.json", trees.directory),
    ("l-{}.json", trees.link("/etc/passwd")), ("p-{}.json", trees.fifo), ("t-{}.tmp", trees.text("x")), ("d-{}", trees.directory),
]  # fmt: skip


def test_a_flood_of_junk_lets_good_tasks_through_in_their_turn(base: Path) -> None:
    """So many bad files: none costs a good task more than its turn, which is a pass for each ``PASS_LIMIT`` before it."""
    flood = 100_000 if ledger.torture() else 2000
    stand = Stand(base / "root")
    with ledger.entry("a flood of junk", seed=None, unit="files") as entry:
        for number in range(flood):
            name, make = JUNK[number % len(JUNK)]
            make(str(stand.root / "inbox" / name.format(number)))
        judged = sum(
            1 for name in os.listdir(stand.root / "inbox") if name.endswith(".json") and not name.startswith(".")
        )
        stand.write("inbox/0-first.json", {"type": "echo"})
        stand.start().one_pass()
        assert [name for name in os.listdir(stand.root / "ready/default") if ".0-first." in name], "in front: at once"
        assert stand.work("zz-last") <= 1 + judged // PASSES + 1
        for _ in range(2 + judged // PASSES):
            stand.start().one_pass()
        events = stand.news()
        assert sum(1 for event in events if event["event"] == "rejected") == judged
        assert stand.work("afterwards") == 1
        entry.runs += flood
    left = [name for name in os.listdir(stand.root / "inbox") if name.endswith(".json") and not name.startswith(".")]
    assert left == []
    assert sound(stand) == []


def test_strangers_beside_claims_cost_no_more_than_a_look(base: Path) -> None:
    """Files in an agent's own directory are its own: as many as there are, no pass changes or reads one."""
    stand = Stand(base / "root")
    (stand.root / "claimed/al").mkdir()
    for number in range(3000):
        trees.text("{")(str(stand.root / f"claimed/al/own-{number}.json"))
    before = stand.hook.count
    assert stand.work("good") == 1
    assert stand.hook.count - before < 60
    assert len(os.listdir(stand.root / "claimed/al")) == 3000


@pytest.mark.parametrize(
    "place", ["inbox", "ready/default", "claimed/al", "rejected", "done", "state", "failed", "contracts"]
)
@pytest.mark.parametrize("other", ["an empty one", "a full one", "none"])
def test_a_swapped_directory(base: Path, place: str, other: str) -> None:
    """A directory is renamed away, and another stands in its place: work goes on in the new one, the old is let be."""
    stand = prepared(base / "root")
    old = stand.base / "old"
    os.rename(stand.root / place, old)
    kept = sorted(os.listdir(old))
    if other != "none":
        os.mkdir(stand.root / place)
    if other == "a full one":
        for name in ("x.json", "5-000000000099.ghost.1.json", "y"):
            trees.text('{"type": "nope"}')(str(stand.root / place / name))
    if place == "contracts":
        stand.start().one_pass()
        assert stand.start()._catalog.types() == [], "types went with their files"
        shutil.rmtree(stand.root / place)
        os.rename(old, stand.root / place)
    stand.clock.seconds += 2
    stand.passes()  # what is missing is made again
    assert stand.work("good") == 1
    assert place == "contracts" or sorted(os.listdir(old)) == kept
    assert sound(stand) == []


def test_hard_links_change_nothing_after_judgement(base: Path) -> None:
    """A second name of a message, an offer, a claim and a result, written to after each was judged (P7)."""
    stand = Stand(base / "root")
    names: dict[str, Path] = {}

    def keep(path: str) -> None:
        names[path] = stand.base / f"kept-{len(names)}"
        os.link(stand.root / path, names[path])

    stand.write("inbox/w.json", {"type": "echo", "input": "good"})
    keep("inbox/w.json")
    stand.passes()
    (offer,) = (name for name in os.listdir(stand.root / "ready/default") if ".w." in name)
    keep(f"ready/default/{offer}")
    names["inbox/w.json"].write_text('{"type": "echo", "input": "evil"}')
    stand.claim_one("al", "w")
    names[f"ready/default/{offer}"].write_text('{"id": "w", "attempt": 7, "input": "evil"}')
    stand.passes()
    result = f"claimed/al/{offer.removesuffix('.json')}.result.json"
    stand.write(result, {"status": "ok", "output": "good"})
    keep(result)
    stand.passes()
    names[result].write_text('{"status": "ok", "output": "evil"}')
    stand.passes()
    record = strictjson.loads((stand.root / "done/w.json").read_bytes())
    assert (record["task"]["input"], record["output"]) == ("good", "good")
    assert sound(stand) == []
