"""What a benchmark wants beside taskdir: clients of the peers in .venv-bench, servers from Debian when we are root.

Each piece comes by itself; one that cannot be had is told, and its peer is skipped. An editable install of taskdir goes
into the same .venv-bench, so that ours and the peers run in one interpreter.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[1]
VENV = HOUSE / ".venv-bench"
PYTHON = VENV / "bin" / "python"
PACKAGES = ("greenstalk", "redis", "rq", "psycopg[binary]", "huey", "persist-queue", "litequeue")
SERVERS = {"beanstalkd": "beanstalkd", "redis-server": "redis-server", "mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs",
           "/usr/lib/postgresql": "postgresql"}  # fmt: skip
POLICY = Path("/usr/sbin/policy-rc.d")
"""While it says 101, Debian starts no service that it installs."""


def say(text: str) -> None:
    """Tell it on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def inside() -> None:
    """Be in .venv-bench: make it if it is not there, get what is missing, and go on there. Does not return outside."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    stamp = VENV / "ready"
    if not stamp.exists() or stamp.stat().st_mtime < (HOUSE / "pyproject.toml").stat().st_mtime:
        _python()
        _debian()
        stamp.touch()
    os.chdir(HOUSE)
    os.execv(PYTHON, [str(PYTHON), "-m", "bench", *sys.argv[1:]])


def _pip(*words: str) -> bool:
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words]
    return subprocess.run(pip, cwd=HOUSE, check=False, stdout=sys.stderr).returncode == 0


def _python() -> None:
    say("making .venv-bench")
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    if not _pip("--editable", ".[fast]") and not _pip("--editable", "."):
        raise SystemExit("bench: taskdir itself could not be installed")
    for package in PACKAGES:
        if not _pip(package):
            say(f"NOT INSTALLED: {package}: its peer will be skipped")


def _debian() -> None:
    wanted = [package for name, package in SERVERS.items() if not (shutil.which(name) or os.path.isdir(name))]
    if not wanted:
        return
    if os.getuid() != 0 or not shutil.which("apt-get"):
        say(f"NOT INSTALLED: {' '.join(wanted)}: as root on Debian they would be; install them by hand")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment, stdout=sys.stderr)
        for package in wanted:
            argv = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", package]
            if subprocess.run(argv, check=False, env=environment, stdout=subprocess.DEVNULL).returncode:
                say(f"NOT INSTALLED: {package}: its peer will be skipped")


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)
