"""The fixed texts that ship with the package: JSON Schemas and rule codes (schemas/v1/). Only this module finds them.

In a wheel they lie inside the package, in a checkout two levels above it (docs: CONTRIBUTING, packaging).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DOCUMENTS = ("settings", "contract", "message", "offer", "result", "record", "reason", "state", "event", "checkpoint")


def schema_dir() -> Path:
    """Return the directory that holds v1/*.schema.json and v1/rules.json."""
    package = Path(__file__).resolve().parent
    inside = package / "schemas"
    return inside if inside.is_dir() else package.parents[1] / "schemas"


@cache
def schema(name: str) -> dict[str, Any]:
    """Return the schema of one document kind of SPEC section 6, parsed; do not change it."""
    found: dict[str, Any] = json.loads((schema_dir() / "v1" / f"{name}.schema.json").read_bytes())
    return found


@cache
def codes() -> dict[str, dict[str, str]]:
    """Return the rule table (SPEC appendix A): code → {level, about, section, sentence, hint}."""
    listed = json.loads((schema_dir() / "v1" / "rules.json").read_bytes())
    return {rule["code"]: rule for rule in listed["rules"]}


def hint(code: str) -> str | None:
    """Return the standing advice for a rule code, None when there is none."""
    return codes().get(code, {}).get("hint")
