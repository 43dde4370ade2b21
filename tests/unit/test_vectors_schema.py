"""The schemas, the rules and the vectors hold together, and two JSON Schema engines give one verdict.

Only the schemas are under test here, no code of taskdir: what the engines say must be what the vectors say.
Rules that no schema expresses (strict JSON, the lint of contracts) show in the vectors by their codes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
import referencing

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schemas" / "v1"
VECTORS = ROOT / "tests" / "conformance" / "vectors"
DOCUMENTS = ("settings", "contract", "message", "offer", "result", "record", "reason", "state", "event", "checkpoint")

BEYOND = {"schema-invalid", "schema-keyword", "schema-ref", "schema-work", "schema-pattern"}
"""Rules that our schemas leave to code, the lint of contracts above all: they take such a document."""

KEYWORDS = {
    *("$schema", "$id", "$ref", "$defs", "title", "description", "default"),
    *("type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "pattern"),
    *("items", "minItems", "maxItems", "uniqueItems"),
    *("properties", "patternProperties", "additionalProperties", "required", "minProperties"),
    *("allOf", "oneOf", "if", "then", "else"),
}
"""What our own schemas may use: read alike by every engine and editor."""

Json = Any
Engine = Callable[[Json], bool]


def load(path: Path) -> Json:
    return json.loads(path.read_bytes())


def with_jsonschema(schema: Json) -> Engine:
    return jsonschema.Draft202012Validator(schema, registry=referencing.Registry()).is_valid


def with_jsonschema_rs(schema: Json) -> Engine:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=False, offline=True).is_valid


def both(schema: Json) -> dict[str, Engine]:
    return {"jsonschema": with_jsonschema(schema), "jsonschema_rs": with_jsonschema_rs(schema)}


def verdicts(engines: dict[str, Engine], value: Json) -> dict[str, bool]:
    return {name: is_valid(value) for name, is_valid in engines.items()}


def agreed(verdict: bool) -> dict[str, bool]:
    return {"jsonschema": verdict, "jsonschema_rs": verdict}


SCHEMA_FILES = sorted([*SCHEMAS.glob("*.schema.json"), *VECTORS.glob("*.schema.json")])
ENGINES = {name: both(load(SCHEMAS / f"{name}.schema.json")) for name in DOCUMENTS}
VECTOR_FILES = sorted(VECTORS.glob("documents/*.json"))
RULES = load(SCHEMAS / "rules.json")["rules"]
CODES = {rule["code"] for rule in RULES}


def document_tests() -> Iterator[tuple[str, Json, Json]]:
    for path in VECTOR_FILES:
        for group in load(path):
            for test in group["tests"]:
                yield path.stem, group, test


def readable() -> Iterator[Any]:
    """Yield (document, value, verdict of the schema alone) of each vector that any JSON parser can read."""
    for document, group, test in document_tests():
        code = test.get("code", "")
        if not code.startswith("json-"):
            name = f"{document}: {group['description']}: {test['description']}"
            yield pytest.param(document, content(test), test["valid"] or code in BEYOND, id=name)


def content(test: Json) -> Json:
    if "data" in test:
        return test["data"]
    return json.loads(test["text"] if "text" in test else bytes.fromhex(test["bytes_hex"]))


def faults(document: str, value: Json) -> set[tuple[str, str]]:
    """Return each place that fails with the keyword that fails there, according to jsonschema."""
    schema = load(SCHEMAS / f"{document}.schema.json")
    errors = jsonschema.Draft202012Validator(schema, registry=referencing.Registry()).iter_errors(value)
    return {("/".join(map(str, error.absolute_path)), str(error.validator)) for error in errors}


def subschemas(schema: Json, place: str = "#") -> Iterator[tuple[str, Json]]:
    """Yield every schema object in a schema, with its place."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties", "$defs"):
            for name, item in value.items():
                yield from subschemas(item, f"{place}/{keyword}/{name}")
        elif keyword in ("allOf", "oneOf"):
            for number, item in enumerate(value):
                yield from subschemas(item, f"{place}/{keyword}/{number}")
        elif keyword in ("items", "additionalProperties", "if", "then", "else"):
            yield from subschemas(value, f"{place}/{keyword}")


def resolve(schema: Json, ref: str) -> Json:
    for part in ref.split("/")[1:]:
        schema = schema[part]
    return schema


# --- the schemas themselves


@pytest.mark.parametrize("path", SCHEMA_FILES, ids=lambda path: path.name)
def test_schema_meets_the_meta_schema(path: Path) -> None:
    schema = load(path)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema_rs.meta.is_valid(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:taskdir:v1:{path.name.removesuffix('.schema.json')}"
    assert schema["title"]
    assert schema["description"].endswith(".")


@pytest.mark.parametrize("path", SCHEMA_FILES, ids=lambda path: path.name)
def test_schema_uses_what_all_engines_share(path: Path) -> None:
    schema = load(path)
    for place, part in subschemas(schema):
        assert set(part) <= KEYWORDS, place
        if "$ref" in part and not part["$ref"].startswith("urn:taskdir:"):  # one vector schema builds on another
            assert part["$ref"].startswith("#/"), place
            assert resolve(schema, part["$ref"]), place
        for pattern in [part.get("pattern", "^x-"), *part.get("patternProperties", {})]:
            assert pattern.startswith("^"), f"{place}: a pattern that may match anywhere"
            assert pattern in ("^x-", "^json-") or pattern.endswith(r"$(?!\n)"), f"{place}: open at its end"
            assert not any(escape in pattern for escape in (r"\d", r"\w", r"\s", r"\b", r"\p")), place


@pytest.mark.parametrize("path", SCHEMA_FILES, ids=lambda path: path.name)
def test_an_editor_finds_help_for_every_field(path: Path) -> None:
    schema = load(path)
    conditions = ("/if", "/then", "/else")
    for place, part in subschemas(schema):
        if place.endswith(conditions):
            continue
        for name, field in part.get("properties", {}).items():
            # true: named here only to be allowed, described at the top
            found = schema["properties"][name] if field is True else field
            shown = found if "description" in found else resolve(schema, found.get("$ref", ""))
            assert shown["description"].endswith("."), f"{place}/{name}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_defaults_are_values_that_the_schema_takes(name: str) -> None:
    for place, part in subschemas(load(SCHEMAS / f"{name}.schema.json")):
        if "default" in part:
            assert verdicts(both(part), part["default"]) == agreed(True), place


def test_one_definition_of_a_finished_task_and_of_a_reason() -> None:
    event, record, reason = (load(SCHEMAS / f"{name}.schema.json") for name in ("event", "record", "reason"))
    assert event["$defs"]["task"] == record["$defs"]["task"]
    assert event["$defs"]["reason"]["properties"] == reason["properties"]
    assert event["$defs"]["reason"]["required"] == reason["required"]


def test_every_event_has_its_own_fields() -> None:
    schema = load(SCHEMAS / "event.schema.json")
    named = schema["properties"]["event"]["enum"]
    chosen = {part["if"]["properties"]["event"]["const"]: part["then"]["$ref"] for part in schema["allOf"]}
    assert chosen == {event: f"#/$defs/{event}" for event in named}


# --- rules and vectors


def test_rules_meet_their_schema() -> None:
    assert verdicts(both(load(SCHEMAS / "rules.schema.json")), {"rules": RULES}) == agreed(True)
    assert len(CODES) == len(RULES), "a code stands twice"


@pytest.mark.parametrize("path", VECTOR_FILES, ids=lambda path: path.name)
def test_document_vectors_meet_their_schema(path: Path) -> None:
    groups = load(path)
    assert verdicts(both(load(VECTORS / "document-vector.schema.json")), groups) == agreed(True)
    assert {group["document"] for group in groups} == {path.stem}
    for group in groups:
        said = [test["description"] for test in group["tests"]]
        assert len(set(said)) == len(said), group["description"]


def test_name_vectors_meet_their_schema() -> None:
    groups = load(VECTORS / "names" / "names.json")
    assert verdicts(both(load(VECTORS / "name-vector.schema.json")), groups) == agreed(True)


def test_every_document_has_vectors_and_there_are_enough() -> None:
    assert {path.stem for path in VECTOR_FILES} == set(DOCUMENTS)
    assert sum(1 for _ in document_tests()) >= 250


def test_codes_of_vectors_are_rules() -> None:
    assert {test["code"] for _, _, test in document_tests() if "code" in test} <= CODES


# --- the verdicts


@pytest.mark.parametrize(("document", "value", "verdict"), list(readable()))
def test_schema_gives_the_verdict(document: str, value: Json, verdict: bool) -> None:
    assert verdicts(ENGINES[document], value) == agreed(verdict)
    if not verdict:
        assert len(faults(document, value)) == 1, "a bad vector breaks one rule, in one place"


@pytest.mark.parametrize("kind", ["task", "batch", "cancel", "state", "note"])
def test_part_of_the_message_schema_gives_the_same_verdict(kind: str) -> None:
    """The daemon picks the definition by kind; editors use the whole schema."""
    part = both({"$ref": f"#/$defs/{kind}", "$defs": load(SCHEMAS / "message.schema.json")["$defs"]})
    values = [case.values for case in readable() if case.values[0] == "message"]
    chosen = [
        (value, verdict)
        for _, value, verdict in values
        if isinstance(value, dict) and value.get("kind", "task") == kind
    ]
    assert len(chosen) > 10
    for value, verdict in chosen:
        assert verdicts(part, value) == agreed(verdict), value


def numbered(count: int) -> list[str]:
    return [f"id-{number}" for number in range(count)]


NOTE = {"kind": "note", "message": "x"}
REASON = {"code": "late", "message": "x", "file": "x"}
LONG = [
    pytest.param("message", lambda n: NOTE | {"message": "x" * n}, 65536, id="note.message"),
    pytest.param("message", lambda n: {"type": "echo", "after": numbered(n)}, 10_000, id="task.after"),
    pytest.param("message", lambda n: {"type": "echo", "resources": numbered(n)}, 1000, id="task.resources"),
    pytest.param("settings", lambda n: {"protocol": 1, "queues": numbered(n)}, 10_000, id="settings.queues"),
    pytest.param("contract", lambda n: {"description": "x" * n}, 65536, id="contract.description"),
    pytest.param("reason", lambda n: REASON | {"file": "x" * n}, 4096, id="reason.file"),
]


@pytest.mark.parametrize(("document", "make", "longest"), LONG)
def test_limits_too_long_for_a_vector(document: str, make: Callable[[int], Json], longest: int) -> None:
    assert verdicts(ENGINES[document], make(longest)) == agreed(True)
    assert verdicts(ENGINES[document], make(longest + 1)) == agreed(False)


def test_largest_batch() -> None:
    """jsonschema takes seconds for 100,000 members, so it sees the bound without the members' schema."""
    batch = load(SCHEMAS / "message.schema.json")["$defs"]["batch"]["properties"]["messages"]
    count = batch["maxItems"]
    bound = with_jsonschema({name: value for name, value in batch.items() if name != "items"})
    members = [{"id": name, "type": "echo"} for name in numbered(count + 1)]
    for messages, verdict in ((members[:count], True), (members, False)):
        assert ENGINES["message"]["jsonschema_rs"]({"kind": "batch", "messages": messages}) is verdict
        assert bound(messages) is verdict


def test_a_list_of_objects_for_ids_is_refused_without_comparing_each_pair() -> None:
    """Unguarded, uniqueItems compares each with each: 30,000 objects would hold the daemon up for minutes."""
    value = {"type": "echo", "after": [{"a": number} for number in range(30_000)]}
    assert verdicts(ENGINES["message"], value) == agreed(False)
