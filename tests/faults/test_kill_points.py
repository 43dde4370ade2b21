"""The daemon is killed before every disk operation of whole task lives; one pass of the next one mends all (P1-P4, P8).

Each story is played once without a kill to count the operations and to have the tree that must come out; then once for
each operation, and the same with the index deleted at the kill. Planted faults at the end show that the tester sees.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import ledger
from faults.world import Countdown, Killed, World
from taskdir import journal, strictjson, view
from taskdir.documents import timestamp
from taskdir.handover import Handover
from taskdir.logread import Reader, segments
from taskdir.places import ROOM
from taskdir.seen import Seen

Story = Callable[[World], None]
TMPFS = "/dev/shm"


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory on tmpfs where there is one: these tests are about order, not about devices."""
    directory = tempfile.mkdtemp(dir=TMPFS if os.access(TMPFS, os.W_OK) else None)
    yield Path(directory)
    shutil.rmtree(directory)


def good_life(world: World) -> None:
    """Submit, claim, a refused result, a good one; a note beside it."""
    world.write("inbox/a.json", {"type": "count"})
    world.passes()
    world.claim("alice")
    world.passes()
    world.result("alice", {"status": "ok", "output": "not a number"})
    world.passes()
    world.note("alice", '{"text":"trying again"}\n')
    world.passes()
    world.result("alice", {"status": "ok", "output": 7})
    world.passes()


def bad_lives(world: World) -> None:
    """A retry, a dead letter, a redrive, a cancel, a give-back, an expiry."""
    for name in ("b", "c", "d"):
        world.write(f"inbox/{name}.json", {"type": "count", "max_attempts": 2, "lease_seconds": 5})
    world.passes()
    world.claim("alice")
    world.passes()
    world.result("alice", {"status": "error", "error": {"message": "no"}})
    world.passes()
    os.rename(world.root / "failed/b.json", world.root / "inbox/b.json")
    world.passes()
    world.claim("bob")
    world.passes()
    for _ in range(8):
        world.clock.seconds += 2
        world.passes()
    world.claim("carol")
    world.passes()
    world.give_back("carol")
    world.passes()
    world.write("inbox/stop-d.json", {"kind": "cancel", "task": "d"})
    world.write("inbox/said.json", {"kind": "note", "message": "d is not needed", "task": "d"})
    world.passes()
    for agent in ("x", "y"):
        world.claim(agent)
        world.passes()
        world.result(agent, {"status": "ok", "output": 1})
        world.passes()


def gate(world: World) -> None:
    """What is refused, repaired, repeated; a batch; files that are no files; strangers; a copy."""
    world.write("inbox/bad.json", {"typ": "echo"})
    world.write("inbox/late.json", "{")
    os.mkfifo(world.root / "inbox/pipe.json")
    world.write(
        "inbox/set.json", {"kind": "batch", "messages": [{"id": "m1", "type": "echo"}, {"id": "m2", "type": "echo"}]}
    )
    world.passes()
    (world.root / "rejected/bad.json").unlink()
    world.write("inbox/bad.json", {"type": "echo", "queue": "review"})
    world.write("inbox/m1.json", {"id": "m1", "type": "echo", "input": 1})
    world.write("ready/default/5-000000000099.evil.1.json", {})
    world.passes()
    world.write("inbox/bad.json", {"type": "echo", "queue": "review"})
    world.passes()
    world.claim("alice", "review")
    world.passes()
    world.result("alice", {"status": "ok", "output": None})
    world.passes()


def workflow(world: World) -> None:
    """A diamond of dependent tasks over one resource, a failure that blocks, a redrive, a cancel of the rest."""
    spare = {"type": "count", "max_attempts": 1}
    members = [
        {"id": "end", "after": ["left", "right"], **spare},
        {"id": "left", "after": ["top"], "resources": ["repo"], **spare},
        {"id": "right", "after": ["top"], "resources": ["repo"], **spare},
        {"id": "top", **spare},
        {"id": "never", "after": ["end"], **spare},
    ]
    world.write("inbox/graph.json", {"kind": "batch", "messages": members})
    world.passes()
    for agent in ("a", "b"):
        world.claim(agent)
        world.passes()
        world.result(agent, {"status": "ok", "output": 1})
        world.passes()
    world.claim("c")
    world.passes()
    world.result("c", {"status": "error", "error": {"message": "no"}})
    world.passes()
    os.rename(world.root / "failed/right.json", world.root / "inbox/right.json")
    world.passes()
    for agent in ("d", "e"):
        world.claim(agent)
        world.passes()
        world.result(agent, {"status": "ok", "output": 2})
        world.passes()
    world.write("inbox/no.json", {"kind": "cancel", "task": "never", "dependants": True})
    world.passes()


def shelf(world: World) -> None:
    """Shared state set twice, once in vain; edited and deleted by hand, and healed; an agent benched and back."""
    world.write("inbox/s1.json", {"kind": "state", "key": "head", "value": "abc", "if_version": 0})
    world.passes()
    world.write("inbox/s2.json", {"kind": "state", "key": "head", "value": "def", "if_version": 1})
    world.passes()
    world.write("inbox/s3.json", {"kind": "state", "key": "head", "value": "xyz", "if_version": 1})
    world.passes()
    world.clock.seconds += 2
    world.write("state/head.json", {"mine": True})
    world.passes()
    (world.root / "state/head.json").unlink()
    world.clock.seconds += 2
    world.passes()
    world.write("inbox/x.json", {"type": "count", "max_attempts": 9})
    world.passes()
    for _ in range(5):
        world.claim("clumsy")
        world.passes()
        world.result("clumsy", {"status": "error", "error": {"message": "no"}, "retry": True})
        world.passes()
    world.clock.seconds += 61
    world.passes()
    world.claim("clumsy")
    world.passes()
    world.result("clumsy", {"status": "ok", "output": 3})
    world.passes()


def schedule(world: World) -> None:
    """Tasks for later, outputs too large for the offer, a capacity of two that shrinks, a cancel of what is claimed."""
    world.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "resources": {"gpu": 2}, "context_bytes": 10})
    later = timestamp(world.clock.seconds + 60)
    world.write("inbox/soon.json", {"type": "echo", "not_before": later, "resources": ["gpu"]})
    for name in ("g1", "g2", "g3"):
        world.write(f"inbox/{name}.json", {"type": "echo", "resources": ["gpu"], "backoff_seconds": 0})
    world.passes()
    for agent in ("a", "b"):
        world.claim(agent)
        world.passes()
    assert not os.listdir(world.root / "ready/default")
    world.result("a", {"status": "ok", "output": "x" * 40})
    world.passes()
    world.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "context_bytes": 10})
    world.write("inbox/sum.json", {"type": "echo", "after": ["g1", "g2"]})
    world.passes()
    world.result("b", {"status": "ok", "output": "y"})
    world.passes()
    world.claim("a")  # g3, which holds the gpu, now of capacity one
    world.passes()
    world.claim("c")  # the sum of both
    world.passes()
    assert json.loads(world.held("c").read_text())["context_files"]["g1"]["path"] == "done/g1.json"
    world.clock.seconds += 61
    world.passes()
    world.write("inbox/stop.json", {"kind": "cancel", "task": "g3", "dependants": True})
    world.passes()
    world.claim("a")
    world.passes()
    for agent in ("a", "c"):
        world.result(agent, {"status": "ok", "output": 1})
        world.passes()


def walls(world: World) -> None:
    """Behind walls: an ask in vain and three that are met, a give-back, an expiry, what is late, refused, accepted."""
    world.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "walls": True})
    for agent in ("ann", "bob"):
        for part in (f"claimed/{agent}", *(f"agents/{agent}/{part}" for part in ROOM)):
            os.makedirs(world.root / part)

    def put(path: str, value: object) -> None:
        world.write(path, value)
        world.passes()

    def ask(agent: str) -> None:
        (world.root / f"claimed/{agent}/default.ask").touch()
        world.passes()

    def finish(agent: str, value: object) -> None:
        put(f"claimed/{agent}/{json.loads(world.held(agent).read_text())['result_file']}", value)

    ask("bob")
    assert not os.listdir(world.root / "claimed/bob")
    put("agents/ann/inbox/ann-1.json", {"type": "count", "lease_seconds": 5})
    put("agents/ann/inbox/bob-9.json", {"type": "count"})
    ask("bob")
    world.give_back("bob")
    world.passes()
    ask("bob")
    result = json.loads(world.held("bob").read_text())["result_file"]
    for _ in range(8):
        world.clock.seconds += 2
        world.passes()
    put(f"claimed/bob/{result}", {"status": "ok", "output": 1})
    ask("bob")
    finish("bob", {"status": "ok", "output": "not a number"})
    finish("bob", {"status": "ok", "output": 7})


STORIES: list[Story] = [good_life, bad_lives, gate, workflow, shelf, schedule, walls]


def play(base: Path, story: Story, at: int | None, *, lose_index: bool = False) -> World:
    """Play a story, killing before operation ``at``; then end it properly and look at what came out."""
    world = World(base / f"{story.__name__}-{at}-{lose_index}", Countdown(at))

    def after(world: World) -> None:
        if lose_index:
            for path in (world.root / ".taskdir").glob("index.sqlite*"):
                path.unlink()

    plain = world.passes
    world.passes = lambda after_kill=after: plain(after_kill)  # type: ignore[method-assign]
    story(world)
    world.passes()
    world.stop()
    return world


def outcome(world: World) -> tuple[list[str], Counter[str], dict[str, str]]:
    """What must not depend on a kill: the tree, how often each fact was logged, how each task ended."""
    facts: Counter[str] = Counter()
    ends: dict[str, str] = {}
    for event in world.events():
        name, id = event["event"], event.get("id") or event.get("by") or event.get("file")
        if name in ("started", "stopped", "duplicate"):  # judged before the kill and still there: seen again
            continue
        facts[f"{name} {id}"] += 1
        if name == "breach":
            facts[f"{name} {id}"] = 1  # what was logged but not yet mended before the kill is seen again
        if name in ("accepted", "done", "failed", "canceled", "redriven"):
            ends[str(id)] = name
    return world.tree(), facts, ends


def check_log(world: World) -> None:
    """The chain holds to the end, nothing is torn, nobody is done twice."""
    reader = Reader(segments(str(world.root)))
    batches = list(reader.batches())
    assert reader.damage is None
    done = Counter(event["id"] for batch in batches for event in batch.events if event["event"] == "done")
    assert not [id for id, times in done.items() if times > 1]


@pytest.mark.parametrize("lose_index", [False, True], ids=["index-kept", "index-lost"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_killed_before_every_operation(base: Path, story: Story, lose_index: bool) -> None:
    """With the index lost as well, a change tries one in three, a night all of them."""
    each = 3 if lose_index and not ledger.torture() else 1
    whole = play(base, story, None)
    expected, operations = outcome(whole), whole.hook.count
    assert operations > 40
    with ledger.entry("kills at each operation of the daemon", seed=None, unit="kills") as entry:
        for at in range(1, operations + 1, each):
            world = play(base, story, at, lose_index=lose_index)
            check_log(world)
            assert outcome(world) == expected, f"{story.__name__}: killed before {at}: {whole.hook.seen[at - 1]}"
            shutil.rmtree(world.base)
            entry.runs += 1


def test_killed_again_during_recovery(base: Path) -> None:
    """Pairs: the first kill in the middle of a life, the second before every operation of the recovery."""
    whole = play(base, good_life, None)
    expected = outcome(whole)
    for first in range(3, whole.hook.count, 7):
        for second in range(1, 13):
            world = World(base / f"pair-{first}-{second}", Countdown(first), again=second)
            good_life(world)
            world.passes()
            world.stop()
            check_log(world)
            assert outcome(world) == expected, f"killed before {first}, then {second} operations later"
            shutil.rmtree(world.base)


def test_a_missing_commit_is_noticed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: inputs are taken away before the log has them."""
    from taskdir.daemon import Daemon

    record = Daemon._record

    def late(self: Daemon, events: list[dict[str, object]], now: object) -> bool:
        for event in events:
            if event["event"] == "accepted":
                self._disk.unlink(f"{self.places.inbox}/{event['id']}.json")
        return record(self, events, now)  # type: ignore[arg-type]

    expected = outcome(play(base, good_life, None))
    monkeypatch.setattr(Daemon, "_record", late)
    seen = []
    for at in range(1, 40):
        try:
            seen.append(outcome(play(base, good_life, at)) == expected)
        except (AssertionError, OSError, LookupError, ValueError):
            seen.append(False)
    assert not all(seen)


def test_a_doubled_result_is_noticed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: the view forgets to take refused results away."""
    expected = outcome(play(base, good_life, None))
    monkeypatch.setattr(view.View, "_take", lambda self, paper: None)
    try:
        world = play(base / "planted", good_life, None)
    except (AssertionError, Killed):
        return
    assert outcome(world) != expected


def test_an_ask_that_goes_before_its_answer_is_noticed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: the ask is removed first, so that a start cannot tell a task that was not handed out."""
    publish = Handover.publish

    def early(self: Handover, seen: Seen) -> None:
        for agent, queue in seen.asks:
            self._remove(f"{self._places.claimed}/{agent}/{queue}.ask")
        publish(self, seen)

    expected = outcome(play(base, walls, None))
    monkeypatch.setattr(Handover, "publish", early)
    count, seen = play(base / "planted", walls, None).hook.count, []
    for at in range(1, count):
        try:
            seen.append(outcome(play(base / "planted", walls, at)) == expected)
        except (AssertionError, OSError, LookupError, ValueError):
            seen.append(False)
        if not seen[-1]:
            return
    raise AssertionError("nothing noticed it")


def test_a_log_without_sync_order_is_noticed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: ``end`` is left out, so no batch is ever a fact."""
    append = journal.Journal.append

    def without_end(value: dict[str, object]) -> str:
        return dumps({name: part for name, part in value.items() if name != "end"})

    def endless(self: journal.Journal, events: list[dict[str, object]]) -> object:
        monkeypatch.setattr(strictjson, "dumps", without_end)
        try:
            return append(self, events)
        finally:
            monkeypatch.setattr(strictjson, "dumps", dumps)

    dumps = strictjson.dumps
    monkeypatch.setattr(journal.Journal, "append", endless)
    world = play(base, good_life, None)
    with pytest.raises(AssertionError):
        check_log(world)


def test_a_refused_result_that_has_to_settle_again_counts_once(base: Path) -> None:
    """Killed between the refusal's record and its view; the next daemon waits for the same half-written bytes anew."""
    world = World(base / "settle", Countdown())
    world.write("taskdir.json", {"protocol": 1, "settle_seconds": 2})
    world.write("inbox/a.json", {"type": "count"})
    world.passes()
    world.claim("alice")
    world.passes()
    world.result("alice", "{")
    world.passes()
    world.clock.seconds += 3
    daemon = world.start()
    daemon._view.publish = Countdown(1)  # type: ignore[method-assign,assignment]
    with pytest.raises((Killed, TypeError)):
        daemon.one_pass()
    assert [event["event"] for event in world.events()][-1] == "refused"
    world.bury()
    for _ in range(3):
        world.passes()
        world.clock.seconds += 3
    assert [event["event"] for event in world.events()].count("refused") == 1
    assert world.held("alice").with_name(world.held("alice").name.replace(".json", ".refused.json")).exists()
