"""Workflows at size with the real daemon: a graph of ten thousand tasks, and agents that contend for resources.

The agents are threads that know only listings, renames and small files. What is judged is the log alone: no task starts
before what it waits for is done, no resource is held beyond its capacity, and the books balance (P6).
"""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from support.live import Root, until
from taskdir import lifecycle, logread
from taskdir.documents import Event

LAYERS, WIDTH = 100, 100
GRAPH_SECONDS = 40.0
"""Seconds from the submission of the graph to its last task, on two cores."""

CAPACITIES = {"repo": 1, "port": 1, "gpu": 2}
JOBS, AGENTS = 2000, 5
PATIENCE = 100.0


class Agent:
    """An agent of five gestures: it takes the first offers, works for no time at all, and says what it was told."""

    def __init__(self, root: Path, name: str) -> None:
        self.ready, self.home = root / "ready" / "default", root / "claimed" / name
        self.home.mkdir()

    def take(self, name: str) -> bool:
        """Claim one offer; False when another was faster."""
        try:
            os.rename(self.ready / name, self.home / name)
        except FileNotFoundError:
            return False
        return True

    def finish(self, name: str) -> None:
        """Write the result beside the claim: the offer's context, summed up."""
        offer = json.loads((self.home / name).read_bytes())
        output = 1 + max(offer["context"].values(), default=0)
        aside = self.home / f".{offer['id']}"
        aside.write_text(json.dumps({"status": "ok", "output": output}))
        os.rename(aside, self.home / offer["result_file"])

    def offers(self) -> list[str]:
        """Return what is offered now, in order."""
        return sorted(os.listdir(self.ready))


def graph() -> list[dict[str, Any]]:
    """Layers of tasks, each after three of the layer before; the last layer stands first in the batch."""
    made = []
    for layer in reversed(range(LAYERS)):
        for at in range(WIDTH):
            after = [f"t{layer - 1:03}-{(at + step) % WIDTH:03}" for step in (0, 1, 7)] if layer else []
            made.append({"id": f"t{layer:03}-{at:03}", "type": "echo", "after": after})
    return made


def check_order(events: list[Event]) -> None:
    """Nothing is claimed before each task that it waits for is done."""
    after = {event["id"]: event["task"].get("after", []) for event in events if event["event"] == "accepted"}
    done: set[str] = set()
    for event in events:
        if event["event"] == "claimed":
            assert done.issuperset(after[event["id"]]), f"seq {event['seq']}: {event['id']} started too early"
        elif event["event"] == "done":
            done.add(event["id"])


def overlaps(events: list[Event], capacities: dict[str, int]) -> list[str]:
    """Return where the log shows a resource held by more tasks than it has room for, lost races aside.

    A lost race is a claim that the very next event gives back, because others held its resources.
    """
    needs = {event["id"]: event["task"].get("resources", []) for event in events if event["event"] == "accepted"}
    pairs = itertools.pairwise(events)
    races = [claim for claim, back in pairs if back.get("reason") == "resources" and claim["event"] == "claimed"]
    lost = {(claim["id"], claim["attempt"]) for claim in races}
    held: Counter[str] = Counter()
    found = []
    for event in events:
        name = event["event"]
        if (event.get("id"), event.get("attempt")) in lost:
            continue
        if name == "claimed":
            held.update(needs[event["id"]])
            over = [each for each in needs[event["id"]] if held[each] > capacities[each]]
            found += [f"seq {event['seq']}: {each} is held {held[each]} times" for each in over]
        elif name in lifecycle.CLAIM_ENDS or (name == "canceled" and "agent" in event):
            held.subtract(needs[event["id"]])
    assert not +held, "claims never ended"
    return found


def check_books(root: Path, events: list[Event]) -> Counter[str]:
    """P6, from the log alone, whose chain is whole; returns how many tasks are in each state."""
    reader = logread.Reader(logread.segments(str(root)))
    assert sum(len(batch.events) for batch in reader.batches()) == len(events)
    assert reader.damage is None
    states: dict[str, str] = {}
    for event in events:
        if event["event"] == "accepted":
            states[event["id"]] = "queued"
        elif "id" in event and event["event"] not in ("late", "breach", "noted"):
            states[event["id"]] = lifecycle.NEXT[states[event["id"]], event["event"]]
    found = Counter(states.values())
    assert sum(event["event"] == "accepted" for event in events) == sum(found[state] for state in lifecycle.STATES)
    return found


def drain(root: Root, agent: Agent, total: int) -> None:
    """Take everything that is offered and finish it, as often as there is something, until all are done."""
    limit = time.monotonic() + PATIENCE
    taken = 0
    while taken < total:
        mine = [name for name in agent.offers() if agent.take(name)]
        for name in mine:
            agent.finish(name)
        taken += len(mine)
        if not mine:
            assert time.monotonic() < limit, f"only {taken} of {total} were offered"
            time.sleep(0.002)
    until(lambda: len(os.listdir(root.path / "done")) >= total, "the last records")


def test_ten_thousand_tasks_in_layers(tmp_path: Path) -> None:
    """One batch, no agent that knows of any order: it is accepted, offered and drained in order, in time."""
    root = Root(tmp_path / "root", max_claims=LAYERS * WIDTH, window=256)
    root.put("contracts/echo.json", {"output": {"type": "integer"}})
    agent = Agent(root.path, "worker")
    with root:
        start = time.monotonic()
        root.put("inbox/graph.json", {"kind": "batch", "messages": graph()})
        drain(root, agent, LAYERS * WIDTH)
        took = time.monotonic() - start
        assert root.stop() == 0
    events = root.events()
    check_order(events)
    assert check_books(root.path, events) == {"done": LAYERS * WIDTH}
    assert not {event["event"] for event in events} - {*"started contract batch accepted claimed done stopped".split()}
    depth = {event["id"]: event["output"] for event in events if event["event"] == "done"}
    assert all(output == int(id[1:4]) + 1 for id, output in depth.items()), "contexts are the outputs of dependencies"
    assert took < GRAPH_SECONDS, f"{took:.1f} s"


def contend(root: Path, name: str, seed: int, stop: threading.Event) -> None:
    """One agent: claim the first offer it gets, hold it for a moment, finish, and wait for the verdict."""
    agent, dice = Agent(root, name), random.Random(seed)
    while not stop.is_set():
        mine = next((name for name in agent.offers() if agent.take(name)), None)
        if mine is None:
            stop.wait(0.001)
            continue
        stop.wait(dice.choice((0, 0, 0.002, 0.005)))
        try:
            agent.finish(mine)
        except FileNotFoundError:
            continue  # given back: another had the resource first
        while (agent.home / mine).exists() and not stop.is_set():
            stop.wait(0.001)


def jobs() -> list[dict[str, Any]]:
    """Tasks that name every mixture of the resources, in a fixed disorder of mixtures and priorities."""
    dice = random.Random(7)
    mixtures = [["repo"], ["port"], ["gpu"], ["gpu", "repo"], ["port", "repo"], ["gpu", "port", "repo"], ["gpu"]]
    return [
        {"id": f"j{at:04}", "type": "echo", "resources": dice.choice(mixtures), "priority": dice.choice((4, 5, 5, 6))}
        for at in range(JOBS)
    ]


def test_contended_resources_never_overlap(tmp_path: Path) -> None:
    """Five agents, three resources, two thousand tasks; the log tells who held what, and when."""
    root = Root(tmp_path / "root", resources=CAPACITIES)
    stop = threading.Event()
    with root:
        root.put("inbox/jobs.json", {"kind": "batch", "messages": jobs()})
        names = [f"agent-{number}" for number in range(AGENTS)]
        work = [threading.Thread(target=contend, args=(root.path, name, seed, stop)) for seed, name in enumerate(names)]
        for thread in work:
            thread.start()
        try:
            until(lambda: len(os.listdir(root.path / "done")) >= JOBS, "all jobs", PATIENCE)
        finally:
            stop.set()
            for thread in work:
                thread.join()
        assert root.stop() == 0
    events = root.events()
    assert not overlaps(events, CAPACITIES)
    assert check_books(root.path, events) == {"done": JOBS}
    together = overlaps(events, dict.fromkeys(CAPACITIES, 1))
    assert any("gpu" in each for each in together), "two held the gpu at once: its capacity was used"
    assert not any("gpu" not in each for each in together)
    assert {event["agent"] for event in events if event["event"] == "done"} == set(names)


def test_an_overlap_in_the_log_is_noticed() -> None:
    """Planted fault: two tasks hold one resource at once."""
    told = [{"event": "accepted", "id": id, "seq": 1, "task": {"resources": ["repo"]}} for id in ("a", "b")]
    told += [{"event": "claimed", "id": id, "attempt": 1, "seq": 2} for id in ("a", "b")]
    told += [{"event": "done", "id": id, "attempt": 1, "seq": 3} for id in ("a", "b")]
    assert overlaps(told, {"repo": 1}) == ["seq 2: repo is held 2 times"]
    assert overlaps([told[at] for at in (0, 1, 2, 4, 3, 5)], {"repo": 1}) == []
