"""Visual Studio Code in a root: schemas for the documents that people write, and a task that checks them all.

Adds what is missing to .vscode/settings.json and .vscode/tasks.json and leaves all else as it is, comments included.
The schemas stand in the settings themselves, under the names that a document's $schema may have (SPEC section 14), so
nothing is loaded from anywhere.
"""

from __future__ import annotations

import os
from typing import Any

from taskdir import jsonc, merging, rules
from taskdir.disk import Disk
from taskdir.merging import array_of, blank, object_of, scalar

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


AGAIN = "taskdir init --editor vscode"


def set_up(root: str, disk: Disk) -> list[str]:
    """Write what is missing; returns the files that were changed. Raises CannotCreate if one cannot be added to."""
    files = {"settings.json": _settings, "tasks.json": _tasks}
    changes = [merging.plan(os.path.join(root, ".vscode", name), merge, AGAIN) for name, merge in files.items()]
    return merging.carry_out(disk, changes)


def _settings(text: str) -> str:
    text, _ = array_of(blank(text), "json.schemas")
    for name, places in MATCHES.items():
        entries = jsonc.parse(text).members["json.schemas"]
        url, schema = f"urn:taskdir:v1:{name}", rules.schema(name)
        entry = next((each for each in entries.items if scalar(each, "url") == url), None)
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
    text, whole = object_of(blank(text))
    if "version" not in whole.members:
        text = jsonc.add(text, whole, "2.0.0", "version")
    text, tasks = array_of(text, "tasks")
    if any(scalar(each, "label") == LABEL for each in tasks.items):
        return text
    return jsonc.add(text, tasks, TASK)
