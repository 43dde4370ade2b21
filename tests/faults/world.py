"""A root, a daemon in this process and a clock that the test moves: killed between any two disk operations.

A kill is an exception from the disk hook that nothing catches; what the daemon leaves is copied as it lies, SQLite's
write-ahead log included, and the next daemon opens the copy. No operation after the kill reaches the copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from taskdir.daemon import Daemon
from taskdir.disk import Disk
from taskdir.documents import Now, timestamp
from taskdir.places import Places


class Killed(BaseException):
    """The process is gone: not an Exception, so that no handler of the daemon's takes it for an error."""


class Clock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def now(self) -> Now:
        return Now(self.seconds, timestamp(self.seconds))


class Countdown:
    """A disk hook that kills before operation number ``at`` (from 1), and counts."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count, self.dead = at, 0, False
        self.seen: list[str] = []

    def __call__(self, operation: str, path: str) -> None:
        if self.dead:
            raise Killed
        self.count += 1
        self.seen.append(f"{operation} {os.path.basename(path)}")
        if self.count == self.at:
            self.dead = True
            raise Killed


class World:
    """One root on its way through a story."""

    def __init__(self, base: Path, hook: Countdown, again: int | None = None) -> None:
        """``again``: kill a second time, so many operations after the first."""
        self.again = again
        self.base, self.hook, self.clock, self.lives = base, hook, Clock(), 0
        self.root = base / "root0"
        self.root.mkdir(parents=True)
        places = Places(str(self.root))
        for path in places.public():
            os.mkdir(path)
        self.write("taskdir.json", {"protocol": 1, "settle_seconds": 0, "queues": ["review"]})
        self.write("contracts/echo.json", {})
        self.write("contracts/count.json", {"output": {"type": "integer"}, "defaults": {"backoff_seconds": 0}})
        self.daemon: Daemon | None = None

    def write(self, path: str, value: Any) -> None:
        """Write a file as an agent does: aside, then rename."""
        target = self.root / path
        aside = target.with_name("." + target.name)
        aside.write_text(value if isinstance(value, str) else json.dumps(value))
        aside.rename(target)

    def passes(self, after_kill: Callable[[World], None] | None = None) -> None:
        """Let the daemon work until nothing changes; when it is killed, go on with a new one on what is left."""
        while True:
            try:
                daemon = self.start()
                for _ in range(50):
                    if not daemon.one_pass():
                        return
                raise AssertionError("the daemon does not come to rest")
            except Killed:
                self.bury()
                if after_kill is not None:
                    after_kill(self)

    def start(self) -> Daemon:
        if self.daemon is None:
            daemon = Daemon(str(self.root), disk=Disk(self.hook), clock=self.clock)
            self.daemon = daemon
            daemon.open()
        return self.daemon

    def stop(self) -> None:
        """End the daemon properly; when it is killed on the way, leave it at that."""
        try:
            self.start().close()
            self.daemon = None
        except Killed:
            self.bury()

    def bury(self) -> None:
        """Copy what the dead daemon left, then drop the daemon without letting it write anything more there."""
        old, self.lives = self.root, self.lives + 1
        self.root = self.base / f"root{self.lives}"
        subprocess.run(["cp", "-a", old, self.root], check=True)  # FIFOs and links as they are
        if self.daemon is not None:
            self.daemon.abandon()
            self.daemon = None
        shutil.rmtree(old)
        self.hook.dead, self.hook.at = False, None
        if self.again and self.lives == 1:
            self.hook.at = self.hook.count + self.again

    def claim(self, agent: str, queue: str = "default") -> None:
        """Claim the first offer as an agent does: a rename."""
        home = self.root / "claimed" / agent
        home.mkdir(exist_ok=True)
        name = sorted(os.listdir(self.root / "ready" / queue))[0]
        os.rename(self.root / "ready" / queue / name, home / name)

    def held(self, agent: str) -> Path:
        """Return what an agent holds; an agent that lost its claim to a kill of the daemon would be a defect."""
        (found,) = [path for path in (self.root / "claimed" / agent).glob("*.json") if path.name.count(".") == 3]
        return found

    def result(self, agent: str, value: Any) -> None:
        """Write a result beside the agent's claim."""
        claimed = self.held(agent)
        name = json.loads(claimed.read_text())["result_file"]
        self.write(str(claimed.with_name(name).relative_to(self.root)), value)

    def note(self, agent: str, text: str) -> None:
        """Write notes beside the agent's claim."""
        path = self.held(agent)
        path.with_name(path.name.replace(".json", ".notes.jsonl")).write_text(text)

    def give_back(self, agent: str) -> None:
        """Delete the claimed file."""
        self.held(agent).unlink()

    def events(self) -> list[dict[str, Any]]:
        files = [*sorted((self.root / "log").glob("*.jsonl")), self.root / "log.jsonl"]
        return [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]

    def tree(self) -> list[str]:
        """Every visible file, acceptance numbers left out: they may differ after a kill."""
        return sorted(re.sub(r"-\d{12}\.", "-N.", path) for path in self._files())

    def _files(self) -> Iterator[str]:
        for directory, names, files in os.walk(self.root):
            if ".taskdir" in names:
                names.remove(".taskdir")
            relative = os.path.relpath(directory, self.root)
            yield from (os.path.normpath(os.path.join(relative, name)) for name in files)
