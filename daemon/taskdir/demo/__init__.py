"""`taskdir demo`: a real daemon and three real workers on a real source tree, with a murder and a lie on the way.

The script is here; `sources` says what there is to do, `stage` runs the processes, `tale` tells what happened from the
log, `proof` checks that nothing was lost or done twice. Each step waits for a fact, none for luck. The workers are
examples to read: worker.py, worker.sh, worker.mjs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from taskdir import names, roots
from taskdir.demo.proof import faults
from taskdir.demo.sources import TYPES, Plan, gather
from taskdir.demo.stage import Stage
from taskdir.demo.tale import tell
from taskdir.disk import read_regular
from taskdir.documents import Event
from taskdir.errors import TaskdirError

__all__ = ["Outcome", "default_folder", "gather", "perform"]

SCAN_SECONDS = 0.5
_SETTINGS = b'{"protocol": 1, "queues": ["report"], "scan_seconds": 0.5, "settle_seconds": 1}\n'
_HERE = os.path.dirname(os.path.abspath(__file__))
_VICTIM, _LIAR, _THIRD, _HEIR = "python-1", "shell-1", "node-1", "python-2"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went: the number of tasks, the story in lines, and what was wrong, which should be nothing."""

    tasks: int
    story: list[str]
    faults: list[str]


def default_folder() -> str:
    """Return the folder that the demo works on when none is named: the installed package itself."""
    return os.path.dirname(_HERE)


def perform(plan: Plan, root: str, node: str | None, advance: Callable[[int], None]) -> Outcome:
    """Play it at ``root``, a place that is still empty.

    ``node`` is the Node interpreter, None for a second shell worker in its place; ``advance`` takes the number of tasks
    that are done so far. Raises TaskdirError when a step never comes to its fact. All processes are gone afterwards.
    """
    with Stage(root, plan.folder, lambda events: advance(_done(events))) as stage:
        _open(stage, plan)
        victims = _murder(stage, node)
        _finish(stage, plan)
        stage.dismiss("the daemon")
        stage.until(lambda: stage.logged("stopped"), "the daemon's last word")
        wrong = faults(plan, stage.events, _records(stage)) + _staged(stage, *victims) + _audit(stage)
        return Outcome(len(plan.expected()), list(tell(stage.events)), wrong)


def _node_adapter() -> str:
    """Return the path of the adapter for Node: in the installed package, or in the source tree."""
    package = Path(_HERE).parent
    inside = package / "adapters"
    return str((inside if inside.is_dir() else package.parents[1] / "adapters") / "node" / "taskdir.mjs")


def _done(events: list[Event]) -> int:
    return sum(event["event"] == "done" for event in events)


def _open(stage: Stage, plan: Plan) -> None:
    """Make the root, start the daemon, submit a task a file and type, as one batch."""
    made = stage.taskdir("init", stage.places.root)
    if made.returncode:
        raise TaskdirError("demo-init", made.stderr.strip(), path=stage.places.root)
    for type in (*TYPES, "summary"):
        data = read_regular(os.path.join(_HERE, "contracts", f"{type}.json"), 1 << 16)
        _put(stage, os.path.join(stage.places.contracts, f"{type}.json"), data)
    _put(stage, stage.places.settings, _SETTINGS)
    stage.enter("the daemon", sys.executable, "-m", "taskdir", "--root", stage.places.root, "run")
    stage.until(lambda: stage.logged("started"), "the daemon's start")
    stage.submit("index", {"kind": "batch", "messages": plan.tasks()})
    stage.until(lambda: stage.logged("batch", by="index"), "the batch")


def _put(stage: Stage, path: str, data: bytes) -> None:
    stage.disk.publish(path, data, aside=os.path.join(os.path.dirname(path), f".{os.path.basename(path)}"))


def _murder(stage: Stage, node: str | None) -> tuple[str, str]:
    """Let one worker freeze in its second task, one lie about its first; kill the one, start another in its place.

    Returns the id that the killed one held, and the id that was lied about.
    """
    root, folder = stage.places.root, stage.folder
    python, shell = os.path.join(_HERE, "worker.py"), os.path.join(_HERE, "worker.sh")
    stage.enter(_VICTIM, sys.executable, python, root, _VICTIM, folder, "--freeze-at", "2")
    held = stage.until(lambda: _marked(stage), f"{_VICTIM} in the middle of its work")
    frozen_at = time.monotonic()
    stage.enter(_LIAR, "sh", shell, root, _LIAR, folder, "botch")
    stage.until(lambda: stage.logged("refused", agent=_LIAR), "a result that is refused")
    lie = str(stage.logged("refused", agent=_LIAR)[0]["id"])
    stage.until(lambda: stage.logged("done", agent=_LIAR, id=lie), "the result that is corrected")
    if node:
        stage.enter(_THIRD, node, os.path.join(_HERE, "worker.mjs"), root, _THIRD, folder, _node_adapter())
    else:
        stage.enter("shell-2", "sh", shell, root, "shell-2", folder)
    _let_the_lock_be_seen(stage, frozen_at)
    stage.kill(_VICTIM)
    stage.until(lambda: stage.logged("abandoned", agent=_VICTIM, id=held), "the killed worker's task to be taken back")
    stage.enter(_HEIR, sys.executable, python, root, _HEIR, folder)
    return held, lie


def _marked(stage: Stage) -> str | None:
    """Return the id of the task about which the victim left its note, once the log has the claim too."""
    home = stage.places.join("claimed", _VICTIM)
    found = [names.split_claimed(name) for name in (os.listdir(home) if os.path.isdir(home) else [])]
    ids = [parts[0].id for parts in found if parts is not None and parts[1] == names.NOTES]
    return next((id for id in ids if stage.logged("claimed", id=id, agent=_VICTIM)), None)


def _let_the_lock_be_seen(stage: Stage, frozen_at: float) -> None:
    """Wait until the daemon must have looked at the victim's lock: it does so in the first pass a scan after the last
    look. The pass that logs the second note began after the first note was logged, and that was a scan later."""
    stage.until(lambda: time.monotonic() - frozen_at > SCAN_SECONDS, "a scan")
    stage.submit("note-1", {"kind": "note", "message": f"{_VICTIM} is about to be killed with -9", "from": "demo"})
    stage.until(lambda: stage.logged("noted", by="note-1"), "the first note")
    stage.submit("note-2", {"kind": "note", "message": f"kill -9 {_VICTIM}", "from": "demo"})
    stage.until(lambda: stage.logged("noted", by="note-2"), "the second note")


def _finish(stage: Stage, plan: Plan) -> None:
    """Wait for all tasks, then have them added up; the workers go home."""
    ids = [task["id"] for task in plan.tasks()]
    stage.until(lambda: _done(stage.events) >= len(ids), "all tasks to be done")
    stage.submit("summary", {"type": "summary", "input": {"tasks": ids}})
    stage.until(lambda: stage.logged("done", id="summary"), "the summary")
    stage.dismiss(*(name for name in stage.running() if name != "the daemon"))


def _records(stage: Stage) -> dict[str, object]:
    paths = [os.path.join(stage.places.done, name) for name in os.listdir(stage.places.done)]
    return {os.path.basename(path).removesuffix(names.TASK): roots.read_json(path) or {} for path in paths}


def _staged(stage: Stage, held: str, lie: str) -> list[str]:
    """The kill and the lie took place, and cost one attempt and none."""
    attempts = {id: [event["attempt"] for event in stage.logged("done", id=id)] for id in (held, lie)}
    wrong = [] if attempts[held] == [2] else [f"{held} was not done by its second attempt: {attempts[held]}"]
    return wrong + ([] if attempts[lie] == [1] else [f"{lie} was not corrected in its first attempt: {attempts[lie]}"])


def _audit(stage: Stage) -> list[str]:
    """Run ``taskdir check``: the chain, the directories against the log, the books."""
    found = stage.taskdir("check", "--root", stage.places.root)
    return [] if found.returncode == 0 else [f"taskdir check: {found.stdout.strip() or found.stderr.strip()}"]
