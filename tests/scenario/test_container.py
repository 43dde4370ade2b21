"""The container recipe: linted where there is a linter, and its commands run as an image would run them.

There is no container engine behind this: a sandbox gives what the recipe promises to need, a file system that is
read-only but for the root, another user, no network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import fetch
from support.live import HOUSE, PATIENCE, Root, until

RECIPE = HOUSE / "examples/container/Containerfile"


def last(word: str) -> str:
    """Return what the recipe's last instruction of this name says."""
    joined = RECIPE.read_text().replace("\\\n", " ")
    return str(re.findall(rf"^{word} (.*)$", joined, re.M)[-1])


def test_the_recipe_is_sound() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) > 0, "root"
    assert int(group) > 0, "root's group"
    assert last("VOLUME") == last("WORKDIR") == environment()["TASKDIR"]
    for source in re.findall(r"^COPY (?!--)(.*) \S+$", RECIPE.read_text(), re.M):
        assert all((HOUSE / each).exists() for each in source.split()), source


def test_a_linter_finds_nothing() -> None:
    hadolint = fetch.TOOLS / "bin" / "hadolint"
    if not hadolint.exists():
        pytest.skip("NOT TESTED: hadolint was not fetched when .venv was made (tests/support/fetch.py says why)")
    done = subprocess.run([hadolint, RECIPE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in last("ENV").split())


def test_its_commands_run_in_a_read_only_image(tmp_path: Path) -> None:
    taskdir = Path(sys.executable).with_name("taskdir")
    if shutil.which("bwrap") is None or not taskdir.exists():
        pytest.skip("NOT TESTED: no bwrap here, or taskdir is not installed")
    root = Root(tmp_path / "root", settle_seconds=0)
    (tmp_path / "jobs").mkdir()
    sandbox = [
        *("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/mnt", "--bind", str(root.path), "/mnt/jobs"),
        *("--unshare-user", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--uid", "1000", "--gid", "1000"),
        *("--chdir", "/mnt/jobs", "--die-with-parent"),
    ]
    tried = subprocess.run([*sandbox, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"NOT TESTED: no sandbox here: {tried.stderr}")
    env = os.environ | {name: value.replace("/jobs", "/mnt/jobs") for name, value in environment().items()}
    env |= {"PATH": f"{taskdir.parent}:{os.environ['PATH']}"}
    words = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    probe = json.loads(last("HEALTHCHECK").partition("CMD ")[2])

    def healthy() -> int:
        return subprocess.run([*sandbox, *probe], env=env, capture_output=True, check=False).returncode

    assert healthy() == 69, "the probe must see that nothing runs"
    daemon = subprocess.Popen([*sandbox, *words], env=env, stderr=subprocess.PIPE, text=True)
    assert daemon.stderr is not None
    root.put("inbox/a.json", {"type": "echo"})
    until(root.offered, "an offer")
    assert healthy() == 0
    claimed = root.claim("me")
    root.finish(claimed, {"status": "ok", "output": 1})
    until(lambda: root.names("done"), "the result")
    (pid,) = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    os.kill(int(pid), 15)
    assert daemon.wait(PATIENCE) == 0
    said = [json.loads(line) for line in daemon.stderr]
    daemon.stderr.close()
    assert {"started", "stopped"} <= {line["message"] for line in said}
    assert not [line for line in said if line["level"] in ("error", "critical")]
    assert healthy() == 69
