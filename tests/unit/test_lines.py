"""Who may start: the index's counts against a model that looks at every task each time (SPEC 7.15, 7.16).

Whatever happens to tasks in whatever order, the window shows what the model says, no resource is given out beyond its
capacity, all work can end, and a replay of the log gives the same facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from faults import ledger
from taskdir import documents, lines
from taskdir.documents import Event
from taskdir.index import Index
from taskdir.logread import Batch, Mark

QUEUES, RESOURCES = ("default", "review"), ("repo", "port", "gpu")
START = 1_800_000_000.0
SMALL = 2
"""A window so small that anything in it without a right to be there pushes something out."""


@dataclass
class Job:
    """One task, as the model knows it."""

    id: str
    seq: int
    queue: str
    priority: int
    after: list[str]
    resources: list[str]
    state: str = "queued"
    attempt: int = 1
    wake_at: float = 0.0


@dataclass
class Model:
    """All tasks, and the rules as SPEC.md says them, with no thought of cost."""

    jobs: dict[str, Job] = field(default_factory=dict)
    capacities: dict[str, int] = field(default_factory=dict)
    awake: set[str] = field(default_factory=set)

    def could_start(self, job: Job) -> bool:
        """Resources aside."""
        return job.state == "queued" and job.id in self.awake and self.unmet(job) == []

    def unmet(self, job: Job) -> list[str]:
        return sorted(dep for dep in job.after if self.jobs[dep].state != "done")

    def line(self, resource: str) -> list[Job]:
        """Holders first, then queue order."""
        named = [job for job in self.jobs.values() if resource in job.resources]
        waiting = sorted((job for job in named if self.could_start(job)), key=lambda job: (job.priority, job.seq))
        return [job for job in named if job.state == "claimed"] + waiting

    def holders(self, resource: str) -> list[str]:
        return sorted(job.id for job in self.line(resource) if job.state == "claimed")

    def may_start(self, job: Job) -> bool:
        fronts = (self.line(name)[: self.capacities.get(name, 1)] for name in job.resources)
        return self.could_start(job) and all(job in front for front in fronts)

    def window(self, queue: str, size: int) -> list[str]:
        able = [job for job in self.jobs.values() if job.queue == queue and self.may_start(job)]
        return [job.id for job in sorted(able, key=lambda job: (job.priority, job.seq))[:size]]

    def is_stuck(self, job: Job) -> bool:
        """Say whether a task waits for one that failed or was canceled, however indirectly."""
        deps = [self.jobs[dep] for dep in self.unmet(job)]
        return any(dep.state in ("failed", "canceled") or self.is_stuck(dep) for dep in deps)


class Lines(RuleBasedStateMachine):
    """Submitters, agents, operators and time, in any order."""

    @initialize()
    def begin(self) -> None:
        self.index, self.model = Index(":memory:"), Model()
        self.now, self.seq = START, 0
        self.log: list[Batch] = []
        self.index.lines.use({})

    def say(self, *events: Event) -> None:
        """Commit a batch."""
        text = documents.timestamp(self.now)
        full = [{"seq": self.seq + number, "time": text, **event} for number, event in enumerate(events, 1)]
        self.seq += len(full)
        self.log.append(Batch(full, Mark(seq=self.seq)))
        self.index.apply(self.log[-1], self.now)

    def one(self, data: strategies.DataObject, *states: str) -> Job:
        return self.model.jobs[data.draw(strategies.sampled_from(sorted(self.ids(*states))))]

    def ids(self, *states: str) -> list[str]:
        return [job.id for job in self.model.jobs.values() if job.state in states]

    @rule(data=strategies.data(), count=strategies.integers(1, 4))
    def accept(self, data: strategies.DataObject, count: int) -> None:
        """One batch, whose members wait for earlier tasks and for members behind them."""
        first = len(self.model.jobs)
        members = [f"t{first + number:03}" for number in range(count)]
        made = [self.member(data, id, [*self.model.jobs, *members[at + 1 :]]) for at, id in enumerate(members)]
        for number, job in enumerate(made, 1):
            job.seq = self.seq + number
        self.model.jobs.update((job.id, job) for job in made)
        self.say(*(accepted(job) for job in made))
        self.model.awake |= {job.id for job in made if job.wake_at == 0.0}

    def member(self, data: strategies.DataObject, id: str, before: list[str]) -> Job:
        some = strategies.lists(strategies.sampled_from(before), max_size=3, unique=True) if before else None
        return Job(
            id,
            0,
            data.draw(strategies.sampled_from(QUEUES)),
            data.draw(strategies.integers(4, 6)),
            data.draw(some) if some is not None else [],
            data.draw(strategies.lists(strategies.sampled_from(RESOURCES), max_size=3, unique=True)),
            wake_at=data.draw(strategies.sampled_from((0.0, 0.0, 0.0, self.now + 3))),
        )

    @precondition(lambda self: any(self.model.window(queue, 99) for queue in QUEUES))
    @rule(data=strategies.data())
    def claim(self, data: strategies.DataObject) -> None:
        """Any offer, not only the first: agents race."""
        offered = [task.id for queue in QUEUES for task in self.index.window(queue, 99)]
        job = self.model.jobs[data.draw(strategies.sampled_from(offered))]
        self.take(job)
        for name in job.resources:
            held = self.model.holders(name)
            assert len(held) <= self.model.capacities.get(name, 1), f"{name} is held by {held}"

    def take(self, job: Job) -> None:
        job.state = "claimed"
        self.say({"event": "claimed", "id": job.id, "attempt": job.attempt, "agent": "me"})

    @precondition(lambda self: self.ids("claimed"))
    @rule(data=strategies.data(), how=strategies.sampled_from(("done", "done", "failed", "errored", "returned")))
    def end(self, data: strategies.DataObject, how: str) -> None:
        self.finish(self.one(data, "claimed"), how)

    def finish(self, job: Job, how: str) -> None:
        """End a claim: for good, for another attempt at once, or for one in two seconds."""
        told: Event = {"id": job.id, "attempt": job.attempt, "agent": "me"}
        wrong = {"code": "error", "message": "no"}
        job.state = how if how in ("done", "failed") else "queued"
        job.attempt += how != "done"
        if how == "done":
            self.say({"event": "done", **told, "output": job.seq, "sha256": "0"})
        elif how == "returned":
            self.say({"event": "returned", **told})
        elif how == "errored":
            self.model.awake.discard(job.id)
            job.wake_at = self.now + 2
            self.say({"event": "errored", **told, "error": wrong, "retry": True, "delay": 2})
        else:
            self.say(
                {"event": "errored", **told, "error": wrong, "retry": False},
                {"event": "failed", "id": job.id, "error": wrong},
            )

    @precondition(lambda self: self.ids("failed", "canceled"))
    @rule(data=strategies.data())
    def redrive(self, data: strategies.DataObject) -> None:
        job = self.one(data, "failed", "canceled")
        job.state, job.seq = "queued", self.seq + 1
        self.model.awake.add(job.id)
        self.say({"event": "redriven", "id": job.id, "attempt": job.attempt, "sha256": str(self.seq)})

    @precondition(lambda self: self.ids("queued", "claimed"))
    @rule(data=strategies.data())
    def cancel(self, data: strategies.DataObject) -> None:
        job = self.one(data, "queued", "claimed")
        holder = {"attempt": job.attempt, "agent": "me"} if job.state == "claimed" else {}
        job.state, job.attempt = "canceled", job.attempt + 1
        self.say({"event": "canceled", "id": job.id, "by": f"c{self.seq}", "sha256": "0", **holder})

    @rule(seconds=strategies.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.index.wake(self.now)
        self.model.awake |= {job.id for job in self.model.jobs.values() if job.wake_at <= self.now}

    @rule(capacities=strategies.dictionaries(strategies.sampled_from(RESOURCES), strategies.integers(1, 3)))
    def set_capacities(self, capacities: dict[str, int]) -> None:
        """The operator edits taskdir.json."""
        self.model.capacities = capacities
        self.index.lines.use(capacities)

    @invariant()
    def the_window_is_the_model_s(self) -> None:
        for queue in QUEUES:
            for size in (SMALL, 99):
                found = [task.id for task in self.index.window(queue, size)]
                assert found == self.model.window(queue, size)

    @invariant()
    def what_is_told_is_the_model_s(self) -> None:
        """What ``status`` and ``show`` say of lines and dependencies."""
        told = self.index.lines
        for name in RESOURCES:
            assert told.holders(name) == self.model.holders(name)
        for job in self.model.jobs.values():
            assert told.unmet(job.id) == self.model.unmet(job)
            if job.state == "queued":
                assert bool(told.blockers(job.id, 1)) is self.model.is_stuck(job)

    @invariant()
    def there_is_no_deadlock(self) -> None:
        """Where nobody holds anything and something could start, resources aside, something may start."""
        if not self.ids("claimed") and any(self.model.could_start(job) for job in self.model.jobs.values()):
            assert self.index.queues()

    def teardown(self) -> None:
        """Replay; then let all claims end well and all work be taken: what is left waits for what failed."""
        if not hasattr(self, "index"):
            return
        again = Index(":memory:")
        for batch in self.log:
            again.apply(batch)
        assert list(again.facts()) == list(self.index.facts())
        again.close()
        self.wait(10)
        while claims := [*self.ids("claimed"), *self.offered()]:
            for id in claims:
                job = self.model.jobs[id]
                if job.state == "queued":
                    self.take(job)
                self.finish(job, "done")
        left = [job.id for job in self.model.jobs.values() if job.state == "queued" and not self.model.is_stuck(job)]
        assert not left, f"never offered: {left}"
        self.index.close()

    def offered(self) -> Iterator[str]:
        for queue in QUEUES:
            yield from (task.id for task in self.index.window(queue, SMALL))


def accepted(job: Job) -> Event:
    named: dict[str, Any] = {"type": "echo", "queue": job.queue, "priority": job.priority}
    if job.wake_at:
        named["not_before"] = documents.timestamp(job.wake_at)
    body = documents.resolve(named | {"after": job.after, "resources": job.resources}, {})
    return {"event": "accepted", "id": job.id, "sha256": job.id, "task": body, "contract": "0"}


EXAMPLES = 1000 if ledger.torture() else 60
HOUSE = settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
TestLines = Lines.TestCase
TestLines.settings = HOUSE

FAULTS = {
    "holders stand behind urgent work": ("_FRONT", "ORDER BY held DESC, priority", "ORDER BY priority"),
    "a line without an order": ("_FRONT", "held DESC, priority, seq", "held DESC, id DESC"),
    "one too many": ("_FRONT", "LIMIT ?", "LIMIT ? + 1"),
}


@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_line_is_noticed(name: str, right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: the query for the front of a line."""
    assert right in getattr(lines, name)
    monkeypatch.setattr(lines, name, getattr(lines, name).replace(right, wrong))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Lines, settings=settings(HOUSE, phases=[Phase.generate]))


def test_a_forgotten_release_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: tasks that wait for nothing more are not put in line."""
    monkeypatch.setattr(Index, "_place", lambda self, ids: None)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Lines, settings=settings(HOUSE, phases=[Phase.generate]))


def steps(waiting: int) -> int:
    """Return how many steps (in tens) SQLite's machine takes to hand five tasks of a line out and take them back."""
    machine, count = Lines(), 0
    machine.begin()
    jobs = [Job(f"t{at:04}", at + 1, "default", 5, [], ["repo"]) for at in range(waiting)]
    machine.model.jobs.update((job.id, job) for job in jobs)
    machine.say(*(accepted(job) for job in jobs))

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    machine.index._db.set_progress_handler(tick, 10)
    for job in jobs[:5]:
        assert [task.id for task in machine.index.window("default", 64)] == [job.id]
        machine.take(job)
        machine.finish(job, "done")
    machine.index._db.set_progress_handler(None, 10)
    machine.index.close()
    return count


def test_the_cost_of_a_claim_does_not_grow_with_what_waits() -> None:
    assert steps(2000) < 1.5 * steps(20)
