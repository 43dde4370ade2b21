"""The protocol once more, in short: what one pass must log, from what is known and what lies there (SPEC 3, 7, 8).

Written from SPEC alone and sharing nothing with the daemon, this is the oracle of ``test_machine.py``. It is told of
directories and a clock, keeps no files, and is right only for what ``machine.py`` does: settling takes no time there.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Slot = tuple[str, str]
"""Agent and stem."""
DEFAULTS: Event = {
    "input": {}, "queue": "default", "priority": 5, "max_attempts": 3, "lease_seconds": 1800,
    "timeout_seconds": 86400, "backoff_seconds": 1,
}  # fmt: skip
KINDS = {"integer": int, "string": str}
BAD = {
    b"{": "json-syntax", b"[]": "wrong-type", b"{}": "missing-field",
    b'{"type":"echo","type":"echo"}': "json-duplicate-key",
    b'{"type":"echo","priority":77}': "out-of-range", b'{"typ":"echo"}': "unknown-field", b"\xff": "json-encoding",
    b'{"type":"none"}': "unknown-type", b'{"kind":"x"}': "unknown-kind", b'{"type":"echo","id":"other"}': "id-mismatch",
    b'{"type":"echo","queue":"none"}': "unknown-queue", None: "not-regular",
}  # fmt: skip
"""What is refused for its form, and why; None is a link. Forms are not what this model is about."""
BAD_RESULTS = {
    b"{": "json-syntax", b"[]": "wrong-type", b'{"status":"ok"}': "missing-field", b'{"status":"good"}': "bad-value",
}  # fmt: skip


@dataclass(slots=True)
class Task:
    """An accepted task; ``seq`` is 0 until the log has told it."""

    id: str
    body: Event
    output: type | None
    seq: int = 0
    state: str = "queued"
    attempt: int = 1
    failures: int = 0
    claims: int = 0
    refusals: int = 0
    agent: str = ""
    wake: float = 0.0
    judged: bytes | None = None

    @property
    def stem(self) -> str:
        return f"{self.body['priority']}-{self.seq:012d}.{self.id}.{self.attempt}"


@dataclass(slots=True)
class Claim:
    """What lies under one stem in an agent's directory; ``shape`` differs when any of it was touched."""

    task: bool
    result: bytes | None
    notes: str | None
    shape: object
    idle: float = 0.0
    age: float = 0.0


@dataclass(slots=True)
class Seen:
    """What a look at the directories shows, and when. ``handed``: (slot, bytes) of results in taken/."""

    now: float
    inbox: list[tuple[str, bytes | None]]
    handed: list[tuple[Slot, bytes]]
    claims: dict[Slot, Claim]
    agents: set[str]
    contracts: dict[str, str]


@dataclass(slots=True)
class Model:
    """All that is known. ``step`` is one pass, ``restarted`` a new daemon; ``records`` are what failed/ showed."""

    settings: Event
    tasks: dict[str, Task] = field(default_factory=dict)
    live: list[Task] = field(default_factory=list)
    messages: dict[str, bytes | None] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    redrives: dict[bytes, str] = field(default_factory=dict)
    values: dict[str, tuple[int, Any]] = field(default_factory=dict)
    judged: dict[tuple[str, int], bytes | None] = field(default_factory=dict)
    refused: dict[str, tuple[bytes | None, str]] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    benched: dict[str, float] = field(default_factory=dict)
    contracts: dict[str, str] = field(default_factory=dict)
    used: dict[str, list[str]] = field(default_factory=dict)
    memory: dict[Slot, Claim] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    last: float | None = None
    first: bool = True

    def copy(self) -> Model:
        """Return another model that is the same."""
        made = copy.copy(self)
        names = "messages records redrives values judged refused streaks benched contracts"
        for part in names.split():
            setattr(made, part, dict(getattr(self, part)))
        made.tasks = {id: copy.copy(task) for id, task in self.tasks.items()}
        made.live = [made.tasks[task.id] for task in self.live]
        made.used = {type: list(texts) for type, texts in self.used.items()}
        return made

    def restarted(self) -> None:
        """Forget what a daemon's memory alone held: leases are fresh, contracts are read again."""
        self.memory, self.last, self.first, self.contracts = {}, None, True, {}

    def step(self, seen: Seen) -> list[Event]:
        """Return what this pass logs; keys that start with "_" are the model's own."""
        self.events = []
        most = self.settings["bench_after"]
        losers = sorted(agent for agent, lost in self.streaks.items() if lost >= most and agent not in self.benched)
        self._read_contracts(seen.contracts)
        self._age(seen)
        self._claims(seen)
        for slot, data in [*seen.handed, *((s, c.result) for s, c in sorted(seen.claims.items()) if c.result)]:
            self._result(slot, data)
        self._leases(seen)
        for agent in [agent for agent, until in sorted(self.benched.items()) if seen.now >= until]:
            self._say("unbenched", agent=agent)
        for agent in losers:
            self._say("benched", agent=agent, seconds=self.settings["bench_seconds"])
        for name, message in seen.inbox:
            self._message(seen, name, message)
        self._remember(seen.now)
        return self.events

    def offers(self, now: float) -> dict[str, list[str]]:
        """Return what ready/ shows at rest: queue → names."""
        waiting = sorted((t for t in self.tasks.values() if t.state == "queued"), key=lambda t: t.stem)
        able = [t for t in waiting if t.wake <= now and not self.unmet(t)]
        fronts = {
            name: ([t for t in self.live if name in _needs(t)] + [t for t in able if name in _needs(t)])[:capacity]
            for name, capacity in self.settings["resources"].items()
        }
        shown: dict[str, list[str]] = {}
        for task in able:
            if all(task in fronts[name] for name in _needs(task)):
                shown.setdefault(task.body["queue"], []).append(task.stem + ".json")
        return {queue: names[: self.settings["window"]] for queue, names in shown.items()}

    def unmet(self, task: Task) -> list[str]:
        """Return which dependencies of a task are not done."""
        return [id for id in task.body.get("after", ()) if self.tasks[id].state != "done"]

    def _say(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event} | {name: value for name, value in fields.items() if value is not None})

    def _read_contracts(self, texts: dict[str, str]) -> None:
        for type, text in texts.items():
            if text != "{":
                self.contracts[type] = text
            elif type not in self.contracts and type in self.used:
                self.contracts[type] = self.used[type][-1]  # a bad edit, after a start: the log knows one

    def _age(self, seen: Seen) -> None:
        elapsed = min(seen.now - self.last, 2 * self.settings["scan_seconds"]) if self.last is not None else 0.0
        self.last = seen.now
        for slot, claim in seen.claims.items():
            before = self.memory.get(slot)
            if before is not None:
                claim.age = before.age + elapsed
                claim.idle = before.idle + elapsed if before.shape == claim.shape else 0.0
        gone = {_slot(task): self.memory.get(_slot(task)) for task in self.live if _slot(task) not in seen.claims}
        self.memory = dict(seen.claims)
        self.memory |= {slot: before for slot, before in gone.items() if before is not None}

    def _notes(self, slot: Slot) -> str | None:
        return self.memory[slot].notes if slot in self.memory else None

    def _claims(self, seen: Seen) -> None:
        for lost in [task for task in self.live if _slot(task) not in seen.claims]:
            self._end(lost, "returned")
        for (agent, stem), claim in sorted(seen.claims.items()):
            task = self.tasks.get(stem.split(".")[1])
            breach = {"place": f"claimed/{agent}", "name": f"{stem}.json"}
            if task is None:
                self._breach("claim-unknown", **breach)
            elif task.state == "queued" and task.stem == stem and self.unmet(task):
                self._breach("claim-unknown", id=task.id, **breach)
            elif task.state == "queued" and task.stem == stem:
                self._claim(task, agent, breach)
            elif task.state == "claimed" and task.stem == stem and task.agent != agent and claim.task:
                self._breach("claim-copy", id=task.id, **breach)
        for agent in dict.fromkeys(task.agent for task in self.live):
            mine = [t for t in self.live if t.agent == agent]
            nothing = Claim(False, None, None, None)
            unfinished = [t for t in mine if seen.claims.get(_slot(t), nothing).result is None]
            for task in unfinished[self.settings["max_claims"] :]:
                self._end(task, "returned", code="max-claims")

    def _claim(self, task: Task, agent: str, breach: Event) -> None:
        full = [name for name in _needs(task) if self._holders(name) >= self.settings["resources"][name]]
        task.state, task.agent, task.claims, task.refusals, task.wake = "claimed", agent, task.claims + 1, 0, 0.0
        task.judged = None
        self.live.append(task)
        self._say("claimed", id=task.id, attempt=task.attempt, agent=agent)
        if task.body["queue"] not in ("default", "review", f"@{agent}"):
            self._breach("wrong-queue", id=task.id, **breach)
            self._end(task, "returned", code="wrong-queue")
        elif full:
            self._end(task, "returned", code="resources")

    def _holders(self, name: str) -> int:
        return sum(name in _needs(task) for task in self.live)

    def _breach(self, code: str, place: str, name: str, id: str | None = None) -> None:
        if self.refused.get(f"{place}/{name}") != (b"", code):
            self._say("breach", code=code, place=place, name=name, id=id)

    def _end(self, task: Task, event: str, *, final: bool = False, **fields: Any) -> None:
        """End a claim, and the task if nothing is left."""
        failing, by_daemon = event != "returned", event == "returned" and "code" in fields
        failures = task.failures + failing
        used = failures >= task.body["max_attempts"] or task.claims >= 10 * task.body["max_attempts"]
        over = final or (used and not by_daemon)
        delay = min(task.body["backoff_seconds"] * 2.0**task.failures, 3600.0) if failing and not over else 0.0
        said = {"id": task.id, "attempt": task.attempt, "agent": task.agent, "delay": delay or None}
        self._say(event, **said, notes=self._notes(_slot(task)), **fields)
        task.claims -= by_daemon
        task.state, task.failures, task.wake = "failed" if over else "queued", failures, self._now() + delay
        task.judged = fields.get("_data", task.judged)
        self._let_go(task)
        if over:
            self._say("failed", id=task.id, error=fields.get("error", event))

    def _now(self) -> float:
        return self.last or 0.0

    def _let_go(self, task: Task) -> None:
        task.attempt, task.agent = task.attempt + 1, ""
        self.live.remove(task)

    def _result(self, slot: Slot, data: bytes | None) -> None:
        agent, stem = slot
        id, attempt = stem.split(".")[1], int(stem.split(".")[2])
        task = self.tasks.get(id)
        if task is None:
            return
        if task.state != "claimed" or _slot(task) != slot:
            file = f"{stem}.result.json"
            if self.judged.get((id, attempt)) != data and self.refused.get(file) != (data, "late"):
                self._say("late", id=id, attempt=attempt, agent=agent, file=file, code="late", _data=data)
        elif not (self.first and data == task.judged):
            self._judge(task, data or b"")

    def _judge(self, task: Task, data: bytes) -> None:
        code = BAD_RESULTS.get(data)
        value = json.loads(data) if code is None else {}
        if code is None and value["status"] == "ok" and task.output and type(value["output"]) is not task.output:
            code = "output-contract"
        about = {"id": task.id, "attempt": task.attempt, "agent": task.agent}
        if code is not None:
            self._say("refused", **about, code=code)
            task.refusals, task.judged = task.refusals + 1, data
            if task.refusals >= self.settings["refusal_cap"]:
                self._end(task, "errored", error="refusal-cap", retry=True, _data=data)
        elif value["status"] == "ok":
            task.state, task.judged = "done", data
            self.live.remove(task)
            said = {"output": value["output"]}  # which may be null
            self.events.append({"event": "done", **about, **said, "_data": data})
            if (notes := self._notes((task.agent, task.stem))) is not None:
                self.events[-1]["notes"] = notes
        else:
            retry, error = value.get("retry", False), value["error"].get("code", "error")
            self._end(task, "errored", final=not retry, error=error, retry=retry, _data=data)

    def _leases(self, seen: Seen) -> None:
        for task in [task for task in self.live if _slot(task) in seen.claims]:
            claim = seen.claims[_slot(task)]
            if claim.age >= task.body["timeout_seconds"]:
                self._end(task, "timed_out")
            elif claim.idle >= task.body["lease_seconds"]:
                self._end(task, "expired")

    def _message(self, seen: Seen, name: str, data: bytes | None) -> None:
        try:
            self._judge_message(seen, name, name.removesuffix(".json"), data)
        except _Refused as why:
            told = (data or b"", str(why))
            if self.refused.get(name) != told:
                self._say("rejected", file=name, code=str(why), _data=data or b"")

    def _judge_message(self, seen: Seen, name: str, id: str, data: bytes | None) -> None:
        if data is None or not re.fullmatch("[a-z0-9][a-z0-9_-]{0,63}", id):
            raise _Refused("not-regular" if data is None else "name-grammar")
        task = self.tasks.get(id)
        ended = task is not None and task.state in ("failed", "canceled") and self.records.get(id) == data
        now = any(event.get("id") == id and event["event"] != "late" for event in self.events)
        if not ended or now:  # of what ended just now there is no record yet
            if self.messages.get(id) == data or self.redrives.get(data) == id:
                self._say("duplicate", by=id)
                return
        elif task is not None:
            self._say("redriven", id=id, attempt=task.attempt)
            task.state, task.failures, task.claims, task.seq, task.wake = "queued", 0, 0, 0, 0.0
            self.redrives[data] = id
            return
        code = BAD.get(data)
        if code is not None and not (id in self.messages and code in ("unknown-type", "unknown-queue")):
            raise _Refused(code)
        value = json.loads(data)
        kind = value.get("kind", "task")
        if kind == "record":
            raise _Refused("record-unknown" if not task else "record-done" if task.state == "done" else "record-edited")
        if id in self.messages:
            raise _Refused("id-taken")
        for event in {"task": self._task, "batch": self._batch, "cancel": self._cancel, "note": self._note,
                      "state": self._state}[kind](seen, id, value, data):  # fmt: skip
            self.events.append(event)
        self.messages[id] = data

    def _task(self, seen: Seen, id: str, value: Event, data: bytes) -> Iterator[Event]:
        self._check_after({id: value})
        self._check_place(seen, value)
        yield self._accept(id, value, data)

    def _batch(self, seen: Seen, id: str, value: Event, data: bytes) -> Iterator[Event]:
        members = {each["id"]: each for each in value["messages"]}
        if len(members) < len(value["messages"]) or id in members:
            raise _Refused("batch-duplicate-id")
        if members.keys() & self.messages.keys():
            raise _Refused("id-taken")
        self._check_after(members)
        for each in members.values():
            self._check_place(seen, each)
        made = [self._accept(name, each, _canonical(each)) | {"batch": id} for name, each in members.items()]
        yield {"event": "batch", "by": id, "count": len(members)}
        yield from made

    def _check_after(self, members: dict[str, Event]) -> None:
        for value in members.values():
            if any(dep not in members and dep not in self.tasks for dep in value.get("after", ())):
                raise _Refused("unknown-dependency")
        left = {id: set(value.get("after", ())) & members.keys() for id, value in members.items()}
        while ready := [id for id, deps in left.items() if not deps & left.keys()]:
            for id in ready:
                del left[id]
        if left:
            raise _Refused("dependency-cycle")

    def _check_place(self, seen: Seen, value: Event) -> None:
        queue = value.get("queue", "default")
        if value["type"] not in self.contracts:
            raise _Refused("unknown-type")
        if queue.startswith("@") and queue[1:] not in seen.agents:
            raise _Refused("unknown-agent")

    def _accept(self, id: str, value: Event, data: bytes) -> Event:
        text = self.contracts[value["type"]]
        contract = json.loads(text)
        body = DEFAULTS | contract.get("defaults", {}) | value
        body = {name: each for name, each in body.items() if name not in ("id", "kind")}
        task = Task(id, body, KINDS.get(contract.get("output", {}).get("type")))
        if "not_before" in body:
            task.wake = body["x-wake"]
        self.tasks[id], self.messages[id] = task, data
        if text not in self.used.setdefault(value["type"], []):
            self.used[value["type"]].append(text)
        return {"event": "accepted", "id": id, "task": body}

    def _cancel(self, seen: Seen, id: str, value: Event, data: bytes) -> Iterator[Event]:
        task, deep = self.tasks.get(value["task"]), value.get("dependants")
        if task is None:
            raise _Refused("cancel-unknown")
        named = [task, *(self.dependants(task) if deep else ())]
        ended = [each for each in named if each.state in ("queued", "claimed")]
        if (task.state not in ("queued", "claimed") and (task.state == "done" or not deep)) or not ended:
            raise _Refused("cancel-final")
        for each in ended:
            said: Event = {"event": "canceled", "id": each.id, "by": id}
            if each.state == "claimed":
                said |= {"attempt": each.attempt, "agent": each.agent}
                if (notes := self._notes(_slot(each))) is not None:
                    said["notes"] = notes
                self.live.remove(each)
            each.state, each.attempt, each.agent = "canceled", each.attempt + 1, ""
            yield said

    def dependants(self, task: Task) -> list[Task]:
        """Return what waits for a task, directly or not, in the order in which a cancel ends it."""
        found = [task]
        for at in found:  # it grows: nearest first, those accepted in this pass behind the others
            waiting = [each for each in self.tasks.values() if at.id in each.body.get("after", ())]
            waiting.sort(key=lambda each: (each.seq == 0, each.id if each.seq else ""))
            found += [each for each in waiting if each not in found]
        return found[1:]

    def _note(self, seen: Seen, id: str, value: Event, data: bytes) -> Iterator[Event]:
        if value.get("task", id) != id and value["task"] not in self.tasks:
            raise _Refused("note-unknown-task")
        about = {"id": value["task"]} if "task" in value else {}
        yield {"event": "noted", "by": id, "message": value["message"], **about}

    def _state(self, seen: Seen, id: str, value: Event, data: bytes) -> Iterator[Event]:
        version = self.values.get(value["key"], (0, None))[0]
        if value.get("if_version", version) != version:
            raise _Refused("state-conflict")
        self.values[value["key"]] = (version + 1, value["value"])
        yield {"event": "set", "by": id, "key": value["key"], "version": version + 1, "value": value["value"]}

    def _remember(self, now: float) -> None:
        """Take over what counts from the next pass on: refusals, judged results, who lost how often."""
        self.first = False
        for event in self.events:
            name, agent = event["event"], event.get("agent", "")
            if name in ("rejected", "late", "breach"):
                file = event.get("file") or f"{event['place']}/{event['name']}"
                self.refused[file] = (event.get("_data", b""), event["code"])
            elif name in ("accepted", "redriven"):
                self.refused.pop(f"{event['id']}.json", None)
            if "by" in event and name != "duplicate":
                self.refused.pop(f"{event['by']}.json", None)
            if name in ("done", "errored"):
                self.judged[event["id"], event["attempt"]] = event["_data"]
            if name == "benched":
                self.benched[agent] = now + event["seconds"]
            elif name == "unbenched":
                del self.benched[agent]
                self.streaks[agent] = 0
            elif name == "done" and agent not in self.benched:
                self.streaks[agent] = 0
            elif name in ("errored", "expired", "timed_out") or (
                name == "returned" and event.get("code") in ("max-claims", "wrong-queue")
            ):
                self.streaks[agent] = self.streaks.get(agent, 0) + 1


class _Refused(Exception):
    """A message breaks the rule of this code."""


def _slot(task: Task) -> Slot:
    return task.agent, task.stem


def _needs(task: Task) -> list[str]:
    return list(task.body.get("resources", ()))


def _canonical(value: Event) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
