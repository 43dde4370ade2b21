"""A root with one daemon in this process that many bad documents go through, and what came of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faults.hostile import Case, members
from faults.verdict import lines_of
from faults.world import Countdown, World
from taskdir import names, strictjson

PASSES = 512
"""Messages judged in one pass (observe.PASS_LIMIT), restated so that a change of it is noticed."""
LONGEST = 8192
"""Bytes of a reason at most, whatever the document holds: a reason is for people."""


class Stand(World):
    """A root in which ``fixed`` waits, ``ended`` is done, ``broken`` has failed and ``fixed-note`` is a note."""

    def __init__(self, base: Path, **settings: Any) -> None:
        super().__init__(base, Countdown())
        self.write(
            "taskdir.json",
            {"protocol": 1, "settle_seconds": 0, "queues": ["review"], "refusal_cap": 100, "bench_after": 0} | settings,
        )
        (self.root / "contracts/state").mkdir()
        for name, contract in members.CONTRACTS.items():
            self.write(f"contracts/{name}.json", contract)
        self.passes()
        self.write("inbox/broken.json", {"type": "echo", "max_attempts": 1})
        self.passes()
        self.claim("me")
        self.passes()
        self.result("me", {"status": "error", "error": {"message": "no"}})
        self.work("ended")
        self.write("inbox/fixed.json", {"type": "echo", "queue": "review"})
        self.write("inbox/fixed-note.json", {"kind": "note", "message": "hello"})
        self.passes()
        self._read, self.counted = 0, 0
        self.news()

    def drop(self, place: str, name: bytes, data: bytes) -> None:
        """Put bytes into a file, under any name."""
        with open(os.path.join(os.fsencode(self.root), place.encode(), name), "wb") as file:
            file.write(data)

    def news(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        lines = lines_of(str(self.root))
        found = [strictjson.loads(line, 64) for line in lines[self._read :]]
        self._read = len(lines)
        return found

    def work(self, id: str) -> int:
        """Bring a good task to its end; returns how many passes its acceptance took."""
        self.write(f"inbox/{id}.json", {"type": "echo", "input": id})
        count = 0
        while not [name for name in os.listdir(self.root / "ready/default") if f".{id}." in name]:
            self.start().one_pass()
            count += 1
            assert count < 1000, f"{id} is not offered"
        self.claim_one("me", id)
        self.passes()
        self.result("me", {"status": "ok", "output": id})
        self.passes()
        assert (self.root / f"done/{id}.json").exists(), f"{id} is not done"
        return count

    def work_among(self, id: str) -> int:
        """Bring a good task to its end while others change the root; returns the passes that its acceptance took."""
        self.write(f"inbox/{id}.json", {"type": "echo"})
        count = 0
        while not (found := [name for name in os.listdir(self.root / "ready/default") if f".{id}." in name]):
            self.start().one_pass()
            count += 1
            assert count < 1000, f"{id} is not offered"
        self.claim_one("me", id)
        self.start().one_pass()
        self.write(f"claimed/me/{found[0].removesuffix('.json')}.result.json", {"status": "ok", "output": 1})
        for _ in range(2):
            self.start().one_pass()
        assert (self.root / f"done/{id}.json").exists(), f"{id} is not done"
        return count

    def claim_one(self, agent: str, id: str) -> str:
        """Claim one task by its id; returns the name of the claimed file."""
        home = self.root / "claimed" / agent
        home.mkdir(exist_ok=True)
        (name,) = [name for name in os.listdir(self.root / "ready/default") if f".{id}." in name]
        os.rename(self.root / "ready/default" / name, home / name)
        return name

    def refused(self, cases: Sequence[Case]) -> list[str]:
        """Hand in bad messages, with a good one behind them; returns what is not as it should be, in words."""
        stems = [
            case.name.removesuffix(b".json") or f"bad-{number:05}".encode()
            for number, case in enumerate(cases, self.counted)
        ]
        self.counted += len(cases)
        for stem, case in zip(stems, cases, strict=True):
            self.drop("inbox", stem + b".json", case.data)
        passes = self.work(f"zz-good-{self.counted}")
        self.passes()
        wrong = []
        if passes > 1 + len(cases) // PASSES:
            wrong.append(f"the good task took {passes} passes behind {len(cases)} bad ones")
        told = {event["file"]: (event["reason"], event["seq"]) for event in self.news() if event["event"] == "rejected"}
        for stem, case in zip(stems, cases, strict=True):
            name = os.fsdecode(stem + b".json")
            reason, seq = told.get(names.printable(name), ({"code": "nothing"}, 0))
            wrong += [f"{case.title}: {fault}" for fault in self._faults(name, case, reason, seq)]
        left = os.listdir(self.root / "inbox")
        return wrong + [f"{name!r} stays in inbox/" for name in left if names.is_message_name(name)]

    def _faults(self, name: str, case: Case, reason: dict[str, str], seq: int) -> list[str]:
        if reason["code"] != case.code:
            return [f"{reason['code']} {reason.get('pointer', '')} instead of {case.code}"]
        stored = names.rejected_name(name, seq)
        place = self.root / "rejected"
        faults = [] if os.path.lexists(place / stored) else ["the file is not in rejected/"]
        written = (place / names.reason_name(stored)).read_bytes()
        if strictjson.loads(written) != reason:
            faults.append("the reason in rejected/ is not that of the log")
        if len(written) > LONGEST or len(reason["message"]) > 512:
            faults.append(f"a reason of {len(written)} bytes, its message of {len(reason['message'])}")
        if case.pointer is not None and reason.get("pointer") != case.pointer:
            faults.append(f"pointer {reason.get('pointer')} instead of {case.pointer}")
        return faults
