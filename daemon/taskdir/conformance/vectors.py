"""The vectors: what any implementation must accept, refuse and do, as data. Only this module finds them.

In a wheel they lie inside the package, in a checkout in tests/conformance/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def vectors_dir() -> Path:
    """Return the directory that holds documents/, names/, scenarios/ and trees/, and their schemas."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "vectors"
    return inside if inside.is_dir() else package.parents[1] / "tests" / "conformance" / "vectors"


def files(kind: str) -> list[Path]:
    """Return the files of one kind, by name."""
    return sorted((vectors_dir() / kind).glob("*.json"))


def documents() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (name, kind of document, test); ``content`` gives the test's bytes."""
    for path in files("documents"):
        for group in json.loads(path.read_bytes()):
            for test in group["tests"]:
                yield f"{path.stem}: {group['description']}: {test['description']}", group["document"], test


def content(test: dict[str, Any]) -> bytes:
    """Return the bytes of a document test."""
    if "bytes_hex" in test:
        return bytes.fromhex(test["bytes_hex"])
    text = test["text"] if "text" in test else json.dumps(test["data"])
    return str(text).encode()


def names() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (name, grammar, test)."""
    for path in files("names"):
        for group in json.loads(path.read_bytes()):
            for test in group["tests"]:
                yield f"{group['grammar']}: {test['description']}", group["grammar"], test


def scenarios() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, scenario)."""
    for path in files("scenarios"):
        for scenario in json.loads(path.read_bytes()):
            yield f"{path.stem}: {scenario['description']}", scenario


def trees() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (name, name of the life, case)."""
    for path in files("trees"):
        for case in json.loads(path.read_bytes())["cases"]:
            yield f"{path.stem}: {case['description']}", path.stem, case


def life(name: str) -> dict[str, Any]:
    """Return the life that the cases of a file of trees begin with."""
    found: dict[str, Any] = json.loads((vectors_dir() / "trees" / f"{name}.json").read_bytes())["life"]
    return found
