"""The agent that merges: it finds the outputs of all reviews in the offer, writes the report, moves review-head on.

    python merge.py ROOT AGENT REPO REPORT
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from common import git, send, serve

from taskdir import roots
from taskdir.client import Claim
from taskdir.errors import TaskdirError

KEY = "review-head"


def outputs(root: str, claim: Claim) -> dict[str, Any]:
    """Return the output of each task that this one comes after: from the offer, or from the record that it names."""
    found = dict(claim.task["context"])
    for id, where in claim.task.get("context_files", {}).items():
        with open(os.path.join(root, where["path"]), "rb") as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != where["sha256"]:
            raise TaskdirError("record-changed", f"{where['path']} is not what the offer names")
        found[id] = json.loads(data)["output"]
    return found


def contains(repo: str, commit: str, earlier: str) -> bool:
    """Say whether a commit is, or comes after, another; no if git does not know one of them any more."""
    command = ["git", "-C", repo, "merge-base", "--is-ancestor", earlier, commit]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def reviewed(root: str) -> tuple[int, str | None]:
    """Return the version of review-head, 0 if nobody set it yet, and the commit in it."""
    entry = roots.read_json(os.path.join(root, "state", f"{KEY}.json"))
    return (entry["version"], entry["value"]["commit"]) if entry else (0, None)


def advance(root: str, repo: str, head: str) -> None:
    """Set review-head by compare-and-set to ``head``, unless what is there contains it by now."""
    while True:
        version, seen = reviewed(root)
        if seen is not None and contains(repo, seen, head):
            return
        message = {"kind": "state", "key": KEY, "value": {"commit": head}, "if_version": version}
        verdict = send(root, f"head-{head[:12]}-{version}", message)
        if verdict.word == "refused" and verdict.error().code != "state-conflict":
            raise verdict.error()  # a conflict: somebody else moved it; look again


def report(base: str, head: str, subject: str, files: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """Yield the lines of the report, the same for the same findings: no times, no names of agents."""
    rules = Counter(each["rule"] for _, output in files for each in output["findings"])
    yield from (f"# Review of {head[:12]}", "", f"{len(files)} files, {rules.total()} findings.", "")
    yield from (f"Head: {plain(subject)}", f"Base: {base[:12]}")
    if rules:
        yield from ("", "| rule | findings |", "|---|---|")
        yield from (f"| {rule} | {count} |" for rule, count in sorted(rules.items()))
    for path, output in files:
        if output["findings"]:
            yield from ("", f"## `{plain(path)}`", "")
        for each in sorted(output["findings"], key=lambda found: (found["line"], found["rule"])):
            yield f"- line {each['line']}: {each['message']} ({each['rule']})"
    if all(output["findings"] for _, output in files):
        return
    yield from ("", "## Nothing found in", "")
    for path, output in files:
        if not output["findings"]:
            yield f"- `{plain(path)}`" + (f" ({output['skipped']}, skipped)" if "skipped" in output else "")


def plain(text: str) -> str:
    """Leave nothing in a text that could end the place where it stands."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f`]", "?", text)


def write(path: str, lines: Iterator[str], aside: str) -> None:
    """Put a file in place whole: whoever reads it sees the old report or the new one."""
    with open(aside, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def merge(root: str, repo: str, target: str, claim: Claim) -> dict[str, Any]:
    """Write the report, then move review-head on: a crash between the two only writes the same report again."""
    base, head = claim.input["base"], claim.input["head"]
    found = outputs(root, claim)
    files = sorted(((file["path"], found[file["review"]]) for file in claim.input["files"]), key=itemgetter(0))
    _, seen = reviewed(root)
    overtaken = seen is not None and seen != head and contains(repo, seen, head)
    if not overtaken:
        subject = git(repo, "log", "-1", "--format=%s", head).decode(errors="replace").strip()
        write(target, report(base, head, subject, files), f"{target}.{claim.id}.{claim.attempt}")
        advance(root, repo, head)
    findings = sum(len(output["findings"]) for _, output in files)
    return {"files": len(files), "findings": findings, "overtaken": overtaken}


if __name__ == "__main__":
    root, agent, repo, target = sys.argv[1:]
    serve(root, agent, "merge", lambda claim: merge(root, repo, target, claim))
