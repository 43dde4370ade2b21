"""Agents, an operator and a daemon that act by lot, beside the model of ``model.py`` (Hypothesis, rule based).

Each rule does to the directory what a program or a person would do; the daemon then makes no pass, one, or as many as
it wants. Each pass must log exactly what the model says, in one batch or, when it is killed, not at all; at rest
directories and index are as the model has them and ``check`` finds nothing; at the end everything drains.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from faults.model import BAD, BAD_RESULTS, Claim, Event, Model, Seen, Slot
from faults.verdict import Before, judge, lines_of
from faults.world import Countdown, Killed, World
from taskdir import records
from taskdir.disk import Disk
from taskdir.documents import timestamp

SETTINGS: Event = {
    "protocol": 1, "queues": ["review"], "window": 2, "max_claims": 1, "settle_seconds": 0, "scan_seconds": 1,
    "refusal_cap": 2, "bench_after": 3, "bench_seconds": 20, "log_segment_bytes": 4096, "context_bytes": 20,
    "resources": {"gpu": 2, "disk": 1},
}  # fmt: skip
CONTRACTS = ('{"output":{"type":"integer"}}', '{"output":{"type":"string"},"defaults":{"max_attempts":1}}', "{")
AGENTS = ("al", "bo", "eve")
GHOST = "5-000000000001.ghost.1"
STEM = re.compile(r"([0-9]-[0-9]{12}\.[a-z0-9_-]+\.[1-9][0-9]*)(\.result\.json|\.notes\.jsonl|\.refused\.json|\.json)")
TALLY: Counter[str] = Counter()
"""How many steps, passes and kills there were."""

PICK = st.integers(0, 7)
AGENT = st.sampled_from(AGENTS)
THEN = st.sampled_from(("rest", "rest", "pass", "nothing"))
SOON = st.sampled_from((1, 2, 2, 3, 3, 4, 5, 6, 8, 12, 20))
TASK = st.fixed_dictionaries(
    {"type": st.sampled_from(("echo", "count"))},
    optional={
        "input": st.sampled_from((1, "x", [])),
        "queue": st.sampled_from(("default", "review", "@al", "@bo")),
        "priority": st.sampled_from((0, 9)),
        "resources": st.sampled_from((["gpu"], ["disk"], ["disk", "gpu"])),
        "max_attempts": st.sampled_from((1, 2)),
        "lease_seconds": st.sampled_from((3, 6)),
        "timeout_seconds": st.sampled_from((4, 9)),
        "backoff_seconds": st.sampled_from((0, 4)),
    },
)
RESULT = st.sampled_from(
    (
        b'{"status":"ok","output":1}', b'{"status":"ok","output":1}', b'{"status":"ok","output":"x"}',
        b'{"status":"error","error":{"message":"no"},"retry":true}',
        b'{"status":"error","error":{"code":"disk","message":"no"},"retry":true}',
        b'{"status":"error","error":{"message":"never"}}', *BAD_RESULTS,
    )
)  # fmt: skip
OWN_KEYS = ("seq", "time", "prev", "end", "sha256", "contract")
"""Members of events that say nothing about what was decided."""


class Standing(World):
    """A root that stays where it is when its daemon is killed: only SQLite writes without the hook, and is put back.

    ``plan``: after how many operations the next daemon is killed, too (0: not), and whether the index gets lost.
    """

    plan: tuple[int, bool] = (0, False)

    def bury(self) -> None:
        """Let the dead daemon's descriptors go; what its index then folds in did not happen."""
        home = self.root / ".taskdir"
        before = {path: path.read_bytes() for path in home.glob("index.sqlite*") if path.suffix != ".sqlite-shm"}
        if self.daemon is not None:
            self.daemon.abandon()
            self.daemon = None
        for path in home.glob("index.sqlite*"):
            path.unlink()
        for path, data in before.items():
            path.write_bytes(data)
        again, lose = self.plan
        self.hook.dead, self.hook.at, self.plan = False, self.hook.count + again if again else None, (0, False)
        if lose:
            self.lose_index()

    def lose_index(self) -> None:
        """Somebody deletes the index while no daemon runs."""
        for path in (self.root / ".taskdir").glob("index.sqlite*"):
            path.unlink()


class Machine(RuleBasedStateMachine):
    """One life of one root."""

    check_every = 5
    """After so many rests everything is audited; always after a kill, and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.world = Standing(self.base, Countdown())
        self.root = self.world.root
        self.world.write("taskdir.json", SETTINGS)
        self.world.write("contracts/count.json", CONTRACTS[0])
        self.model = Model(SETTINGS)
        self.killed: tuple[Model, list[Event]] | None = None
        self.lines, self.ids = 0, count(1)
        self.made: list[str] = []
        self.past: list[Slot] = []
        self.moved: set[str] = set()
        self.sent: list[tuple[str, bytes]] = []
        self.owed: dict[str, bytes] = {}
        self.rests, self.dirty = 0, False

    # --- what the daemon does

    def then(self, what: str) -> None:
        """Go on as a rule was told to."""
        TALLY["steps"] += 1
        if what == "pass":
            self.a_pass()
        elif what == "rest":
            self.rest()

    def a_pass(self) -> bool:
        """Let the daemon make one pass, started if need be; says whether it worked, or was killed in it."""
        if self.world.daemon is None:
            self.open()
        daemon, tried, seen = self.world.start(), self.model.copy(), self.look()
        expected = tried.step(seen)
        TALLY["passes"] += 1
        try:
            worked = daemon.one_pass()
        except Killed:
            TALLY["kills"] += 1
            self.world.bury()
            self.no_half_files()
            self.owed |= {name: data for name, data in seen.inbox if data is not None}
            self.killed, self.dirty = (tried, expected), True
            return True
        self.adopt(tried, expected, self.news())
        return worked

    def open(self) -> None:
        """Start a daemon: the log tells whether the pass in which the last one was killed has happened."""
        while self.world.daemon is None:
            try:
                self.world.start()
            except Killed:
                TALLY["kills"] += 1
                self.world.bury()
        new = self.news()
        begun = [event["event"] for event in new].index("started")
        if self.killed is not None and begun:
            self.adopt(*self.killed, new[:begun])
        else:
            assert [told(event) for event in new[:begun] if event["event"] != "stopped"] == []
        self.killed = None
        self.model.restarted()

    def adopt(self, tried: Model, expected: list[Event], new: list[Event]) -> None:
        """The pass has happened: it logged what the model said. Take over what only the log can tell."""
        said = [event for event in new if _is_told(event)]
        logged, modelled = [told(event) for event in said], [_public(event) for event in expected]
        assert logged == modelled, f"the log says\n  {logged}\nthe model says\n  {modelled}"
        for event in said:
            if event["event"] in ("accepted", "redriven"):
                tried.tasks[event["id"]].seq = event["seq"]
        self.model = tried

    def news(self) -> list[Event]:
        """Return the events that were not read yet."""
        lines = lines_of(str(self.root))
        new, self.lines = lines[self.lines :], len(lines)
        assert not new or "end" in json.loads(new[-1]), "a batch has no end"
        return [json.loads(line) for line in new]

    def rest(self) -> None:
        """Let the daemon work until nothing changes, then compare everything."""
        for _ in range(50):
            if not self.a_pass():
                break
        else:
            raise AssertionError("the daemon does not come to rest")
        if self.dirty:  # what a kill left may take one look more, which a scan interval brings
            while self.a_pass():
                pass
        self.sync()
        self.compare()

    def sync(self) -> None:
        """Sync the records, as a daemon with nothing to do does: what is gone from then on was pruned."""
        hook, daemon = self.world.hook, self.world.start()
        at, seen = hook.at, hook.count
        hook.at = None
        daemon._records.sync()
        hook.at, hook.count = at, seen

    def look(self) -> Seen:
        """Look at what others handed in, as any program would."""
        inbox, handed = [], []
        for name in os.listdir(self.root / ".taskdir/taken"):
            _, agent, own = name.split("!", 2)
            data = _read(self.root / ".taskdir/taken" / name)
            if agent:
                handed.append(((agent, own.removesuffix(".result.json")), data or b""))
            else:
                inbox.append((own, data))
        names = sorted(path.name for path in (self.root / "inbox").iterdir() if path.name[0] != ".")
        inbox += [(name, _read(self.root / "inbox" / name)) for name in names]
        agents = {path.name for path in (self.root / "claimed").iterdir()}
        claims = {slot: claim for agent in agents for slot, claim in self.claims_of(agent).items()}
        contracts = {path.stem: path.read_text() for path in (self.root / "contracts").glob("*.json")}
        contracts["echo"] = '{"title":"anything"}'
        return Seen(self.world.clock.seconds, inbox, handed, claims, agents, contracts)

    def claims_of(self, agent: str) -> dict[Slot, Claim]:
        """Return what an agent's directory shows, by stem."""
        files: dict[str, dict[str, Path]] = {}
        for path in (self.root / "claimed" / agent).iterdir():
            if match := STEM.fullmatch(path.name):
                files.setdefault(match[1], {})[match[2]] = path
        found = {}
        for stem, parts in files.items():
            parts.pop(".refused.json", None)
            if ".json" in parts or ".result.json" in parts:
                shape = {(suffix, *_shape(path)) for suffix, path in parts.items()}
                notes = _read(parts[".notes.jsonl"]) if ".notes.jsonl" in parts else None
                result = _read(parts[".result.json"]) if ".result.json" in parts else None
                found[agent, stem] = Claim(".json" in parts, result, notes.decode() if notes else None, shape)
        return found

    # --- what must hold

    def no_half_files(self) -> None:
        """P2: whatever is visible is whole."""
        for place in ("ready", "done", "failed", "state"):
            for path in (self.root / place).rglob("*.json"):
                if path.parent.name != "failed" or not path.is_symlink():
                    json.loads(path.read_bytes())

    def compare(self) -> None:
        """P3, P6: at rest the directories and the index say what the model says, and ``check`` finds nothing."""
        model, index = self.model, self.world.start().index
        assert {p.name for p in (self.root / "inbox").iterdir()} == set()
        assert os.listdir(self.root / ".taskdir/taken") == []
        shown = {q.name: sorted(os.listdir(q)) for q in (self.root / "ready").iterdir() if os.listdir(q)}
        assert shown == model.offers(self.world.clock.seconds)
        agents = os.listdir(self.root / "claimed")
        assert [slot for agent in agents for slot, claim in self.claims_of(agent).items() if claim.result] == []
        assert set(self.all_held()) == {(task.agent, task.stem) for task in model.live}
        for state, place in (("done", "done"), ("failed canceled", "failed")):
            there = {path.stem for path in (self.root / place).iterdir()}
            wanted = {task.id for task in model.tasks.values() if task.state in state.split()}
            assert there <= wanted, f"{place}/ has {there - wanted}"
            assert wanted - there <= self.moved, f"{place}/ lacks {wanted - there - self.moved}"
        entries = {path.stem: json.loads(path.read_bytes()) for path in (self.root / "state").iterdir()}
        assert {key: (each["version"], each["value"]) for key, each in entries.items()} == model.values
        for task in model.tasks.values():
            known = index.task(task.id)
            assert known is not None, task.id
            assert (known.state, known.attempt, known.agent or "", known.failures, known.claims, known.seq) == (
                task.state, task.attempt, task.agent if task.state == "claimed" else known.agent or "", task.failures,
                task.claims, task.seq,
            )  # fmt: skip
        assert index.task("ghost") is None
        self.rests += 1
        if self.rests % self.check_every == 0 or self.dirty:
            owed = {hashlib.sha256(data).hexdigest(): name for name, data in self.owed.items()}
            judge(str(self.root), Before(0, "", owed))
            self.dirty, self.owed = False, {}

    def teardown(self) -> None:
        """Let everything drain, unless something was wrong already."""
        try:
            if not self.base.exists() or self.world.hook.dead or self._failed():
                return
            self.drain()
        finally:
            if self.world.daemon is not None:
                self.world.daemon.abandon()
            shutil.rmtree(self.base, ignore_errors=True)

    def _failed(self) -> bool:
        """Say whether an error is on its way already, so that nothing hides it."""
        return sys.exc_info()[0] is not None

    def drain(self) -> None:
        """Bring back what failed, do what is offered: in the end every task is done."""
        self.world.hook.at = None
        self.world.write("contracts/count.json", CONTRACTS[0])
        for agent in AGENTS:
            (self.root / "claimed" / agent).mkdir(exist_ok=True)
        left = [*self.model.tasks.values()]
        for _ in range(600):
            self.rest()
            left = [task for task in self.model.tasks.values() if task.state != "done"]
            if not left:
                break
            for task in left:
                if task.state in ("failed", "canceled"):
                    self.bring_back(task.id)
            for agent in AGENTS:
                self.do_work(agent)
            self.world.clock.seconds += 1
        else:
            raise AssertionError(f"does not drain: {left}")
        judge(str(self.root), Before(0, ""))
        self.world.stop()
        lines = lines_of(str(self.root))
        assert json.loads(lines[-1])["event"] == "stopped"

    def bring_back(self, id: str) -> None:
        """Redrive a task, its record restored if it was moved."""
        index, path = self.world.start().index, self.root / f"failed/{id}.json"
        task = index.task(id)
        assert task is not None, id
        if not path.exists():
            records.restore(self.world.start().places, Disk(), index, task)
        self.redrive_record(path)

    def do_work(self, agent: str) -> None:
        """Finish what one agent holds, or claim the next for it."""
        held = [slot for slot, claim in self.claims_of(agent).items() if claim.task]
        if not held and self.may_write(agent):
            offers = [path for queue in ("default", "review", f"@{agent}") for path in self.offered(queue)]
            if offers:
                path = offers[0]
                path.rename(self.root / "claimed" / agent / path.name)
                held = [(agent, path.stem)]
        for _, stem in held:
            offer = json.loads((self.root / "claimed" / agent / f"{stem}.json").read_bytes())
            output = "x" if offer.get("output_schema", {}).get("type") == "string" else 1
            self.world.write(f"claimed/{agent}/{stem}.result.json", {"status": "ok", "output": output})

    def offered(self, queue: str) -> list[Path]:
        """Return the offers of a queue, in order."""
        place = self.root / "ready" / queue
        return sorted(place.iterdir()) if place.exists() else []

    def may_write(self, agent: str) -> bool:
        """Say whether an agent has a directory and is not benched; tests may run as root, whom no mode keeps out."""
        place = self.root / "claimed" / agent
        return place.exists() and bool(place.stat().st_mode & stat.S_IWUSR)

    # --- what submitters and operators do

    def put(self, id: str, message: Event | bytes) -> None:
        """Submit a message under an id."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.sent.append((id, data))
        path = self.root / f"inbox/{id}.json"
        self.owed.pop(path.name, None)
        if not path.is_symlink():
            self.world.write(f"inbox/{id}.json", data.decode("latin-1") if data == b"\xff" else data.decode())
            if data == b"\xff":
                path.write_bytes(data)

    def new(self) -> str:
        self.made.append(f"t{next(self.ids)}")
        return self.made[-1]

    def known(self, pick: int) -> str:
        """Return an id that was used before, or one that nobody has."""
        return ([*self.made[-7:], "nobody"])[-1 - pick % (min(len(self.made), 7) + 1)]

    def completed(self, task: Event, sleep: int, deps: list[int]) -> Event:
        """Add to a task what depends on what there is."""
        if sleep:
            at = self.world.clock.seconds + 3 * sleep
            task |= {"not_before": timestamp(at), "x-wake": at}
        if deps:
            task |= {"after": sorted({self.known(pick) for pick in deps})}
        return task

    @rule(task=TASK, sleep=st.sampled_from((0, 0, 0, 1, 3)), deps=st.lists(PICK, max_size=2), again=PICK, then=THEN)
    def submit(self, task: Event, sleep: int, deps: list[int], again: int, then: str) -> None:
        task = self.completed(task, sleep, deps)
        self.put(self.known(again) if again == 7 else self.new(), task)
        self.then(then)

    @rule(task=TASK, at=SOON, then=THEN)
    def submit_and_kill(self, task: Event, at: int, then: str) -> None:
        self.put(self.new(), task)
        self.kill(at, 0, False, then)

    @rule(
        tasks=st.lists(TASK, min_size=1, max_size=3),
        links=st.sampled_from(([], [(1, 0), (2, 1)])) | st.lists(st.tuples(PICK, PICK), max_size=3),
        then=THEN,
    )
    def batch(self, tasks: list[Event], links: list[tuple[int, int]], then: str) -> None:
        """A batch whose members may wait for each other, perhaps in a circle, or have an id twice."""
        members = [{"id": self.new(), **task} for task in tasks]
        for one, other in links:
            members[one % len(members)].setdefault("after", [])
            after = members[one % len(members)]["after"]
            dep = members[other % len(members)]["id"] if other < 5 else self.known(other)
            if dep not in after:
                after.append(dep)
        if (7, 7) in links:
            members[0]["id"] = members[-1]["id"]
        self.put(self.new(), {"kind": "batch", "messages": members})
        self.then(then)

    @rule(pick=PICK, dependants=st.booleans(), then=THEN)
    def cancel(self, pick: int, dependants: bool, then: str) -> None:
        queued = [task for task in self.model.tasks.values() if task.state == "queued"]
        deep = [task.id for task in queued if dependants and len(self.model.dependants(task)) > 1]
        id = deep[pick % len(deep)] if deep else self.known(pick)
        self.put(f"c{next(self.ids)}", {"kind": "cancel", "task": id, "dependants": dependants})
        self.then(then)

    @rule(pick=PICK, then=THEN)
    def note(self, pick: int, then: str) -> None:
        about = {"task": self.known(pick)} if pick > 1 else {}
        self.put(f"n{next(self.ids)}", {"kind": "note", "message": "well", **about})
        self.then(then)

    @rule(key=st.sampled_from(("head", "plan")), value=PICK, version=st.sampled_from((None, 0, 1, 2)), then=THEN)
    def set(self, key: str, value: int, version: int | None, then: str) -> None:
        said = {"kind": "state", "key": key, "value": value} | ({} if version is None else {"if_version": version})
        self.put(f"s{next(self.ids)}", said)
        self.then(then)

    @rule(pick=PICK, then=THEN)
    def send_again(self, pick: int, then: str) -> None:
        if self.sent:
            id, data = self.sent[-1 - pick % len(self.sent)]
            self.put(id, data)
            self.then(then)

    @rule(data=st.sampled_from(tuple(BAD)), odd=st.sampled_from(("", "Bad", "a.b")), pick=PICK, then=THEN)
    def rubbish(self, data: bytes | None, odd: str, pick: int, then: str) -> None:
        """What is no message, or has no name for one, perhaps under an id that is taken."""
        id = odd or (self.known(pick) if pick > 5 else f"b{next(self.ids)}")
        path = self.root / f"inbox/{id}.json"
        if data is not None:
            self.put(id, data)
        elif not os.path.lexists(path):
            path.symlink_to("/etc/hostname")
        self.then(then)

    @rule(pick=PICK, then=THEN)
    def repair(self, pick: int, then: str) -> None:
        """Hand in again what was refused, as it is."""
        there = sorted(p for p in (self.root / "rejected").iterdir() if not p.name.endswith(".reason.json"))
        if there:
            path = there[pick % len(there)]
            path.rename(self.root / "inbox" / path.name)
            self.owed.pop(path.name, None)
            self.then(then)

    @rule(pick=PICK, edited=st.sampled_from((False, False, False, True)), then=THEN)
    def redrive(self, pick: int, edited: bool, then: str) -> None:
        there = sorted((self.root / "failed").iterdir())
        if there:
            self.redrive_record(there[pick % len(there)], b" " if edited else b"")
            self.then(then)

    def redrive_record(self, path: Path, edit: bytes = b"") -> None:
        """Move a record to inbox/, perhaps with a change."""
        data = path.read_bytes()
        self.model.records[path.stem] = data
        if self.killed is not None:
            self.killed[0].records[path.stem] = data
        path.write_bytes(data + edit)
        path.rename(self.root / "inbox" / path.name)
        self.moved.add(path.stem)
        self.owed.pop(path.name, None)

    @rule(pick=PICK)
    def prune(self, pick: int) -> None:
        there = sorted((self.root / "done").iterdir())
        if there:
            there[pick % len(there)].unlink()
            self.moved.add(there[pick % len(there)].stem)

    @rule(text=st.sampled_from(CONTRACTS))
    def change_contract(self, text: str) -> None:
        self.world.write("contracts/count.json", text)

    # --- what agents do

    @rule(agent=AGENT, queue=PICK, later=st.sampled_from((0, 0, 0, 1)), then=THEN)
    def claim(self, agent: str, queue: int, later: int, then: str) -> None:
        home = self.root / "claimed" / agent
        home.mkdir(exist_ok=True)
        queues = [path for path in sorted((self.root / "ready").iterdir()) if os.listdir(path)]
        if queues and self.may_write(agent):
            offers = sorted(queues[queue % len(queues)].iterdir())
            path = offers[min(later, len(offers) - 1)]
            self.past.append((agent, path.stem))
            path.rename(home / path.name)
            self.then(then)

    @rule(first=AGENT, second=AGENT, notes=st.booleans(), result=RESULT, then=THEN)
    def overtaken(self, first: str, second: str, notes: bool, result: bytes, then: str) -> None:
        """An agent works on after its lease, renewed once, while another one has the task already."""
        self.put(self.new(), {"type": "echo", "lease_seconds": 3, "backoff_seconds": 0, "priority": 0})
        self.rest()
        for agent in (first, second):
            self.claim(agent, 0, 0, "rest")
            if agent == first:
                self.world.clock.seconds += 50  # a suspend: the lease is at 2 of 3 seconds after it
                self.a_pass()
                self.keep(0, notes, "nothing")
                for _ in range(5):
                    self.world.clock.seconds += 1
                    self.a_pass()
                self.rest()
        self.late(0, first, result, True, then)

    def held(self, pick: int) -> Slot | None:
        """Return something that somebody claimed."""
        found = self.all_held()
        return found[pick % len(found)] if found else None

    def all_held(self) -> list[Slot]:
        """Return every slot with a claimed file, in order."""
        agents = os.listdir(self.root / "claimed")
        return sorted(slot for agent in agents for slot, claim in self.claims_of(agent).items() if claim.task)

    @rule(pick=PICK, result=RESULT, then=THEN)
    def finish(self, pick: int, result: bytes, then: str) -> None:
        slot = self.held(pick)
        if slot is not None and self.may_write(slot[0]):
            self.world.write(f"claimed/{slot[0]}/{slot[1]}.result.json", result.decode())
            self.then(then)

    @rule(pick=PICK, result=RESULT, at=SOON, then=THEN)
    def finish_and_kill(self, pick: int, result: bytes, at: int, then: str) -> None:
        if self.held(pick) is None:
            self.put(self.new(), {"type": "echo", "priority": 0, "max_attempts": 1})
            self.rest()
            self.claim(AGENTS[pick % 3], 0, 0, "rest")
        self.finish(pick, result, "nothing")
        self.kill(at, 0, False, then)

    @rule(pick=PICK, agent=AGENT, result=RESULT, own=st.sampled_from((True, True, False)), then=THEN)
    def late(self, pick: int, agent: str, result: bytes, own: bool, then: str) -> None:
        """A result for an attempt of before, or for one of somebody else."""
        live = [(task.agent, task.stem) for task in self.model.live]
        again = [slot for slot in self.past if slot not in live and any(_id(slot) == _id(other) for other in live)]
        past = (again or self.past) if own else live
        if past:
            owner, stem = past[-1 - pick % len(past)]
            by = owner if own else agent
            if self.may_write(by):
                self.world.write(f"claimed/{by}/{stem}.result.json", result.decode())
                self.then(then)

    @rule(pick=PICK, notes=st.booleans(), then=THEN)
    def keep(self, pick: int, notes: bool, then: str) -> None:
        slot = self.held(pick)
        if slot is not None:
            path = self.root / "claimed" / slot[0] / f"{slot[1]}.json"
            if notes and self.may_write(slot[0]):
                Disk().append_text(str(path.with_name(f"{slot[1]}.notes.jsonl")), b"still here\n")
            else:
                os.utime(path)
            self.then(then)

    @rule(pick=PICK, then=THEN)
    def give_back(self, pick: int, then: str) -> None:
        slot = self.held(pick)
        if slot is not None:
            (self.root / "claimed" / slot[0] / f"{slot[1]}.json").unlink()
            self.then(then)

    @rule(pick=PICK, agent=AGENT, then=THEN)
    def copy_claim(self, pick: int, agent: str, then: str) -> None:
        """An agent copies what another one claimed."""
        slot = self.held(pick)
        if slot is not None and slot[0] != agent and self.may_write(agent):
            path = self.root / "claimed" / slot[0] / f"{slot[1]}.json"
            shutil.copy(path, self.root / "claimed" / agent / path.name)
            self.then(then)

    @rule(what=st.sampled_from(("ready", "offer", "claim", "blocked", "state", "stranger")), pick=PICK)
    def forge(self, what: str, pick: int) -> None:
        """Somebody writes where only the daemon does, or claims what was never offered."""
        claimed = self.root / "claimed/eve"
        claimed.mkdir(exist_ok=True)
        shown = sorted((self.root / ("ready" if what == "offer" else "state")).rglob("*.json"))
        waiting = [task for task in self.model.tasks.values() if task.state == "queued" and self.model.unmet(task)]
        if what == "ready":
            self.put_at(self.root / "ready/default" / f"{GHOST}.json")
        elif what in ("offer", "state") and shown:
            self.put_at(shown[pick % len(shown)])
        elif what == "claim" and self.may_write("eve"):
            self.put_at(claimed / f"{GHOST}.json")
        elif what == "blocked" and waiting and self.may_write("eve"):
            self.put_at(claimed / f"{waiting[pick % len(waiting)].stem}.json")
        elif what == "stranger":
            self.put_at(self.root / "state/unset.json")
        self.world.clock.seconds += 1  # what is shown is looked at once a scan
        self.rest()

    def put_at(self, path: Path) -> None:
        if path.parent.exists():
            path.write_text("{}")

    # --- what time and trouble do

    @rule(seconds=st.sampled_from((0.5, 1, 1, 2, 2, 5, 100)), passes=st.sampled_from((1, 1, 3, 5)), then=THEN)
    def wait(self, seconds: float, passes: int, then: str) -> None:
        """Time passes, perhaps in one jump."""
        for _ in range(passes):
            self.world.clock.seconds += seconds
            self.a_pass()
        self.then(then)

    @rule(at=SOON, again=st.sampled_from((0, 0, 1, 5, 12)), lose=st.booleans(), then=THEN)
    def kill(self, at: int, again: int, lose: bool, then: str) -> None:
        """The daemon will be killed before its n-th operation from now; perhaps the next one too, or the index lost."""
        self.world.hook.at = self.world.hook.count + at
        self.world.plan = again, lose
        self.then(then)

    @rule(lose=st.booleans(), start=st.booleans(), then=THEN)
    def restart(self, lose: bool, start: bool, then: str) -> None:
        """A clean stop; the index may get lost before the next start."""
        if self.world.daemon is not None:
            self.world.stop()
        if lose:
            self.world.lose_index()
        if start:
            self.open()
        self.then(then)


def told(event: Event) -> Event:
    """Return what an event of the log says, as the model says it."""
    said = {name: value for name, value in event.items() if name not in OWN_KEYS}
    reason = said.pop("reason", None)
    if reason is not None and "code" not in said:
        said["code"] = reason if isinstance(reason, str) else reason["code"]
    if "error" in said:
        said["error"] = said["error"]["code"]
    return said


def _is_told(event: Event) -> bool:
    """Say whether the model has a word for it: it knows no texts of contracts, nor when ready/ and state/ are seen."""
    shown = event["event"] == "breach" and event["place"].startswith(("ready", "state"))
    return not shown and event["event"] not in ("contract", "started", "stopped")


def _public(event: Event) -> Event:
    return {name: value for name, value in event.items() if not name.startswith("_")}


def _id(slot: Slot) -> str:
    return slot[1].split(".")[1]


def _read(path: Path) -> bytes | None:
    return None if path.is_symlink() else path.read_bytes()


def _shape(path: Path) -> tuple[Any, ...]:
    found = os.lstat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
