"""The kit for agents: all its cases, each in a directory of its own, at a program given as a command."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from taskdir.conformance import agent_claim, agent_live, agent_result, agent_submit, agent_work
from taskdir.conformance.agent_live import Live
from taskdir.conformance.cases import Case
from taskdir.conformance.stand import Program, Stand

JOBS = 4
"""Cases at once: most of their time is the start of processes."""


@contextmanager
def cases(command: Sequence[str]) -> Iterator[tuple[list[Case], dict[str, Any]]]:
    """Yield the cases for a program, and nothing about it; what they stand on is gone afterwards."""
    base = Path(tempfile.mkdtemp(prefix="taskdir-agent-"))
    base.chmod(0o755)  # a case runs the program as another user
    program, numbers = Program(command), itertools.count(1)
    live = Live(program, base / "live")

    def on_live(play: Callable[[Live], None]) -> None:
        live.ready()
        play(live)

    def on_stand(play: Callable[[Stand], None]) -> None:
        at = base / str(next(numbers))
        at.mkdir()
        stand = Stand(program, at)
        try:
            play(stand)
        finally:
            stand.clear()

    try:
        every = [
            *(Case(name, play.__doc__ or "", rule, partial(on_live, play)) for name, rule, play in agent_live.CASES),
            *(
                Case(name, play.__doc__ or "", rule, partial(on_stand, play))
                for module in (agent_submit, agent_claim, agent_result, agent_work)
                for name, rule, play in module.CASES
            ),
        ]
        yield every, {}
    finally:
        live.close()
        shutil.rmtree(base, ignore_errors=True)
