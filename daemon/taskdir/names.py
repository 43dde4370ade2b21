"""The grammar of names (SPEC section 5). Only this module knows it; nobody builds or takes apart a name elsewhere.

An offer is ``<rank>.<id>.<attempt>.json``; its *stem* is the same without ``.json``. Byte order of the names is the
order of work, so that ``ls | head -1`` is the next task.
"""

from __future__ import annotations

import re
from collections import namedtuple
from functools import lru_cache

TASK = ".json"
RESULT = ".result.json"
NOTES = ".notes.jsonl"
REFUSED = ".refused.json"
REASON = ".reason.json"
ASK = ".ask"

# As text: compiled when first used, which costs an agent's command as much as the rest of this module each.
_STEM = r"([0-9])-([0-9]{12})\.([a-z0-9][a-z0-9_-]{0,63})\.([1-9][0-9]{0,8})"
_SEGMENT = r"[0-9]{12}\.jsonl(\.gz)?"
_PLAIN = r"[\x20-\x7e]{1,220}"
_TOLD = r"([\x20-\x5b\x5d-\x7e]|\\\\)*"
_IN_WORDS = "abcdefghijklmnopqrstuvwxyz0123456789_-"


def is_word(text: str) -> bool:
    """Say whether ``text`` is an id, agent, queue, type or key: at most 64 of a-z 0-9 _ - (SPEC section 5)."""
    return 0 < len(text) <= 64 and text[0] not in "_-" and not text.strip(_IN_WORDS)


def is_queue(text: str) -> bool:
    """Say whether ``text`` names a queue: a word, or ``@`` and the word of the one agent that may claim from it."""
    return is_word(text.removeprefix("@"))


def is_segment_name(name: str) -> bool:
    """Say whether a name in log/ is that of a closed segment: the seq of its first event, compressed or not."""
    return re.fullmatch(_SEGMENT, name) is not None


def printable(name: str) -> str:
    """Return any file name as ASCII: one escape for each byte that is not printable, two backslashes for one."""
    return name.encode("utf-8", "surrogateescape").decode("latin-1").encode("unicode_escape").decode()


def unprintable(text: str) -> str | None:
    """Return the name that ``printable`` told, if that is printable itself; None if not, or if nothing was told so."""
    return text.replace("\\\\", "\\") if re.fullmatch(_TOLD, text) else None


def rejected_name(name: str, seq: int) -> str:
    """Return the name that a refused file gets in rejected/: its own, or bad-<seq>.json (SPEC section 7.2).

    A name is replaced when it is not printable ASCII, is longer than 220 bytes, or would pass for a reason.
    """
    if re.fullmatch(_PLAIN, name) and not name.endswith(REASON):
        return name
    return f"bad-{seq}.json"


def reason_name(name: str) -> str:
    """Return the name of the reason beside a refused file."""
    return name.removesuffix(TASK) + REASON


class Stem(namedtuple("Stem", "priority seq id attempt")):
    """The four parts of an offer's name: priority 0-9, acceptance number, task id, attempt (the fencing token)."""

    __slots__ = ()

    priority: int
    seq: int
    id: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.priority}-{self.seq:012d}.{self.id}.{self.attempt}"


@lru_cache(8192)
def parse_stem(text: str) -> Stem | None:
    """Take a stem apart; None when it is not one."""
    match = re.fullmatch(_STEM, text)
    if match is None:
        return None
    return Stem(int(match[1]), int(match[2]), match[3], int(match[4]))


@lru_cache(8192)
def split_claimed(name: str) -> tuple[Stem, str] | None:
    """Take a file name in claimed/<agent>/ apart into stem and suffix (TASK, RESULT, NOTES or REFUSED); else None."""
    for suffix in (RESULT, NOTES, REFUSED, TASK):
        if name.endswith(suffix):
            stem = parse_stem(name.removesuffix(suffix))
            return (stem, suffix) if stem else None
    return None


def asked(name: str) -> str | None:
    """Return the queue that a file in claimed/<agent>/ asks for, behind walls; None when it asks for none."""
    queue = name.removesuffix(ASK)
    return queue if queue != name and is_queue(queue) else None


def is_own(agent: str, word: str) -> bool:
    """Say whether an id or key is the agent's own behind walls: it begins with the agent's name and ``-``."""
    return word.startswith(f"{agent}-")


def kept(agent: str, file: str) -> str:
    """Return the name under which the daemon keeps a file from an agent's room: nobody else's (docs/walls.md)."""
    return file if is_own(agent, file) else f"{agent}!{file}"


def given(agent: str, name: str) -> str:
    """Return the name that such a file had in the agent's room."""
    return name.removeprefix(f"{agent}!") if agent else name


def is_message_name(name: str) -> bool:
    """Say whether a name in inbox/ exists for the daemon: it ends in .json and does not start with a dot."""
    return name.endswith(TASK) and not name.startswith(".")
