"""Every document vector through the code that judges such a document, with both JSON Schema engines.

The verdict is the rule code and the pointer, exactly; what the engines' own messages say does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from taskdir import intake, results, validate
from taskdir.conformance import daemon, vectors
from taskdir.conformance.own import Own


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


@pytest.mark.parametrize("path", vectors.files("documents"), ids=lambda path: path.name)
def test_vectors_meet_their_schema(path: Path) -> None:
    schema = json.loads((vectors.vectors_dir() / "document-vector.schema.json").read_bytes())
    jsonschema.validate(json.loads(path.read_bytes()), schema, registry=referencing.Registry())


@pytest.mark.parametrize(("kind", "test"), [pytest.param(*each, id=name) for name, *each in vectors.documents()])
def test_document(engine: str, kind: str, test: dict[str, Any]) -> None:
    daemon.document(Own(), kind, test)
