"""task-master: .taskmaster/tasks/tasks.json, one list or one a tag, with subtasks (docs/interchange.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskdir import strictjson
from taskdir.errors import Invalid
from taskdir.interchange.items import HELD, OPEN, OVER, Item

_STATES = {"done": OVER, "completed": OVER, "deferred": HELD, "cancelled": HELD}
_PRIORITIES = {"critical": 1, "high": 3, "medium": 5, "low": 7}
_TAKEN = frozenset({"id", "title", "description", "status", "priority", "dependencies", "subtasks"})


def read(path: str, data: bytes) -> Iterator[Item | Invalid]:
    """Yield the tasks and subtasks of a file, and an Invalid for each that is none."""
    try:
        value = strictjson.loads(data)
    except Invalid as fault:
        fault.path = path
        yield fault
        return
    lists = {"": value} if isinstance(value, dict) and isinstance(value.get("tasks"), list) else value
    if not isinstance(lists, dict) or not all(isinstance(_tasks(each), list) for each in lists.values()):
        expected = '{"tasks": […]}, or such an object for each tag'
        yield Invalid("wrong-type", "this is no list of tasks", path=path, pointer="", expected=expected)
        return
    for tag, found in lists.items():
        label = "" if tag in ("", "master") else f"{tag}."
        for number, task in enumerate(_tasks(found)):
            pointer = (f"/{tag}" if tag else "") + f"/tasks/{number}"
            yield from _task(path, pointer, label, task)


def _tasks(value: Any) -> Any:
    return value.get("tasks") if isinstance(value, dict) else None


def _task(path: str, pointer: str, label: str, task: Any) -> Iterator[Item | Invalid]:
    """Yield a task and its subtasks: they wait for what it waits for, and it waits for them."""
    try:
        item = _item(path, pointer, label, task)
    except Invalid as fault:
        fault.path = path
        yield fault
        return
    subtasks = task.get("subtasks") or []
    made: list[str] = []
    for number, each in enumerate(subtasks if isinstance(subtasks, list) else []):
        try:
            sub = _item(path, f"{pointer}/subtasks/{number}", label, each, parent=str(task["id"]))
        except Invalid as fault:
            fault.path = path
            yield fault
            continue
        sub.after += item.after
        if item.state != OPEN:
            sub.state, sub.status = item.state, item.status
        sub.context["parent"] = item.source
        made.append(sub.source)
        yield sub
    item.after = item.after + made
    yield item


def _item(path: str, pointer: str, label: str, task: Any, parent: str = "") -> Item:
    if not isinstance(task, dict):
        raise Invalid("wrong-type", "a task is a JSON object", pointer=pointer)
    for name in ("id", "title"):
        if name not in task:
            raise Invalid("missing-field", f"a task has {name}", pointer=pointer)
    dependencies = task.get("dependencies") or []
    if not isinstance(dependencies, list):
        raise Invalid("wrong-type", "dependencies is a list", pointer=f"{pointer}/dependencies")
    status = str(task.get("status") or "pending")
    item = Item(_source(label, parent, task["id"]), path, str(task["title"]), pointer=pointer, status=status)
    item.state = _STATES.get(status, OPEN)
    item.description = str(task.get("description") or "")
    item.after = [_source(label, parent, each) for each in dependencies]
    item.context = {name: each for name, each in task.items() if name not in _TAKEN and each not in (None, "", [], {})}
    if item.state == OPEN and status != "pending":
        item.context["status"] = status
    priority = task.get("priority")
    item.priority = _PRIORITIES.get(str(priority))
    if priority is not None and item.priority is None:
        item.context["priority"] = priority
    return item


def _source(label: str, parent: str, id: Any) -> str:
    """Return the id that counts in the whole file: of a subtask, a bare number is one of its siblings."""
    text = str(id)
    return label + (f"{parent}.{text}" if parent and "." not in text else text)
