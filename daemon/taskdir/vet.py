"""Checking documents that are not handed in yet: for editors, commit hooks and CI (SPEC section 6).

Says only what any reader could say: whether a type exists or an id is free is the daemon's to know.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from taskdir import contracts, names, recognise, settings, strictjson, validate
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.errors import ConfigError, Invalid
from taskdir.intake import form_fault
from taskdir.locate import Spot, locate
from taskdir.validate import Checker

LARGEST = 1 << 30
LIVE = "live-state"
"""The word for a file of a live root in a repository: no rule of the protocol, so not in rules.json."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with one file, and where in it; ``document`` is the kind it was taken for."""

    file: str
    document: str | None
    fault: Invalid
    spot: Spot | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a JSON object; absent parts are left out."""
        found: dict[str, Any] = {"file": self.file, "document": self.document}
        found |= self.spot._asdict() if self.spot else {}
        found |= {name: value for name, value in self.fault.as_dict().items() if name != "file"}
        return {name: value for name, value in found.items() if value is not None}

    def __str__(self) -> str:
        file = self.file if self.file.isprintable() else names.printable(self.file)
        self.fault.path = file + (f":{self.spot.line}:{self.spot.column}" if self.spot else "")
        return str(self.fault)


def vet(path: str, kind: str | None = None, *, skip_unknown: bool = False) -> Iterator[Verdict]:
    """Yield what is wrong with a file. ``kind`` names the document, else ``recognise`` does.

    ``skip_unknown``: a file is passed over if neither place nor $schema tells that it is one of our documents.
    """
    placed = kind or recognise.kind_by_place(path)
    try:
        data = read_regular(path, LARGEST)
    except (NotRegular, TooLarge, OSError) as error:
        if placed or not skip_unknown or isinstance(error, OSError):
            yield Verdict(path, kind, _no_document(error))
        return
    if skip_unknown and placed is None and not recognise.may_name_schema(data):
        return
    if (placed or recognise.kind_by_suffix(path)) == "event":
        yield from _vet_lines(path, data)
        return
    try:
        value = strictjson.loads(data)
        kind = kind or recognise.kind(path, value, guess=not skip_unknown)
        if kind is None and skip_unknown:
            return
        if kind is None:
            hint = "say --as KIND"
            raise Invalid("unknown-kind", "neither place, $schema nor name tells what this is", hint=hint)
        fault = _CHECKS[kind](value, path) if kind in _CHECKS else _own(kind).check(value)
    except Invalid as error:
        if placed is None and kind is None and skip_unknown:
            return
        fault = error
    if fault is not None:
        yield Verdict(path, kind or placed, fault, locate(data, fault))


def vet_live(path: str) -> Iterator[Verdict]:
    """Yield a verdict if a file is part of a live root, and so has no place in a repository."""
    root = recognise.live_root(path)
    if root is not None:
        said = f"this is the live state of the taskdir {os.path.relpath(root)}, which only the root itself may hold"
        hint = f"git rm --cached {path}; `taskdir init` writes the .gitignore that keeps all but contracts/ out"
        yield Verdict(path, None, Invalid(LIVE, said, hint=hint))


def _no_document(error: NotRegular | TooLarge | OSError) -> Invalid:
    if isinstance(error, NotRegular):
        return Invalid("not-regular", f"this is a {error.kind}, not a regular file")
    if isinstance(error, TooLarge):
        return Invalid("too-large", f"{error.size} bytes are too many")
    return Invalid("unreadable", f"the file cannot be read: {error.strerror}")


@cache
def _own(kind: str) -> Checker:
    return validate.document(kind)


def _message(value: Any, path: str) -> Invalid | None:
    fault = form_fault(value)
    if fault is not None or os.path.basename(os.path.dirname(os.path.abspath(path))) != "inbox":
        return fault
    id = os.path.basename(path).removeprefix(".").removesuffix(names.TASK)  # dot-names: as it will be called
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
    for number, line in enumerate(io.BytesIO(data), 1):
        try:
            if not line.endswith(b"\n") or not line.isascii():
                raise Invalid("log-line", "the line is not ASCII, or is cut short")
            value = strictjson.loads(line)
            fault = _own("event").check(value)
        except Invalid as error:
            fault = error
        if fault is not None:
            yield Verdict(path, "event", fault, Spot(number, locate(line, fault).column))
