"""What happens before the power goes: a daemon and two agents at work, and each thing that somebody could rely on.

The daemon, the agents and the submitter are processes. Whatever one of them may take for certain, it tells the disk at
that moment ("mark"): from there on no power cut may undo it. A mark is one of

    submit ID SHA      the message is durable: ``gestures.submit`` returned
    judged ID WORD     it left inbox/, so its fate is logged
    offered ID         its offer was seen
    finish STEM SHA    the result is durable: ``gestures.finish`` returned
    ended STEM WORD    the result was taken, so its fate is logged
    shown PLACE ID     the record was seen in done/ or failed/
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from faults import forked
from faults.forked import Forked
from taskdir import gestures
from taskdir.cli import main
from taskdir.disk import Disk
from taskdir.places import Places

SETTINGS = {"protocol": 1, "settle_seconds": 0, "scan_seconds": 0.05, "log_segment_bytes": 8192, "bench_after": 0}
PATIENCE = 60.0
LONG = "x" * 900
TASKS: dict[str, dict[str, Any]] = {
    "plain": {"input": {"do": ["ok"]}},
    "long": {"input": {"do": ["ok"], "text": LONG}},
    "again": {"input": {"do": ["error", "ok"]}},
    "back": {"input": {"do": ["back", "ok"]}},
    "wrong": {"type": "count", "input": {"do": ["text", "ok"]}},
    "fatal": {"input": {"do": ["fatal"]}},
    "later": {"input": {"do": ["ok"]}, "after": ["plain", "again"]},
    "alone": {"input": {"do": ["ok"]}, "resources": ["gpu"]},
}
OTHERS: dict[str, dict[str, Any]] = {
    "many": {
        "kind": "batch",
        "messages": [{"id": f"many-{n}", "type": "echo", "input": {"do": ["ok"]}} for n in range(3)],
    },
    "stop": {"type": "echo", "not_before": "2099-01-01T00:00:00Z"},
    "no-stop": {"kind": "cancel", "task": "stop"},
    "set": {"kind": "state", "key": "plan", "value": [1, 2, 3]},
    "set-2": {"kind": "state", "key": "plan", "value": LONG, "if_version": 1},
    "set-3": {"kind": "state", "key": "plan", "value": 0, "if_version": 1},
    "said": {"kind": "note", "message": "half way", "task": "plain"},
    "unknown": {"type": "nothing-of-the-kind"},
}
Mark = Callable[[str], None]


def sha(data: bytes) -> str:
    """Return the SHA-256 that the log tells of these bytes."""
    return hashlib.sha256(data).hexdigest()


def lay_out(root: Path) -> None:
    """Make the root, and wait until it is on the disk."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(["init", str(root)])
    if code:
        raise RuntimeError(f"no root could be made: {said.getvalue()}")
    (root / "taskdir.json").write_text(json.dumps(SETTINGS))
    (root / "contracts/count.json").write_text('{"output": {"type": "integer"}}')
    os.sync()


def until(true: Callable[[], Any], what: str) -> None:
    """Wait for a fact; raises TimeoutError when it never comes."""
    limit = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {PATIENCE} s in vain for: {what}")
        time.sleep(0.002)


class Submitter:
    """Puts messages in, and says what it may rely on."""

    def __init__(self, root: Path, mark: Mark) -> None:
        self._places, self._mark, self._disk = Places(str(root)), mark, Disk()

    def put(self, id: str, message: dict[str, Any]) -> str:
        """Submit, and wait for the verdict, which is returned."""
        data = gestures.submit(self._places, self._disk, message, id)
        self._mark(f"submit {id} {sha(data)}")
        word = gestures.verdict(lambda: gestures.submit_verdict(self._places, id, data), PATIENCE).word
        self._mark(f"judged {id} {word}")
        return word

    def see(self, place: str, id: str) -> None:
        """Wait for a record."""
        until(lambda: os.path.exists(self._places.join(place, f"{id}.json")), f"{id} in {place}/")
        self._mark(f"shown {place} {id}")

    def redrive(self, id: str) -> None:
        """Hand a record in for another run."""
        os.rename(self._places.join("failed", f"{id}.json"), self._places.join("inbox", f"{id}.json"))
        until(lambda: not os.path.exists(self._places.join("inbox", f"{id}.json")), f"{id} to be taken")
        self._mark(f"judged {id} redriven")


def submitter(root: Path, mark: Mark) -> None:
    """Everything that one submits, one after the other; ends when all is done."""
    self = Submitter(root, mark)
    for id, message in TASKS.items():
        self.put(id, {"type": "echo", "backoff_seconds": 0, **message})
    for id, message in OTHERS.items():
        self.put(id, message)
    (root / "inbox/.broken.json").write_text('{"type": ')
    os.rename(root / "inbox/.broken.json", root / "inbox/broken.json")
    self.see("failed", "stop")
    self.see("failed", "fatal")
    self.redrive("fatal")
    for id in [*TASKS, "many-0", "many-1", "many-2"]:
        self.see("done", id)
    self.see("rejected", "broken")
    for number in range(2):
        self.put(f"last-{number}", {"type": "echo", "input": {"do": ["ok"]}})
        self.see("done", f"last-{number}")


def agent(root: Path, mark: Mark, me: str, enough: Path) -> None:
    """Claim and do what the task says, until there has been enough."""
    places, disk = Places(str(root)), Disk()
    while not enough.exists():
        held = gestures.unfinished(places, me)
        if held:
            _work(disk, mark, held[0], json.loads(Path(held[0]).read_bytes()))
            continue
        found = gestures.claim(places, disk, me)
        if isinstance(found, gestures.Claimed):
            mark(f"offered {found.offer['id']}")
            _work(disk, mark, found.path, found.offer)
        else:
            time.sleep(0.004)


def _work(disk: Disk, mark: Mark, path: str, offer: dict[str, Any]) -> None:
    refused = os.path.exists(path.removesuffix(".json") + ".refused.json")
    words = offer["input"]["do"]
    word = words[min(offer["attempt"] - 1 + refused, len(words) - 1)]
    if offer["id"] == "fatal" and offer["attempt"] > 1:
        word = "ok"
    gestures.note(disk, path, f"{word} it is")
    if word == "back":
        gestures.give_back(disk, path)
        return
    data = gestures.finish(disk, path, result(word, offer))
    stem = os.path.basename(path).removesuffix(".json")
    mark(f"finish {stem} {sha(data)}")
    mark(f"ended {stem} {gestures.verdict(lambda: gestures.finish_verdict(path, data), PATIENCE).word}")


def result(word: str, offer: dict[str, Any]) -> dict[str, Any]:
    """Return the result that a word stands for."""
    if word in ("error", "fatal"):
        return {"status": "error", "error": {"message": "as told"}, "retry": word == "error"}
    if word == "text":
        return {"status": "ok", "output": "no integer"}
    return {"status": "ok", "output": offer["attempt"] if offer["type"] == "count" else offer["input"]}


def tell(root: Path, mark: Mark, home: Path) -> None:
    """Play the whole story on a root. Raises RuntimeError, TimeoutError."""
    enough, words = home / "enough", home / "words"
    lay_out(root)
    mark("begin")
    daemon = forked.daemon(root, words)

    def child(function: Callable[..., None], *more: object) -> Forked:
        return Forked(words, partial(function, root, mark, *more))

    agents = [child(agent, "alice", enough), child(agent, "bob", enough)]
    driver = child(submitter)
    try:
        for count, gently in ((3, False), (9, True)):
            until(partial(_is_past, root, count, driver), f"{count} records")
            daemon.stop() if gently else daemon.kill()
            daemon = forked.daemon(root, words)
        code = driver.wait()
        enough.touch()
        codes = [code, *(each.wait() for each in agents), daemon.stop()]
        if any(codes):
            raise RuntimeError(f"the story broke off, {codes}: {words.read_text()[-2000:]}")
    finally:
        for process in (*agents, driver, daemon):
            process.kill()
    mark("end")


def _is_past(root: Path, count: int, driver: Forked) -> bool:
    ended = sum(len(os.listdir(root / place)) for place in ("done", "failed"))
    return ended >= count or driver.poll() is not None
