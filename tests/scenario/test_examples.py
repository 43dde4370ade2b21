"""examples/review as a user runs it, over a real git repository: again, after a commit, and with an agent killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskdir import contracts

HOUSE = Path(__file__).resolve().parents[2]
REVIEW = HOUSE / "examples" / "review"
NAMES = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
ENV = {
    **{name: value for name, value in os.environ.items() if name not in ("REVIEW_HOME", "TASKDIR")},
    **{f"GIT_{name}": "a@example.org" for name in NAMES},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "PYTHON": sys.executable,
    "PYTHONDONTWRITEBYTECODE": "1",
}
EXPECTED = {
    ".gitignore": [],
    "docs/index.md": [],
    "docs/logo.png": "binary",
    "docs/notes.md": [(3, "long-line"), (5, "no-final-newline"), (5, "note-left")],
    'docs/odd "name", ümlaut.txt': [(1, "conflict-marker"), (5, "conflict-marker")],
    "src/shop/__init__.py": [],
    "src/shop/cart.py": [(4, "no-docstring"), (5, "note-left"), (6, "no-final-newline")],
    "src/shop/price.py": [(4, "no-docstring")],
    "src/shop/total.py": [(1, "syntax")],
    "tools/deploy.sh": "syntax",  # in which line depends on the shell
    "tools/release.sh": [],
}
"""What is wrong in the repository that make-repo.sh makes; the link in it is no file to review."""

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="NO GIT: examples/review cannot be tested")


@dataclass(frozen=True)
class Repository:
    """A repository under review."""

    path: Path

    @property
    def home(self) -> Path:
        return self.path / ".git" / "review"

    @property
    def report(self) -> bytes:
        return (self.home / "REVIEW.md").read_bytes()

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.path), *words]
        return subprocess.run(command, env=ENV, capture_output=True, text=True, check=True).stdout.strip()

    def review(self, **env: str) -> str:
        """Run the example to its end; returns what it says."""
        temporary = self.path.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        env = {**ENV, "TMPDIR": str(temporary), **env}
        command = [str(REVIEW / "run.sh"), str(self.path)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + (self.home / "run.log").read_text()
        assert not list(temporary.iterdir()), "temporary files are left"
        assert nobody_is_left(self.path)
        assert re.search(r"^check: .*: all is as it should be$", done.stdout, re.MULTILINE), done.stdout
        assert f"\nreport: {self.home / 'REVIEW.md'}\n" in done.stdout
        return done.stdout.splitlines()[0]

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        lines = (self.home / "root" / "log.jsonl").read_bytes().splitlines()
        return [event for line in lines if (event := json.loads(line))["event"] in kinds]

    def state(self) -> tuple[int, str]:
        entry = json.loads((self.home / "root" / "state" / "review-head.json").read_bytes())
        return entry["version"], entry["value"]["commit"]


def nobody_is_left(path: Path) -> bool:
    """Say whether no process has a path on its command line (where there is /proc; else it cannot tell)."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            lines.append(file.read_bytes())
    return not [line for line in lines if os.fsencode(path) in line]


def made(path: Path) -> Repository:
    subprocess.run(["sh", str(REVIEW / "make-repo.sh"), str(path)], env=ENV, check=True)
    return Repository(path)


def outputs(repository: Repository) -> dict[str, Any]:
    """Return what each review found, by path: (line, rule), or why there is nothing more exact."""
    root, found = repository.home / "root", {}
    for record in (json.loads(file.read_bytes()) for file in (root / "done").glob("review-*.json")):
        output = record["output"]
        exact = sorted((each["line"], each["rule"]) for each in output["findings"])
        shell = record["task"]["input"]["path"].endswith(".sh") and exact and exact[0][1]
        found[record["task"]["input"]["path"]] = output.get("skipped") or shell or exact
    return found


def test_the_review_again_and_again_and_with_a_kill(tmp_path: Path) -> None:
    first = made(tmp_path / "first" / "repo")
    assert first.review() == f"review: {len(EXPECTED)} files, 11 findings."
    head = first.git("rev-parse", "HEAD")
    assert outputs(first) == EXPECTED
    assert first.state() == (1, head)
    done = first.events("done")
    assert {event["agent"] for event in done} >= {"split-1", "shell-1", "merge-1"}
    held = sum(len(json.dumps(e["output"], separators=(",", ":"))) for e in done if e["id"].startswith("review-"))
    settings = json.loads((REVIEW / "taskdir.json").read_bytes())
    assert held > settings["context_bytes"], "so that the merge has to read context_files, too"
    report, log = first.report, (first.home / "root" / "log.jsonl").read_bytes()

    assert first.review() == f"review: nothing new since {head[:12]}"
    assert (first.report, first.state()) == (report, (1, head))
    assert (first.home / "root" / "log.jsonl").read_bytes() == log

    second = made(tmp_path / "second" / "repo")
    assert second.review(REVIEW_TEST="kill") == f"review: {len(EXPECTED)} files, 11 findings."
    (lost,) = second.events("abandoned", "expired")
    assert (lost["agent"], lost["attempt"]) == ("python-1", 1)
    (again,) = (event for event in second.events("done") if event["id"] == lost["id"])
    assert (again["agent"], again["attempt"]) == ("python-2", 2)
    assert second.report == report, "whoever did it, the report is the same"


def test_a_commit_later_only_what_is_new_is_reviewed(tmp_path: Path) -> None:
    repository = made(tmp_path / "repo")
    base = repository.git("rev-parse", "HEAD~1")
    repository.git("branch", "later")
    repository.git("reset", "--quiet", "--hard", base)
    repository.review()
    repository.git("reset", "--quiet", "--hard", "later")
    assert repository.review() == "review: 5 files, 5 findings."
    assert repository.state() == (2, repository.git("rev-parse", "HEAD"))
    assert b"cart.py" not in repository.report
    repository.git("reset", "--quiet", "--hard", base)
    assert repository.review() == f"review: nothing new since {base[:12]}"


def test_its_contracts_are_good() -> None:
    files = sorted((REVIEW / "contracts").rglob("*.json"))
    assert [file.stem for file in files] == ["merge", "review", "split", "review-head"]
    for file in files:
        contracts.parse(file.stem, file.read_bytes())


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("NOT CHECKED: this machine has no shellcheck")
    scripts = sorted(map(str, REVIEW.rglob("*.sh")))
    assert len(scripts) == 3
    command = [shellcheck, "-s", "sh", "-x", "-P", str(HOUSE), *scripts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_readme_is_a_page() -> None:
    assert len((REVIEW / "README.md").read_text(encoding="utf-8").splitlines()) <= 40
