"""A root without a daemon, offers made by hand, and the runner as a real process: seen from outside, by its files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from support.live import ENV, PATIENCE, until

__all__ = ["PATIENCE", "Stage", "git", "script", "until"]
IDENTITY = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
LIMIT = 100.0
"""Seconds that a runner may take to come to its end by itself; only a defect reaches it."""
OUT_OF_THE_WAY = ("TASKDIR", "GIT_", "CLAUDE", "CODEX", "GEMINI")


def clean() -> dict[str, str]:
    """Return an environment without what may change the play."""
    return {name: value for name, value in ENV.items() if not name.startswith(OUT_OF_THE_WAY)} | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def git(at: Path, *words: str) -> str:
    """Run git; returns what it prints."""
    done = subprocess.run(
        ["git", *words], cwd=at, env=clean() | IDENTITY, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, f"git {words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def script(path: Path, text: str) -> Path:
    """Write a shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class Run:
    """A runner that was started; at the end of a ``with`` block nothing of it runs."""

    def __init__(self, command: list[str], base: Path, patience: float) -> None:
        self._patience = patience
        self._mark = f"{base}/{os.urandom(4).hex()}"
        self._files = [tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")]  # noqa: SIM115 (closed at the end)
        self.process = subprocess.Popen(
            command, stdout=self._files[0], stderr=self._files[1], env=clean() | {"STAGE_MARK": self._mark}
        )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait for its end; returns exit code and what it told."""
        try:
            code = self.process.wait(self._patience)
        except subprocess.TimeoutExpired:
            raise AssertionError("the runner does not end") from None
        for file in self._files:
            file.seek(0)
        out, err = (file.read() for file in self._files)
        assert "Traceback" not in err, err
        return code, [json.loads(line) for line in out.splitlines()]

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        wanted = f"STAGE_MARK={self._mark}".encode()
        while left := [pid for pid, words in _environments() if wanted in words]:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
        self.process.wait()
        for file in self._files:
            file.close()


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), path.read_bytes().split(b"\0")


def running(what: str) -> list[int]:
    """Return the processes with ``what`` among the words of their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            state = (path.parent / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if what.encode() in words and state != b"Z":
            found.append(int(path.parent.name))
    return sorted(found)


class Stage:
    """One root and what a runner makes of it."""

    planted = ""
    """A fault for every runner that is started here."""
    patience = PATIENCE
    """Seconds to wait for what must happen."""

    def __init__(self, base: Path, **settings: Any) -> None:
        self.base, self.root = base, base / "jobs"
        for place in ("inbox", "ready/default", "claimed", "contracts", "done", "failed", "rejected"):
            (self.root / place).mkdir(parents=True)
        (self.root / "taskdir.json").write_text(json.dumps({"protocol": 1, **settings}))
        self.work = base / "jobs.work"
        self._number = 0

    def repo(self) -> Path:
        """Make a repository with one commit."""
        path = self.base / "repo"
        path.mkdir()
        git(path, "init", "--quiet", "--initial-branch=main")
        (path / "file").write_text("one\n")
        git(path, "add", "file")
        git(path, "commit", "--quiet", "--message=first")
        return path

    def offer(self, id: str, attempt: int = 1, queue: str = "default", **fields: Any) -> Path:
        """Put an offer where it can be claimed."""
        self._number += 1
        stem = f"5-{self._number:012d}.{id}.{attempt}"
        head = {"id": id, "attempt": attempt, "type": "echo", "lease_seconds": 60, "result_file": f"{stem}.result.json"}
        path = self.root / "ready" / queue / f"{stem}.json"
        path.write_text(json.dumps({**head, "input": {}, **fields}))
        return path

    def command(self, *words: str | Path, planted: str = "") -> list[str]:
        """Return the command line of a runner; ``planted`` is Python that runs before it, such as a fault."""
        start = ["-c", f"{self.planted}\n{planted}\nfrom taskdir.cli import main\nraise SystemExit(main())"]
        return [sys.executable, *start, "--root", str(self.root), "work", *map(str, words)]

    def run(
        self, *words: str | Path, code: int = 0, planted: str = "", env: dict[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Run a runner until nothing is left; returns what it told."""
        done = subprocess.run(
            self.command("--json", "--agent", "me", "--once", *words, planted=planted),
            capture_output=True, text=True, env=clean() | (env or {}), timeout=LIMIT, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, *words: str | Path, planted: str = "") -> Run:
        """Start a runner and let it go on."""
        name = () if "--agent" in words else ("--agent", "me")
        return Run(self.command("--json", *name, *words, planted=planted), self.base, self.patience)

    def results(self, agent: str = "me") -> dict[str, Any]:
        """Return what was handed in: the output, or the error, by id."""
        files = sorted(self.root.glob(f"claimed/{agent}/*.result.json"))
        found = {file.name.split(".")[1]: json.loads(file.read_text()) for file in files}
        return {id: result.get("output", result.get("error")) for id, result in found.items()}

    def retries(self, agent: str = "me") -> dict[str, bool]:
        """Return for each error that was handed in whether it may be retried."""
        files = self.root.glob(f"claimed/{agent}/*.result.json")
        found = {file.name.split(".")[1]: json.loads(file.read_text()) for file in files}
        return {id: result["retry"] for id, result in found.items() if result["status"] == "error"}

    def workspaces(self) -> list[str]:
        """Return agent/name of every workspace and note that is there."""
        return sorted(str(path.relative_to(self.work)) for path in self.work.glob("*/*.*") if path.name[0] != ".")


def ended(told: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return (id, outcome, code, tries) of each attempt that ended."""
    return [(each["id"], each["outcome"], each.get("code"), each["tries"]) for each in told if each["event"] == "ended"]
