"""Findings in the forms that other programs read: GitHub's workflow commands and SARIF 2.1.0.

A finding is what ``--json`` prints of it: file, code and message, perhaps line, column, pointer, expected, hint, level.
Paths stay as they were given; below the working directory they are told from there, with slashes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from taskdir import rules

Finding = Mapping[str, Any]

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def github(finding: Finding) -> str:
    """Return one finding as a workflow command, which GitHub shows beside the line that it names."""
    where = {"file": _relative(finding["file"]), "line": finding.get("line"), "col": finding.get("column")}
    properties = {name: value for name, value in (where | {"title": finding["code"]}).items() if value is not None}
    said = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{finding.get('level', 'error')} {said}::{_data(_sentence(finding))}"


def sarif(findings: Iterable[Finding], version: str) -> dict[str, Any]:
    """Return findings as a SARIF log of one run; ``version`` is that of taskdir."""
    results = [*map(_result, findings)]
    codes = sorted({result["ruleId"] for result in results})
    for result in results:
        result["ruleIndex"] = codes.index(result["ruleId"])
    driver = {"name": "taskdir", "version": version, "semanticVersion": version, "rules": [*map(_rule, codes)]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(finding["file"])}}
    if "line" in finding:
        column = {"startColumn": finding["column"]} if "column" in finding else {}
        place["region"] = {"startLine": finding["line"]} | column
    return {
        "ruleId": finding["code"],
        "level": finding.get("level", "error"),
        "message": {"text": _sentence(finding)},
        "locations": [{"physicalLocation": place}],
    }


def _rule(code: str) -> dict[str, Any]:
    rule = rules.codes().get(code)
    if rule is None:
        return {"id": code, "shortDescription": {"text": code}}
    found: dict[str, Any] = {"id": code, "shortDescription": {"text": rule["sentence"]}}
    found["help"] = {"text": f"SPEC.md, section {rule['section']}; {rule.get('hint', rule['sentence'])}"}
    return found | {"defaultConfiguration": {"level": rule["level"]}}


def _sentence(finding: Finding) -> str:
    """Say what is wrong, where in the document, what would be right, and what to do next."""
    where = f"{finding['pointer']}: " if finding.get("pointer") else ""
    expected = f" (expected: {finding['expected']})" if "expected" in finding else ""
    hint = f"\nnext: {finding['hint']}" if "hint" in finding else ""
    return f"{where}{finding['message']}{expected}{hint}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _relative(path: str) -> str:
    inside = os.path.relpath(path)
    return inside if inside.split(os.sep)[0] != os.pardir else os.path.abspath(path)


def _uri(path: str) -> str:
    found = _relative(path)
    return ("file://" if os.path.isabs(found) else "") + quote(os.fsencode(found.replace(os.sep, "/")))
