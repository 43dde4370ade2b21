"""What verbs share: the root that was asked for, stdout for data and stderr for people, JSON arguments, verdicts."""

from __future__ import annotations

import os
import re
import sys
import time
from functools import partial

from taskdir import gestures, roots, strictjson
from taskdir.errors import Invalid, Missing
from taskdir.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Any

VERDICT_SECONDS = 5.0
"""How long a verb waits for a running daemon's verdict."""

_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"


class Env:
    """The surroundings of one command."""

    def __init__(self, root: str | None, *, as_json: bool) -> None:
        """``root``: what --root says; ``as_json``: data and errors are for programs."""
        self.named_root = root
        self.json = as_json
        self._places: Places | None = None

    def places(self) -> Places:
        """Return the root's paths. Raises Missing when there is none for us, ConfigError for another protocol."""
        if self._places is None:
            root = roots.find(self.named_root)
            self._places = roots.place(root)
        return self._places

    def root(self) -> Path:
        """Return the root. Raises as ``places``."""
        from pathlib import Path

        return Path(self.places().root)

    def out(self, value: object) -> None:
        """Print data: a string as it is, on a line of its own; anything else as one line of JSON."""
        print(value if isinstance(value, str) else strictjson.dumps(value))

    def say(self, text: str) -> None:
        """Tell people something, on stderr; with --json nothing, since there only an error may stand, as JSON."""
        if not self.json:
            print(plain(text), file=sys.stderr)

    def progress(self, total: int, label: str) -> Progress:
        """Return a counter that shows on a terminal how far a long command is."""
        return Progress(total, label, shown=not self.json and sys.stderr.isatty())


class Progress:
    """``with env.progress(n, "waiting") as progress: … progress.step()``; one line on stderr, gone at the end."""

    def __init__(self, total: int, label: str, *, shown: bool) -> None:
        self._total, self._label, self._shown = total, label, shown
        self._done, self._next = 0, 0.0

    def __enter__(self) -> Progress:
        self._draw()
        return self

    def step(self, count: int = 1) -> None:
        """Count up."""
        self._done += count
        if time.monotonic() >= self._next:
            self._draw()

    def _draw(self) -> None:
        if self._shown:
            self._next = time.monotonic() + 0.1
            print(f"\r{self._label}: {self._done}/{self._total} ", end="", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Return text without control characters, newline and tab aside: what agents wrote may hold any."""
    return re.sub(_CONTROL, "\N{REPLACEMENT CHARACTER}", text)


def read_input(argument: str) -> bytes:
    """Return the bytes that an argument stands for: ``-`` is stdin, ``@file`` a file, all else itself."""
    if argument == "-":
        return sys.stdin.buffer.read()
    if argument.startswith("@"):
        return read_file(argument[1:])
    return os.fsencode(argument)


def read_file(path: str) -> bytes:
    """Read a file that the caller named. Raises Missing."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise Missing("no-file", "there is no such file", path=path) from None


def json_argument(argument: str, option: str) -> Any:
    """Read an argument that is JSON, itself or by ``-`` or ``@file``. Raises Invalid, Missing."""
    try:
        return strictjson.loads(read_input(argument))
    except Invalid as error:
        where = option if argument == "-" or not argument.startswith("@") else argument[1:]
        hint = """JSON in shell quotes: '{"a": 1}', '"text"', 5; - for stdin, @FILE for a file"""
        raise Invalid(error.code, error.message, path=where, hint=error.hint or hint) from None


def report_submitted(env: Env, sent: list[tuple[str, bytes]], *, shown: bool = True) -> None:
    """Wait for the verdicts on submitted messages, (id, bytes) each, and print them; raises the first refusal.

    Without a daemon nothing is waited for. ``shown``: the ids go to stdout, as data.
    """
    places = env.places()
    runs = roots.daemon_runs(places.root)
    until = time.monotonic() + (VERDICT_SECONDS if runs else 0)
    waiting, refused = [], []
    for id, data in sent:
        look = partial(gestures.submit_verdict, places, id, data)
        verdict = gestures.verdict(look, until - time.monotonic()) if runs else gestures.Verdict("waiting")
        if verdict.word == "waiting":
            waiting.append(id)
        elif verdict.word == "refused":
            refused.append(verdict.error())
        if env.json:
            env.out({"id": id, "verdict": verdict.word} | ({"reason": verdict.reason} if verdict.reason else {}))
        elif shown and verdict.word != "refused":
            env.out(id)
    if waiting:
        env.say(f"{count(waiting)} in inbox/, not judged yet: " + why_waiting(runs))
    for error in refused[1:]:
        env.say(f"also refused: {error}")
    if refused:
        raise refused[0]


def why_waiting(runs: bool) -> str:
    """Say why there is no verdict yet."""
    return "the daemon is busy" if runs else "no daemon is running here; start `taskdir run`"


def count(ids: list[str]) -> str:
    """Name a few ids, or how many there are."""
    return ", ".join(ids) if len(ids) <= 3 else f"{len(ids)} messages"
