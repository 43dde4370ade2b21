"""Adding to files that others own: settings of editors and coding agents, and texts that they read.

First everything is read and merged, then everything is written: a file that cannot be added to leaves all as they were.
A link stays one, and so do modes, comments, line ends and a byte order mark.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from taskdir import jsonc
from taskdir.disk import Disk
from taskdir.errors import CannotCreate

Merge = Callable[[str], str]
"""Takes a file's text and returns it with what was missing. Raises jsonc.Malformed, ValueError."""


class Change(NamedTuple):
    """What a file is to be: its path as its owner names it, where it really lies, its bytes and mode."""

    path: str
    target: str
    data: bytes
    mode: int


def plan(path: str, merge: Merge, again: str) -> Change | None:
    """Return how a file changes; None when it has it all. ``again``: the command to run once it is mended.

    Raises CannotCreate for a file that cannot be added to.
    """
    target = os.path.realpath(path)
    try:
        with open(target, encoding="utf-8", newline="") as file:
            old = file.read()
    except FileNotFoundError:
        old = ""
    except UnicodeDecodeError:
        raise _refused(path, "this is no UTF-8", again) from None
    except OSError as error:
        raise CannotCreate("cannot-write", os.strerror(error.errno or 0), path=path) from None
    mark = "\ufeff" if old.startswith("\ufeff") else ""
    try:
        new = mark + merge(old.removeprefix(mark))
    except jsonc.Malformed as error:
        line = old.count("\n", 0, error.offset) + 1
        told = f"line {line} is no JSON with comments, or not what its reader wants there"
        raise _refused(path, told, again) from None
    except ValueError as error:
        raise _refused(path, str(error), again) from None
    if new == old:
        return None
    mode = stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else 0o644
    return Change(path, target, new.encode(), mode)


def carry_out(disk: Disk, changes: Iterable[Change | None]) -> list[str]:
    """Put each changed file in its place, whole; returns their paths. Raises CannotCreate."""
    done = []
    for change in changes:
        if change is None:
            continue
        aside = f".{os.path.basename(change.target)}.{os.urandom(6).hex()}"
        try:
            disk.mkdir(os.path.dirname(change.target))
            disk.publish(
                change.target, change.data, aside=os.path.join(os.path.dirname(change.target), aside), mode=change.mode
            )
        except OSError as error:
            path = error.filename or change.path
            raise CannotCreate("cannot-write", os.strerror(error.errno or 0), path=path) from None
        done.append(change.path)
    return done


def blank(text: str) -> str:
    """Return a text of JSON, an empty object where there was nothing."""
    return text if text.strip() else "{\n}\n"


def object_of(text: str, *keys: str) -> tuple[str, jsonc.Node]:
    """Return the text with an object under these keys, one in the other, and that object. Raises Malformed."""
    return _container(text, keys, {})


def array_of(text: str, *keys: str) -> tuple[str, jsonc.Node]:
    """Return the text with an array under these keys, and that array. Raises Malformed."""
    return _container(text, keys, [])


def scalar(node: jsonc.Node, name: str) -> Any:
    """Return the member of an object that is no container; None when there is none."""
    found = node.members.get(name)
    return found.scalar if found else None


def _container(text: str, keys: tuple[str, ...], empty: Any) -> tuple[str, jsonc.Node]:
    node = jsonc.parse(text)
    for depth, key in enumerate(keys):
        _wanted(text, node, "{")
        if key not in node.members:
            text = jsonc.add(text, node, empty if depth == len(keys) - 1 else {}, key)
            return _container(text, keys, empty)
        node = node.members[key]
    _wanted(text, node, "{" if isinstance(empty, dict) else "[")
    return text, node


def _wanted(text: str, node: jsonc.Node, opening: str) -> None:
    if text[node.start] != opening:
        raise jsonc.Malformed(node.start)


def _refused(path: str, why: str, again: str) -> CannotCreate:
    return CannotCreate("in-the-way", why, path=path, hint=f"mend or move it, then `{again}` again")
