"""What the Python agents of the review share: the loop of an agent, git, and sending a message under a fixed id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from taskdir import gestures
from taskdir.client import Claim, Taskdir
from taskdir.disk import Disk
from taskdir.errors import CannotCreate, TaskdirError, TimedOut
from taskdir.places import Places

PATIENCE = 30.0
"""Seconds to wait for the daemon's verdict on a message; the claim is kept meanwhile."""


def serve(root: str, agent: str, queue: str, work: Callable[[Claim], Any]) -> None:
    """Do tasks until the process that started us is gone. What ``work`` returns is the output."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an open claim is given back on the way out
    parent = os.getppid()
    Taskdir(root).work(agent, work, queue, stop=lambda: os.getppid() != parent)


def git(repo: str, *words: str) -> bytes:
    """Return what a git command prints. Raises TaskdirError."""
    done = subprocess.run(["git", "-C", repo, *words], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise TaskdirError("git-failed", f"git {words[0]}: {done.stderr.decode(errors='replace').strip()[:1000]}")
    return done.stdout


def send(root: str, id: str, message: dict[str, Any]) -> gestures.Verdict:
    """Submit a message and return the verdict: accepted or refused. Raises TimedOut.

    The id and the bytes follow from the work alone, so a second attempt sends the same again: a harmless duplicate.
    """
    places, data = Places(root), gestures.encode(message)
    try:
        gestures.submit_bytes(places, Disk(), data, id)
    except CannotCreate as error:
        if error.code != "name-taken":
            raise  # taken: an earlier attempt sent it, and it is not judged yet
    verdict = gestures.verdict(partial(gestures.submit_verdict, places, id, data), PATIENCE)
    if verdict.word == "waiting":
        raise TimedOut("timed-out", f"no verdict on {id} for {PATIENCE:g} s")
    return verdict
