"""argparse as the verbs use it; loaded where ``quick`` does not do."""

from __future__ import annotations

import argparse
import os
from typing import NoReturn

from taskdir.errors import Usage


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others, so that --json covers them too."""

    def error(self, message: str) -> NoReturn:
        raise Usage("usage", message, hint=f"`{self.prog} --help`")


class Formatter(argparse.HelpFormatter):
    """Help as wide as the terminal; argparse, asked for every argument, loads shutil to learn that."""

    def __init__(self, prog: str) -> None:
        try:
            width = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(1).columns
        except (ValueError, OSError):
            width = 80
        super().__init__(prog, width=width - 2)
