"""Walls around a command: it can write in its workspace only (docs/runner.md)."""

from __future__ import annotations

from collections.abc import Sequence

from taskdir.errors import ConfigError


def wrap(
    argv: list[str], workspace: str, *, network: bool, readable: Sequence[str] = (), writable: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs ``argv`` behind walls. Raises ConfigError where there can be none."""
    raise ConfigError("no-sandbox", "this version has no sandbox", hint="leave --sandbox out")
