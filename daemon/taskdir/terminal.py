"""What only a terminal gets: colours, and tables when the extra ``[tui]`` is installed. Only this module imports rich.

NO_COLOR turns colours off, FORCE_COLOR on; what is no terminal gets neither (SPEC section 1.3 has the streams).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

_CODES = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "bold": 1, "dim": 2}


@dataclass(slots=True)
class Table:
    """A title, the heads of the columns, and rows of plain text; ``style`` colours the whole of it, as for bad news."""

    title: str
    heads: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    style: str = ""


def has_colours(stream: TextIO) -> bool:
    """Say whether colours may be written to a stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")


def has_tables(stream: TextIO) -> bool:
    """Say whether tables may be written to a stream: it is a terminal, and rich is installed."""
    return stream.isatty() and importlib.util.find_spec("rich") is not None


def paint(text: str, style: str) -> str:
    """Return text in a colour, or as it is when ``style`` is empty."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style else text


def draw(stream: TextIO, parts: Iterable[str | Table]) -> None:
    """Write lines and tables, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=stream, no_color=not has_colours(stream), highlight=False)
    for part in parts:
        if isinstance(part, str):
            console.print(Text(part), soft_wrap=True)
            continue
        table = RichTable(title=part.title or None, title_justify="left", box=None, pad_edge=False, style=part.style)
        for head in part.heads:
            table.add_column(head, overflow="fold", header_style="bold")
        for row in part.rows:
            table.add_row(*map(Text, row))
        console.print(table)
