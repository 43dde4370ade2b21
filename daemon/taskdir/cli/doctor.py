"""`taskdir doctor`: probe the root and what it stands on; say the exact repair of each finding."""

from __future__ import annotations

import argparse
import dataclasses
import time

from taskdir import doctor, roots
from taskdir.cli.frame import Env
from taskdir.doctor import Finding

HELP = "probe this root, its file system and its daemon, and name each repair"
_MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(args: argparse.Namespace, env: Env) -> int:
    """Print every finding; 1 when one is an error."""
    site = doctor.visit(roots.find(env.named_root), time.time())
    found = doctor.examine(site)
    errors, warnings = (sum(finding.level == level for finding in found) for level in ("error", "warning"))
    if env.json:
        shown = [{k: v for k, v in dataclasses.asdict(finding).items() if v is not None} for finding in found]
        env.out({"root": site.places.root, "errors": errors, "warnings": warnings, "findings": shown})
    else:
        env.out("\n".join(_words(finding) for finding in found))
        env.say(f"{len(found) - errors - warnings} ok, {warnings} warnings, {errors} errors")
    return 1 if errors else 0


def _words(finding: Finding) -> str:
    line = f"{_MARKS[finding.level]}  {finding.code:<16} {finding.message}"
    return f"{line}\n{'':27}fix: {finding.fix}" if finding.fix else line
