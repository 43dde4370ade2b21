"""Checking documents that are not handed in yet: for editors, commit hooks and CI (SPEC section 6).

Says only what any reader could say: whether a type exists or an id is free is the daemon's to know.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from taskdir import contracts, names, rules, settings, strictjson, validate
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.errors import ConfigError, Invalid
from taskdir.intake import form_fault
from taskdir.validate import Checker

LARGEST = 1 << 30
_URN = "urn:taskdir:v1:"
_PLACES = {
    "inbox": "message",
    "contracts": "contract",
    "done": "record",
    "failed": "record",
    "state": "state",
    "rejected": "message",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with one file, or with one ``line`` of it; ``document`` is the kind it was taken for."""

    file: str
    document: str | None
    fault: Invalid
    line: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a JSON object; absent parts are left out."""
        found: dict[str, Any] = {"file": self.file, "document": self.document, "line": self.line}
        found |= {name: value for name, value in self.fault.as_dict().items() if name != "file"}
        return {name: value for name, value in found.items() if value is not None}

    def __str__(self) -> str:
        self.fault.path = self.file + (f":{self.line}" if self.line else "")
        return str(self.fault)


def vet(path: str, kind: str | None = None) -> Iterator[Verdict]:
    """Yield what is wrong with a file. ``kind`` names the document; else its $schema, its place or its name tells."""
    try:
        data = read_regular(path, LARGEST)
    except NotRegular as error:
        yield Verdict(path, kind, Invalid("not-regular", f"this is a {error.kind}, not a regular file"))
        return
    except TooLarge as error:
        yield Verdict(path, kind, Invalid("too-large", f"{error.size} bytes are too many"))
        return
    except OSError as error:
        yield Verdict(path, kind, Invalid("unreadable", f"the file cannot be read: {error.strerror}"))
        return
    if (kind or kind_by_path(path)) == "event":
        yield from _vet_lines(path, data)
        return
    try:
        value = strictjson.loads(data)
        kind = kind or _kind_by_schema(value) or kind_by_path(path)
        if kind is None:
            raise Invalid("unknown-kind", "neither $schema, place nor name tells what this is", hint="say --as KIND")
        fault = _CHECKS[kind](value, path) if kind in _CHECKS else _own(kind).check(value)
    except Invalid as error:
        fault = error
    if fault is not None:
        yield Verdict(path, kind, fault)


def kind_by_path(path: str) -> str | None:
    """Return which document a file is by its place and name, None when they do not tell."""
    name, place = os.path.basename(path), os.path.basename(os.path.dirname(os.path.abspath(path)))
    above = os.path.basename(os.path.dirname(os.path.dirname(os.path.abspath(path))))
    if name == "taskdir.json":
        return "settings"
    for suffix, kind in ((names.REASON, "reason"), (names.REFUSED, "reason"), (names.RESULT, "result")):
        if name.endswith(suffix):
            return kind
    if name.endswith((names.NOTES, ".jsonl.gz")):
        return None
    if name.endswith(".jsonl"):
        return "event"
    if (above, place) == ("contracts", "state"):
        return "contract"
    if above in ("ready", "claimed") or names.parse_stem(name.removesuffix(names.TASK)):
        return "offer"
    return _PLACES.get(place)


def _kind_by_schema(value: Any) -> str | None:
    said = value.get("$schema") if isinstance(value, dict) else None
    if not isinstance(said, str):
        return None
    kind = said.removeprefix(_URN) if said.startswith(_URN) else os.path.basename(said).removesuffix(".schema.json")
    return kind if kind in rules.DOCUMENTS else None


@cache
def _own(kind: str) -> Checker:
    return validate.document(kind)


def _message(value: Any, path: str) -> Invalid | None:
    fault = form_fault(value)
    if fault is not None or os.path.basename(os.path.dirname(os.path.abspath(path))) != "inbox":
        return fault
    id = os.path.basename(path).removesuffix(names.TASK)
    if not names.is_word(id):
        return Invalid("name-grammar", "the file name is no id", expected="[a-z0-9][a-z0-9_-]{0,63}.json")
    if value.get("id", id) != id:
        return Invalid("id-mismatch", "the id is not the file's name", pointer="/id", expected=f"{id!a}, or no id")
    return None


def _contract(value: Any, path: str) -> Invalid | None:
    fault = contracts.check_document(value)
    if fault is None:
        contracts.compile_contract("any", "", value)
    return fault


def _settings(value: Any, path: str) -> Invalid | None:
    try:
        settings.parse(strictjson.dumps(value).encode(), path)
    except ConfigError as error:
        said = {"pointer": error.pointer, "expected": error.expected, "hint": error.hint}
        return Invalid(error.code, error.message, **said)
    return None


_CHECKS: dict[str, Callable[[Any, str], Invalid | None]] = {
    "message": _message,
    "contract": _contract,
    "settings": _settings,
}


def _vet_lines(path: str, data: bytes) -> Iterator[Verdict]:
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        try:
            if not line.endswith(b"\n") or not line.isascii():
                raise Invalid("log-line", "the line is not ASCII, or is cut short")
            value = strictjson.loads(line)
            fault = _own("event").check(value)
        except Invalid as error:
            fault = error
        if fault is not None:
            yield Verdict(path, "event", fault, number)
