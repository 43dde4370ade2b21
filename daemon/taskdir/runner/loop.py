"""The runner's loop: sweep, then claim and do one task after the other, until a signal or a limit ends it.

One process does one task at a time; ``slots`` makes as many processes, each an agent of its own.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from taskdir import gestures, roots, work
from taskdir.disk import Disk
from taskdir.errors import TaskdirError, Usage
from taskdir.held import Claim
from taskdir.names import is_word
from taskdir.places import Places
from taskdir.runner import git, sweep
from taskdir.runner.attempt import Attempt, Outcome
from taskdir.runner.options import Options

Tell = Callable[[dict[str, Any]], None]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Counts SIGTERM, SIGINT and SIGHUP: the first one drains, the second one stops. What nohup ignores stays so."""

    def __init__(self) -> None:
        self.count = 0
        self._parent = os.getppid()
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._got)

    def _got(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def draining(self) -> bool:
        """Say whether no further task is to be taken."""
        return self.count > 0

    def word(self) -> str | None:
        """Say "stopped" once what runs is to be stopped."""
        return "stopped" if self.count > 1 else None


class Slot(Signals):
    """The signals of one slot: when the process that made it is gone, it stops."""

    def word(self) -> str | None:
        return "stopped" if os.getppid() != self._parent else super().word()

    def draining(self) -> bool:
        return self.word() is not None or super().draining()


def run(places: Places, options: Options, tell: Tell, signals: Signals, disk: Disk | None = None) -> None:
    """Work until it is over. Raises Busy when the agent has a runner, ConfigError, CannotCreate."""
    disk = disk or Disk()
    gestures.check_names(options.agent, options.queue)
    if options.repo is not None:
        where = git.repo(options.repo)
        try:
            where.commit_of(options.base)
        except git.Failed:
            raise Usage("unknown-base", f"git knows no commit {options.base!a}", path=options.repo) from None
    fd = sweep.hold(options.work, options.agent, disk)
    try:
        _ignored(options.work, disk)
        for told in sweep.sweep(options.work, options.agent, disk, options.grace):
            tell({"event": "swept", **told})
        _tidy(places, options, disk, tell)
        shift = work.Shift(options.max_tasks, 0.0 if options.once else None, signals.draining)
        while shift.goes_on():
            claim = _claim(places, options, disk, tell)
            if claim is None:
                time.sleep(shift.rest())
                continue
            shift.begin()
            tell({"event": "claimed", **_about(options, claim)})
            outcome = Attempt(claim, options, disk, signals.word).run()
            tell({"event": "ended", **_about(options, claim), **_story(outcome)})
            for told in sweep.prune(options.work, options.agent, options.keep, disk):
                tell({"event": "swept", **told})
    finally:
        os.close(fd)


def slots(places: Places, options: Options, count: int, tell: Tell) -> int:
    """Run so many slots, <agent>-1 and so on; returns an exit code: the first that is not 0."""
    if options.queue.startswith("@"):
        raise Usage("usage", f"the queue {options.queue} is for one agent alone: one slot", hint="--slots 1")
    agents = [f"{options.agent}-{number}" for number in range(1, count + 1)]
    if not all(map(is_word, agents)):
        raise gestures.bad_word("agent", agents[-1])
    pids = [_fork(places, dataclasses.replace(options, agent=agent), tell) for agent in agents]

    def forward(number: int, frame: FrameType | None) -> None:
        for pid in pids:
            if pid in left:
                os.kill(pid, number)

    left, codes = {*pids}, list[int]()
    for number in SIGNALS:
        signal.signal(number, forward)
    while left:
        pid, status = os.wait()
        left.discard(pid)
        codes.append(os.waitstatus_to_exitcode(status))
    return next((abs(code) for code in codes if code != 0), 0)


def _fork(places: Places, options: Options, tell: Tell) -> int:
    """Start a slot in a process and a group of its own, so that a terminal's Ctrl-C reaches it once, through us."""
    pid = os.fork()
    if pid != 0:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        run(places, options, tell, Slot())
        code = 0
    except TaskdirError as error:
        tell({"event": "stopped", "agent": options.agent, **error.as_dict()})
        code = error.exit
    finally:
        if sys.exception() is not None:
            traceback.print_exc()  # a defect, which os._exit would pass over in silence
        os._exit(code)


def _claim(places: Places, options: Options, disk: Disk, tell: Tell) -> Claim | None:
    """Claim the next task; one that somebody took meanwhile, or that is not ours to hold, is none."""
    found = gestures.claim(places, disk, options.agent, options.queue, roots.max_claims(places.root))
    if isinstance(found, gestures.Unfinished):  # its result was refused after we had stopped waiting for the verdict
        _tidy(places, options, disk, tell)
    if not isinstance(found, gestures.Claimed):
        return None
    claim = Claim(found.path, found.offer, disk=disk, hold=True)
    if claim.elsewhere or claim.lost:
        claim.leave()
        return None
    return claim


def _tidy(places: Places, options: Options, disk: Disk, tell: Tell) -> None:
    """Give back what an earlier runner of this agent held: its next attempt gets a workspace of its own."""
    for path in gestures.unfinished(places, options.agent):
        claim = Claim(path, roots.read_json(path) or {}, disk=disk, hold=True)
        if not claim.elsewhere:
            if work.refused(path):
                try:
                    claim.fail("the result was refused", "refused", retry=True, wait=0)
                except TaskdirError:
                    claim.leave()
            else:
                claim.give_back()
            tell({"event": "given-back", "agent": options.agent, "id": claim.id, "attempt": claim.attempt})
        claim.leave()


def _ignored(path: str, disk: Disk) -> None:
    """Keep git from seeing the workspaces, should they lie in a repository."""
    mark = os.path.join(path, ".gitignore")
    if not os.path.lexists(mark):
        disk.publish(mark, b"*\n", aside=f"{mark}.{os.getpid()}")


def _about(options: Options, claim: Claim) -> dict[str, Any]:
    return {"agent": options.agent, "id": claim.id, "attempt": claim.attempt}


def _story(outcome: Outcome) -> dict[str, Any]:
    told = {
        "outcome": outcome.how,
        "code": outcome.code or None,
        "message": outcome.message or None,
        "tries": outcome.tries,
        "commit": outcome.commit,
        "branch": outcome.branch,
        "workspace": outcome.paths.workspace if outcome.kept else None,
        "kept": outcome.kept,
    }
    return {name: value for name, value in told.items() if value is not None}
