"""What one look at the directories showed: plain values, filled by ``observe`` and read by the desks (SPEC section 10).

Bytes are read once; ``value`` is what was parsed from them, ``fault`` why they could not be (P7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskdir.errors import Invalid
from taskdir.names import Stem

Signature = tuple[int, int, int, int]
"""Device-independent shape of a file: inode, size, mtime in ns, ctime in ns. Only compared with itself."""


class Slot(NamedTuple):
    """Where a claim lives: the agent's directory and the stem's text."""

    agent: str
    stem: str


@dataclass(slots=True)
class Paper:
    """One JSON file that somebody handed in: a message or a result.

    ``path`` is where it lies now (its place, or .taskdir/taken/), ``name`` its own name, ``sha256`` of the bytes that
    were judged. Exactly one of ``value`` and ``fault`` counts; ``special`` is set for what has no bytes to judge: no
    regular file, too large, or unreadable. ``shape`` is how it looked then; ``settled`` is set when it names other
    messages and lay here unchanged for the settle time. ``sender``: the agent whose room it came from, behind walls.
    """

    path: str
    name: str
    sha256: str = ""
    size: int = 0
    value: Any = None
    fault: Invalid | None = None
    special: bool = False
    settled: bool = False
    slot: Slot | None = None
    shape: Signature | None = None
    sender: str = ""


@dataclass(slots=True)
class Holding:
    """One stem in one agent's directory.

    ``has_task`` and ``has_result``: these files are there. ``idle`` seconds since anything of it changed, ``age``
    seconds since it was first seen, both by the daemon's clock. ``dropped``: a lock that was once seen is gone.
    ``writing``: a result is there but not complete yet. ``notes``: the first 64 KiB of its notes.
    """

    stem: Stem
    has_task: bool = False
    has_result: bool = False
    idle: float = 0.0
    age: float = 0.0
    dropped: bool = False
    writing: bool = False
    notes: str | None = None


@dataclass(slots=True)
class Seen:
    """Everything that one pass looked at.

    ``agents`` are the directories in claimed/. ``gone`` are live claims of which neither task nor result is there: the
    listing succeeded and a direct look said ENOENT; of any other claim that is not in ``holdings`` nothing may be
    concluded. ``leftovers`` are notes and refusals beside which neither task nor result lies. ``ready`` maps queue →
    name → signature; ``strange`` are the (queue, name) in it that this daemon did not publish, ``changed`` the names of
    offers that are not as they were published. ``edited`` are the names in state/ that are not as the daemon wrote
    them, ``missing`` those that were removed there or show an older version. ``first``: the first pass since the daemon
    started, and each after it till all results that lay there were read. ``more``: papers were left for the next pass.
    ``blind``: some directory in claimed/ could not be listed. ``asks``: behind walls, (agent, queue) for each ask, in
    the order in which they came.
    """

    messages: list[Paper] = field(default_factory=list)
    results: list[Paper] = field(default_factory=list)
    holdings: dict[Slot, Holding] = field(default_factory=dict)
    gone: set[Slot] = field(default_factory=set)
    leftovers: dict[Slot, list[str]] = field(default_factory=dict)
    agents: set[str] = field(default_factory=set)
    ready: dict[str, dict[str, Signature]] = field(default_factory=dict)
    edited: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    strange: list[tuple[str, str]] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    first: bool = False
    more: bool = False
    blind: bool = False
    asks: list[tuple[str, str]] = field(default_factory=list)
