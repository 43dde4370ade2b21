"""A root made by hand, without a daemon, and the agent under test run in it: what most cases for agents stand on.

Everything that an agent does is seen as a command's exit code, what it printed, and the exact tree that it left.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Any, NamedTuple

from taskdir.conformance.cases import Broken, NotTested, program, want

PATIENCE = 30.0
"""Seconds that anything may take; only a defect takes that long."""

ODD = "a root  with 'spaces'"
WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
NOBODY = 65534
Word = str | bytes | Path


class Done(NamedTuple):
    """How a command ended. ``code``: its exit code, negative for a signal."""

    words: tuple[Word, ...]
    code: int
    out: bytes
    err: bytes

    @property
    def line(self) -> str:
        """Return the one line that it printed. Raises Broken for none, and for more."""
        text = os.fsdecode(self.out)
        if text.count("\n") != 1 or not text.endswith("\n"):
            raise Broken(f"{self} on stdout", "one line", text, "")
        return text[:-1]

    @property
    def fate(self) -> str:
        """Return how it ended, and what it said."""
        return f"exit code {self.code}, {os.fsdecode(self.err).strip()[:200]}"

    def __str__(self) -> str:
        shown = " ".join(os.fsdecode(word) for word in self.words)
        return f"`{shown[:160]}`" if len(shown) <= 160 else f"`{shown[:159]}…`"


class Program:
    """The agent under test: a command to which the verbs of CONTRACT are added."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = program(command)

    def start(self, root: Path | None, cwd: Path, words: Sequence[Word], **options: Any) -> subprocess.Popen[bytes]:
        """Start a verb in a process group of its own; ``root`` becomes $TASKDIR."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("TASKDIR")}
        if root is not None:
            env["TASKDIR"] = str(root)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*self.command, *words],
            env=env,
            cwd=cwd,
            start_new_session=True,
            **{"stdin": pipe, "stdout": pipe, "stderr": pipe, **options},
        )


class Running(NamedTuple):
    """A verb that runs."""

    words: tuple[Word, ...]
    process: subprocess.Popen[bytes]

    def end(self, stdin: bytes = b"", patience: float = PATIENCE) -> Done:
        """Give it the rest of stdin and wait. Raises Broken when it does not end."""
        try:
            out, err = self.process.communicate(stdin, timeout=patience)
        except subprocess.TimeoutExpired:
            self.kill()
            shown = Done(self.words, 0, b"", b"")
            raise Broken(f"{shown} does not end", f"an end within {patience} s", "it runs on") from None
        return Done(self.words, self.process.returncode, out, err)

    def feed(self, part: bytes, *, last: bool = False) -> None:
        """Give it a part of stdin, or the last. Raises Broken when it ended without reading it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(part)
            self.process.stdin.flush()
            if last:
                self.process.stdin.close()
                self.process.stdin = None
        except BrokenPipeError:
            self.process.stdin = None
            done = self.end()
            raise Broken(f"{done} did not read stdin", "exit code 0", done.fate, "") from None

    def signal(self, number: int) -> None:
        """Send a signal to it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it and all that it started."""
        self.signal(signal.SIGKILL)
        with suppress(BrokenPipeError), self.process:
            pass  # what it did not read is lost


class Stand:
    """A root, and the program that plays in it. ``at``: an empty directory of the case's own."""

    def __init__(self, program: Program, at: Path, name: str = ODD) -> None:
        self.program, self.at, self.root = program, at, at / name
        self._started: list[Running] = []
        for place in ("inbox", "ready/default", "claimed", "done", "failed", "rejected", "state", "contracts"):
            (self.root / place).mkdir(parents=True)
        (self.root / "taskdir.json").write_text('{"protocol": 1}\n')

    def start(self, *words: Word, cwd: Path | None = None, named: bool | Path = True, **options: Any) -> Running:
        """Start a verb; ``named``: $TASKDIR names the root, or is that path."""
        root = named if isinstance(named, Path) else self.root if named else None
        running = Running(words, self.program.start(root, cwd or self.at, words, **options))
        self._started.append(running)
        return running

    def clear(self) -> None:
        """End what a broken case left running."""
        for running in self._started:
            if running.process.returncode is None:
                running.kill()

    def run(self, *words: Word, stdin: bytes = b"", **options: Any) -> Done:
        """Run a verb to its end; options as in ``start``."""
        return self.start(*words, **options).end(stdin)

    def ends(self, code: int, *words: Word, stdin: bytes = b"", **options: Any) -> Done:
        """Run a verb that has to end with ``code``; the rule at stake is not broken by another code alone."""
        done = self.run(*words, stdin=stdin, **options)
        if done.code != code:
            raise Broken(f"how {done} ended", f"exit code {code}", done.fate, "")
        return done

    def refuses(self, code: int, *words: Word, stdin: bytes = b"", **options: Any) -> Done:
        """Run a verb that has to change nothing, end with ``code``, print no data and say why."""
        before = self.tree()
        done = self.run(*words, stdin=stdin, **options)
        self.same(f"{done} changed something", before)
        if done.code != code:
            raise Broken(f"how {done} ended", f"exit code {code}", done.fate, "")
        want(f"{done} on stdout", b"", done.out, "")
        if not done.err.startswith(b"taskdir: "):
            raise Broken(f"{done} on stderr", "words that start with `taskdir: `", done.err, "")
        return done

    def put(self, name: str, data: bytes | str | dict[str, Any]) -> Path:
        """Write a whole file, as anybody else may: aside, then rename."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".put-{get_ident()}")
        text = json.dumps(data) if isinstance(data, dict) else data
        aside.write_bytes(text.encode() if isinstance(text, str) else text)
        aside.rename(path)
        return path

    def offer(self, seq: int, place: str = "ready/default", attempt: int = 1, priority: int = 5, **more: Any) -> Path:
        """Put an offer there, as the daemon does (for a claimed one: as its claim does)."""
        stem = f"{priority}-{seq:012d}.t{seq}.{attempt}"
        offer = {"id": f"t{seq}", "attempt": attempt, "type": "echo", "input": {}, "lease_seconds": 1800}
        return self.put(f"{place}/{stem}.json", offer | {"result_file": f"{stem}.result.json"} | more)

    def held(self, seq: int = 1, agent: str = "me", **more: Any) -> Path:
        """Put a claimed task there."""
        return self.offer(seq, f"claimed/{agent}", **more)

    def tree(self) -> dict[str, bytes | str]:
        """Return every file's content, and what kind it is where it is no regular file; taskdir.json aside."""
        found: dict[str, bytes | str] = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = "link"
            elif path.is_dir():
                if name.count(os.sep) > (1 if name.startswith(("ready", "claimed")) else 0):
                    found[name] = "directory"
            elif name != "taskdir.json":
                found[name] = path.read_bytes()
        return found

    def same(self, what: str, expected: dict[str, bytes | str], rule: str | None = None) -> None:
        """Compare the whole tree. Raises Broken."""
        found = self.tree()
        if found != expected:
            names = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
            shown = {name: expected.get(name, "not there") for name in names}
            raise Broken(what, repr(shown), repr({name: found.get(name, "not there") for name in names}), rule)

    def result(self, task: Path) -> Any:
        """Read the result beside a claimed file. Raises Broken when there is none, or no JSON."""
        path = task.with_name(f"{task.stem}.result.json")
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            raise Broken("the result is not there", path.name, sorted(os.listdir(task.parent)), "") from None
        except ValueError as error:
            raise Broken(
                "the result is no JSON", f"JSON in {path.name}", f"{error}: {path.read_bytes()!r}", ""
            ) from None

    def as_nobody(self) -> dict[str, Any]:
        """Return what starts the program as a user whom file modes bind. Raises NotTested where that cannot be."""
        if os.geteuid() != 0:
            return {}
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        options: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        try:
            if self.run("wait", "t1", "0", **options).code == 124:
                return options
        except OSError:
            pass
        raise NotTested("file modes do not bind root, and the program does not run as another user")


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE, by: Running | None = None) -> Any:
    """Wait until ``true`` returns something; returns that. Raises Broken, also when ``by``, who does it, has ended."""
    limit = time.monotonic() + seconds
    while not (found := true()):
        if by is not None and by.process.poll() is not None:
            if found := true():  # it did it last
                break
            done = by.end()
            raise Broken(f"{done} ended too early", what, done.fate, "")
        if time.monotonic() > limit:
            raise Broken(f"waited {seconds} s in vain", what, "nothing")
        time.sleep(0.004)
    return found
