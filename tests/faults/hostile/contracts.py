"""Contracts that would hang, blow up or split the engines, or reach out of themselves (SPEC 6.3)."""

from __future__ import annotations

from typing import Any

from faults.hostile import Case, raw


def _rows(what: str, code: str, schemas: list[Any]) -> list[Case]:
    return [Case(f"{what}: {schema!r:.50}", raw({"input": schema}), code) for schema in schemas]


def _chain(length: int, width: int = 1) -> dict[str, Any]:
    """Return a schema of ``length`` references in a row, each asked for ``width`` times."""
    steps: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * width} for n in range(length)}
    return {"$ref": "#/$defs/a0", "$defs": {**steps, f"a{length}": {"type": "string"}}}


def _patterns(what: str, patterns: list[str]) -> list[Case]:
    return _rows(what, "schema-pattern", [{"pattern": each} for each in patterns])


REFS = [
    *_rows("$ref out of the schema", "schema-ref", [{"$ref": each} for each in (
        "http://127.0.0.1:1/schema.json", "https://json-schema.org/draft/2020-12/schema", "file:///etc/passwd", "//host/a", "other.json", "./a", "../a#/b",
        "urn:taskdir:v1:message", "urn:taskdir:v1:message#/$defs/task", "data:application/json,{}", "#anchor", "#%2F", "", " #/", "?#/", "a#/$defs/a", "C:\\a",
        "jar:file:///a!/b", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_FLUSHALL", "\\\\host\\share", "http://169.254.169.254/latest/meta-data/",
    )]),
    *_rows("$ref to nowhere", "schema-ref", [{"$ref": each} for each in (
        "#/", "#/$defs", "#/$defs/", "#/$defs/none", "#/%24defs/a", "#/properties/a", "#/0", "#/input", "#/../input", "#/$defs/a/b/c", "#/~2", "#//",
        "#/$ref", "#/$defs~1a", "#/type",
    )]),
    *_rows("$ref that is none", "schema-ref", [{"$ref": each} for each in (None, 1, True, [], {}, ["#"], {"$ref": "#"})]),
    *_rows("$ref into what is no schema", "schema-ref", [
        {"$ref": "#/required", "required": ["a"]}, {"$ref": "#/const", "const": 7}, {"$ref": "#/title", "title": "x"}, {"$ref": "#/enum", "enum": [{}]},
        {"$ref": "#/$defs/a", "$defs": {"a": "string"}}, {"$ref": "#/$defs/a", "$defs": {"a": None}},
    ]),
    *_rows("round in circles", "schema-ref", [
        {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"anyOf": [True, {"$ref": "#"}]}, {"not": {"$ref": "#"}}, {"if": {"$ref": "#"}}, {"then": {"$ref": "#"}, "if": True},
        {"oneOf": [{"not": {"allOf": [{"$ref": "#"}]}}]}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, True]}, "b": {"else": {"$ref": "#/$defs/a"}, "if": False}}},
        {"items": {"allOf": [{"$ref": "#/items"}]}}, {"$ref": "#/allOf/0", "allOf": [{"type": "string"}]},
    ]),
    *_rows("bombs", "schema-work", [
        _chain(1000), _chain(3000), _chain(5000), _chain(20, 2), _chain(60, 2), _chain(40, 3), _chain(200, 50), _chain(300),
        {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]},
        {"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"additionalProperties": {"$ref": "#"}}]},
        {"patternProperties": {"^a": {"$ref": "#"}, "b": {"$ref": "#"}, "c$": {"$ref": "#"}}},
        {"oneOf": [{"items": {"$ref": "#"}}, {"prefixItems": [{"$ref": "#"}]}, {"items": {"not": {"$ref": "#"}}}]},
        {"if": {"items": {"$ref": "#"}}, "then": {"items": {"$ref": "#"}}, "else": {"items": {"$ref": "#"}}},
    ]),
]  # fmt: skip

_NAMES: list[Any] = [
    {"patternProperties": {each: True}} for each in ("(a+)+", "\\w", "(?i)x", "[", "(?:a{1000}){1000}")
]
_NONE: list[Any] = [
    {"pattern": None},
    {"pattern": 1},
    {"pattern": True},
    {"pattern": []},
    {"pattern": {}},
    {"pattern": ["a"]},
]
PATTERNS = [
    *_patterns("exponential", [
        "(a+)+$", "(a*)*b", "(a|aa)+$", "(a|a?)+$", "(.*a){20}", "([a-zA-Z]+)*$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a+){10}y", "((a)+|b)*c", "(x+x+)+y",
        "^(a?){30}a{30}$", "(?:a?)*b", "(?:(?:ab)*c?)*d", "(a{1,2}){1,30}$", "(?:a|b|ab)*c", "([0-9]+,)*$", "(?:.+)+@", "((((a+)))+)b", "(a{0,}b?)+", "(()|a)+",
    ]),
    *_patterns("too large", [
        "(?:a{1000}){1000}", "(?:(?:a{100}){100}){100}", "(?:(?:(?:a{9}){9}){9}){9}{9}", "(?:[a-z]{500}){500}", "a{1001}", "a{99999999999}", "a{0,5000}",
        "a" * 1001, "(?:a{1000}b{1000}){20}", "".join(f"[a-{c}]{{1000}}" for c in "bcdefghijklmnopqrstuvwxyz") * 2,
    ]),
    *_patterns("not read alike", [
        "\\d", "\\D+", "\\w", "\\S", "\\bword", "\\Bx", "\\A", "a\\Z", "a\\z", "\\h", "\\R", "\\K", "\\1", "(a)\\1", "\\k<n>", "\\g<1>", "\\p{L}", "\\pL", "\\N", "\\x41",
        "\\u0041", "\\cA", "\\0", "\\07", "\\e", "\\a", "\\f", "\\v", "[\\d]", "[\\b]", "[^\\s]", "[a-\\d]", "\\Qa\\E", "\\<a\\>", "a\\", "[a\\",
        "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", "(?i)a", "(?i:a)", "(?s:.)", "(?x) a", "(?P<n>a)", "(?<n>a)", "(?P=n)", "(?#c)", "(?R)", "(?(1)a|b)", "(*FAIL)",
        "a++", "a*+", "a?+", "a{2}+", "a+?", "a??", "a{2}?", "a**", "a{2}{3}", "+a", "*", "?", "{1}", "a|*", "(+a)", "^*", "$+", "|+",
        "[[:alpha:]]", "[a&&b]", "[a--b]", "[a~~b]", "[a||b]", "[[a]]", "[]a]", "[^]]", "[]", "[a", "[z-a]", "a]", "a}", "{", "a{", "a{1", "a{1,2", "a{,2}", "a{b}",
        "(", ")", "(a", "a)", "(a))", "()", "(?:)", "(|)()", "é", "[é]", "\u0430", "\n\\", "a\\\n",
    ]),
    *_rows("a pattern for names", "schema-pattern", _NAMES),
    *_rows("a pattern that is none", "schema-pattern", _NONE),
]  # fmt: skip

SCHEMAS = [
    *_rows("keywords that not all share", "schema-keyword", [
        {"$dynamicRef": "#a"}, {"$dynamicAnchor": "a"}, {"$anchor": "a"}, {"$recursiveRef": "#"}, {"unevaluatedProperties": False}, {"unevaluatedItems": False},
        {"dependentSchemas": {}}, {"dependentRequired": {}}, {"dependencies": {}}, {"contains": {}}, {"minContains": 1}, {"propertyNames": {}}, {"definitions": {}},
        {"additionalItems": False}, {"contentEncoding": "base64"}, {"contentMediaType": "a/b"}, {"$vocabulary": {}}, {"extends": {}}, {"divisibleBy": 2}, {"nullable": True},
        {"Type": "string"}, {"type ": "string"}, {"x": 1}, {"": 1}, {"__proto__": {}}, {"not ": {}}, {"readOnly": True}, {"minimun": 3}, {"ref": "#"}, {"$ref ": "#"},
        {"properties": {"a": {"contains": {}}}}, {"allOf": [{"anyOf": [{"$anchor": "x"}]}]}, {"\u0442ype": "string"}, {"k" * 100_000: 1},
    ]),
    *_rows("uniqueItems without bound", "schema-keyword", [
        {"uniqueItems": True}, {"uniqueItems": True, "maxItems": 1001}, {"uniqueItems": True, "maxItems": True}, {"uniqueItems": True, "maxItems": -1},
        {"items": {"uniqueItems": True}}, {"uniqueItems": True, "maxItems": "10"}, {"uniqueItems": True, "minItems": 5}, {"uniqueItems": True, "allOf": [{"maxItems": 5}]},
    ]),
    *_rows("values of the wrong kind", "schema-invalid", [
        {"type": "str"}, {"type": None}, {"type": []}, {"type": [[]]}, {"type": {"a": 1}}, {"type": "String"}, {"type": ["string", "any"]}, {"enum": []}, {"enum": None},
        {"enum": "a"}, {"required": "a"}, {"required": [1]}, {"required": {}}, {"minLength": -1}, {"minLength": 1.5}, {"minLength": "1"}, {"maxItems": None}, {"minimum": "0"},
        {"minimum": True}, {"exclusiveMinimum": True}, {"multipleOf": 0}, {"multipleOf": -1}, {"multipleOf": 0.1}, {"properties": []}, {"properties": {"a": 1}}, {"properties": {"a": None}},
        {"patternProperties": {"a": "b"}}, {"items": [{}]}, {"items": None}, {"items": "a"}, {"prefixItems": {}}, {"prefixItems": []}, {"allOf": {}}, {"allOf": []}, {"anyOf": [1]},
        {"oneOf": [None]}, {"not": []}, {"not": None}, {"if": 1}, {"additionalProperties": "no"}, {"additionalProperties": 0}, {"$defs": []}, {"$defs": {"a": 1}}, {"uniqueItems": "yes"},
        {"$schema": "http://json-schema.org/draft-07/schema#"}, {"$schema": 1}, {"minProperties": []}, {"maxLength": {}},
    ]),
]  # fmt: skip

_WRONG: list[Any] = [
    [], b'"echo"', 1, None, True, [{}], {"input": None}, {"input": "string"}, {"input": []}, {"output": 0}, {"output": [True]}, {"description": 1}, {"description": None},
    {"$schema": {}},
]  # fmt: skip
_UNKNOWN: list[Any] = [
    {"inputs": {}}, {"Input": {}}, {"type": "echo"}, {"": 1}, {"default": {}}, {"x": 1}, {"inptu": True}, {"kind": "contract"}, {"schema": {}}, {"id": "echo"},
]  # fmt: skip
_DEFAULTS: list[Any] = [
    [], None, {"priority": 10}, {"priority": "5"}, {"queue": "Q"}, {"max_attempts": 0}, {"lease_seconds": 0.5}, {"timeout_seconds": 1e9}, {"backoff_seconds": -1},
    {"type": "x"}, {"id": "x"}, {"input": {}}, {"after": []}, {"kind": "cancel"}, {"not_before": "2026-01-01T00:00:00Z"},
]  # fmt: skip
_ROWS: list[tuple[Any, str]] = [
    *[(value, "wrong-type") for value in _WRONG],
    *[(value, "unknown-field") for value in _UNKNOWN],
    *[({"defaults": value}, "contract-default") for value in _DEFAULTS],
    (b"", "json-syntax"), (b"{", "json-syntax"), (b"\xff", "json-encoding"), (b"\xef\xbb\xbf{}", "json-encoding"), (b'{"input": {}, "input": true}', "json-duplicate-key"),
    (b'{"input": {"const": NaN}}', "json-number"), (b'{"input": {"enum": [1e999]}}', "json-number"), (b'{"input": ' + b'{"not": ' * 33 + b"true" + b"}" * 34, "json-depth"),
    (b'{"input": {"const": "\\ud800"}}', "json-surrogate"), (b'{"description": "' + b"a" * 300_000 + b'"}', "too-large"),
]  # fmt: skip
SHAPES: list[Case] = [Case(f"a contract: {value!r:.40}", raw(value), code) for value, code in _ROWS]
CASES: list[Case] = REFS + PATTERNS + SCHEMAS + SHAPES
