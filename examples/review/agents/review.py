"""The agent that reviews Python files: lines, left notes, docstrings, syntax. It keeps nothing between two tasks.

    python review.py ROOT AGENT REPO [--die]

With --die it leaves a note in its first task and kills itself with -9: the test of what happens then.
"""

from __future__ import annotations

import ast
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from common import git, serve

from taskdir.client import Claim

WIDEST = 120
MOST = 100
NOTE = re.compile(rb"(?:^|[^A-Za-z0-9_])(FIX[M]E|TO[D]O|XX[X]|HACK)(?:[^A-Za-z0-9_]|$)")
MARKER = re.compile(rb"(?:<{7}|>{7})(?: |$)")

Finding = dict[str, Any]


def finding(line: int, rule: str, message: str) -> Finding:
    """Make a finding as the contract wants it."""
    return {"line": max(line, 1), "rule": rule, "message": message[:200]}


def text(data: bytes) -> Iterator[Finding]:
    """Check the lines; review.sh does the same for what is not Python."""
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if len(line) > WIDEST:
            yield finding(number, "long-line", f"{len(line)} bytes, {WIDEST} are allowed")
        if found := NOTE.search(line):
            yield finding(number, "note-left", f"{found[1].decode()} is left")
        if MARKER.match(line):
            yield finding(number, "conflict-marker", "a merge was not finished")
    if lines[-1]:
        yield finding(len(lines), "no-final-newline", "the last line has no end")


def code(data: bytes) -> Iterator[Finding]:
    """Check that it parses, and that what is public says what it is for."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError) as error:
        yield finding(getattr(error, "lineno", None) or 1, "syntax", "does not parse (ast)")
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield finding(node.lineno, "no-docstring", f"{node.name} does not say what it is for")


def review(repo: str, claim: Claim) -> dict[str, Any]:
    """Review the blob that the task names."""
    data = git(repo, "cat-file", "blob", claim.input["blob"])
    if b"\0" in data:
        return {"findings": [], "skipped": "binary"}
    found = sorted([*text(data), *code(data)], key=lambda each: (each["line"], each["rule"]))
    return {"findings": found[:MOST]}


def die(repo: str, claim: Claim) -> None:
    """Be killed in the middle of the work, a moment after the daemon has seen the lock on the claim."""
    claim.note(f"half way through {claim.input['path']}")
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    root, agent, repo, *options = sys.argv[1:]
    work = die if options == ["--die"] else review
    serve(root, agent, "python", lambda claim: work(repo, claim))
