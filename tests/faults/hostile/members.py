"""Each member of each kind of message with values of the wrong type, out of bounds, or of the wrong form (SPEC 6.2)."""

from __future__ import annotations

from typing import Any

from faults.hostile import Case, raw

KINDS: dict[str, dict[str, Any]] = {
    "task": {"type": "echo"},
    "batch": {"kind": "batch", "messages": [{"id": "m", "type": "echo"}]},
    "cancel": {"kind": "cancel", "task": "fixed"},
    "state": {"kind": "state", "key": "plan", "value": 1},
    "note": {"kind": "note", "message": "hello"},
}
_T, _R, _V, _U, _M = "wrong-type", "out-of-range", "bad-value", "unknown-field", "missing-field"
_WORDS: list[tuple[Any, str]] = [
    (False, _T), (0.5, _T), ([], _T), ({}, _T), (["a"], _T), ("a" * 65, _V), ("a.b", _V), ("a b", _V), (".", _V), ("..", _V), ("a\\b", _V),
    ("a'; DROP TABLE tasks; --", _V), ("$(id)", _V), ("%s%n", _V), ("{0}", _V), ("a\tb", _V), ("\x1b[2J", _V), ("*", _V), ("~", _V),
]  # fmt: skip
TABLE: list[tuple[str, str, list[tuple[Any, str]]]] = [
    ("task", "type", [*_WORDS, (None, _T)]),
    ("task", "from", [*_WORDS, (None, _T)]),
    ("task", "queue", [
        (7, _T), (["default"], _T), ({}, _T), ("@", _V), ("@@a", _V), ("a@b", _V), ("@-a", _V), ("@" + "a" * 65, _V), ("default/", _V), ("@a/..", _V),
        ("Default", _V), ("defau1t", "unknown-queue"), ("ready", "unknown-queue"), ("@nobody", "unknown-agent"), ("@claimed", "unknown-agent"),
        ("@.hidden", _V), ("@default", "unknown-agent"),
    ]),
    ("task", "priority", [
        ("5", _T), (5.5, _T), (True, _T), ([], _T), (None, _T), ({}, _T), (-1, _R), (10, _R), (9007199254740991, _R), (-9007199254740991, _R), (1e300, _R),
        (0.1, _T), ("", _T),
    ]),
    ("task", "max_attempts", [("3", _T), (1.5, _T), (False, _T), (0, _R), (101, _R), (-3, _R), (1e18, _R), ([3], _T), (None, _T)]),
    ("task", "lease_seconds", [
        ("600", _T), ("PT10M", _T), (True, _T), (0, _R), (0.999, _R), (-1, _R), (604801, _R), (1e308, _R), (5e-324, _R), (None, _T), ([1], _T), ({}, _T),
    ]),
    ("task", "timeout_seconds", [("1h", _T), (0, _R), (2592001, _R), (-0.0, _R), (1e-300, _R), (None, _T), ({"s": 1}, _T), (False, _T)]),
    ("task", "backoff_seconds", [("0", _T), (-1, _R), (-1e-9, _R), (3600.1, _R), (1e308, _R), (None, _T), ([], _T)]),
    ("task", "not_before", [
        (0, _T), (1767312000, _T), (None, _T), ("", _V), ("tomorrow", _V), ("2026-01-02", _V), ("2026-01-02 04:00:00Z", _V), ("2026-01-02T04:00:00", _V),
        ("2026-01-02T04:00:00+00:00", _V), ("2026-01-02T04:00:00z", _V), ("2026-02-29T00:00:00Z", _V), ("2100-02-29T00:00:00Z", _V),
        ("2026-13-01T00:00:00Z", _V), ("2026-00-01T00:00:00Z", _V), ("2026-04-31T00:00:00Z", _V), ("2026-01-01T24:00:00Z", _V),
        ("2026-01-01T23:59:60Z", _V), ("2026-01-01T23:60:00Z", _V), ("10000-01-01T00:00:00Z", _V), ("0000-01-01T00:00:00Z", _V),
        ("-0001-01-01T00:00:00Z", _V), ("2026-1-1T0:0:0Z", _V), ("2026-01-01T00:00:00.Z", _V), ("2026-01-01T00:00:00.1234567890Z", _V),
        ("2026-01-01T00:00:00,5Z", _V), ("\u0662\u0660\u0662\u0666-01-01T00:00:00Z", _V), ("2026-01-01T00:00:00Z\n", _V), (" 2026-01-01T00:00:00Z", _V),
        ("20260101T000000Z", _V), ("2026-W01-1T00:00:00Z", _V), ("9999-12-31T23:59:59.9999999999Z", _V),
    ]),
    ("task", "after", [
        ("fetch", _T), ({}, _T), (None, _T), ([None], _T), ([["a"]], _T), ([{"id": "a"}], _T), (["A"], _V), ([""], _V), (["a", "a"], _V), (["a/../b"], _V),
        (["a", 1], _T), (["fixed", "fixed"], _V), (["nobody-is-there"], "unknown-dependency"), (["nobody\n"], _V),
    ]),
    ("task", "resources", [("gpu", _T), ({"gpu": 1}, _T), ([1], _T), ([["gpu"]], _T), (["GPU"], _V), (["gpu", "gpu"], _V), (["gpu "], _V), ([None], _T)]),
    ("task", "$schema", [(1, _T), (None, _T), ([], _T), ({"$ref": "#"}, _T)]),
    ("task", "id", [(1, _T), (None, _T), (True, _T), ({}, _T), ("", _V), ("X", _V), ("../../etc/passwd", _V), ("other", "id-mismatch"), ("a\x00", _V)]),
    ("task", "kind", [
        (None, "unknown-kind"), (1, "unknown-kind"), ([], "unknown-kind"), ({}, "unknown-kind"), ("", "unknown-kind"), ("Task", "unknown-kind"),
        ("task ", "unknown-kind"), ("tasks", "unknown-kind"), (["task"], "unknown-kind"), ("reason", "unknown-kind"), ("result", "unknown-kind"),
        ("event", "unknown-kind"), ("__class__", "unknown-kind"), ("record", _M), ("batch", _U), ("cancel", _U), ("state", _U), ("note", _U),
        (False, "unknown-kind"), ({"const": "task"}, "unknown-kind"), ("settings", "unknown-kind"),
    ]),
    ("batch", "messages", [
        (None, _T), ({}, _T), ("[]", _T), ([], _R), ([None], _T), ([[]], _T), ([1], _T), (["{}"], _T), ([{}], _M), ([{"type": "echo"}], _M), ([{"id": "b1"}], _M),
        ([{"id": "b2", "type": "echo"}, {"id": "b2", "type": "echo"}], "batch-duplicate-id"), ([{"id": "b3", "type": "nope"}], "unknown-type"),
        ([{"id": "b4", "type": "echo", "queue": "no"}], "unknown-queue"), ([{"id": "b5", "type": "echo", "kind": "cancel"}], "batch-member-kind"),
        ([{"id": "b6", "kind": "batch", "messages": []}], "batch-member-kind"), ([{"id": "b7", "type": "echo", "kind": None}], "batch-member-kind"),
        ([{"id": "b8", "kind": "state", "key": "k", "value": 1}], "batch-member-kind"), ([{"id": "b9", "kind": "record"}], "batch-member-kind"),
        ([{"id": "b10", "type": "echo", "after": ["b10"]}], "dependency-cycle"), ([{"id": "b11", "type": "echo", "inptu": 1}], _U),
        ([{"id": "b12", "type": "echo", "after": ["b13"]}, {"id": "b13", "type": "echo", "after": ["b12"]}], "dependency-cycle"),
        ([{"id": "b14", "type": "echo", "after": ["gone"]}], "unknown-dependency"), ([{"id": "fixed", "type": "echo"}], "id-taken"),
        ([{"id": "b15", "type": "echo"}, {"id": "fixed", "type": "echo"}], "id-taken"), ([{"id": "B", "type": "echo"}], _V), ([{"id": 1, "type": "echo"}], _T),
        ([{"id": "b16", "type": "strict", "input": "x"}], "input-contract"), ([{"id": "b17", "type": "echo", "priority": 10}], _R),
        ([{"id": f"c{n}", "type": "echo", "after": [f"c{(n + 1) % 400}"]} for n in range(400)], "dependency-cycle"),
        ([{"id": f"d{n}", "type": "echo"} for n in range(500)] + [{"id": "d0", "type": "echo"}], "batch-duplicate-id"),
        ([{"id": f"e{n}", "type": "echo"} for n in range(500)] + [{}], _M),
        ([{"id": f"f{n}", "type": "echo"} for n in range(500)] + [{"id": "f500", "type": "nope"}], "unknown-type"),
    ]),
    ("batch", "type", [("echo", _U), (None, _U)]),
    ("batch", "from", [("ann", _U)]),
    ("batch", "id", [(1, _T), ("B", _V), ("elsewhere", "id-mismatch")]),
    ("cancel", "task", [
        *_WORDS, (None, _T), ("nobody", "cancel-unknown"), ("fixed-note", "cancel-unknown"), ("ended", "cancel-final"),
    ]),
    ("cancel", "dependants", [("true", _T), (1, _T), (0, _T), (None, _T), ([], _T), ({}, _T), ("", _T), (1.0, _T)]),
    ("cancel", "input", [({}, _U)]),
    ("cancel", "reason", [("no need", _U)]),
    ("cancel", "from", [(1, _T), ("Ann", _V)]),
    ("state", "key", [*_WORDS, (None, _T)]),
    ("state", "if_version", [
        ("0", _T), (True, _T), (0.5, _T), (None, _T), ([], _T), (-1, _R), (99, "state-conflict"), (9007199254740991, "state-conflict"), (1e17, _R),
        (1, "state-conflict"), (2.5, _T),
    ]),
    ("state", "version", [(1, _U)]),
    ("state", "type", [("echo", _U)]),
    ("state", "by", [("ann", _U)]),
    ("note", "message", [(None, _T), (1, _T), ([], _T), ({}, _T), (True, _T), ("", _R), ("a" * 65_537, _R)]),
    ("note", "task", [(1, _T), (None, _T), ("nobody", "note-unknown-task"), ("fixed-note", "note-unknown-task"), ("No", _V), ("", _V)]),
    ("note", "input", [("x", _U)]),
    ("note", "from", [({}, _T), ("root ", _V)]),
]  # fmt: skip
MISSING: list[tuple[Any, str]] = [
    ({"kind": "batch"}, _M), ({"kind": "cancel"}, _M), ({"kind": "state"}, _M), ({"kind": "state", "key": "k"}, _M), ({"kind": "state", "value": 1}, _M),
    ({"kind": "note"}, _M), ({"kind": "task"}, _M), ({"input": 1}, _M), ({"x-only": 1}, _M), ({"kind": "record", "id": "x"}, _M),
    ([{"type": "echo"}], _T), (b'"echo"', _T), (1.5, _T), (False, _T), ([[]], _T), ([None], _T), (-1, _T),
    ({"type": "echo", "kind": "task", "messages": []}, _U), ({"type": "echo", "task": "fixed"}, _U), ({"type": "echo", "state": "done"}, _U),
    ({"type": "echo", "attempt": 1}, _U), ({"type": "echo", "output": 1}, _U), ({"type": "echo", "status": "ok"}, _U), ({"type": "echo", "sha256": "0"}, _U),
    ({"type": "strict"}, "input-contract"), ({"type": "strict", "input": {"n": 1, "m": 2}}, "input-contract"), ({"type": "strict", "input": []}, "input-contract"),
    ({"type": "strict", "input": {"n": "1"}}, "input-contract"), ({"type": "strict", "input": {"n": 1.5}}, "input-contract"),
    ({"type": "strict", "input": {"n": 1001}}, "input-contract"), ({"type": "strict", "input": {"n": 1, "s": "a" * 9}}, "input-contract"),
    ({"type": "strict", "input": {"n": 1, "s": "A"}}, "input-contract"), ({"type": "strict", "input": {"n": 1, "s": "a\n"}}, "input-contract"),
    ({"type": "strict", "input": {"n": 1, "l": [1, 1]}}, "input-contract"), ({"type": "strict", "input": {"n": 1, "l": [1, 1.0]}}, "input-contract"),
    ({"type": "strict", "input": {"n": 1, "l": [[], []]}}, "input-contract"), ({"type": "strict", "input": None}, "input-contract"),
    ({"type": "strict", "input": {"n": True}}, "input-contract"), ({"type": "strict", "input": {"N": 1}}, "input-contract"),
    ({"type": "strict", "input": {"n": 1, "e": 1}}, "input-contract"), ({"type": "strict", "input": {"n": 1, "e": True}}, "input-contract"),
    ({"type": "strict", "input": {"n": 1, "e": "1"}}, "input-contract"), ({"type": "contracts"}, "unknown-type"), ({"type": "state"}, "unknown-type"),
    ({"kind": "state", "key": "typed", "value": "x"}, "state-contract"), ({"kind": "state", "key": "typed", "value": None}, "state-contract"),
    ({"kind": "state", "key": "broken", "value": 1}, "state-contract"),
]  # fmt: skip
CONTRACTS: dict[str, Any] = {
    "strict": {"input": {"type": "object", "required": ["n"], "additionalProperties": False, "properties": {
        "n": {"type": "integer", "maximum": 1000}, "s": {"type": "string", "pattern": "^[a-z]*$", "maxLength": 8},
        "l": {"type": "array", "uniqueItems": True, "maxItems": 10}, "e": {"enum": [0, False, None, "a"]},
    }}},
    "state/typed": {"input": {"type": "integer"}},
    "state/broken": {"input": {"type": "nothing"}},
}  # fmt: skip
"""What these cases need to be there; ``fixed`` is a queued task, ``ended`` a done one, ``fixed-note`` a note."""

CASES: list[Case] = [
    Case(f"{kind}, {member}: {value!r:.40}", raw(KINDS[kind] | {member: value}), code)
    for kind, member, rows in TABLE
    for value, code in rows
] + [Case(f"{value!r:.60}", raw(value), code) for value, code in MISSING]
