"""What the tests of hooks and actions share: a clean clone of this checkout, and an environment without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import fetch

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".git", ".venv", "__pycache__", "node_modules", ".*_cache", ".hypothesis", "target", "dist", "build")

Git = Callable[..., str]


def need(path: Path, what: str) -> None:
    """Skip loudly if something was not fetched when .venv was made."""
    if not path.exists():
        pytest.skip(f"NOT TESTED: {what} was not fetched when .venv was made (tests/support/fetch.py says why)")


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment where pip finds what was fetched and nothing else, and git knows who we are."""
    need(fetch.WHEELS, "the wheels of an install")
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "GIT_", "COV"))}
    git = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | git | {
        "PATH": f"{Path(fetch.FETCHED).parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PRE_COMMIT_HOME": str(home / "pre-commit"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(fetch.WHEELS),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_COMPILE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "http_proxy": "http://127.0.0.1:9",  # whatever tries the network after all fails at once
        "https_proxy": "http://127.0.0.1:9",
    }  # fmt: skip


@pytest.fixture(scope="session")
def git(offline: dict[str, str]) -> Git:
    """Run git in a directory; returns its stdout."""
    if shutil.which("git") is None:
        pytest.skip("NOT TESTED: there is no git")

    def run(directory: Path, *words: str) -> str:
        command = ["git", "-C", str(directory), "-c", "init.defaultBranch=main", *words]
        return subprocess.run(command, env=offline, capture_output=True, text=True, timeout=60, check=True).stdout

    return run


@pytest.fixture(scope="session")
def clone(git: Git, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clean clone of the checkout as it stands now, what is not committed yet included."""
    made = tmp_path_factory.mktemp("taskdir") / "taskdir"
    shutil.copytree(ROOT, made, ignore=shutil.ignore_patterns(*LEFT_OUT))
    git(made, "init", "--quiet")
    git(made, "add", "--all")
    git(made, "commit", "--quiet", "--message", "all of it")
    return made
