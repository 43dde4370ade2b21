"""What the checking verbs share: findings for people, for GitHub, or as SARIF."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Protocol

from taskdir.cli.frame import Env, plain

FORMATS = ("text", "github", "sarif")


class Tellable(Protocol):
    """A finding: as a sentence for people, and as the object that --json prints."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --format."""
    said = "text (default): file:line:column: …; github: annotations of a workflow; sarif: one SARIF 2.1.0 document"
    parser.add_argument("--format", choices=FORMATS, default="text", help=said)


def tell(env: Env, form: str, found: Sequence[Tellable]) -> None:
    """Print findings in one of FORMATS."""
    if form == "sarif":
        from taskdir import __version__, annotate

        env.out(annotate.sarif([each.as_dict() for each in found], __version__))
    elif form == "github":
        from taskdir import annotate

        for each in found:
            env.out(plain(annotate.github(each.as_dict())))
    else:
        for each in found:
            env.out(plain(str(each)))
