"""Every document vector through the code that judges such a document, with both JSON Schema engines.

The verdict is the rule code and the pointer, exactly; what the engines' own messages say does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from taskdir import contracts, intake, results, settings, strictjson, validate
from taskdir.errors import ConfigError, Invalid, TaskdirError

VECTORS = Path(__file__).parent / "vectors"
FILES = sorted((VECTORS / "documents").glob("*.json"))
Verdict = tuple[str, str | None] | None
"""(rule code, pointer) of a bad document, None for a good one."""


@pytest.fixture(scope="module", params=["py", "rs"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let everything that asks for a checker get this engine's; each document's is made once."""
    forms = (intake._form, results._form)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "fast_installed", lambda: request.param == "rs")
        patch.setattr(validate, "document", cache(validate.document))
        for form in forms:
            form.cache_clear()
        yield request.param
    for form in forms:
        form.cache_clear()


def parsed(fault_of: Callable[[Any], Invalid | None]) -> Callable[[bytes], TaskdirError | None]:
    """Make a judge of values one of bytes."""
    return lambda data: fault_of(strictjson.loads(data))


def contract_fault(value: Any) -> Invalid | None:
    """Judge a contract, and compile what is said to be good."""
    fault = contracts.check_document(value)
    if fault is None:
        contracts.compile_contract("vector", "0" * 64, value)
    return fault


def settings_fault(data: bytes) -> TaskdirError | None:
    try:
        settings.parse(data, "taskdir.json")
    except ConfigError as fault:
        return fault
    return None


def by_schema(name: str) -> Callable[[bytes], TaskdirError | None]:
    """Make a judge for a document of which nobody but its schema judges."""
    return parsed(lambda value: validate.document(name).check(value))


JUDGES: dict[str, Callable[[bytes], TaskdirError | None]] = {
    "message": parsed(intake.form_fault),
    "result": parsed(lambda value: results.check(value, None)),
    "contract": parsed(contract_fault),
    "settings": settings_fault,
    **{name: by_schema(name) for name in ("offer", "record", "reason", "state", "event")},
}


def content(test: dict[str, Any]) -> bytes:
    if "bytes_hex" in test:
        return bytes.fromhex(test["bytes_hex"])
    text = test["text"] if "text" in test else json.dumps(test["data"])
    return str(text).encode()


def vectors() -> Iterator[Any]:
    for path in FILES:
        for group in json.loads(path.read_bytes()):
            for test in group["tests"]:
                name = f"{path.stem}: {group['description']}: {test['description']}"
                yield pytest.param(group["document"], test, id=name)


def verdict(document: str, data: bytes) -> Verdict:
    try:
        fault = JUDGES[document](data)
    except Invalid as error:
        fault = error
    return None if fault is None else (fault.code, fault.pointer)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_vectors_meet_their_schema(path: Path) -> None:
    schema = json.loads((VECTORS / "document-vector.schema.json").read_bytes())
    jsonschema.validate(json.loads(path.read_bytes()), schema, registry=referencing.Registry())


@pytest.mark.parametrize(("document", "test"), list(vectors()))
def test_document(engine: str, document: str, test: dict[str, Any]) -> None:
    expected = None if test["valid"] else (test["code"], test.get("pointer"))
    assert verdict(document, content(test)) == expected
