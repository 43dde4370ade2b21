"""Anyone's daemon as a child process that answers lines by lines (adapters/CONTRACT.md section 2)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from taskdir.conformance.cases import Broken
from taskdir.errors import Invalid

PATIENCE = 60.0
"""Seconds that an answer may take; only a defect takes that long."""

Json = dict[str, Any]


class Child:
    """One process, started when it is asked and started again when it is gone."""

    def __init__(self, command: Sequence[str], words: Path) -> None:
        """``words``: the file that takes its stderr."""
        self._command, self._words = list(command), words
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self.offers: frozenset[str] = frozenset()

    def hello(self) -> Json:
        """Return what it says about itself. Raises Invalid when that is nothing, or of another shape."""
        try:
            said = self.ask({"do": "hello"})
        except Broken as broken:
            raise Invalid("bad-value", f"{broken.what} to hello: {broken.found}", expected=broken.expected) from None
        offers = said.get("offers")
        if not isinstance(offers, list) or not all(isinstance(each, str) for each in offers):
            raise Invalid("bad-value", "hello was answered without a list of offers", expected='{"offers": ["check"]}')
        self.offers = frozenset(offers)
        return {"name": str(said.get("name", "")), "version": str(said.get("version", "")), "offers": offers}

    def ask(self, request: Json) -> Json:
        """Send a request and return the answer. Raises Broken when it is an error, or none."""
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said before it ended, or that it ended, the answer will tell
        line = self._line(process)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Broken("the answer", "one JSON object", repr(line))
        if "error" in answer:
            raise Broken("the answer", "no error", str(answer["error"]))
        return answer

    def kill(self) -> None:
        """End its daemon as kill -9 would: by asking for it, or else by kill -9."""
        if "abandon" in self.offers:
            self.ask({"do": "abandon"})
        else:
            self.end()

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with suppress(BrokenPipeError), self._process:
                pass  # what it did not read is lost
        self._process, self._rest = None, b""

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            pipe = subprocess.PIPE
            with self._words.open("wb") as words:
                self._process = subprocess.Popen(
                    self._command, stdin=pipe, stdout=pipe, stderr=words, start_new_session=True
                )
        return self._process

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        limit = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, limit - time.monotonic()))
            data = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                self.end()
                said = os.fsdecode(self._words.read_bytes()[-300:])
                raise Broken(
                    "no answer", "a line on stdout", f"its end; {said}" if ready else f"nothing in {PATIENCE} s"
                )
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line
