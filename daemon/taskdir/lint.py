"""The subset of JSON Schema 2020-12 that all engines and editors share, checked for contracts (SPEC section 6.3).

Local ``$ref`` only, no remote anything, patterns from a safe list, ``uniqueItems`` only on short arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from taskdir import patterns
from taskdir.errors import Invalid
from taskdir.strictjson import MAX_DEPTH

_NOTES = frozenset({"title", "description", "default", "examples", "format", "$comment", "deprecated"})
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_LIMITS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
ONE = frozenset({"items", "additionalProperties", "not", "if", "then", "else"})
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
MAPS = frozenset({"properties", "patternProperties", "$defs"})
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_UNIQUE_LIMIT = 1000
_MOST_PLACES = 1000
_MOST_STEPS = 10_000
_LONGEST_ROW = 200
"""The engine in Python takes two to four calls a step, and may make a thousand."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def lint(schema: Any, pointer: str = "") -> Invalid | None:
    """Return the first thing wrong with a schema, None when every engine can use it. ``pointer`` is where it stands."""
    fault = next(_problems(schema, schema, pointer), None)
    if fault is None:
        try:
            _Work(schema).of(schema)
        except OverflowError:
            return _too_much(pointer)
    return fault


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
    if keyword in ONE:
        yield from _problems(value, whole, at)
    elif keyword in LISTS:
        if not isinstance(value, list) or not value:
            yield _wrong(at, "a list of schemas")
        else:
            for number, item in enumerate(value):
                yield from _problems(item, whole, f"{at}/{number}")
    elif keyword in MAPS:
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
    elif (around := _returns(place, whole)) is None:
        yield _too_much(at)
    elif around:
        expected = "a $ref that goes down into the value on its way round"
        yield Invalid("schema-ref", "$ref leads back to itself without end", pointer=at, expected=expected)


def _target(ref: str, whole: Any) -> Any:
    """Return what a $ref names, None where no schema can stand: what lies in a const or a remark is not looked at."""
    place, in_map = whole, False
    for part in ref.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or not (in_map or name in ONE or name in MAPS):
            return None
        place, in_map = place.get(name), not in_map and name in MAPS
    return None if in_map else place


def _returns(place: Any, whole: Any) -> bool | None:
    """Say whether a way leads from ``place`` back to where it was without going down into the value; None if the ways
    are too many to tell."""
    done: set[int] = set()
    path = {id(place)}
    stack = [(place, iter(_in_place(place, whole)))]
    while stack:
        here, rest = stack[-1]
        part = next(rest, None)
        if part is None:
            stack.pop()
            path.discard(id(here))
            done.add(id(here))
        elif id(part) in path:
            return True
        elif id(part) not in done:
            path.add(id(part))
            stack.append((part, iter(_in_place(part, whole))))
        if len(path) + len(done) > _MOST_PLACES:
            return None
    return False


def _in_place(schema: Any, whole: Any) -> list[dict[str, Any]]:
    """Return the schemas that the same value must be held against, true and false aside."""
    if not isinstance(schema, dict):
        return []
    found = [_target(schema["$ref"], whole)] if isinstance(schema.get("$ref"), str) else []
    for keyword in _IN_PLACE:
        value = schema.get(keyword)
        found += value if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, dict)]


class _Work:
    """Counts how often a schema can be asked about one value, which references multiply (SPEC section 6.3).

    The members of an object and the items of an array are values of their own: of those that exclude each other, the
    one that asks most counts. A value is at most as deep as a document may be.
    """

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self._known: dict[tuple[int, int], tuple[int, int]] = {}

    def of(self, schema: Any, level: int = MAX_DEPTH, behind: int = 0) -> tuple[int, int]:
        """Return how many steps a value takes, and how many of them in a row. Raises OverflowError: too many."""
        if not isinstance(schema, dict):
            return 1, 1
        steps, row = self._known.get((id(schema), level)) or self._count(schema, level, behind + 1)
        if steps > _MOST_STEPS or behind + row > _LONGEST_ROW:
            raise OverflowError
        self._known[id(schema), level] = steps, row
        return steps, row

    def _count(self, schema: dict[str, Any], level: int, behind: int) -> tuple[int, int]:
        if behind > _LONGEST_ROW:
            raise OverflowError
        here = [self.of(part, level, behind) for part in _in_place(schema, self._whole)]
        below = [self._below(schema, level - 1, behind)] if level else []
        return 1 + sum(steps for steps, _ in here + below), 1 + max((row for _, row in here + below), default=0)

    def _below(self, schema: dict[str, Any], level: int, behind: int) -> tuple[int, int]:
        def ask(parts: Iterable[Any]) -> list[tuple[int, int]]:
            return [self.of(part, level, behind) for part in parts]

        named, own = ask(schema.get("properties", {}).values()), ask(schema.get("patternProperties", {}).values())
        other = ask(schema[name] for name in ("additionalProperties", "items") if name in schema)
        other += ask(schema.get("prefixItems", []))
        one = max((steps for steps, _ in named), default=0) + sum(steps for steps, _ in own)
        steps = max([one, *(steps for steps, _ in other)])
        return steps, max((row for _, row in named + own + other), default=0)


def _too_much(at: str) -> Invalid:
    return Invalid(
        "schema-work",
        "one value could be asked about in more steps than anybody has time for",
        pointer=at,
        expected=f"at most {_MOST_STEPS:,} steps for a value, and {_LONGEST_ROW} in a row",
        hint="let only one of several alternatives go round by $ref, and shorten chains of $ref",
    )


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
