"""Results, records handed in again, and taskdir.json (SPEC 6.5, 6.6, 6.9)."""

from __future__ import annotations

from typing import Any

from faults.hostile import Case, raw

_T, _R, _V, _U, _M = "wrong-type", "out-of-range", "bad-value", "unknown-field", "missing-field"


def _rows(rows: list[tuple[Any, str]]) -> list[Case]:
    return [Case(f"{raw(value)[:50]!r}", raw(value), code) for value, code in rows]


RESULTS = _rows([
    (b" ", "json-syntax"), (b"ok", "json-syntax"), (b'{"status": "ok", "output": 1', "json-syntax"), (b'{"status": "ok", "output": 1}\n{}', "json-syntax"),
    (b"status: ok\n", "json-syntax"), (b'{"status": "ok", "output": NaN}', "json-number"), (b'{"status": "ok", "output": 1e999}', "json-number"),
    (b'{"status": "ok", "output": 12345678901234567890}', "json-number"), (b'{"status": "ok", "status": "error"}', "json-duplicate-key"),
    (b'{"status": "ok", "output": {"a": 1, "a": 2}}', "json-duplicate-key"), (b'{"status": "ok", "output": "\\ud800"}', "json-surrogate"),
    (b'{"status": "ok", "output": "\xff"}', "json-encoding"), (b'\xef\xbb\xbf{"status": "ok", "output": 1}', "json-encoding"),
    (b'{"status": "ok", "output": ' + b"[" * 32 + b"]" * 32 + b"}", "json-depth"), (b'{"status": "ok", "output": "' + b"a" * (1 << 20) + b'"}', "too-large"),
    (b'{"status": "ok", "output": 1, "x-pad": "' + b"a" * (1 << 20) + b'"}', "too-large"), (b"null", _T), (b"true", _T), (b'"ok"', _T), (b"[]", _T), (b"0", _T),
    ([{"status": "ok", "output": 1}], _T), ({}, _M), ({"status": "ok"}, _M), ({"output": 1}, _M), ({"status": "error"}, _M), ({"x-status": "ok"}, _M),
    ({"status": None, "output": 1}, _V), ({"status": 1, "output": 1}, _V), ({"status": "OK", "output": 1}, _V), ({"status": "ok ", "output": 1}, _V), ({"status": "done", "output": 1}, _V),
    ({"status": ["ok"], "output": 1}, _V), ({"status": "", "output": 1}, _V), ({"status": True, "output": 1}, _V), ({"status": {"ok": 1}, "output": 1}, _V),
    ({"status": "ok", "output": 1, "error": {"message": "x"}}, _U), ({"status": "ok", "output": 1, "retry": True}, _U), ({"status": "ok", "output": 1, "attempt": 1}, _U),
    ({"status": "ok", "output": 1, "id": "x"}, _U), ({"status": "ok", "outptu": 1}, _U), ({"status": "ok", "output": 1, "notes": "x"}, _U), ({"status": "ok", "output": 1, "": 1}, _U),
    ({"status": "error", "output": 1}, _U), ({"status": "error", "message": "x"}, _U), ({"status": "error", "error": {"message": "x"}, "output": 1}, _U),
    ({"status": "error", "error": "x"}, _T), ({"status": "error", "error": None}, _T), ({"status": "error", "error": []}, _T), ({"status": "error", "error": {}}, _M),
    ({"status": "error", "error": {"code": "a"}}, _M), ({"status": "error", "error": {"message": ""}}, _R), ({"status": "error", "error": {"message": "a" * 8193}}, _R),
    ({"status": "error", "error": {"message": 1}}, _T), ({"status": "error", "error": {"message": None}}, _T), ({"status": "error", "error": {"message": ["a"]}}, _T),
    ({"status": "error", "error": {"message": "a", "code": "No Space"}}, _V), ({"status": "error", "error": {"message": "a", "code": ""}}, _V),
    ({"status": "error", "error": {"message": "a", "code": "a" * 65}}, _V), ({"status": "error", "error": {"message": "a", "code": 1}}, _T),
    ({"status": "error", "error": {"message": "a", "code": "a\n"}}, _V), ({"status": "error", "error": {"message": "a", "stack": "b"}}, _U),
    ({"status": "error", "error": {"message": "a"}, "retry": "true"}, _T), ({"status": "error", "error": {"message": "a"}, "retry": 1}, _T),
    ({"status": "error", "error": {"message": "a"}, "retry": None}, _T), ({"status": "error", "error": {"message": "a"}, "retry": []}, _T),
    ({"status": "ok", "output": {"n": "1"}}, "output-contract"), ({"status": "ok", "output": None}, "output-contract"), ({"status": "ok", "output": {"n": True}}, "output-contract"),
    ({"status": "ok", "output": {"n": "1", "l": [[1]] * 40_000}}, "output-contract"), ({"status": "ok", "output": {"m": 1}}, "output-contract"),
    ({"status": "ok", "output": [1] * 100_000}, "output-contract"), ({"status": "ok", "output": {f"k{n}": n for n in range(20_000)}}, "output-contract"),
    ({"status": "ok", "output": 1, "$schema": 1}, _T), ({"status": "ok", "output": 1, "X-a": 1}, _U),
])  # fmt: skip
"""Handed in for one claim of a task whose output must be an object with an integer ``n``."""

SETTINGS = _rows([
    (b"", "json-syntax"), (b"{", "json-syntax"), (b"protocol = 1\n", "json-syntax"), (b'{"protocol": 1}}', "json-syntax"), (b"# comment\n{}", "json-syntax"),
    (b'{"protocol": 1, "window": NaN}', "json-number"), (b'{"protocol": 1, "window": 1e999}', "json-number"), (b'{"protocol": 1, "protocol": 1}', "json-duplicate-key"),
    (b'\xef\xbb\xbf{"protocol": 1}', "json-encoding"), (b'{"protocol": 1, "x-a": "\xff"}', "json-encoding"), (b'{"protocol": 1, "x-a": "\\udead"}', "json-surrogate"),
    (b'{"protocol": 1, "x-a": ' + b"[" * 40 + b"]" * 40 + b"}", "json-depth"), (b"[]", _T), (b"null", _T), (b"1", _T), (b'"1"', _T), ({}, _M), ({"window": 5}, _M),
    ({"protocol": 2}, "protocol-version"), ({"protocol": 0}, "protocol-version"), ({"protocol": -1}, "protocol-version"), ({"protocol": "1"}, _V), ({"protocol": None}, _V),
    ({"protocol": 1.5}, _V), ({"protocol": [1]}, _V), ({"protocol": True}, _V), ({"protocol": 9007199254740991}, "protocol-version"), ({"protocol": 1, "Window": 5}, _U),
    ({"protocol": 1, "queue": []}, _U), ({"protocol": 1, "": 1}, _U), ({"protocol": 1, "inbox": "/tmp"}, _U), ({"protocol": 1, "settle_second": 1}, _U), ({"protocol": 1, "root": "/"}, _U),
    ({"protocol": 1, "queues": "review"}, _T), ({"protocol": 1, "queues": [1]}, _T), ({"protocol": 1, "queues": {}}, _T), ({"protocol": 1, "queues": None}, _T),
    ({"protocol": 1, "queues": ["@a"]}, _V), ({"protocol": 1, "queues": ["../../etc"]}, _V), ({"protocol": 1, "queues": ["a", "a"]}, _V), ({"protocol": 1, "queues": [""]}, _V),
    ({"protocol": 1, "queues": ["a\n"]}, _V), ({"protocol": 1, "queues": [f"q{n}" for n in range(10_001)]}, _R), ({"protocol": 1, "resources": []}, _T),
    ({"protocol": 1, "resources": {"gpu": 0}}, _R), ({"protocol": 1, "resources": {"gpu": "1"}}, _T), ({"protocol": 1, "resources": {"GPU": 1}}, _U),
    ({"protocol": 1, "resources": {"gpu": 1000001}}, _R), ({"protocol": 1, "resources": {"gpu": None}}, _T), ({"protocol": 1, "window": 0}, _R), ({"protocol": 1, "window": 10001}, _R),
    ({"protocol": 1, "window": "64"}, _T), ({"protocol": 1, "window": 1.5}, _T), ({"protocol": 1, "max_claims": 0}, _R), ({"protocol": 1, "settle_seconds": -1}, _R),
    ({"protocol": 1, "settle_seconds": 3601}, _R), ({"protocol": 1, "settle_seconds": True}, _T), ({"protocol": 1, "scan_seconds": 0}, _R), ({"protocol": 1, "scan_seconds": 1e-300}, _R),
    ({"protocol": 1, "scan_seconds": 61}, _R), ({"protocol": 1, "max_message_bytes": 1023}, _R), ({"protocol": 1, "max_message_bytes": 16777217}, _R), ({"protocol": 1, "max_batch_bytes": 0}, _R),
    ({"protocol": 1, "max_result_bytes": 268435457}, _R), ({"protocol": 1, "refusal_cap": 0}, _R), ({"protocol": 1, "refusal_cap": 101}, _R), ({"protocol": 1, "log_segment_bytes": 1}, _R),
    ({"protocol": 1, "log_segment_bytes": 9007199254740991}, _R), ({"protocol": 1, "bench_after": -1}, _R), ({"protocol": 1, "bench_seconds": 0}, _R), ({"protocol": 1, "bench_seconds": None}, _T),
    ({"protocol": 1, "context_bytes": -1}, _R), ({"protocol": 1, "context_bytes": []}, _T), ({"protocol": 1, "$schema": 1}, _T),
])  # fmt: skip
"""Written over taskdir.json of a running daemon: each is told, and the last good one stays in force."""

RECORD: dict[str, Any] = {
    "kind": "record", "id": "ended", "state": "done", "output": "hi",
    "task": {"type": "echo", "input": {}, "queue": "default", "priority": 5, "max_attempts": 3, "lease_seconds": 1800, "timeout_seconds": 86400, "backoff_seconds": 1},
    "attempts": [{"attempt": 1, "agent": "me", "claimed": "2026-01-02T03:04:07.000003Z", "ended": "2026-01-02T03:04:09.000004Z", "outcome": "done"}],
}  # fmt: skip
RECORDS: list[tuple[str, dict[str, Any], str]] = [
    ("ended", {}, "record-done"), ("ended", {"output": "forged"}, "record-done"), ("ended", {"x-a": 1}, "record-done"), ("nobody", {"id": "nobody"}, "record-unknown"),
    ("fixed", {"id": "fixed"}, "record-edited"), ("broken", {"id": "broken"}, "record-edited"),
    ("ended", {"state": "queued"}, _V), ("ended", {"state": None}, _V), ("ended", {"attempts": {}}, _T), ("ended", {"attempts": None}, _T), ("ended", {"task": None}, _T),
    ("ended", {"task": {}}, _M), ("ended", {"kind": "record", "attempts": [{}]}, _M), ("ended", {"id": "Ended"}, _V), ("ended", {"id": None}, _T), ("ended", {"extra": 1}, _U),
    ("ended", {"error": {"code": "a", "message": "b"}}, _U), ("ended", {"attempts": [{**RECORD["attempts"][0], "attempt": 0}]}, _R),
    ("ended", {"attempts": [{**RECORD["attempts"][0], "agent": "../x"}]}, _V), ("ended", {"attempts": [{**RECORD["attempts"][0], "outcome": "won"}]}, _V),
    ("ended", {"task": {**RECORD["task"], "priority": 77}}, _R), ("ended", {"attempts": [1] * 10_000}, _T),
]  # fmt: skip
"""Records moved into inbox/ for another run: file, what is different, code. ``broken`` has failed."""
