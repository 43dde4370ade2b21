"""Looking into claimed/: who holds what, for how long nothing changed, whether a lock was dropped (SPEC 7.5, 7.6, 8).

Ages grow by at most two scan intervals a pass, so that suspend, stalls and daemon downtime never end a lease early
(P12). File times are only compared with themselves, never with a clock.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field

from taskdir import lock, names
from taskdir.documents import Task
from taskdir.papers import is_foreign, signature
from taskdir.places import Places
from taskdir.seen import Holding, Seen, Signature, Slot
from taskdir.system import HERE

NOTES_BYTES = 65536
MOST = 2048
"""Names that are looked at in one directory of an agent behind walls: what lies beyond them holds up nobody else."""
Files = dict[str, Signature]


@dataclass(slots=True)
class _Memory:
    """What is remembered of a holding between passes."""

    files: Files = field(default_factory=dict)
    idle: float = 0.0
    age: float = 0.0
    probed: float = float("-inf")
    held_inode: int | None = None
    dropped: bool = False
    notes: str | None = None


class Holdings:
    """The memory of claimed/ between passes; ``look`` fills a Seen."""

    def __init__(self, places: Places, *, walls: bool = False) -> None:
        """``walls``: agents are other users, whose directories may hold anything (docs/walls.md)."""
        self._places, self._walls = places, walls
        self._memory: dict[Slot, _Memory] = {}
        self._last: float | None = None

    def look(self, seen: Seen, live: list[Task], now: float, scan_seconds: float) -> None:
        """List every agent's directory; ``live`` are the claims on record, ``now`` the daemon's clock in seconds."""
        elapsed = min(now - self._last, 2 * scan_seconds) if self._last is not None else 0.0
        self._last = now
        listed = self._list_agents(seen)
        if self._walls:
            self._look_directly(live, listed)
        memory: dict[Slot, _Memory] = {}
        for slot, files in listed.items():
            stem = names.parse_stem(slot.stem)
            if stem is None:
                continue
            if names.TASK not in files and names.RESULT not in files:
                seen.leftovers[slot] = list(files)
                continue
            known = self._memory.get(slot)
            memory[slot] = known = self._age(slot, known, files, elapsed)
            has_result = names.RESULT in files
            if names.TASK in files and not (has_result and known.held_inode is None):
                self._probe(slot, known, now, scan_seconds)
            seen.holdings[slot] = Holding(
                stem, names.TASK in files, has_result, known.idle, known.age, known.dropped, notes=known.notes
            )
        self._look_for_gone(seen, live, memory)
        self._memory = memory

    def _list_agents(self, seen: Seen) -> dict[Slot, Files]:
        found: dict[Slot, Files] = {}
        asks: list[tuple[int, str, str]] = []
        entries = _scan(self._places.claimed)
        seen.blind = entries is None
        for entry in entries or ():
            if not names.is_word(entry.name) or not entry.is_dir(follow_symlinks=False):
                continue
            seen.agents.add(entry.name)
            files = _scan(entry.path, MOST if self._walls else None)
            seen.blind = seen.blind or files is None
            for file in files or ():
                parts = names.split_claimed(file.name)
                if parts is None:
                    if self._walls and len(asks) < MOST and (queue := names.asked(file.name)) is not None:
                        asks += _ask(file, entry.name, queue)
                    continue
                try:
                    shape = file.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError:  # a directory that may be listed but not entered
                    seen.blind = True
                    continue
                slot = Slot(entry.name, file.name.removesuffix(parts[1]))
                found.setdefault(slot, {})[parts[1]] = (
                    shape.st_ino, shape.st_size, shape.st_mtime_ns, shape.st_ctime_ns
                )  # fmt: skip
        seen.asks = [(agent, queue) for _, agent, queue in sorted(asks)]
        return found

    def _look_directly(self, live: list[Task], listed: dict[Slot, Files]) -> None:
        """Find the files of a claim that its agent hid, among more names than are listed or where nobody can look: its
        lease goes on."""
        for task in live:
            slot = Slot(task.agent or "", task.stem)
            if slot not in listed:
                suffixes = (names.TASK, names.RESULT, names.NOTES, names.REFUSED)
                looks = {suffix: signature(self._path(slot, suffix)) for suffix in suffixes}
                if found := {suffix: shape for suffix, shape in looks.items() if shape is not None}:
                    listed[slot] = found
                elif not self._is_gone(self._path(slot, names.TASK)):
                    before = self._memory.get(slot)
                    listed[slot] = dict(before.files) if before is not None else {names.TASK: (0, 0, 0, 0)}

    def _age(self, slot: Slot, known: _Memory | None, files: Files, elapsed: float) -> _Memory:
        files.pop(names.REFUSED, None)  # ours: no sign of life of the agent's
        if known is None:
            known = _Memory()
        else:
            known.age += elapsed
            known.idle = known.idle + elapsed if files == known.files else 0.0
        if files.get(names.NOTES) != known.files.get(names.NOTES):
            known.notes = self._read_notes(slot)
        known.files = files
        return known

    def _read_notes(self, slot: Slot) -> str | None:
        path = self._path(slot, names.NOTES)
        try:
            fd = os.open(path, HERE.read_flags)
        except OSError:
            return None
        try:  # a directory fails at the read, not at the open; open(fd) would raise for it, and leave fd open
            if self._walls and not is_foreign(os.fstat(fd)):
                return None
            return os.read(fd, NOTES_BYTES).decode("utf-8", "replace") or None
        except OSError:
            return None
        finally:
            os.close(fd)

    def _probe(self, slot: Slot, known: _Memory, now: float, scan_seconds: float) -> None:
        """Look whether the claimed file is locked. A lock once seen and gone now means that its process is gone,
        unless the file was replaced, or a result was written before the lock was let go."""
        if now - known.probed < scan_seconds * 0.9:
            return
        known.probed = now
        found = lock.is_held(self._path(slot, names.TASK))
        known.dropped = False
        if found is None:
            return
        held, inode = found
        if held:
            known.held_inode, known.idle = inode, 0.0
        elif known.held_inode == inode:
            known.dropped = not os.path.lexists(self._path(slot, names.RESULT))
            known.probed = float("-inf")
        elif known.held_inode is not None:
            known.held_inode, known.idle = None, 0.0

    def _look_for_gone(self, seen: Seen, live: list[Task], memory: dict[Slot, _Memory]) -> None:
        """Confirm by a direct look which live claims have neither task nor result; any other error means unknown."""
        for task in live:
            slot = Slot(task.agent or "", task.stem)
            if slot in seen.holdings:
                continue
            if not self._is_gone(self._path(slot, names.TASK)) or not self._is_gone(self._path(slot, names.RESULT)):
                if slot in self._memory:
                    memory[slot] = self._memory[slot]
                continue
            seen.gone.add(slot)
            before = self._memory.get(slot)
            seen.holdings[slot] = Holding(*_stem(slot), notes=before.notes if before else None)

    def _is_gone(self, path: str) -> bool:
        try:
            os.lstat(path)
        except FileNotFoundError:
            return os.path.isdir(self._places.claimed)
        except OSError:
            return False
        return False

    def _path(self, slot: Slot, suffix: str) -> str:
        return f"{self._places.claimed}/{slot.agent}/{slot.stem}{suffix}"


def _stem(slot: Slot) -> tuple[names.Stem]:
    found = names.parse_stem(slot.stem)
    assert found is not None, "a live claim has a stem"
    return (found,)


def _ask(file: os.DirEntry[str], agent: str, queue: str) -> list[tuple[int, str, str]]:
    """Return an ask with the time at which it came, which its agent cannot choose; nothing for what is no file."""
    try:
        return (
            [(file.stat(follow_symlinks=False).st_ctime_ns, agent, queue)]
            if file.is_file(follow_symlinks=False)
            else []
        )
    except OSError:
        return []


def _scan(path: str, most: int | None = None) -> list[os.DirEntry[str]] | None:
    try:
        with os.scandir(path) as entries:
            return list(itertools.islice(entries, most))
    except OSError:
        return None
