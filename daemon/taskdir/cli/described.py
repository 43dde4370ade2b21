"""The verbs as text: what shell completion and the manual page are made of."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from taskdir.cli import parsers


class Argument(NamedTuple):
    """One argument of a verb. ``flags`` is empty for a positional one, ``value`` None for an option that takes none;
    ``shown``: how a positional one stands in the usage."""

    flags: tuple[str, ...]
    value: str | None
    choices: tuple[str, ...]
    help: str
    shown: str


class Described(NamedTuple):
    """A verb as text: name, what it does in a line, the usage, the description and its arguments."""

    name: str
    about: str
    usage: str
    help: str
    arguments: list[Argument]

    @property
    def options(self) -> list[Argument]:
        """Those with flags."""
        return [each for each in self.arguments if each.flags]

    @property
    def actions(self) -> tuple[str, ...]:
        """The choices of its first positional argument."""
        return next((each.choices for each in self.arguments if not each.flags), ())


def described() -> Iterator[Described]:
    """Yield every verb. Loads them all."""
    for name, about in parsers.VERBS.items():
        found, parser = parsers.verb(name)
        told = [*_arguments(parser)]
        words = ["taskdir", name, "[OPTION ...]", *(each.shown for each in told if not each.flags)]
        words += ["-- CMD ..."] if parser.get_default("command") is not None else []
        yield Described(name, about, " ".join(words), " ".join(found.HELP.split()), told)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        choices = tuple(map(str, action.choices or ()))
        value = None if action.nargs == 0 else "|".join(choices) or name
        shown = {"?": f"[{value}]", "*": f"[{value} ...]", "+": f"{value} [{value} ...]"}.get(
            str(action.nargs), value or ""
        )
        about = (action.help or "").replace("%%", "%")
        yield Argument(tuple(action.option_strings), value, choices, about, shown)
