"""Making the directories show what the index knows (SPEC sections 10.3 and 10.5): refusals, and taking inputs away.

Every step can be repeated: what to do follows from the index and from what was seen, not from what happened before. A
file that cannot be written or removed is reported, remembered, and never stops the others (P10).
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
from collections.abc import Callable
from typing import Any

from taskdir import names, strictjson
from taskdir.disk import Disk, NotRegular, TooLarge, read_again, read_regular
from taskdir.documents import Task
from taskdir.handover import Handover
from taskdir.index import Index
from taskdir.papers import Papers, signature
from taskdir.places import Places
from taskdir.seen import Holding, Paper, Seen, Slot

log = logging.getLogger("taskdir")

_LONG = 200
"""Bytes: a longer name has no room for what taken/ puts before it."""
_EXPELLED = frozenset({"ready-stranger", "claim-unknown", "state-stranger", "state-changed"})


class View:
    """The writer of rejected/, of refused.json files, and the taker of inputs; ``publish`` is its one verb."""

    def __init__(
        self,
        places: Places,
        disk: Disk,
        index: Index,
        papers: Papers,
        is_due: Callable[[str], bool],
        handover: Handover | None = None,
    ) -> None:
        """``is_due`` tells of a task whose record is not published yet: its claims stay as they are until it is.

        ``handover``, behind walls, tells agents what became of theirs.
        """
        self._places, self._disk, self._index, self._papers, self._is_due = places, disk, index, papers, is_due
        self._handover = handover
        self._unanswered: dict[str, tuple[Callable[..., None], Paper]] = {}
        self._numbers = itertools.count(int.from_bytes(os.urandom(5), "big"))

    def publish(self, seen: Seen) -> None:
        """Answer everything that was judged: claims, results, messages, strangers."""
        claimed = self._places.claimed
        for path, (step, paper) in [*self._unanswered.items()]:
            self._safely(path, step, paper)
        for slot, holding in seen.holdings.items():
            self._safely(f"{claimed}/{slot.agent}/{slot.stem}", self._clear, slot, holding)
        for slot, suffixes in seen.leftovers.items():
            self._safely(f"{claimed}/{slot.agent}/{slot.stem}", self._sweep, slot, suffixes)
        for paper in seen.results:
            self._safely(paper.path, self._answer_result, paper)
        for file in self._index.register.stale_refusals():
            self._safely(file, self._drop_reason, file)
        for paper in seen.messages:
            self._safely(paper.path, self._answer_message, paper)
        for name in seen.edited:
            self._safely(name, self._expel, "state", name)
        for queue, name in seen.strange:
            self._safely(name, self._expel, f"ready/{queue}", name)

    def _safely(self, path: str, step: Callable[..., None], *about: Any) -> None:
        try:
            step(*about)
        except OSError as error:
            if path not in self._unanswered:
                log.warning("%s: cannot be published yet: %s", path, error)
            self._papers.set_stuck(path)
            if about and isinstance(about[0], Paper):
                self._unanswered[path] = step, about[0]  # it was judged, and will not be read again: try in each pass
        else:
            self._unanswered.pop(path, None)

    def _clear(self, slot: Slot, holding: Holding) -> None:
        """Take a claim's files away once the claim is over: the task file first, its result by ``_answer_result``."""
        task = self._index.task(holding.stem.id)
        if self._is_due(holding.stem.id) or (task is not None and task.state == "claimed" and _holder(task) == slot):
            return
        if task is None or (task.state == "queued" and task.stem == slot.stem):  # forged: it was never offered
            self._expel(f"claimed/{slot.agent}", slot.stem + names.TASK)
            return
        if holding.has_task:
            self._disk.unlink(f"{self._places.claimed}/{slot.agent}/{slot.stem}{names.TASK}")

    def _sweep(self, slot: Slot, suffixes: list[str]) -> None:
        """Remove the notes and the refusal that a finished claim left."""
        stem = names.parse_stem(slot.stem)
        task = self._index.task(stem.id) if stem else None
        if task is not None and not (task.state == "claimed" and _holder(task) == slot):
            for suffix in suffixes:
                self._disk.unlink(os.path.join(self._places.claimed, slot.agent, slot.stem + suffix))

    def _answer_result(self, paper: Paper) -> None:
        slot = paper.slot
        stem = names.parse_stem(slot.stem) if slot else None
        task = self._index.task(stem.id) if stem else None
        if slot is None or stem is None or self._is_due(stem.id):
            return
        if task is None:
            self._move_to_rejected(paper, paper.name, 0)
        elif task.state == "claimed" and _holder(task) == slot:
            if task.judged == paper.sha256 and task.refusal is not None:
                base = os.path.join(self._places.claimed, slot.agent, slot.stem)
                self._write(base + names.REFUSED, strictjson.pretty(task.refusal))
                self._take(paper)
        elif self._was_judged(task, stem.attempt, paper.sha256):
            if self._handover is not None:
                self._handover.end_of_refusals(slot.agent, paper, task.id, stem.attempt)
            self._take(paper)
        elif (refusal := self._index.register.refusal(paper.name)) is not None and refusal[0] == paper.sha256:
            self._reject(paper, paper.name, refusal[1], refusal[2])

    def _was_judged(self, task: Task, attempt: int, sha256: str) -> bool:
        """Say whether a result with these bytes ended an attempt; the last one is known with the task."""
        last = task.attempt == attempt and task.judged == sha256
        return last or self._index.judged(task.id, attempt) == sha256

    def _answer_message(self, paper: Paper) -> None:
        id = names.given(paper.sender, paper.name).removesuffix(names.TASK)
        if names.is_word(id) and self._index.register.message(id) == paper.sha256:  # else it may be no UTF-8
            self._take(paper)
            return
        refusal = self._index.register.refusal(names.printable(paper.name))
        if refusal is not None and refusal[0] == paper.sha256:
            self._reject(paper, paper.name, refusal[1], refusal[2])
        elif self._index.register.redriven(paper.sha256) == id:
            self._take(paper)

    def _drop_reason(self, file: str) -> None:
        """Remove the reason of a file that was accepted since; the input is still there, so nobody is misled."""
        self._disk.unlink(os.path.join(self._places.rejected, names.reason_name(file)))
        if self._handover is not None:
            self._handover.forget_reason(file)
        self._index.register.forget_refusal(file)

    def _expel(self, place: str, name: str) -> None:
        """Move what nobody offered out of ready/ or claimed/, its reason first."""
        refusal = self._index.register.refusal(f"{place}/{names.printable(name)}")
        path = self._places.join(place, name)
        if refusal is not None and refusal[1]["code"] in _EXPELLED:
            self._reject(Paper(path, name, special=True), name, refusal[1], refusal[2])

    def _reject(self, paper: Paper, name: str, reason: dict[str, str], seq: int) -> None:
        """Put the reason, then the file, into rejected/; an older file of that name with other bytes is kept aside."""
        stored = names.rejected_name(name, seq)
        self._write(os.path.join(self._places.rejected, names.reason_name(stored)), strictjson.pretty(reason))
        agent = paper.slot.agent if paper.slot else paper.sender
        if self._handover is not None and agent:
            self._handover.reason(agent, names.given(agent, stored), reason)
        self._move_to_rejected(paper, stored, seq)

    def _move_to_rejected(self, paper: Paper, stored: str, seq: int) -> None:
        target = os.path.join(self._places.rejected, stored)
        known = not paper.special or paper.shape is not None
        source = self._take_over(paper) if known else paper.path
        if source is None or not os.path.lexists(source):
            return
        if self._handover is not None and paper.sender:
            self._handover.give_back(paper.sender, source, names.given(paper.sender, stored))
            return
        if os.path.lexists(target) and not _is_same(target, paper):
            older = f"{stored.removesuffix(names.TASK)}.{seq:012d}.json"
            self._disk.rename(target, os.path.join(self._places.rejected, older))
        self._disk.rename(source, target)

    def _take(self, paper: Paper) -> None:
        """Remove an input whose content is in the log, unless it was changed after it was judged.

        A directory in place of a result is the agent's: it stays with it, under a name that is nobody's.
        """
        taken = self._take_over(paper)
        if taken is None:
            return
        if paper.special and paper.slot is not None and os.path.isdir(taken) and not os.path.islink(taken):
            self._disk.rename(taken, self._places.join("claimed", paper.slot.agent, paper.name + ".refused"))
        else:
            self._disk.unlink(taken)

    def _take_over(self, paper: Paper) -> str | None:
        """Move an input to .taskdir/taken/ and compare it there with what was judged (SPEC section 10.5).

        Returns its new path when it is the same; None when it is gone, or changed: then it is judged as a new message.
        """
        taken = self._places.taken
        if paper.path.startswith(f"{taken}/") or len(os.fsencode(paper.name)) > _LONG:
            path = paper.path  # so long a name is refused whatever it holds
        else:
            agent = paper.slot.agent if paper.slot else ""
            path = f"{taken}/{next(self._numbers):x}!{agent}!{paper.name}"
            if not self._disk.rename(paper.path, path):
                return None
        if paper.special:
            return path if (signature(path) or ())[:3] == (paper.shape or (0,))[:3] else None
        try:
            now = hashlib.sha256(read_again(path, paper.size)).hexdigest()
        except OSError:
            return None
        return path if now == paper.sha256 else None

    def hand_back_taken(self) -> None:
        """Put what was taken but never judged back to where it came from, so that a clean stop leaves nothing here."""
        for taken in os.listdir(self._places.taken):
            self._safely(os.path.join(self._places.taken, taken), self._hand_back, taken)

    def _hand_back(self, taken: str) -> None:
        _, agent, name = taken.split("!", 2) if taken.count("!") >= 2 else ("", "", taken)
        home = os.path.join(self._places.claimed, agent) if agent else self._places.inbox
        if self._handover is not None and not agent:
            home, name = self._handover.home(name)
        path = os.path.join(self._places.taken, taken)
        if os.path.isdir(home) and self._disk.link(path, os.path.join(home, name)):
            self._disk.unlink(path)

    def _write(self, path: str, data: bytes) -> None:
        aside = os.path.join(self._places.staging, f"{next(self._numbers):x}")
        self._disk.publish(path, data, aside=aside)


def _holder(task: Task) -> Slot:
    return Slot(task.agent or "", task.stem)


def _is_same(path: str, paper: Paper) -> bool:
    """Say whether a regular file has the bytes that were judged. Only as many are read: a file may be of any size."""
    try:
        return not paper.special and hashlib.sha256(read_regular(path, paper.size)).hexdigest() == paper.sha256
    except (OSError, NotRegular, TooLarge):
        return False
