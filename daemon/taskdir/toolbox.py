"""What a language model gets of a root: eight tools as plain functions, without any protocol (SPEC section 7).

Stateless: who calls and for which attempt stands in the arguments, and a claim is kept by its lease, which ``renew``
renews; no lock is held. A tool is a generator: each ``yield`` means "nothing yet, look again after a pause", what it
returns is the answer. Errors are TaskdirError, with code and next step. ``mcpserver`` puts these behind a protocol.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from taskdir import briefing, facts, gestures, names, roots, shared, story, strictjson
from taskdir.clock import Clock
from taskdir.disk import Disk
from taskdir.errors import Busy, Missing, TaskdirError, Usage, claim_lost
from taskdir.held import VERDICT_SECONDS, failure
from taskdir.nearby import nearby
from taskdir.validate import Checker

LONGEST_WAIT = 60
"""Seconds that one call may wait: clients give up on calls that take minutes."""

LARGEST = 48_000
"""Bytes of JSON that one answer may have; what is larger is named by its file."""

Answer = dict[str, Any] | str
Steps = Generator[None, None, Answer]

_OVER = roots.ENDED | {"unknown"}
_WORD = {"type": "string"}
_ID = {"id": _WORD, "attempt": {"type": "integer"}}
_WAIT = {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT}


class Tool(NamedTuple):
    """One tool: what it is for, in words for a model, and the JSON Schema of its arguments."""

    about: str
    arguments: dict[str, Any]
    required: tuple[str, ...] = ()
    reads: bool = False
    """Whether it changes nothing."""

    def schema(self) -> dict[str, Any]:
        """Return the schema of the arguments as one object."""
        required = {"required": list(self.required)} if self.required else {}
        return {"type": "object", "properties": self.arguments, **required, "additionalProperties": False}


_MINE = ("agent", "id", "attempt")

TOOLS = {
    "describe": Tool("How to work here, what you hold, what is offered, task types.", {"agent": _WORD}, (), True),
    "claim": Tool(
        "Take the next task of a queue: id, attempt, input, output_schema, lease_seconds. task is null if none waits.",
        {"agent": _WORD, "queue": _WORD, "wait_seconds": _WAIT},
        ("agent",),
    ),
    "renew": Tool(
        "Keep a claimed task, at least each third of lease_seconds; note is for people. claim-lost: stop working.",
        {"agent": _WORD, **_ID, "note": _WORD},
        _MINE,
    ),
    "finish": Tool(
        "End a claimed task: output, which meets its output_schema, or error (retry: another attempt may help)."
        " If refused, mend the output and finish again.",
        {"agent": _WORD, **_ID, "output": {}, "error": _WORD, "code": _WORD, "retry": {"type": "boolean"}},
        _MINE,
    ),
    "give_back": Tool("Let another agent have a claimed task.", {"agent": _WORD, **_ID}, _MINE),
    "submit": Tool(
        "Send a message: a task {type, input, queue?, priority? 0-9, after? [ids], resources? [names]}, or by kind:"
        " {kind: state, key, value, if_version?}, {kind: cancel, task}, {kind: note, message, task?},"
        " {kind: batch, messages: [tasks with id]}. The same id and message again does no harm.",
        {"message": {"type": "object"}, "id": _WORD, "agent": _WORD},
        ("message",),
    ),
    "read": Tool(
        "Read a task by id (state, output or error, why it waits), or a key of the shared state.",
        {"id": _WORD, "key": _WORD},
        (),
        True,
    ),
    "wait": Tool(
        "Wait until tasks have ended; returns the states, and which are still open.",
        {"ids": {"type": "array", "items": _WORD, "minItems": 1, "maxItems": 100}, "wait_seconds": _WAIT},
        ("ids",),
        True,
    ),
}
"""Every tool, in the order in which a session needs them."""


class Toolbox:
    """The tools on one root. Keeps nothing between calls; may be called from several threads at once."""

    def __init__(self, root: str) -> None:
        self._places, self._disk = roots.place(root), Disk()
        self._checkers = {name: Checker(tool.schema()) for name, tool in TOOLS.items()}
        self._tools: dict[str, Callable[..., Steps]] = {
            "describe": self._describe,
            "claim": self._claim,
            "renew": self._renew,
            "finish": self._finish,
            "give_back": self._give_back,
            "submit": self._submit,
            "read": self._read,
            "wait": self._wait,
        }

    def call(self, name: str, arguments: dict[str, Any]) -> Steps:
        """Begin a call; see the module for what it yields. Raises Usage, Invalid for bad arguments."""
        if name not in TOOLS:
            raise Usage("unknown-tool", f"there is no tool {name[:80]!a}", expected=", ".join(TOOLS))
        fault = self._checkers[name].check(arguments)
        if fault is not None:
            raise fault
        return self._tools[name](**arguments)

    def _describe(self, agent: str | None = None) -> Steps:
        yield from ()
        if agent is not None:
            gestures.check_names(agent, "default")
        return briefing.page(self._places, agent)

    def _claim(self, agent: str, queue: str = "default", wait_seconds: int = 0) -> Steps:
        until = time.monotonic() + wait_seconds
        while True:
            limit = roots.max_claims(self._places.root)
            found = gestures.claim(self._places, self._disk, agent, queue, limit)
            if isinstance(found, gestures.Claimed):
                return _bounded(_offer(found.offer), found.path)
            if isinstance(found, gestures.Unfinished):
                held = "; ".join(map(briefing.tell, briefing.held(self._places, agent)[:3]))
                hint = "read(id) gives its input again; finish it or give it back, then claim"
                raise Busy("unfinished", f"{agent} still holds {held}", hint=hint)
            if time.monotonic() >= until:
                return {"task": None} | self._absent()
            yield

    def _renew(self, agent: str, id: str, attempt: int, note: str | None = None) -> Steps:
        yield from ()
        path = self._held(agent, id, attempt)
        kept = gestures.renew(self._disk, path) if note is None else gestures.note(self._disk, path, note)
        if not kept:
            raise claim_lost(path)
        lease = (roots.read_json(path) or {}).get("lease_seconds")
        return {"renewed": True} | ({"lease_seconds": lease} if lease is not None else {})

    def _finish(self, agent: str, id: str, attempt: int, **result: Any) -> Steps:
        told = _result(result)
        path = self._held(agent, id, attempt)
        data = gestures.finish(self._disk, path, told)
        verdict = yield from self._verdict(partial(gestures.finish_verdict, path, data))
        return {"verdict": verdict} | (self._absent() if verdict == "waiting" else {})

    def _give_back(self, agent: str, id: str, attempt: int) -> Steps:
        yield from ()
        path = self._held(agent, id, attempt)
        if not gestures.give_back(self._disk, path):
            raise claim_lost(path)
        return {"given_back": True}

    def _submit(self, message: dict[str, Any], id: str | None = None, agent: str | None = None) -> Steps:
        own = message.get("id")
        id = id or (own if isinstance(own, str) else roots.mint_id(self._places.agent))
        if agent is not None and message.get("kind") != "batch":
            message = message | {"from": message.get("from", agent)}
        data = gestures.submit(self._places, self._disk, message, id)
        verdict = yield from self._verdict(partial(gestures.submit_verdict, self._places, id, data))
        return {"id": id, "verdict": verdict} | (self._absent() if verdict == "waiting" else {})

    def _read(self, id: str | None = None, key: str | None = None) -> Steps:
        yield from ()
        if key is not None and id is None:
            entry = shared.read(self._places, key)
            return _bounded(entry or {"key": key, "version": 0}, os.path.join(self._places.state, key + names.TASK))
        if id is None or key is not None:
            raise Usage("usage", "either id or key is needed")
        with closing(facts.open_facts(self._places.root, now := Clock().now())) as known:
            found = story.story(known, id, now)
            hint = nearby(id, story.known_ids(known, id)) if found is None else None
        if found is None:
            raise Missing("unknown-task", f"nobody knows a task of the id {id[:80]!a}", hint=hint or "look for a typo")
        path = self._places.join("done" if found["state"] == "done" else "failed", id + names.TASK)
        if found["state"] == "claimed":
            holder = found["attempts"][-1]
            path = self._held(holder["agent"], id, holder["attempt"])
            found |= {"agent": holder["agent"]} | _offer(roots.read_json(path) or {})
        return _bounded(found, path)

    def _wait(self, ids: list[str], wait_seconds: int = LONGEST_WAIT) -> Steps:
        until, states = time.monotonic() + wait_seconds, dict.fromkeys(ids, "submitted")
        while True:
            left = [id for id, state in states.items() if state not in _OVER]
            states |= {id: self._state(id) for id in left}
            queued = [id for id, state in states.items() if state == "queued"]
            stuck = roots.blocked(self._places, queued) if queued else {}
            blocked = {id: [each["id"] for each in by] for id, by in stuck.items()}
            left = [id for id, state in states.items() if state not in _OVER and id not in blocked]
            if not left or time.monotonic() >= until:
                return {"states": states, "open": left} | ({"blocked_by": blocked} if blocked else {})
            yield

    def _state(self, id: str) -> str:
        for _ in range(2):  # one that moved while it was looked for is met again
            found = roots.standing(self._places, id)
            if found is not None and found.state != "unknown":
                return found.state
        return "unknown"

    def _held(self, agent: str, id: str, attempt: int) -> str:
        """Return the path of a claimed file. Raises Missing when this attempt is not the agent's, or no more."""
        gestures.check_names(agent, "default")
        for one in briefing.held(self._places, agent):
            if (one.id, one.attempt) == (id, attempt):
                return one.path
        told = f"{agent} does not hold attempt {attempt} of {id[:80]!a}, or no longer"
        raise Missing("claim-lost", told, hint="stop working on it; read(id) tells how it stands, claim gives a task")

    def _verdict(self, look: Callable[[], gestures.Verdict | None]) -> Generator[None, None, str]:
        """Wait a moment for a running daemon's verdict. Raises Invalid for a refusal."""
        until = time.monotonic() + VERDICT_SECONDS
        while roots.daemon_runs(self._places.root):
            if (found := look()) is not None:
                if found.word in ("refused", "late"):
                    raise found.error()
                return found.word
            if time.monotonic() >= until:
                break
            yield
        return "waiting"

    def _absent(self) -> dict[str, str]:
        runs = roots.daemon_runs(self._places.root)
        return {} if runs else {"warning": briefing.NO_DAEMON}


def _result(given: dict[str, Any]) -> dict[str, Any]:
    if ("output" in given) == ("error" in given):
        raise Usage("usage", "either output or error is needed", hint="output for success, error for failure")
    if "output" in given:
        if {"code", "retry"} & {*given}:
            raise Usage("usage", "code and retry go with error")
        return {"status": "ok", "output": given["output"]}
    return failure(given["error"], given.get("code"), given.get("retry", False))


def _offer(offer: dict[str, Any]) -> dict[str, Any]:
    """Return what a model needs of an offer: all but the name of the file that it does not write itself."""
    return {name: value for name, value in offer.items() if name != "result_file"}


def _bounded(answer: dict[str, Any], path: str) -> dict[str, Any]:
    """Leave large members out of an answer and say in which file they stand."""
    if len(strictjson.dumps(answer)) <= LARGEST:
        return answer
    small = {name: value for name, value in answer.items() if len(strictjson.dumps(value)) <= 1_000}
    return small | {"too_large": sorted({*answer} - {*small}), "file": path}


def error(fault: TaskdirError) -> dict[str, Any]:
    """Return an error as what a model reads: code, message, where, what was expected, the next step."""
    return {"error": fault.as_dict()}
