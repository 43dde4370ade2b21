"""No JSON, or nearly JSON: what other readers take, guess at, or stop at (json-syntax)."""

from __future__ import annotations

from faults.hostile import Case, table

CASES: list[Case] = [
    *table("only blanks", "json-syntax", [" ", "\n", "\t\r\n \n", " " * 4096]),
    *table("no value", "json-syntax", [",", ":", "]", "}", "{]", "[}", "()", "<a/>", "---\ntype: echo\n", "type=echo"]),
    *table("cut short", "json-syntax", [
        '{"type": "echo"', '{"type": "echo",', '{"type": "ech', '{"type":', '{"type"', '{"', '["type", "echo"',
        '{"type": "echo", "input": [1, 2', '{"type": "echo", "input": {"a": {"b": {"c": ', '"', '"\\', "tru", "nul", "-",
    ]),
    *table("something behind it", "json-syntax", [
        '{"type": "echo"}}', '{"type": "echo"}]', '{"type": "echo"}, ', '{"type": "echo"}{"type": "echo"}',
        '{"type": "echo"}\n{"type": "echo"}\n', '{"type": "echo"};', '{"type": "echo"} // done', '{"type": "echo"} #',
        '{"type": "echo"}\x1e', '{"type": "echo"}"', '{"type": "echo"}null', '{"type": "echo"}0',
    ]),
    *table("commas", "json-syntax", [
        '{"type": "echo",}', '{,"type": "echo"}', '{"type": "echo",, "input": 1}', '{"type": "echo", "input": [1,,2]}',
        '{"type": "echo", "input": [,]}', '{"type": "echo" "input": 1}', '{"type": "echo"; "input": 1}',
        '{"type": "echo", "input": [1 2]}', '{"type": "echo", "input": {"a": 1,}}',
    ]),
    *table("colons and keys", "json-syntax", [
        '{"type" "echo"}', '{"type":: "echo"}', '{"type" = "echo"}', '{"type" => "echo"}', '{type: "echo"}',
        "{'type': 'echo'}", "{`type`: `echo`}", '{1: "echo"}', '{null: "echo"}', '{["type"]: "echo"}', '{"type"}',
        '{"type": "echo", : 1}', '{"type": "echo", "input": }', '{"type": }',
    ]),
    *table("comments", "json-syntax", [
        '/* */{"type": "echo"}', '// a\n{"type": "echo"}', '# a\n{"type": "echo"}', '{"type": /* a */ "echo"}',
        '{"type": "echo" /* a }', '<!-- -->{"type": "echo"}', '{"type": "echo", -- a\n "input": 1}',
    ]),
    *table("words of other languages", "json-syntax", [
        '{"type": "echo", "input": True}', '{"type": "echo", "input": None}', '{"type": "echo", "input": undefined}',
        '{"type": "echo", "input": TRUE}', '{"type": "echo", "input": nil}', '{"type": "echo", "input": nan}',
        '{"type": "echo", "input": Inf}', '{"type": "echo", "input": new Date()}', '{"type": "echo", "input": b"x"}',
        '{"type": "echo", "input": truefalse}', '{"type": "echo", "input": yes}',
    ]),
    *table("strings", "json-syntax", [
        '{"type": "echo", "input": "\n"}', '{"type": "echo", "input": "\t"}', '{"type": "echo", "input": "\x00"}',
        '{"type": "echo", "input": "\x1f"}', '{"type": "echo", "input": "\\a"}', '{"type": "echo", "input": "\\x41"}',
        '{"type": "echo", "input": "\\u12"}', '{"type": "echo", "input": "\\u12g4"}', '{"type": "echo", "input": "\\U0041"}',
        '{"type": "echo", "input": "\\u{41}"}', '{"type": "echo", "input": "\\0"}', '{"type": "echo", "input": "\\\n"}',
        '{"type": "echo", "input": "a" "b"}', '{"type": "echo", "input": "a" + "b"}', '{"type": "echo", "input": """a"""}',
        '{"type": "echo", "input": \'a\'}', '{"type": "echo", "input": r"a"}', '{"type": "echo", "input": "\\u-123"}',
        '{"type": "echo", "input": "\\u 123"}', '{"type": "echo", "input": "\\u1_23"}', '{"type": "echo", "input": "\\u+123"}',
    ]),
    *table("blanks that are none", "json-syntax", [
        '{"type":\u00a0"echo"}', '{"type":\u2003"echo"}', '{"type":\u3000"echo"}', '{"type":\x0b"echo"}',
        '{"type":\x0c"echo"}', '{"type":\u2028"echo"}', '{"type":\u0085"echo"}', '{"type":\u200b"echo"}', '{"type":\x00"echo"}',
        '\x00{"type": "echo"}', '{"type": "echo"}\x00', '{"type": "echo"}\u2029', '{"type": "echo"}\x1a', '\x7f{"type": "echo"}',
    ]),
    *table("punctuation that looks right", "json-syntax", [
        '{\u201ctype\u201d: \u201cecho\u201d}', '\uff5b"type": "echo"\uff5d', '{"type"\uff1a "echo"}', '{"type": "echo"\uff0c "input": 1}',
        '{"type"\u02d0 "echo"}', '\u275f{"type": "echo"}', '{"type"\u2236 "echo"}',
    ]),
    *table("files of another kind", "json-syntax", [
        b"\x7fELF\x02\x01\x01\x00", b"PK\x03\x04", b"%PDF-1.7\n", b"#!/bin/sh\nrm -rf /\n", b"SQLite format 3\x00", b"GIF89a",
        b"bplist00", b")]}',\n{\"type\": \"echo\"}", b"while(1);{\"type\": \"echo\"}", b"callback({\"type\": \"echo\"})",
        b"\x1e{\"type\": \"echo\"}\n", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", b"(dp0\nS'type'\np1\n.", b"O:8:\"stdClass\":0:{}",
    ]),
]  # fmt: skip
