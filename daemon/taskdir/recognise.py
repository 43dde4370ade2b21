"""Which document a file is: by its place in a root, by the $schema that it names, by its name (SPEC sections 4 to 6).

Also what belongs to a live root, and so into no repository. Looks at names and at the marks of a root, changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from typing import Any

from taskdir import logread, names, rules

_URN = "urn:taskdir:v1:"
_PLACES = {
    "inbox": "message",
    "contracts": "contract",
    "done": "record",
    "failed": "record",
    "state": "state",
    "rejected": "message",
}
_SUFFIXES = {names.REASON: "reason", names.REFUSED: "reason", names.RESULT: "result", ".jsonl": "event"}
_LIVE = frozenset("inbox ready claimed done failed rejected state log .taskdir".split())
_MARKS = ("taskdir.json", logread.LIVE)


def kind(path: str, value: Any, *, guess: bool = True) -> str | None:
    """Return which document a file with this content is, None when nothing tells.

    Place and $schema tell; where they differ, the place does if it lies in a root, as for the daemon, else $schema.
    ``guess``: the end of the name tells too, wherever the file lies.
    """
    placed, said = kind_by_place(path), _kind_by_schema(value)
    if placed and said and placed != said:
        return placed if _root_of(path, {*_LIVE, "contracts"}) else said
    return placed or said or (kind_by_suffix(path) if guess else None)


def kind_by_place(path: str) -> str | None:
    """Return which document a file is by the directory that it lies in and its name there, None if they do not tell."""
    name, place, above = _last_three(path)
    if name == "taskdir.json":
        return "settings"
    if name == logread.LIVE or (place == logread.OLD and names.is_segment_name(name)):
        return None if name.endswith(".gz") else "event"
    if not name.endswith(names.TASK):
        return None
    parts = names.split_claimed(name)
    if parts is not None:
        return "offer" if parts[1] == names.TASK else _SUFFIXES[parts[1]]
    if above == "claimed" or (place == "rejected" and name.endswith(names.REASON)):
        return None if above == "claimed" else "reason"
    if (above, place) == ("contracts", "state"):
        return "contract"
    return "offer" if above == "ready" else _PLACES.get(place)


def kind_by_suffix(path: str) -> str | None:
    """Return which document a file seems to be by how its name ends."""
    if path.endswith(names.NOTES):
        return None
    return next((kind for suffix, kind in _SUFFIXES.items() if path.endswith(suffix)), None)


def may_name_schema(data: bytes) -> bool:
    """Say whether a file may name one of our schemas: cheap, so that foreign files need not be parsed."""
    return _URN.encode() in data or b".schema.json" in data


def _kind_by_schema(value: Any) -> str | None:
    said = value.get("$schema") if isinstance(value, dict) else None
    if not isinstance(said, str):
        return None
    if said.startswith(_URN):
        kind = said.removeprefix(_URN)
    elif "://" not in said and said.endswith(".schema.json"):  # a path to a copy, as editors like it
        kind = os.path.basename(said).removesuffix(".schema.json")
    else:
        return None
    return kind if kind in rules.DOCUMENTS else None


def is_root(directory: str) -> bool:
    """Say whether a directory bears a mark of a root: its settings, or the daemon's own directory."""
    return os.path.isfile(os.path.join(directory, "taskdir.json")) or os.path.isdir(os.path.join(directory, ".taskdir"))


def live_root(path: str) -> str | None:
    """Return the root whose live state a file is, None when it is none. Contracts are no live state."""
    return _root_of(path, _LIVE)


def _root_of(path: str, places: Container[str]) -> str | None:
    """Return the nearest root above a file in which it lies in one of ``places``, or is one of the files there."""
    at = os.path.abspath(path)
    above, inside = os.path.split(at)
    while True:
        first = inside.partition(os.sep)[0]
        if (inside in _MARKS or (first != inside and first in places)) and is_root(above):
            return above
        if above == os.path.dirname(above):
            return None
        above = os.path.dirname(above)
        inside = os.path.relpath(at, above)


def sweep(directory: str) -> Iterator[str]:
    """Yield the JSON files and logs below a directory, sorted; what starts with a dot is left alone.

    Raises OSError for a directory that cannot be read: it may hold anything.
    """

    def stop(error: OSError) -> None:
        raise error

    for base, directories, files in os.walk(directory, onerror=stop):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(files):
            if name.endswith((names.TASK, ".jsonl")) and not name.startswith("."):
                yield os.path.normpath(os.path.join(base, name))


def _last_three(path: str) -> tuple[str, str, str]:
    *_, above, place, name = ["", "", *os.path.abspath(path).split(os.sep)]
    return name, place, above
