"""The desk: the task as files inside the workspace, as data and as a prompt that people and models can read.

What comes from others (input, context, errors) is shown as data, fenced; it gives no orders (SPEC section 13).
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from taskdir import gestures, names, roots
from taskdir.disk import Disk, NotRegular, TooLarge, read_regular
from taskdir.held import Claim
from taskdir.places import Places
from taskdir.runner.paths import Paths
from taskdir.runner.workspace import Workspace

SHOWN = 16384
"""Characters of one piece of data in TASK.md; all of it is in task.json."""
ARGUMENT = 100_000
"""Bytes that fit one argument of a command; Linux takes 131,072."""
_RULES = """\
Write your result to `{result}` when everything else is ready: one JSON object, one of

    {{"status": "ok", "output": OUTPUT}}
    {{"status": "error", "error": {{"message": "why it cannot be done"}}, "retry": false}}

- That file is what counts, not what you print, and not your exit code.
- Work in `{workspace}` only. Nobody can answer questions: decide, or write an error.
- A file to hand in beside the output (a build, a report) goes into `{offered}`.
"""
_SPEAKS = "- If you cannot write files, end your answer with a ```json block that holds OUTPUT alone.\n"
_TREE = (
    "- This is a git worktree on the branch `{branch}`. What you leave uncommitted is committed when you are done.\n"
)


def lay(space: Workspace, claim: Claim, disk: Disk) -> None:
    """Put the task on the desk, before the first try."""
    paths, places = space.paths, roots.of_claim(claim.path)
    for path in (paths.desk, paths.offered, paths.context):
        disk.mkdir(path)
    disk.create(paths.on_desk(".gitignore"), b"*\n")
    disk.create(paths.task, json.dumps(claim.task, indent=1, ensure_ascii=False).encode() + b"\n")
    disk.create(paths.schema, gestures.encode(claim.task.get("output_schema", True)))
    for id, told in claim.task.get("context_files", {}).items():
        record = _record(places, told)
        if record is not None and names.is_word(id):
            disk.create(os.path.join(paths.context, id + names.TASK), record)


def write(
    space: Workspace, claim: Claim, contract: dict[str, Any], trouble: str | None, disk: Disk, *, speaks: bool
) -> str:
    """Write TASK.md, with what was wrong with the last try; returns its text. ``speaks``: what is printed is read."""
    text = _text(space, claim.task, contract, trouble) + (_SPEAKS if speaks else "")
    disk.publish(space.paths.prompt, text.encode("utf-8", "replace"), aside=space.paths.prompt + ".new")
    return text


def argument(paths: Paths, text: str) -> str:
    """Return a prompt as one argument: itself, or where to read it if it is too long for that."""
    if len(text.encode("utf-8", "replace")) <= ARGUMENT and "\0" not in text:
        return text
    return f"Read {paths.prompt} and do what it says."


def _text(space: Workspace, task: dict[str, Any], contract: dict[str, Any], trouble: str | None) -> str:
    paths = space.paths
    parts = [f"# Task {task.get('id')}, attempt {task.get('attempt')} ({task.get('type')})\n"]
    if description := contract.get("description"):
        parts.append(f"{description}\n")
    if trouble is not None:
        parts.append(f"## Your last try was not accepted\n\nMend it, here, and hand in again:\n\n{_fenced(trouble)}")
    parts.append(_data("Input", task.get("input")))
    for id, output in task.get("context", {}).items():
        parts.append(_data(f"Output of {id}, which came before", output))
    for id in task.get("context_files", {}):
        path = os.path.join(paths.context, id + names.TASK)
        told = f"the record `{path}`" if os.path.exists(path) else "its record was pruned"
        parts.append(f"## Output of {id}, which came before\n\n{told}\n")
    if "output_schema" in task:
        parts.append(_data("OUTPUT must meet this JSON Schema", task["output_schema"]))
    if error := task.get("last_error"):
        parts.append(_data("The attempt before this one failed", error))
    rules = _RULES.format(result=paths.result, workspace=paths.workspace, offered=paths.offered)
    parts.append("## Result\n\n" + rules + (_TREE.format(branch=space.tree.branch) if space.tree else ""))
    return "\n".join(parts)


def _data(title: str, value: Any) -> str:
    return f"## {title}\n\n{_fenced(json.dumps(value, indent=1, ensure_ascii=False))}"


def _fenced(text: str) -> str:
    """Show text as data; the fence is longer than any inside."""
    text = text if len(text) <= SHOWN else text[:SHOWN] + f"\n… ({len(text) - SHOWN} characters more in task.json)"
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}\n"


def _record(places: Places, told: Any) -> bytes | None:
    """Read a record that an offer names by path and hash; None when it is not, or no longer, that."""
    try:
        data = read_regular(places.join(*str(told["path"]).split("/")), roots.LARGEST)
    except (OSError, NotRegular, TooLarge, KeyError, TypeError):
        return None
    return data if hashlib.sha256(data).hexdigest() == told.get("sha256") else None
