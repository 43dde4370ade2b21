"""The compiled adapters, C and Rust: copied to a temporary place and built there once for all of pytest's processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ADAPTERS = Path(__file__).resolve().parents[2] / "adapters"


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run a tool that must succeed; returns what it said on both streams."""
    argv = [str(word) for word in command]
    done = subprocess.run(argv, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{argv}\n{said}"
    return said


def needs(tool: str, what: str) -> None:
    """Skip, loudly, where a tool is missing."""
    if shutil.which(tool) is None:
        pytest.skip(f"NOT TESTED: {what}, since this machine has no {tool}")


def place(factory: pytest.TempPathFactory) -> Path:
    """Return a directory that all of pytest's processes share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(house: Path, build: Callable[[], object]) -> None:
    """Build in a directory, unless that was done already; nobody sees it half done."""
    house.mkdir(exist_ok=True)
    with open(house / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (house / ".built").exists():
            build()
            (house / ".built").touch()


def c_house(factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the C sources and, in build/, what `make` makes of them, warnings being errors."""
    needs("gcc", "the C adapter")
    needs("make", "the C adapter")
    house = place(factory) / "c"

    def build() -> None:
        shutil.copytree(ADAPTERS / "c", house, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build"))
        run("make", "CC=gcc", "CFLAGS=-O1 -g -Werror", cwd=house)

    once(house, build)
    return house


def rust_house(factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the crate and, in target/debug/, what `cargo build` makes of it."""
    needs("cargo", "the Rust adapter")
    version = subprocess.run(["cargo", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    floor = tomllib.loads((ADAPTERS / "rust" / "Cargo.toml").read_text())["package"]["rust-version"]
    if tuple(map(int, version.split(".")[:2])) < tuple(map(int, floor.split("."))):
        pytest.skip(f"NOT TESTED: the Rust adapter, since cargo {version} is older than {floor}")
    house = place(factory) / "rust"

    def build() -> None:
        shutil.copytree(ADAPTERS / "rust", house, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target"))
        cargo("build", cwd=house)

    once(house, build)
    return house


def cargo(*words: str | Path, cwd: Path, target: Path | None = None) -> str:
    """Run cargo without any network, warnings being errors."""
    target = target or cwd / "target"
    quick = {"CARGO_INCREMENTAL": "0", "CARGO_PROFILE_DEV_DEBUG": "0"}
    return run("cargo", *words, "--offline", cwd=cwd, CARGO_TARGET_DIR=str(target), RUSTFLAGS="-Dwarnings", **quick)


def program(language: str, factory: pytest.TempPathFactory) -> Path:
    """Return the program that a compiled adapter offers."""
    if language == "c":
        return c_house(factory) / "build" / "taskdir-agent"
    return rust_house(factory) / "target" / "debug" / "taskdir-agent"
