"""What the demo works on: the files of a real tree, the tasks about them, and what must come out.

The expected outputs are computed here, from the bytes as they were before the first worker started; no worker's code
is used.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Any

from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.errors import Missing

TYPES = ("count", "hash", "outline")
MOST = 60
"""Files: enough for a story, few enough for half a minute."""

_LARGEST = 1 << 18
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,200}")
_HEADING = re.compile(rb"^(?:class|def|function) ([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)
_SKIPPED = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the tree: its path below the folder, with slashes, and its bytes."""

    path: str
    data: bytes

    def expected(self, type: str) -> dict[str, Any]:
        """Return the only right output of a task of this type about this file."""
        if type == "count":
            return {"lines": self.data.count(b"\n"), "bytes": len(self.data)}
        if type == "hash":
            return {"sha256": hashlib.sha256(self.data).hexdigest()}
        return {"names": [name.decode("ascii") for name in _HEADING.findall(self.data)]}


@dataclass(frozen=True, slots=True)
class Plan:
    """The work: the folder, its files, and how many files were left out (binary, large, odd names, or too many)."""

    folder: str
    sources: list[Source]
    left_out: int

    def __str__(self) -> str:
        left = f", {self.left_out} left out (binary, large, oddly named, or beyond {MOST})" if self.left_out else ""
        return f"{len(self.sources)} files of {self.folder}{left}"

    def tasks(self) -> list[dict[str, Any]]:
        """Return one task a file and type, file by file."""
        return [
            {"id": f"{type}-{number:03d}", "type": type, "input": {"path": source.path}}
            for number, source in enumerate(self.sources, 1)
            for type in TYPES
        ]

    def expected(self) -> dict[str, dict[str, Any]]:
        """Return the right output of every task by id, the summary's too."""
        outputs = {
            f"{type}-{number:03d}": source.expected(type)
            for number, source in enumerate(self.sources, 1)
            for type in TYPES
        }
        return outputs | {"summary": self._summary()}

    def _summary(self) -> dict[str, int]:
        counts = [source.expected("count") for source in self.sources]
        names = sum(len(source.expected("outline")["names"]) for source in self.sources)
        lines, size = (sum(count[field] for count in counts) for field in ("lines", "bytes"))
        return {"files": len(self.sources), "lines": lines, "bytes": size, "names": names}


def gather(folder: str, most: int = MOST) -> Plan:
    """Choose the first plain text files of a tree. Raises Missing when there is no folder, or nothing in it."""
    if not os.path.isdir(folder):
        raise Missing("no-folder", "there is no such folder", path=folder, hint="name a folder with some source files")
    found: list[Source] = []
    left_out = 0
    for path in _walk(folder):
        data = _text(os.path.join(folder, path)) if len(found) < most and _PLAIN.fullmatch(path) else None
        if data is None:
            left_out += 1
        else:
            found.append(Source(path, data))
    if not found:
        hint = "the demo takes text files up to 256 KiB with plain ASCII names"
        raise Missing("no-source", "there is no file to work on", path=folder, hint=hint)
    return Plan(os.path.abspath(folder), found, left_out)


def _walk(folder: str) -> list[str]:
    paths = []
    for home, inner, files in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in _SKIPPED]
        paths += [os.path.relpath(os.path.join(home, name), folder) for name in files if not name.startswith(".")]
    return sorted(paths)


def _text(path: str) -> bytes | None:
    """Read a file if it is text, else None."""
    try:
        data = read_regular(path, _LARGEST)
        data.decode()
    except (OSError, NotRegular, TooLarge, UnicodeDecodeError):
        return None
    return None if b"\0" in data else data
