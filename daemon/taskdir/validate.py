"""JSON Schema engines behind one verdict; only this module imports jsonschema and jsonschema-rs, and late.

With the extra ``[fast]`` jsonschema-rs does the work, else jsonschema; both give the same rule code and pointer, which
a test shows on every vector. Nothing is ever fetched: no registry, no retrieval (SPEC section 6.3).
"""

from __future__ import annotations

import copy
import difflib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from taskdir import excerpt, keywords, patterns, rules
from taskdir.errors import Invalid
from taskdir.excerpt import Place
from taskdir.lint import LISTS, MAPS, ONE

_CODES = {"type": "wrong-type", "required": "missing-field", "additionalProperties": "unknown-field"} | dict.fromkeys(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems minProperties"
    " maxProperties".split(),
    "out-of-range",
)
_ORDER = {"wrong-type": 0, "unknown-field": 1, "missing-field": 2, "out-of-range": 3, "bad-value": 4}


class Failure(NamedTuple):
    """One failed keyword: where in the document, which keyword, and the schema object that holds it."""

    place: tuple[str | int, ...]
    keyword: str
    schema: dict[str, Any]

    @property
    def code(self) -> str:
        return _CODES.get(self.keyword, "bad-value")


class Engine(Protocol):
    """What an engine offers: every failure of a value against the schema it was made for."""

    def failures(self, value: Any) -> Iterable[Failure]:
        """Yield each failed keyword, in any order."""


class Checker:
    """A schema ready for use. ``check(value)`` returns the verdict as a value, it does not raise."""

    def __init__(self, schema: Any, engine: str | None = None) -> None:
        """Compile ``schema`` for ``engine``: "rs", "py", or whichever is installed. Raises Invalid (schema-invalid)."""
        self._engine = _engine(schema, engine)

    def check(self, value: Any, pointer: str = "") -> Invalid | None:
        """Return what is wrong with ``value``, worst first, or None; ``pointer`` is where the value stands."""
        found = [(_ORDER[failure.code], _pointer(failure), failure) for failure in self._engine.failures(value)]
        if not found:
            return None
        worst = min(each[:2] for each in found)
        told = [_verdict(failure, value, pointer) for *rank, failure in found if tuple(rank) == worst]
        return min(told, key=lambda fault: fault.expected or "")


def document(name: str, part: str | None = None, engine: str | None = None) -> Checker:
    """Return a Checker for one of our own documents, or for ``#/$defs/<part>`` of it."""
    schema = rules.schema(name)
    if part is not None:
        schema = {"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]}
    return Checker(schema, engine)


def fast_installed() -> bool:
    """Say whether the faster engine is there."""
    return importlib.util.find_spec("jsonschema_rs") is not None


def _engine(schema: Any, name: str | None) -> Engine:
    if name == "rs" or (name is None and fast_installed()):
        return _Rs(schema)
    return _Py(schema)


class _Rs:
    """jsonschema-rs: compiled, linear-time patterns."""

    def __init__(self, schema: Any) -> None:
        import jsonschema_rs

        self._schema = _rewrite(copy.deepcopy(schema), patterns.for_rust)
        linear = jsonschema_rs.RegexOptions()  # its default engine takes "b" for a match of b+a?b+ (0.60)
        try:
            self._validator = jsonschema_rs.validator_for(
                _with_dialect(self._schema), offline=True, validate_formats=False, pattern_options=linear
            )
        except (ValueError, jsonschema_rs.ValidationError) as error:
            raise Invalid("schema-invalid", f"the schema cannot be used: {str(error).splitlines()[0][:200]}") from None

    def failures(self, value: Any) -> Iterable[Failure]:
        if self._validator.is_valid(value):
            return
        for error in self._errors(value):
            *path, keyword = error.schema_path
            yield Failure(tuple(error.instance_path), str(keyword), self._at(path))

    def _errors(self, value: Any) -> Iterator[Any]:
        """Yield what is wrong; of a large value, where the engine would tell all at once, what is wrong in front."""
        import jsonschema_rs

        if not excerpt.is_large(value):
            yield from self._validator.iter_errors(value)
            return
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as first:
            short, cut = excerpt.excerpt(value, list(first.instance_path))
            found = [error for error in self._validator.iter_errors(short) if not _is_of_cut(error, cut)]
            yield from [first, *found]

    def _at(self, path: list[str | int]) -> dict[str, Any]:
        place = self._schema
        for part in path:
            if isinstance(place, dict) and part not in place and "$ref" in place:
                place = _resolve(self._schema, place["$ref"])
            if part == "$ref":
                place = _resolve(self._schema, place["$ref"])
            else:
                place = place[part]
        return place if isinstance(place, dict) else {}


class _Py:
    """jsonschema: pure Python, a core dependency."""

    def __init__(self, schema: Any) -> None:
        import jsonschema
        import referencing

        rewritten = _rewrite(copy.deepcopy(schema), str)
        try:
            jsonschema.Draft202012Validator.check_schema(rewritten)
        except jsonschema.SchemaError as error:
            raise Invalid("schema-invalid", f"the schema cannot be used: {error.message[:200]}") from None
        bounded = jsonschema.validators.extend(jsonschema.Draft202012Validator, _BOUNDED)  # type: ignore[no-untyped-call]
        self._validator = bounded(rewritten, registry=referencing.Registry())

    def failures(self, value: Any) -> Iterable[Failure]:
        for error in self._errors(value):
            schema = error.schema if isinstance(error.schema, dict) else {}
            yield Failure(tuple(error.absolute_path), str(error.validator), schema)

    def _errors(self, value: Any) -> Iterator[Any]:
        """Yield what is wrong, as the other engine's namesake does."""
        if not excerpt.is_large(value):
            yield from self._validator.iter_errors(value)
        elif (first := next(self._validator.iter_errors(value), None)) is not None:
            short, cut = excerpt.excerpt(value, list(first.absolute_path))
            found = [error for error in self._validator.iter_errors(short) if not _is_of_cut(error, cut)]
            yield from [first, *found]


def _is_of_cut(error: Any, cut: set[Place]) -> bool:
    """Say whether an error comes from cutting a list: it is too short now."""
    path = tuple(error.absolute_path if hasattr(error, "absolute_path") else error.instance_path)
    return path in cut and "minItems" in (getattr(error, "validator", None), list(error.schema_path)[-1])


def _fail(failed: bool) -> Iterator[Any]:
    import jsonschema

    if failed:
        yield jsonschema.ValidationError("")


def _unique_items(validator: Any, wanted: Any, value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    """Compare items, but not where there are too many: that is an error of its own."""
    if wanted and isinstance(value, list) and len(value) <= schema.get("maxItems", len(value)):
        yield from _fail(keywords.repeats(value))


def _pattern(validator: Any, wanted: str, value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    yield from _fail(isinstance(value, str) and not keywords.matches(wanted, value))


def _pattern_properties(validator: Any, wanted: dict[str, Any], value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    for key, each in wanted.items() if isinstance(value, dict) else ():
        for name in value:
            if keywords.matches(key, name):
                yield from validator.descend(value[name], each, path=name, schema_path=key)


def _additional_properties(validator: Any, wanted: Any, value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    extra = keywords.strange(value, schema) if isinstance(value, dict) else []
    yield from _fail(wanted is False and bool(extra))
    for name in extra if isinstance(wanted, dict) else ():
        yield from validator.descend(value[name], wanted, path=name)


_BOUNDED = {
    "uniqueItems": _unique_items,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
}
"""Keywords that take more than linear time in the engine in Python."""


def _with_dialect(schema: Any) -> Any:
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | schema if isinstance(schema, dict) else schema


def _rewrite(schema: Any, translate: Callable[[str], str]) -> Any:
    """Write a schema in an engine's own words; in place, where it is no boolean.

    Every pattern gets the one meaning that SPEC section 6.3 gives it; ``false`` becomes ``{"not": {}}``, since engines
    differ in where they say that it failed.
    """
    if schema is False:
        return {"not": {}}
    if isinstance(schema, dict):
        for keyword, value in list(schema.items()):
            if keyword == "pattern" and isinstance(value, str):
                schema[keyword] = translate(value)
            elif keyword in MAPS and isinstance(value, dict):
                of_names = translate if keyword == "patternProperties" else str
                schema[keyword] = {of_names(name): _rewrite(item, translate) for name, item in value.items()}
            elif keyword in LISTS and isinstance(value, list):
                schema[keyword] = [_rewrite(item, translate) for item in value]
            elif keyword in ONE and not (keyword == "additionalProperties" and value is False):
                schema[keyword] = _rewrite(value, translate)
    return schema


def _resolve(schema: Any, ref: str) -> Any:
    place = schema
    for part in ref.split("/")[1:]:
        place = place[part.replace("~1", "/").replace("~0", "~")]
    return place


def _pointer(failure: Failure) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in failure.place)


def _verdict(failure: Failure, value: Any, pointer: str) -> Invalid:
    code, at = failure.code, pointer + _pointer(failure)
    if code == "unknown-field":
        return _unknown(failure, value, at)
    wanted = failure.schema.get(failure.keyword)
    if code == "missing-field":
        found = _find(value, failure.place)
        missing = [name for name in wanted or () if name not in found]
        return Invalid(code, f"{_where(at)} lacks {missing[0]!a}", pointer=at, expected=f"the member {missing[0]!a}")
    if failure.keyword == "pattern":
        wanted = str(wanted).replace(r"(?!\n)", "")
    told = wanted not in (None, {})
    expected = f"{failure.keyword} {str(wanted)[:200]}" if told else failure.schema.get("description")
    said = keywords.SAID.get(failure.keyword, "is not a value that is allowed here")
    return Invalid(code, f"{_where(at)} {said}", pointer=at, expected=_ascii(expected), hint=rules.hint(code))


def _unknown(failure: Failure, value: Any, at: str) -> Invalid:
    properties = failure.schema.get("properties", {})
    known = sorted(properties)
    found = _find(value, failure.place)
    name = min(keywords.strange(found, failure.schema), default="")
    near = difflib.get_close_matches(name[:64], known, n=1, cutoff=0.6)
    return Invalid(
        "unknown-field",
        f"{name[:64]!a} is no member that {_where(at)} may have",
        pointer=f"{at}/{name[:64].replace('~', '~0').replace('/', '~1')}",
        expected="one of " + ", ".join(known) if known else "no members",
        hint=f"did you mean {near[0]!a}?" if near else rules.hint("unknown-field"),
    )


def _find(value: Any, place: Iterable[str | int]) -> Any:
    for part in place:
        value = value[part]
    return value


def _where(at: str) -> str:
    return f"the value at {at[:100]}" if at else "the document"


def _ascii(text: object) -> str | None:
    return None if text is None else str(text).encode("ascii", "backslashreplace").decode()[:300]
