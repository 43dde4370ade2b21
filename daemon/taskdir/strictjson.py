"""JSON read strictly, as I-JSON (RFC 7493) with bounds (SPEC section 6.1). The only JSON reader and writer of taskdir.

``loads`` refuses what other readers would take differently: duplicate keys, NaN, huge numbers, lone surrogates, a BOM,
deep nesting. Each refusal has its own rule code. ``dumps`` writes compact ASCII on one line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from json import encoder

from taskdir.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
# An unterminated string runs to the end of the text, so that the scan stays linear on rubbish.
_BRACKETS = rb'(?s)"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]'
_STRINGS = rb'(?s)"(?:[^"\\]|\\.)*+"?'
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = r"[\ud800-\udfff]"


def _writer(*, sort: bool) -> Callable[[object], str]:
    """Return a function that writes JSON: the standard library's, without making its C encoder anew for each value."""
    slow = json.JSONEncoder(separators=(",", ":"), sort_keys=sort, allow_nan=False)
    make: Any = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return slow.encode
    write = make(None, slow.default, encoder.encode_basestring_ascii, None, ":", ",", sort, False, False)
    return lambda value: "".join(write(value, 0))


_line, _sorted = _writer(sort=False), _writer(sort=True)
_string = encoder.encode_basestring


def dumps(value: object) -> str:
    """Write a JSON value as one line of ASCII without spaces."""
    return _line(value)


def canonical(value: object) -> bytes:
    """Write a JSON value with sorted keys: the bytes that are hashed for a value that has no file of its own."""
    return _sorted(value).encode()


def pretty(value: object) -> bytes:
    """Write a JSON value for a file that people read: a space a level, UTF-8, newline at the end (SPEC section 6)."""
    return (_indented(value, "\n") + "\n").encode()


def _indented(value: object, line: str) -> str:
    """Write as the standard library does with indent=1, which goes its slow way for that."""
    if isinstance(value, str):
        return _string(value)
    inner = line + " "
    if isinstance(value, dict) and value:
        members = [f"{inner}{_string(name)}: {_indented(member, inner)}" for name, member in value.items()]
        return "{" + ",".join(members) + line + "}"
    if isinstance(value, list) and value:
        return "[" + ",".join([inner + _indented(member, inner) for member in value]) + line + "]"
    return _line(value)


def loads(data: bytes, depth: int = MAX_DEPTH) -> Any:
    """Read one JSON document of at most ``depth`` levels. Raises Invalid with a ``json-…`` code, line and column."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid("json-encoding", f"byte {error.start} is not UTF-8", hint="write the file as UTF-8") from None
    if text.startswith("\ufeff"):
        raise Invalid("json-encoding", "the file starts with a byte order mark", hint="save it as UTF-8 without BOM")
    _check_depth(data, depth)
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Invalid("json-syntax", f"not complete, well-formed JSON: {error.msg} at {where}") from None
    if "\\u" in text and _has_surrogate(value):
        raise Invalid("json-surrogate", "a string holds half of a surrogate pair", hint="write whole characters")
    return value


def _decode(text: str) -> Any:
    """Decode by the scanner itself, which spares looking for white space; what is not one value is told by the rest."""
    try:
        value, end = _DECODER.scan_once(text, 0)
    except StopIteration:
        return _DECODER.decode(text)
    return _DECODER.decode(text) if text[end:].strip(" \t\n\r") else value


def _check_depth(data: bytes, most: int) -> None:
    """Refuse nesting deeper than ``most`` before the recursive parser sees it."""
    if data.count(b"[") + data.count(b"{") <= most or _is_flat(data, most):
        return
    depth = 0
    for match in re.finditer(_BRACKETS, data):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > most:
                raise Invalid("json-depth", f"nested deeper than {most} levels", hint="flatten the document")
        elif token in (b"]", b"}"):
            depth -= 1


def _is_flat(data: bytes, most: int) -> bool:
    """Say whether the brackets go away in pairs, innermost first, in ``most`` rounds: fast, and no for rubbish."""
    left = re.sub(_STRINGS, b"", data).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(most):
        if not left:
            break
        left = left.replace(b"[]", b"")
    return not left


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Invalid(
            "json-duplicate-key", f"the key {twice[:64]!a} stands twice in one object", hint="keep one of them"
        )
    return found


def _number(why: str) -> Invalid:
    return Invalid("json-number", why, expected="a finite number, integers up to 2^53-1", hint="send it as a string")


def _integer(text: str) -> int:
    if len(text) > 15 and (len(text) > 17 or abs(int(text)) > MAX_INTEGER):
        raise _number("an integer is beyond 2^53-1, so other readers would round it")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _number("a number is too large for a double")
    return value


def _constant(text: str) -> float:
    raise _number(f"{text} is not JSON")


def _has_surrogate(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if re.search(_SURROGATE, item):
                return True
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


_DECODER: Any = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
