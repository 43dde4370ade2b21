"""A mark in a written file by which we know later that nobody has edited it: only such a file is replaced unasked."""

from __future__ import annotations

import hashlib
import re

from taskdir import __version__

_MARK = re.compile(
    r"^.*Made by taskdir \S+; nobody has edited it while the other lines have sha256 ([0-9a-f]{64}).*\n", re.M
)


def seal(text: str, comment: str, after: str = "") -> str:
    """Put the mark into ``text``, behind its first line ``after`` or at the top; ``comment``: with ``{}`` for words."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    words = f"Made by taskdir {__version__}; nobody has edited it while the other lines have sha256 {digest}"
    head, found, tail = text.partition(after) if after else ("", "", text)
    return f"{head}{found}{comment.format(words)}\n{tail}"


def is_as_made(text: str) -> bool:
    """Say whether a file still is what some version of taskdir wrote."""
    mark = _MARK.search(text)
    if mark is None:
        return False
    return hashlib.sha256((text[: mark.start()] + text[mark.end() :]).encode()).hexdigest() == mark[1]
