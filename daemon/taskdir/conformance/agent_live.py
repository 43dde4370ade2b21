"""Cases for agents at a running daemon: what it says about them, by its own codes (SPEC sections 6, 7 and 9).

One root and one daemon serve them all, side by side: each case has a queue and agents of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from taskdir.conformance.cases import Broken, NotTested, want
from taskdir.conformance.eye import Eye
from taskdir.conformance.stand import PATIENCE, Program, Stand, until

SETTINGS = {"protocol": 1, "scan_seconds": 0.1, "settle_seconds": 0.2, "bench_after": 0}
NUMBER = {"output": {"type": "integer"}}
BREACHES = ("breach", "late")


class Live(Stand):
    """The root of a real daemon, started when the first case asks for it."""

    def __init__(self, program: Program, at: Path) -> None:
        super().__init__(program, at)
        self._lock = Lock()
        self._daemon: subprocess.Popen[bytes] | None = None

    def ready(self) -> None:
        """Start the daemon if it does not run. Raises NotTested when it cannot."""
        with self._lock:
            if self._daemon is not None:
                return
            queues = [name.partition("/")[2] for name, _, _ in CASES]
            self.put("taskdir.json", {**SETTINGS, "queues": queues})
            self.put("contracts/echo.json", {})
            self.put("contracts/number.json", NUMBER)
            home = str(Path(__file__).resolve().parents[2])
            path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
            with (self.at / "daemon.err").open("wb") as words:
                daemon = self._daemon = subprocess.Popen(
                    [sys.executable, "-m", "taskdir", "--root", str(self.root), "run"],
                    env=os.environ | {"PYTHONPATH": path},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    start_new_session=True,
                )
            until(lambda: self.events("started") or daemon.poll() is not None, "the start of our own daemon")
            if daemon.poll() is not None:
                raise NotTested(f"our own daemon does not start: {(self.at / 'daemon.err').read_text()[-300:]}")

    def close(self) -> None:
        """End the daemon, and what a broken case left running."""
        self.clear()
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGTERM)
            self._daemon.wait(PATIENCE)

    def events(self, *kinds: str, of: str = "") -> list[dict[str, Any]]:
        """Return the log's events of these kinds; ``of``: about ids that start so."""
        log = self.root / "log.jsonl"
        lines = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
        found = [json.loads(line) for line in lines]
        return [one for one in found if one["event"] in kinds and str(one.get("id", "")).startswith(of)]

    def send(self, id: str, queue: str, **more: Any) -> None:
        """Submit a task and wait until it is offered."""
        self.put(f"inbox/{id}.json", {"type": "echo", "queue": queue, "backoff_seconds": 0, **more})
        until(lambda: any(f".{id}." in name for name in self.offered(queue)), f"the offer of {id}")

    def offered(self, queue: str) -> list[str]:
        """Return the names in ready/QUEUE/."""
        try:
            return os.listdir(self.root / "ready" / queue)
        except FileNotFoundError:
            return []

    def claimed(self, agent: str, queue: str) -> Path:
        """Let the program claim, and wait until the daemon saw it."""
        task = Path(self.ends(0, "claim", agent, queue).line)
        id, attempt = task.name.split(".")[1:3]
        until(
            lambda: [e for e in self.events("claimed", of=id) if e["attempt"] == int(attempt)], "the claim in the log"
        )
        return task

    def record(self, id: str) -> Any:
        """Return the record of a done or failed task, when it is there."""
        found = until(lambda: [p for p in self._records(id) if p.exists()], f"the record of {id}")
        return json.loads(found[0].read_bytes())

    def _records(self, id: str) -> list[Path]:
        return [self.root / place / f"{id}.json" for place in ("done", "failed")]

    def unhurt(self, of: str) -> None:
        """The daemon had nothing to complain of. Raises Broken with its own code."""
        for event in self.events(*BREACHES, of=of):
            code = event.get("code") or event["reason"]["code"]
            raise Broken("the daemon logged a breach", "none", event["reason"]["message"], code)


def session(live: Live) -> None:
    """submit, claim, note, finish, wait: the task is done, and its record tells it all"""
    live.ends(0, "submit", "session", stdin=b'{"type": "echo", "queue": "session", "input": [1]}')
    until(lambda: live.offered("session"), "the offer")
    task = live.claimed("session", "session")
    live.ends(0, "note", task, "half way")
    live.ends(0, "finish", task, "-", stdin=b'{"a": 1}')
    done = live.ends(0, "wait", "session", "30")
    want("what wait prints", str(live.root / "done" / "session.json"), done.line)
    record = live.record("session")
    want("output and state", ({"a": 1}, "done"), (record["output"], record["state"]))
    if "half way" not in record["attempts"][0].get("notes", ""):
        raise Broken("the notes in the record", "half way", record["attempts"][0])
    live.unhurt("session")


def refused_message(live: Live) -> None:
    """wait tells a refused message by its reason"""
    live.ends(0, "submit", "refused-message", stdin=b'{"type": "no-such"}')
    done = live.ends(1, "wait", "refused-message", "30")
    want("what wait prints", str(live.root / "rejected" / "refused-message.reason.json"), done.line)


def failures(live: Live) -> None:
    """a failure with --retry is offered again, one without ends the task: wait ends with 1"""
    live.send("failures", "failures")
    live.ends(0, "fail", live.claimed("failures", "failures"), "no-luck", "no", "--retry")
    until(lambda: any(".failures.2." in name for name in live.offered("failures")), "the second attempt")
    live.ends(0, "fail", live.claimed("failures", "failures"), "no-luck", "no again")
    live.ends(1, "wait", "failures", "30")
    want("the error", {"code": "no-luck", "message": "no again"}, live.record("failures")["error"])
    live.unhurt("failures")


def given_back(live: Live) -> None:
    """what is given back is offered again, and counts as no failure"""
    live.send("given-back", "given-back")
    live.ends(0, "give-back", live.claimed("given-back", "given-back"))
    until(lambda: any(".given-back.2." in name for name in live.offered("given-back")), "the second attempt")
    want("failures", [], live.events("errored", "expired", "abandoned", of="given-back"))


def late(live: Live) -> None:
    """whose lease is over hands in nothing more: finish ends with 66, and the daemon sees no late result"""
    live.send("late", "late", lease_seconds=1)
    task = live.claimed("late", "late")
    until(lambda: not task.exists(), "the end of the lease")
    done = live.run("finish", task, "-", stdin=b"1")
    if task.with_name(f"{task.stem}.result.json").exists():
        until(lambda: live.events("late", of="late"), "the verdict on a late result", 10)
    live.unhurt("late")
    want("the exit code of finish", 66, done.code, "")


def one_holder(live: Live) -> None:
    """at no instant of a claim can somebody else claim the same offer: the daemon would find two holders"""
    live.send("one-holder", "one-holder")
    name = live.offered("one-holder")[0]
    for agent in ("copier", "other"):
        (live.root / "claimed" / agent).mkdir()
    with Eye(live.root, "claimed/copier") as eye:
        running = live.start("claim", "copier", "one-holder")
        came = until(
            lambda: [each for each in eye.seen(0.05) if each.name == name] or not eye.sees, "a claim", by=running
        )
        if came is True or came[0].kind == "moved-to":
            want("the exit code of claim", 0, running.end().code, "")
            return
        running.signal(signal.SIGSTOP)  # a file was made: let us see whether the offer is still there
        with suppress(FileNotFoundError):
            os.rename(live.root / "ready/one-holder" / name, live.root / "claimed/other" / name)
        running.signal(signal.SIGCONT)
        running.end()
    with suppress(Broken):
        until(lambda: live.events("breach", of="one-holder"), "the verdict of the daemon", 5)
    live.unhurt("one-holder")
    raise Broken("how the claimed file came", "by a rename", str(came[0]))


def refused_result(live: Live) -> None:
    """a refused result does not end the claim: a second, better one counts"""
    live.send("refused-result", "refused-result", type="number")
    task = live.claimed("refused-result", "refused-result")
    live.ends(0, "finish", task, "-", stdin=b'"one"')
    until(task.with_name(f"{task.stem}.refused.json").exists, "the refusal")
    live.ends(0, "finish", task, "-", stdin=b"1")
    want("the output", 1, live.record("refused-result").get("output"))


def held(live: Live) -> None:
    """hold keeps a claim beyond its lease; CMD hands in the result"""
    live.send("held", "held", lease_seconds=2)
    task = live.claimed("held", "held")
    script = 'sleep 3.2; exec "$@"'
    live.ends(0, "hold", task, "sh", "-c", script, "sh", *live.program.command, "finish", task)
    want("how the attempts ended", ["done"], [one["outcome"] for one in live.record("held")["attempts"]])


def workers(live: Live) -> None:
    """workers side by side drain a queue: every task is done by its first attempt, and the daemon sees no breach"""
    many = [{"id": f"workers-{number}", "type": "echo", "queue": "workers"} for number in range(24)]
    runs = [live.start("work", f"workers-{number}", "workers", "--idle", "2") for number in range(3)]
    live.put("inbox/workers.json", {"kind": "batch", "messages": many})
    want("the exit codes", [0, 0, 0], [running.end().code for running in runs], "")
    until(lambda: len(live.events("done", of="workers-")) >= len(many), "the end of all tasks", 10)
    live.unhurt("workers-")
    kinds = ("claimed", "returned", "errored", "expired", "abandoned", "refused")
    told = [(e["event"], e["id"], e["attempt"]) for e in live.events(*kinds, of="workers-") if e["event"] != "claimed"]
    want("claims that did not end as done", [], told)
    outputs = [json.loads((live.root / "done" / f"{one['id']}.json").read_bytes())["output"]["id"] for one in many]
    want("the outputs are the tasks' own", [one["id"] for one in many], outputs)


CASES: tuple[tuple[str, str, Callable[[Live], None]], ...] = (
    ("live/session", "", session),
    ("live/refused-message", "", refused_message),
    ("live/failures", "", failures),
    ("live/given-back", "", given_back),
    ("live/late", "late", late),
    ("live/one-holder", "claim-copy", one_holder),
    ("live/refused-result", "", refused_result),
    ("live/held", "", held),
    ("live/workers", "", workers),
)
"""(name, the rule that a failure breaks, the play); what follows the slash is the case's queue."""
