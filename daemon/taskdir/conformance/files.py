"""What anybody may do to the files of a root, as vectors write it down: one operation is one change."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

Step = dict[str, Any]


class Files:
    """A root, and what anybody may do to the files in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tick = itertools.count(1)

    def do(self, operation: Step) -> None:
        """Carry out one operation; its first member says which."""
        verb = next(iter(operation))
        getattr(self, verb)(operation)

    def write(self, op: Step) -> None:
        """Write a whole file the proper way: a dot-name, then rename."""
        target = self.root / op["write"]
        aside = target.with_name(".aside")
        aside.write_bytes(_content(op))
        self._stamp(aside)
        aside.rename(target)

    def write_in_place(self, op: Step) -> None:
        path = self.root / op["write_in_place"]
        path.write_bytes(_content(op))
        self._stamp(path)

    def append(self, op: Step) -> None:
        path = self.root / op["append"]
        with path.open("ab") as file:
            file.write(_content(op))
        self._stamp(path)

    def touch(self, op: Step) -> None:
        self._stamp(self.root / op["touch"])

    def copy(self, op: Step) -> None:
        shutil.copyfile(self.root / op["copy"], self.root / op["to"])

    def rename(self, op: Step) -> None:
        os.rename(self.root / op["rename"], self.root / op["to"])

    def link(self, op: Step) -> None:
        os.link(self.root / op["link"], self.root / op["to"])

    def symlink(self, op: Step) -> None:
        os.symlink(op["to"], self.root / op["symlink"])

    def fifo(self, op: Step) -> None:
        os.mkfifo(self.root / op["fifo"])

    def mkdir(self, op: Step) -> None:
        os.makedirs(self.root / op["mkdir"])

    def unlink(self, op: Step) -> None:
        os.unlink(self.root / op["unlink"])

    def remove(self, op: Step) -> None:
        """Remove a directory and all in it."""
        shutil.rmtree(self.root / op["remove"])

    def chmod(self, op: Step) -> None:
        os.chmod(self.root / op["chmod"], int(op["mode"], 8))

    def _stamp(self, path: Path) -> None:
        """Give a file a time that it never had: two changes within one tick of the kernel's clock must differ."""
        at = 1_000_000_000 + next(self._tick)
        os.utime(path, (at, at))


def _content(op: Step) -> bytes:
    if "json" in op:
        return json.dumps(op["json"]).encode().ljust(op.get("pad", 0))
    if "hex" in op:
        return bytes.fromhex(op["hex"])
    return str(op["text"]).encode() * int(op.get("times", 1))
