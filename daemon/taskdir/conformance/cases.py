"""What a kit is made of: cases, their verdicts, and the strict list of those that are expected to fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from taskdir.errors import Invalid, Missing, TaskdirError, Usage
from taskdir.nearby import nearby

_SURPRISES = (TaskdirError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError)

SHOWN = 600
"""Characters of a value that a report repeats."""


class Broken(Exception):
    """The program under test did something else than it should.

    ``rule``: the code of SPEC that it broke, "" if CONTRACT alone asks for it, None if it is the one of the case.
    """

    def __init__(self, what: str, expected: object, found: object, rule: str | None = None) -> None:
        super().__init__(what)
        self.what, self.expected, self.found, self.rule = what, _shown(expected), _shown(found), rule


class NotTested(Exception):
    """A case does not apply: the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a program is held to. ``rule``: the code of SPEC that it would break, "" if CONTRACT alone asks.

    ``play`` raises Broken, or NotTested.
    """

    name: str
    about: str
    rule: str
    play: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case. ``listed``: it was expected to fail."""

    case: Case
    verdict: str
    listed: bool
    broken: Broken | None = None
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether it came out as expected: a listed case that passes did not."""
        return self.verdict == "skipped" or (self.verdict == "failed") is self.listed

    def as_dict(self) -> dict[str, Any]:
        """Return it as the report has it; absent parts are left out."""
        told: dict[str, Any] = {"name": self.case.name, "about": self.case.about, "verdict": self.verdict}
        if self.listed:
            told["listed"] = True
        if self.why:
            told["why"] = self.why
        if self.broken is not None:
            told |= {"what": self.broken.what, "expected": self.broken.expected, "found": self.broken.found}
            rule = self.case.rule if self.broken.rule is None else self.broken.rule
            if rule:
                told["rule"] = rule
        return told


def program(command: Sequence[str]) -> list[str]:
    """Return a command as it is run from anywhere: words that name a file from here become absolute. Raises Missing."""
    words = [os.path.abspath(word) if os.path.isfile(word) else word for word in command]
    if words and shutil.which(words[0]) is None:
        raise Missing("no-program", "there is no such program", path=words[0])
    return words


def want(what: str, expected: object, found: object, rule: str | None = None) -> None:
    """Compare what was found with what was expected. Raises Broken."""
    if expected != found:
        raise Broken(what, expected, found, rule)


def chosen(cases: Iterable[Case], only: Sequence[str]) -> list[Case]:
    """Return the cases that one of the globs names; all if there are none. Raises Usage for a glob that names none."""
    found = list(cases)
    for glob in only:
        if not any(fnmatchcase(case.name, glob) for case in found):
            names = [case.name for case in found]
            raise Usage("usage", f"no case is called {glob!a}", hint=nearby(glob, names) or "--list names all")
    return [case for case in found if not only or any(fnmatchcase(case.name, glob) for glob in only)]


def expected_failures(text: str, path: str, cases: Sequence[Case]) -> frozenset[str]:
    """Read a list of expected failures: the name of a case a line; empty lines and lines that start with # are none.

    Raises Invalid for a name that is no case, or stands there twice.
    """
    names, found = [case.name for case in cases], list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        if name not in names or name in found:
            said = "stands here twice" if name in found else "is no case"
            raise Invalid("bad-value", f"{name!a} {said}", path=f"{path}:{number}", hint=nearby(name, names))
        found.append(name)
    return frozenset(found)


def play(cases: Sequence[Case], expected: frozenset[str], jobs: int) -> Iterator[Outcome]:
    """Play cases, ``jobs`` at once; yields what became of them, in their order."""
    if jobs == 1:
        yield from (_outcome(case, case.name in expected) for case in cases)
        return
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda case: _outcome(case, case.name in expected), cases)


def _outcome(case: Case, listed: bool) -> Outcome:
    try:
        case.play()
    except Broken as broken:
        return Outcome(case, "failed", listed, broken)
    except NotTested as why:
        return Outcome(case, "skipped", listed, why=str(why))
    except _SURPRISES as surprise:  # a file that is not there, an answer of another shape
        what = "the case could not be played to its end"
        return Outcome(case, "failed", listed, Broken(what, case.about, repr(surprise)))
    return Outcome(case, "passed", listed)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
