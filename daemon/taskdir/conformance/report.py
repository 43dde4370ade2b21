"""What a kit tells: words for people, one object for programs, and a badge in the form of shields.io's endpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from taskdir import __version__
from taskdir.conformance.cases import Outcome

PROTOCOL = 1


def whole(kit: str, command: Sequence[str], told: dict[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the report; ``told``: what the program said about itself."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    counts = {name: verdicts[name] for name in ("passed", "failed", "skipped")}
    return {
        "kit": kit,
        "version": __version__,
        "protocol": PROTOCOL,
        "command": list(command),
        "ok": all(outcome.ok for outcome in outcomes),
        **told,
        "counts": counts,
        "unexpected": [outcome.case.name for outcome in outcomes if not outcome.ok],
        "cases": [outcome.as_dict() for outcome in outcomes],
    }


def badge(report: dict[str, Any]) -> dict[str, Any]:
    """Return the badge of a report: green is for programs that passed every case."""
    counts = report["counts"]
    played = counts["passed"] + counts["failed"]
    parts = [f"{counts['passed']} of {played}", *([f"{counts['skipped']} not tested"] if counts["skipped"] else [])]
    if not report["ok"]:
        colour = "red"
    elif counts["failed"]:
        colour = "yellow"
    else:
        colour = "green" if counts["skipped"] else "brightgreen"
    label = f"taskdir {report['kit']} {report['protocol']}"
    return {"schemaVersion": 1, "label": label, "message": ", ".join(parts), "color": colour}


def words(report: dict[str, Any]) -> Iterator[str]:
    """Yield the report for people: what was not as expected at length, the known and the skipped in a line each."""
    for case in report["cases"]:
        listed, name = case.get("listed", False), case["name"]
        if case["verdict"] == "skipped":
            yield f"not tested: {name}: {case['why']}"
        elif case["verdict"] == "passed" and listed:
            yield f"PASSED, though it is listed as failing: {name}\n  next: take it off the list"
        elif case["verdict"] == "failed":
            yield from _failure(case, listed)
    counts = report["counts"]
    yield f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} not tested: {_verdict(report)}"


def _failure(case: dict[str, Any], listed: bool) -> Iterator[str]:
    rule = f" [{case['rule']}]" if "rule" in case else ""
    if listed:
        yield f"fails as listed: {case['name']}: {case['what']}{rule}"
        return
    yield f"FAILED: {case['name']}: {case['about']}"
    yield f"  {case['what']}{rule}"
    yield f"  expected: {case['expected']}"
    yield f"  found:    {case['found']}"


def _verdict(report: dict[str, Any]) -> str:
    if not report["ok"]:
        return f"{len(report['unexpected'])} not as expected"
    return "as expected" if report["counts"]["failed"] else "it conforms"
