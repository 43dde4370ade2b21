"""The agent that makes one task many: a review of each changed file, and a merge that comes after all of them.

    python split.py ROOT AGENT REPO

It knows nothing of who reviews, how many they are, or when: it submits one batch, and the dependencies do the rest.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any, NamedTuple

from common import git, send, serve

from taskdir.client import Claim

REGULAR = (b"100644", b"100755")


class File(NamedTuple):
    """A file that the range changed: its path, as git has it, and git's name of its content at the head."""

    path: bytes
    blob: str

    @property
    def text(self) -> str:
        """The path for people; not every path is UTF-8."""
        return self.path.decode(errors="replace")


def changed(repo: str, base: str, head: str) -> list[File]:
    """List what is new or different at ``head``; links, submodules and what was deleted are left out."""
    fields = git(repo, "diff-tree", "-r", "-z", "--no-renames", "--diff-filter=AMT", base, head).split(b"\0")
    found = [(about.split(b" "), path) for about, path in zip(fields[0::2], fields[1::2], strict=False)]
    return [File(path, about[3].decode()) for about, path in found if about[1] in REGULAR]


def review(head: str, file: File) -> dict[str, Any]:
    """Make the review of a file. The id follows from commit and path: the same file is never reviewed twice there."""
    return {
        "id": f"review-{head[:12]}-{hashlib.sha256(file.path).hexdigest()[:16]}",
        "type": "review",
        "input": {"path": file.text, "blob": file.blob},
        "queue": "python" if file.path.endswith(b".py") else "text",
        "resources": ["git"],
    }


def split(root: str, repo: str, claim: Claim) -> dict[str, Any]:
    """Submit the batch: all of it is accepted, or nothing."""
    base, head = claim.input["base"], claim.input["head"]
    span = f"{base[:12]}-{head[:12]}"
    files = changed(repo, base, head)
    reviews = [review(head, file) for file in files]
    listed = [{"review": task["id"], "path": file.text} for task, file in zip(reviews, files, strict=True)]
    merge = {
        "id": f"merge-{span}",
        "type": "merge",
        "input": {"base": base, "head": head, "files": listed},
        "after": [task["id"] for task in reviews],
        "resources": ["git"],
    }
    verdict = send(root, f"batch-{span}", {"kind": "batch", "messages": [*reviews, merge]})
    if verdict.word == "refused":
        raise verdict.error()
    return {"batch": f"batch-{span}", "merge": merge["id"], "files": len(files)}


if __name__ == "__main__":
    root, agent, repo = sys.argv[1:]
    serve(root, agent, "split", lambda claim: split(root, repo, claim))
