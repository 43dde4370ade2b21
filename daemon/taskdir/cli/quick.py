"""Plain command lines of the agents' verbs, read without argparse, which takes as long to load as a claim takes.

A verb's ``configure`` fills a Reader as it fills argparse's parser, so there is one table of arguments. Plain is: whole
options, each value behind its own, nothing missing. All else is left to argparse, which alone helps and complains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

from taskdir.cli import parsers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

VERBS = frozenset({"submit", "claim", "finish", "note", "hook"})


class NotPlain(ValueError):
    """Only argparse can read this, or say what is wrong with it."""


class Reader:
    """The part of argparse.ArgumentParser that VERBS use."""

    def __init__(self) -> None:
        self._options: dict[str, tuple[str, str, Callable[[str], Any]]] = {}
        self._one_of: list[set[str]] = []
        self._texts: tuple[str, str | None] | None = None
        self._found: dict[str, Any] = {}

    def add_argument(
        self,
        name: str,
        *,
        dest: str | None = None,
        action: str = "store",
        nargs: str | None = None,
        type: Callable[[str], Any] = str,
        default: Any = None,
        required: bool = False,
        **told: str,
    ) -> None:
        """Add an argument; what else is ``told`` of it is for the help."""
        dest = dest or name.removeprefix("--").replace("-", "_")
        if not name.startswith("-"):
            self._texts = dest, nargs
            return
        self._options[name] = dest, action, type
        self._found[dest] = False if action == "store_true" else default
        if required:
            self._one_of.append({name})

    def add_argument_group(self, title: str) -> Reader:
        """Return where its arguments go: here, since a group is for the help alone."""
        return self

    def add_mutually_exclusive_group(self, *, required: bool) -> Either:
        """Return where its arguments go; ``required`` holds for all of VERBS."""
        self._one_of.append(set())
        return Either(self, self._one_of[-1])

    def read(self, words: Sequence[str]) -> SimpleNamespace:
        """Return the arguments. Raises NotPlain, or the ValueError of an argument's type."""
        given, texts, closed = set[str](), list[str](), False
        rest = iter(words)
        for word in rest:
            if word in self._options:
                given.add(word)
                closed = bool(texts)
                self._take(word, rest)
            elif closed:
                raise NotPlain
            else:
                texts.append(_plain(word))
        if any(len(given & names) != 1 for names in self._one_of):
            raise NotPlain
        return SimpleNamespace(**self._found, **self._take_texts(texts))

    def _take(self, name: str, rest: Any) -> None:
        dest, action, make = self._options[name]
        if action == "store_true":
            self._found[dest] = True
            return
        value = make(_plain(next(rest, "--")))
        self._found[dest] = [*(self._found[dest] or []), value] if action == "append" else value

    def _take_texts(self, texts: list[str]) -> dict[str, Any]:
        dest, many = self._texts or ("", "none")
        if many != "*" and (bool(texts) != (self._texts is not None) or (many is None and len(texts) > 1)):
            raise NotPlain
        return {dest: texts if many else texts[0]} if self._texts else {}


class Either:
    """A group of options of which exactly one is given."""

    def __init__(self, reader: Reader, names: set[str]) -> None:
        self._reader, self._names = reader, names

    def add_argument(self, name: str, **told: Any) -> None:
        """Add one of them."""
        self._names.add(name)
        self._reader.add_argument(name, **told)


def read(found: parsers.Verb, words: Sequence[str]) -> argparse.Namespace | None:
    """Read what stands around a verb of VERBS; None when it takes argparse."""
    reader: Any = Reader()
    parsers.configure(found, reader)
    try:
        return reader.read(words)  # type: ignore[no-any-return]
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Return a text that nobody takes for an option. Raises NotPlain."""
    if text.startswith("-") and text != "-":
        raise NotPlain
    return text
