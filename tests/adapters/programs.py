"""The program of each adapter, in whatever language, as a command; built once where it has to be."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from adapters.compiled import ADAPTERS, needs, once, place, program, run
from adapters.test_go import go

Maker = Callable[[pytest.TempPathFactory], list[str]]


def _script(interpreter: str, name: str, *tools: str) -> Maker:
    def make(factory: pytest.TempPathFactory) -> list[str]:
        for tool in tools:
            needs(tool, f"the adapter {name}")
        return [interpreter, str(ADAPTERS / name)]

    return make


def _go(factory: pytest.TempPathFactory) -> list[str]:
    needs("go", "the Go adapter")
    house = place(factory) / "go"
    once(house, lambda: go("go", "build", "-o", house / "taskdir-agent", "./cmd/taskdir-agent"))
    return [str(house / "taskdir-agent")]


def _java(factory: pytest.TempPathFactory) -> list[str]:
    needs("javac", "the Java adapter")
    house = place(factory) / "java"
    once(house, lambda: run("javac", "-d", house, ADAPTERS / "java" / "Taskdir.java", cwd=house))
    return ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", str(house), "Taskdir"]


def _compiled(language: str) -> Maker:
    return lambda factory: [str(program(language, factory))]


MAKERS: dict[str, Maker] = {
    "shell": _script("sh", "shell/taskdir.sh", "sh", "flock"),
    "python": _script(sys.executable, "python/agent.py"),
    "node": _script("node", "node/agent.mjs", "node"),
    "go": _go,
    "java": _java,
    "c": _compiled("c"),
    "rust": _compiled("rust"),
}
