"""Real daemons as processes on real roots, seen from outside. Waiting is always for something, with a limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parents[2]
ENV = {**os.environ, "PYTHONPATH": str(HOUSE / "daemon"), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
PATIENCE = 30.0
"""Seconds: far more than anything takes; only a defect reaches it."""


def taskdir(*words: str | Path, root: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a taskdir command to its end."""
    command = [sys.executable, "-m", "taskdir", *(["--root", str(root)] if root else []), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=ENV, timeout=PATIENCE, check=False, **options)


def until(true: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait until ``true`` returns something; fails, saying ``what``, when it never does."""
    limit = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < limit, f"waited {patience} s in vain for: {what}"
        time.sleep(0.005)
    return found


class Root:
    """A root on disk, with or without its daemon."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        made = taskdir("init", path)
        assert made.returncode == 0, made.stderr
        self.configure(**settings)
        self.program = [sys.executable, "-m", "taskdir"]
        self.words = path.parent / f"{path.name}.err"
        self.daemon: subprocess.Popen[bytes] | None = None

    def configure(self, **settings: Any) -> None:
        """Write taskdir.json."""
        self.put("taskdir.json", {"protocol": 1, **settings})

    def put(self, name: str, value: Any) -> Path:
        """Write a file the proper way: aside, then rename. ``value`` is text or JSON."""
        target = self.path / name
        aside = target.with_name(f".{target.name}.aside")
        aside.write_text(value if isinstance(value, str) else json.dumps(value))
        aside.rename(target)
        return target

    def start(self) -> None:
        """Start the daemon and wait until it holds the root."""
        before = len(self.events("started"))
        self.spawn()
        until(lambda: len(self.events("started")) > before or self.ended(), "the daemon's start")

    def spawn(self) -> None:
        """Start the daemon, whatever comes of it. ``program``: another one, a planted fault say; ``words``: what it
        says on stderr, over all its lives."""
        command = [*self.program, "--root", str(self.path), "run"]
        with open(self.words, "ab") as words:
            self.daemon = subprocess.Popen(command, env=ENV, stdout=subprocess.DEVNULL, stderr=words)

    def said(self) -> str:
        """Return what the daemon said so far."""
        return self.words.read_text()

    def ended(self) -> bool:
        """Say whether the daemon's process is over."""
        return self.daemon is not None and self.daemon.poll() is not None

    def kill(self) -> None:
        """Kill the daemon with -9."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def stop(self) -> int:
        """Stop the daemon with SIGTERM; returns its exit code."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(PATIENCE)

    def __enter__(self) -> Root:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.daemon is not None and self.daemon.poll() is None:
            self.kill()

    def names(self, place: str) -> list[str]:
        """Return the visible names in a directory, sorted; nothing when it is not there."""
        try:
            return sorted(name for name in os.listdir(self.path / place) if not name.startswith("."))
        except FileNotFoundError:
            return []

    def json(self, name: str) -> Any:
        """Read a JSON file."""
        return json.loads((self.path / name).read_text())

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the log's whole lines so far, of the given kinds or of all."""
        files = [*sorted((self.path / "log").glob("*.jsonl")), self.path / "log.jsonl"]
        lines = [line for file in files if file.exists() for line in file.read_bytes().split(b"\n")[:-1]]
        found = [json.loads(line) for line in lines]
        return [event for event in found if not kinds or event["event"] in kinds]

    def offered(self, queue: str = "default") -> list[str]:
        """Return the offers of a queue in order."""
        return self.names(f"ready/{queue}")

    def claim(self, agent: str, queue: str = "default") -> Path:
        """Claim the first offer with nothing but a rename; waits until there is one."""
        home = self.path / "claimed" / agent
        home.mkdir(exist_ok=True)
        while True:
            name: str = until(lambda: self.offered(queue), f"an offer in {queue}")[0]
            try:
                os.rename(self.path / "ready" / queue / name, home / name)
                return home / name
            except FileNotFoundError:
                continue

    def finish(self, claimed: Path, value: Any) -> None:
        """Write a result beside a claim."""
        name = json.loads(claimed.read_text())["result_file"]
        self.put(f"claimed/{claimed.parent.name}/{name}", value)
