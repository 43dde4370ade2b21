"""The subset of JSON Schema for contracts: each kind of keyword, good and bad, and where the fault is said to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskdir import validate
from taskdir.errors import Invalid
from taskdir.lint import lint

TREE = {
    "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}, "a/b~c": {}}}},
    "$ref": "#/$defs/node",
}


def chain(length: int, width: int = 1) -> dict[str, Any]:
    """Return a schema of so many references in a row, each asked for so many times."""
    steps: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * width} for n in range(length)}
    return {"$ref": "#/$defs/a0", "$defs": {**steps, f"a{length}": {"type": "string"}}}


GOOD: list[Any] = [
    chain(90),
    chain(5, 5),
    {"properties": {name: {"$ref": "#"} for name in "abcdefgh"}, "items": {"$ref": "#"}},
    {"prefixItems": [{"$ref": "#"}] * 5, "items": {"$ref": "#"}},
    {"$ref": "#/items/properties/a", "items": {"properties": {"a": True}}},
    True,
    False,
    {},
    TREE,
    {"type": "object"},
    {"type": ["string", "null"]},
    {"enum": [1], "const": None, "title": "t", "x-mine": {"type": 5}, "format": "uri", "default": {"$ref": "http://x"}},
    {"required": ["a"], "properties": {"a": {"type": "integer"}, "$ref": {}}, "additionalProperties": False},
    {"patternProperties": {"^x-": {}}, "minProperties": 0, "maxProperties": 2**53},
    {"items": {"minLength": 1, "pattern": "^a$"}, "prefixItems": [True], "uniqueItems": True, "maxItems": 1000},
    {"uniqueItems": False},
    {"minimum": -1.5, "exclusiveMaximum": 2, "multipleOf": 3},
    {"allOf": [{}], "anyOf": [{}, False], "oneOf": [{}], "not": {}, "if": {}, "then": {}, "else": {}},
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"down": {"$ref": "#"}}},
    {"$defs": {"a/b": {"$defs": {"c~d": True}}}, "$ref": "#/$defs/a~1b/$defs/c~0d"},
]
BAD: list[tuple[Any, str, str]] = [
    (5, "schema-invalid", ""),
    ({"items": "string"}, "schema-invalid", "/items"),
    ({"allOf": []}, "schema-invalid", "/allOf"),
    ({"anyOf": {}}, "schema-invalid", "/anyOf"),
    ({"oneOf": [{}, 1]}, "schema-invalid", "/oneOf/1"),
    ({"properties": []}, "schema-invalid", "/properties"),
    ({"properties": {"a/b~c": 1}}, "schema-invalid", "/properties/a~1b~0c"),
    ({"$defs": {"x": {"type": "text"}}}, "schema-invalid", "/$defs/x/type"),
    ({"type": []}, "schema-invalid", "/type"),
    ({"type": ["string", 1]}, "schema-invalid", "/type"),
    ({"enum": []}, "schema-invalid", "/enum"),
    ({"enum": {}}, "schema-invalid", "/enum"),
    ({"required": "a"}, "schema-invalid", "/required"),
    ({"required": [1]}, "schema-invalid", "/required"),
    ({"minLength": -1}, "schema-invalid", "/minLength"),
    ({"maxItems": 1.5}, "schema-invalid", "/maxItems"),
    ({"maxItems": True}, "schema-invalid", "/maxItems"),
    ({"minimum": "1"}, "schema-invalid", "/minimum"),
    ({"maximum": True}, "schema-invalid", "/maximum"),
    ({"multipleOf": 0}, "schema-invalid", "/multipleOf"),
    ({"multipleOf": 0.1}, "schema-invalid", "/multipleOf"),
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, "schema-invalid", "/$schema"),
    ({"uniqueItems": "yes"}, "schema-invalid", "/uniqueItems"),
    ({"uniqueItems": True}, "schema-keyword", "/uniqueItems"),
    ({"uniqueItems": True, "maxItems": 1001}, "schema-keyword", "/uniqueItems"),
    ({"unevaluatedProperties": False}, "schema-keyword", "/unevaluatedProperties"),
    ({"a/b": 1}, "schema-keyword", "/a~1b"),
    ({"pattern": "(a+)+"}, "schema-pattern", "/pattern"),
    ({"pattern": 5}, "schema-pattern", "/pattern"),
    ({"patternProperties": {r"\d/": {}}}, "schema-pattern", r"/patternProperties/\d~1"),
    ({"$ref": 5}, "schema-ref", "/$ref"),
    ({"$ref": "http://example.org/x"}, "schema-ref", "/$ref"),
    ({"$ref": "other.json#/x"}, "schema-ref", "/$ref"),
    ({"$ref": "#anchor"}, "schema-ref", "/$ref"),
    ({"$ref": "#/$defs/none"}, "schema-ref", "/$ref"),
    ({"allOf": [{}], "$ref": "#/allOf/0"}, "schema-ref", "/$ref"),
    ({"title": "t", "$ref": "#/title"}, "schema-ref", "/$ref"),
    ({"$ref": "#"}, "schema-ref", "/$ref"),
    ({"not": {"$ref": "#"}}, "schema-ref", "/not/$ref"),
    ({"$ref": "#/default", "default": {}}, "schema-ref", "/$ref"),
    ({"$ref": "#/const/a", "const": {"a": {"pattern": "(a+)+"}}}, "schema-ref", "/$ref"),
    ({"$ref": "#/$defs", "$defs": {}}, "schema-ref", "/$ref"),
    (chain(101), "schema-work", ""),
    (chain(6, 5), "schema-work", ""),
    (chain(2000), "schema-work", "/$ref"),
    ({"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}, "schema-work", ""),
    ({"patternProperties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}, "schema-work", ""),
    (
        {
            "allOf": [
                {"additionalProperties": {"$ref": "#"}},
                {"prefixItems": [{"$ref": "#"}]},
                {"properties": {"a": {"$ref": "#"}}},
            ]
        },
        "schema-work",
        "",
    ),
    (
        {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/c"}, "c": {"$ref": "#/$defs/b"}},
        },
        "schema-ref",
        "/$ref",
    ),
    ({"allOf": [{"if": {"$ref": "#"}}]}, "schema-ref", "/allOf/0/if/$ref"),
    (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [True, {"$ref": "#/$defs/a"}]}}},
        "schema-ref",
        "/$defs/a/$ref",
    ),
]


@pytest.mark.parametrize("schema", GOOD)
def test_good(schema: Any) -> None:
    assert lint(schema) is None
    validate.Checker(schema)


@pytest.mark.parametrize(("schema", "code", "pointer"), BAD)
@pytest.mark.parametrize("at", ["", "/input"])
def test_bad(schema: Any, code: str, pointer: str, at: str) -> None:
    fault = lint(schema, at)
    assert isinstance(fault, Invalid)
    assert (fault.code, fault.pointer) == (code, at + pointer)
    assert fault.message.isascii()


SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "object", "#", "#/$defs/a", "^a$", "("])
)
KEYWORDS = st.sampled_from(
    "type enum const properties required additionalProperties patternProperties minLength maxItems items prefixItems"
    " uniqueItems pattern minimum multipleOf allOf anyOf not if then else $ref $defs title a".split()
)
SCHEMAS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=4), max_leaves=12
)


def verdict(schema: Any, value: Any, engine: str) -> str:
    try:
        checker = validate.Checker(schema, engine)
    except Invalid as fault:
        return fault.code
    return "bad" if checker.check(value) else "good"


@settings(max_examples=200)
@given(st.dictionaries(KEYWORDS, SCHEMAS, max_size=3), SCALARS)
def test_what_passes_means_the_same_to_every_engine(schema: dict[str, Any], value: Any) -> None:
    """What the lint finds it returns; what it lets pass surprises no engine: a remark of the wrong type, at most."""
    if lint(schema) is None:
        assert verdict(schema, value, "rs") == verdict(schema, value, "py")
