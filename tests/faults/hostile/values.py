"""Numbers that readers round, keys that stand twice, nesting, and sizes (SPEC 6.1)."""

from __future__ import annotations

from faults.hostile import Case, table

TASK = '{"type": "echo", "input": %s}'
LARGE = 262_144
"""max_message_bytes, as nobody set it."""


def _task(values: list[str]) -> list[str]:
    return [TASK % value for value in values]


NUMBERS = [
    *table("spelt as JSON does not", "json-syntax", _task([
        "01", "-01", "00", "+1", "1.", ".5", "-.5", "1.e3", "1e", "1e+", "1E-", "--1", "- 1", "0x1F", "0b1", "0o17", "1_000", "1,5",
        "1 000", "1l", "1n", "1f", "0.1.2", "1e1.5", "\u0661", "\uff11", "\u00bd", "\u221e", "1/2", "1e5e5", "-", "\u22121", "1\u0660",
    ])),
    *table("beyond 2^53-1", "json-number", _task([
        "9007199254740993", "-9007199254740993", "18446744073709551615", "18446744073709551616", "-9223372036854775808",
        "9223372036854775807", "100000000000000000000", "1" + "0" * 308, "1" + "0" * 4299, "1" + "0" * 4300, "-1" + "0" * 4301, "9" * 100_000,
        "[1, 2, 9007199254740992]", '{"deep": [[[[10000000000000000]]]]}',
    ])),
    *table("no finite double", "json-number", _task([
        "1e309", "-1e309", "1.8e308", "1e999999999", "-1e999999999999999999999", "1" + "0" * 400 + ".0", "1" + "0" * 400 + "e1",
        "123456789e400", "0." + "0" * 10 + "1e400", "Infinity", "-Infinity", "[NaN]", "[1, [NaN]]", '{"a": NaN}', "[-Infinity, 1]",
        '{"a": {"b": [Infinity]}}',
    ])),
    *table("where a count is due", "json-number", [
        '{"type": "echo", "priority": 1e400}', '{"type": "echo", "lease_seconds": Infinity}', '{"type": "echo", "max_attempts": NaN}',
        '{"type": "echo", "priority": 9007199254740992}', '{"type": "echo", "lease_seconds": 1e309}',
    ]),
]  # fmt: skip

_DUP = "json-duplicate-key"
TWICE = [
    *table("twice", _DUP, [
        '{"type": "echo", "type": "nope"}', '{"type": "echo", "input": 1, "input": 1}', '{"id": "a", "type": "echo", "id": "b"}',
        '{"kind": "task", "type": "echo", "kind": "cancel"}', '{"": 1, "": 2}', '{"type": "echo", "x-a": 1, "x-a": 2}',
        TASK % '{"a": 1, "b": 2, "a": 1}', TASK % '[[[{"a": null, "a": null}]]]', TASK % '{"a": {"b": {"c": 1, "c": 2}}}',
        TASK % '[{"a": 1}, {"a": 1, "a": 1}]', TASK % ('{"' + "k" * 5000 + '": 1, "' + "k" * 5000 + '": 2}'),
    ]),
    *table("twice, spelt differently", _DUP, [
        '{"type": "echo", "t\\u0079pe": "nope"}', '{"\\u0069d": "a", "type": "echo", "id": "a"}', TASK % '{"a/b": 1, "a\\/b": 2}',
        TASK % '{"\\u00e9": 1, "é": 2}', TASK % '{"\\ud83d\\ude00": 1, "😀": 2}', TASK % '{"\\u000a": 1, "\\n": 2}',
        TASK % '{"\\u0000": 1, "\\u0000": 2}', TASK % '{"__proto__": {}, "__proto__": 1}', TASK % '{"\\u007f": 1, "\x7f": 1}',
    ]),
    *table("twice, among many", _DUP, [
        "{" + ", ".join(f'"k{n}": {n}' for n in range(5000)) + ', "k0": 0}', "{" + ", ".join('"k": 1' for _ in range(5000)) + "}",
        '{"kind": "batch", "messages": [{"id": "a", "type": "echo", "id": "b"}]}',
        '{"kind": "batch", "messages": [{"id": "a", "type": "echo"}], "messages": []}',
    ]),
]  # fmt: skip

DEPTH = [
    *table("nested", "json-depth", [
        "[" * 33 + "]" * 33, TASK % ("[" * 32 + "]" * 32), TASK % ('{"a":' * 32 + "1" + "}" * 32), '{"type":' * 40 + '"echo"' + "}" * 40,
        TASK % ('[{"a":' * 16 + "[]" + "}]" * 16), TASK % ("[[]," * 33 + "1" + "]" * 33), "[" * 50_000, "{" * 33, '[{"":' * 20_000,
        "[" * 33 + '"' + "]" * 33, TASK % ('["]",' * 32 + "1" + "]" * 32), TASK % ('["\\"",' * 32 + "1" + "]" * 32),
        '{"x-deep": ' + "[" * 32 + "]" * 32 + ', "type": "echo"}', "[" * 131_072 + "]" * 131_072,
    ]),
    *table("many brackets, and no JSON", "json-syntax", [
        "[]" * 40, "]" * 50 + "[" * 10, "}" * 100_000, "[[[]]]" * 9, '"' + "[" * 100, '"\\"' + "{" * 100, "[]]]]" * 20_000, "{}[" * 8,
    ]),
]  # fmt: skip

SIZES = [
    *table("a byte too many", "too-large", [
        TASK % ('"' + "a" * (LARGE - 28) + '"'), '{"type": "echo"}' + " " * LARGE, " " * LARGE + '{"type": "echo"}',
        TASK % ("[" + "1," * 150_000 + "1]"), TASK % ('"' + "\\u0061" * 50_000 + '"'), TASK % ("[" + "{}," * 100_000 + "{}]"),
        '{"type": "echo", "x-fat": "' + "é" * 140_000 + '"}', '{"kind": "note", "message": "' + "a" * LARGE + '"}',
        '{"kind": "state", "key": "k", "value": "' + "a" * LARGE + '"}', '{"kind": "cancel", "task": "' + "a" * LARGE + '"}',
        '{"' + "k" * LARGE + '": 1}', "[" + "0," * 140_000 + "0]", '{"kind": "note", "message": "' + "😀" * 65_537 + '"}', '"' + "a" * LARGE + '"', "0" + " " * LARGE,
    ]),
    *table("large, but not too large", "wrong-type", ['"' + "a" * 200_000 + '"', "[" + "0," * 100_000 + "0]"]),
    *table("large names", "unknown-field", [
        '{"type": "echo", "' + "k" * 200_000 + '": 1}', '{"type": "echo", "' + "/" * 100_000 + '": 1}',
        '{"type": "echo", "' + "~" * 100_000 + '": 1}', '{"type": "echo", "' + "\\u0000" * 30_000 + '": 1}',
        '{"type": "echo", ' + ", ".join(f'"k{n}": 1' for n in range(20_000)) + "}",
    ]),
    *table("large values", "bad-value", [
        '{"type": "' + "a" * 200_000 + '"}', '{"type": "echo", "from": "' + "-" * 200_000 + '"}',
        '{"type": "echo", "queue": "' + "@" * 200_000 + '"}', '{"type": "echo", "not_before": "' + "2" * 200_000 + '"}',
        '{"type": "echo", "id": "' + "é" * 100_000 + '"}',
    ]),
    *table("long lists", "wrong-type", [
        '{"type": "echo", "after": [' + "1," * 120_000 + "1]}", '{"type": "echo", "resources": [' + "{}," * 80_000 + "{}]}",
    ]),
    *table("too long lists", "out-of-range", [
        '{"type": "echo", "after": [' + ", ".join(f'"t{n}"' for n in range(10_001)) + "]}",
        '{"type": "echo", "resources": [' + ", ".join(f'"r{n}"' for n in range(1001)) + "]}",
        '{"type": "echo", "after": [' + '"a",' * 50_000 + '"a"]}',
        '{"type": "echo", "after": [' + '"a",' * 50_000 + "null]}", '{"$schema": "' + "a" * 4097 + '", "type": "echo"}',

    ]),
]  # fmt: skip
CASES: list[Case] = NUMBERS + TWICE + DEPTH + SIZES
