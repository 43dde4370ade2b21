"""The subset of JSON Schema 2020-12 that all engines and editors share, checked for contracts (SPEC section 6.3).

Local ``$ref`` only, no remote anything, patterns from a safe list, ``uniqueItems`` only on short arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskdir import patterns
from taskdir.errors import Invalid

_NOTES = frozenset({"title", "description", "default", "examples", "format", "$comment", "deprecated"})
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_LIMITS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_ONE = frozenset({"items", "additionalProperties", "not", "if", "then", "else"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"properties", "patternProperties", "$defs"})
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_UNIQUE_LIMIT = 1000
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def lint(schema: Any, pointer: str = "") -> Invalid | None:
    """Return the first thing wrong with a schema, None when every engine can use it. ``pointer`` is where it stands."""
    return next(_problems(schema, schema, pointer), None)


def _problems(schema: Any, whole: Any, at: str) -> Iterator[Invalid]:
    if isinstance(schema, dict):
        yield from _object(schema, whole, at)
    elif not isinstance(schema, bool):
        yield Invalid("schema-invalid", "a schema is an object, true or false", pointer=at)


def _object(schema: dict[str, Any], whole: Any, at: str) -> Iterator[Invalid]:
    if schema.get("uniqueItems") is True and not _is_count(schema.get("maxItems"), _UNIQUE_LIMIT):
        yield Invalid(
            "schema-keyword",
            "uniqueItems without a small maxItems takes quadratic time",
            pointer=f"{at}/uniqueItems",
            expected=f"maxItems of at most {_UNIQUE_LIMIT} beside it",
        )
    for keyword, value in schema.items():
        yield from _keyword(keyword, value, whole, f"{at}/{keyword.replace('~', '~0').replace('/', '~1')}")


def _keyword(keyword: str, value: Any, whole: Any, at: str) -> Iterator[Invalid]:
    if keyword in _ONE:
        yield from _problems(value, whole, at)
    elif keyword in _LISTS:
        if not isinstance(value, list) or not value:
            yield _wrong(at, "a list of schemas")
        else:
            for number, item in enumerate(value):
                yield from _problems(item, whole, f"{at}/{number}")
    elif keyword in _MAPS:
        yield from _map(keyword, value, whole, at)
    elif keyword == "$ref":
        yield from _ref(value, whole, at)
    elif keyword == "pattern":
        yield from _pattern(value, at)
    elif keyword in _NOTES or keyword.startswith("x-"):
        return
    elif keyword in _PLAIN:
        expected, good = _PLAIN[keyword]
        if not good(value):
            yield _wrong(at, expected)
    else:
        yield Invalid(
            "schema-keyword",
            f"the keyword {keyword[:64]!a} is outside the subset that all engines share",
            pointer=at,
            hint="see SPEC section 6.3 for the keywords that contracts may use",
        )


def _map(keyword: str, value: Any, whole: Any, at: str) -> Iterator[Invalid]:
    if not isinstance(value, dict):
        yield _wrong(at, "an object of schemas")
    else:
        for name, item in value.items():
            below = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            if keyword == "patternProperties":
                yield from _pattern(name, below)
            yield from _problems(item, whole, below)


def _ref(value: Any, whole: Any, at: str) -> Iterator[Invalid]:
    if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
        yield Invalid("schema-ref", "$ref leads outside this schema", pointer=at, expected='"#/…", into this schema')
    elif not isinstance(place := _target(value, whole), dict | bool):
        yield Invalid("schema-ref", "$ref leads nowhere", pointer=at, expected="a place that exists, such as #/$defs/…")
    elif _returns(place, whole, {value}):
        expected = "a $ref that goes down into the value on its way round"
        yield Invalid("schema-ref", "$ref leads back to itself without end", pointer=at, expected=expected)


def _target(ref: str, whole: Any) -> Any:
    place = whole
    for part in ref.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _returns(schema: Any, whole: Any, passed: set[str]) -> bool:
    """Say whether a schema leads back to a $ref in ``passed`` without going down into the value."""
    if not isinstance(schema, dict):
        return False
    ref = schema.get("$ref")
    if isinstance(ref, str) and (ref in passed or _returns(_target(ref, whole), whole, passed | {ref})):
        return True
    found = [schema[keyword] for keyword in _IN_PLACE if keyword in schema]
    parts = [part for each in found for part in (each if isinstance(each, list) else [each])]
    return any(_returns(part, whole, passed) for part in parts)


def _pattern(value: Any, at: str) -> Iterator[Invalid]:
    why = patterns.problem(value) if isinstance(value, str) else "not a string"
    if why:
        yield Invalid(
            "schema-pattern", f"the pattern uses {why}", pointer=at, hint="see SPEC section 6.3 for safe patterns"
        )


def _wrong(at: str, expected: str) -> Invalid:
    return Invalid("schema-invalid", "the keyword has a value of the wrong kind", pointer=at, expected=expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any, limit: int = 2**53) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit


def _is_type(value: Any) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in _TYPES for kind in kinds)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_PLAIN: dict[str, tuple[str, Any]] = {
    "type": ("a JSON type or a list of them", _is_type),
    "enum": ("a list of values", lambda value: isinstance(value, list) and bool(value)),
    "const": ("any value", lambda value: True),
    "$schema": (_DIALECT, lambda value: value == _DIALECT),
    "required": ("a list of member names", _is_names),
    "uniqueItems": ("true or false", lambda value: isinstance(value, bool)),
    "multipleOf": ("a whole number above 0", lambda value: _is_count(value) and value > 0),
    **dict.fromkeys(_COUNTS, ("a whole number of at least 0", _is_count)),
    **dict.fromkeys(_LIMITS, ("a number", _is_number)),
}
