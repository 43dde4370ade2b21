"""Words for people that several verbs share: ages, sizes, names, and why a task waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def age(seconds: float) -> str:
    """Return a length of time, roughly."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(number: int) -> str:
    """Return a number of bytes, roughly."""
    for unit, step in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= step:
            return f"{number / step:.1f} {unit}"
    return f"{number} bytes"


def count(number: int, what: str) -> str:
    """Return a number of things: ``1 task``, ``2 tasks``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(words: Sequence[str], total: int | None = None) -> str:
    """Name a few things, and how many more there are; ``total``: of how many in all."""
    more = (total or len(words)) - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def causes(by: Sequence[dict[str, Any]]) -> str:
    """Name the failed and canceled tasks that block another: ``a (failed), b (canceled)``."""
    return ", ".join(f"{each['id']} ({each['state']})" for each in by)


def waits(told: dict[str, Any]) -> str:
    """Say why a task waits, from what ``waiting.waiting`` found."""
    said = _WORDS[told["why"]](told)
    return said + (f"; {_until(told)}" if told["why"] in ("blocked", "after") and "until" in told else "")


def _until(told: dict[str, Any]) -> str:
    word = "backoff until" if told["why"] == "backoff" else "not before"
    return f"{word} {told['until']}, {age(told['seconds'])} from now"


def _resources(told: dict[str, Any]) -> str:
    return "; ".join(map(_resource, told["resources"]))


def _resource(told: dict[str, Any]) -> str:
    said = f"waits for the resource {told['resource']}"
    if told["held_by"]:
        said += f", held by {some(told['held_by'])}"
    elif told["next"]:
        said += f", next is {some(told['next'])}"
    return said + f"; position {told['ahead'] + 1} in its line"


def _line(told: dict[str, Any]) -> str:
    place = f"position {told['position']} of {told['of']} in the line of {told['queue']}"
    return place + (f", offered as {told['offer']}" if "offer" in told else ", not offered yet")


_WORDS = {
    "backoff": _until,
    "not_before": _until,
    "blocked": lambda told: f"blocked by {causes(told['by'])}",
    "after": lambda told: f"waits for {some(told['for'], told['unmet'])}",
    "resource": _resources,
    "line": _line,
}
