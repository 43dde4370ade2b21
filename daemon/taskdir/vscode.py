"""Visual Studio Code in a root: schemas for the documents that people write, and a task that checks them all.

Adds what is missing to .vscode/settings.json and .vscode/tasks.json and leaves all else as it is, comments included.
The schemas stand in the settings themselves, under the names that a document's $schema may have (SPEC section 14), so
nothing is loaded from anywhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from taskdir import jsonc, rules
from taskdir.disk import Disk
from taskdir.errors import CannotCreate

MATCHES = {
    "message": ["/inbox/*.json", "/rejected/*.json", "!/rejected/*.reason.json", "!/rejected/*.result.json"],
    "contract": ["/contracts/*.json", "/contracts/state/*.json"],
    "settings": ["/taskdir.json"],
    "result": ["/claimed/*/*.result.json"],
}
"""The documents that people and agents write, and where they lie; the editor finds these folders at any depth."""

LABEL = "taskdir: validate"
TASK: dict[str, Any] = {
    "label": LABEL,
    "type": "process",
    "command": "taskdir",
    "args": ["validate", "."],
    "options": {"cwd": "${workspaceFolder}"},
    "presentation": {"reveal": "silent"},
    "problemMatcher": {
        "owner": "taskdir",
        "source": "taskdir",
        "severity": "error",
        "fileLocation": ["autoDetect", "${workspaceFolder}"],
        "pattern": {
            "regexp": "^(.+?):(\\d+):(\\d+): (.*) \\[([a-z0-9-]+)\\]$",
            "file": 1,
            "line": 2,
            "column": 3,
            "message": 4,
            "code": 5,
        },
    },
}


def set_up(root: str, disk: Disk) -> list[str]:
    """Write what is missing; returns the files that were changed. Raises CannotCreate if one cannot be added to."""
    directory = os.path.join(root, ".vscode")
    try:
        disk.mkdir(directory)
        return [
            path
            for path, merge in (
                (os.path.join(directory, "settings.json"), _settings),
                (os.path.join(directory, "tasks.json"), _tasks),
            )
            if _change(disk, path, merge)
        ]
    except OSError as error:
        raise CannotCreate("cannot-write", os.strerror(error.errno or 0), path=error.filename or directory) from None


def _change(disk: Disk, path: str, merge: Callable[[str], str]) -> bool:
    """Put the merged text in a file's place, whole; a link stays one, and so does the file's mode."""
    target = os.path.realpath(path)
    try:
        with open(target, encoding="utf-8", newline="") as file:
            old = file.read()
    except FileNotFoundError:
        old = ""
    except UnicodeDecodeError:
        raise _refused(path, "this is no UTF-8") from None
    mark = "\ufeff" if old.startswith("\ufeff") else ""
    text = old.removeprefix(mark)
    try:
        new = mark + merge(text if text.strip() else "{\n}\n")
    except jsonc.Malformed as error:
        line = old.count("\n", 0, error.offset) + 1
        raise _refused(path, f"line {line} is no JSON with comments, or not what the editor wants there") from None
    if new == old:
        return False
    mode = stat.S_IMODE(os.stat(target).st_mode) if old else 0o644
    aside = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.{os.urandom(6).hex()}")
    disk.publish(target, new.encode(), aside=aside, mode=mode)
    return True


def _refused(path: str, why: str) -> CannotCreate:
    return CannotCreate("in-the-way", why, path=path, hint="mend or move it, then `taskdir init --editor vscode` again")


def _settings(text: str) -> str:
    text = _with_array(text, "json.schemas")
    for name, places in MATCHES.items():
        entries = jsonc.parse(text).members["json.schemas"]
        url, schema = f"urn:taskdir:v1:{name}", rules.schema(name)
        entry = next((each for each in entries.items if _member(each, "url") == url), None)
        if entry is None:
            text = jsonc.add(text, entries, {"fileMatch": places, "url": url, "schema": None})
            entry = jsonc.parse(text).members["json.schemas"].items[-1]
        kept = entry.members.get("schema")
        if kept is None:
            text = jsonc.add(text, entry, schema, "schema")
        else:
            text = jsonc.put(text, kept, schema)
    return text


def _tasks(text: str) -> str:
    if "version" not in _object(text).members:
        text = jsonc.add(text, _object(text), "2.0.0", "version")
    text = _with_array(text, "tasks")
    tasks = _object(text).members["tasks"]
    if any(_member(each, "label") == LABEL for each in tasks.items):
        return text
    return jsonc.add(text, tasks, TASK)


def _member(node: jsonc.Node, name: str) -> Any:
    found = node.members.get(name)
    return found.scalar if found else None


def _object(text: str) -> jsonc.Node:
    node = jsonc.parse(text)
    if text[node.start] != "{":
        raise jsonc.Malformed(node.start)
    return node


def _with_array(text: str, key: str) -> str:
    """Return the text with an array under ``key``: the one that is there, or a new one."""
    node = _object(text)
    if key not in node.members:
        return jsonc.add(text, node, [], key)
    if text[node.members[key].start] != "[":
        raise jsonc.Malformed(node.members[key].start)
    return text
