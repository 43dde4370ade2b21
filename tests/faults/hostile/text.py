"""Bytes that are no UTF-8, marks at the front, halves of characters, and names that look like others (SPEC 6.1)."""

from __future__ import annotations

from faults.hostile import Case, table

_TASK = b'{"type": "echo", "input": "%s"}'


def _task(values: list[bytes]) -> list[bytes]:
    return [_TASK % value for value in values]


CASES: list[Case] = [
    *table("no UTF-8", "json-encoding", _task([
        b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xff\xff\xff\xff", b"\xc3", b"\xe2\x82",
        b"\xf0\x9f\x98", b"\xe2\x28\xa1", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xc3\xa9\xe9", b"caf\xe9", b"\x93smart\x94",
        b"\xa4\xa2\xa4\xa4", b"\x1b$B$\"\x1b(B\xff", b"a" * 100_000 + b"\xff",
    ])),
    *table("no UTF-8 outside strings", "json-encoding", [
        b"\xff{}", b'{"type": "echo"}\xff', b'{"type":\xa0"echo"}', b"\xe9", b'{"\xff": 1}', b'{"typ\xe9": "echo"}', b'\xfe\xff\x00{\x00}',
        b"\x80" * 5000, b"\x00\xff" * 50, b'{"type": "echo", "x-\xc3": 1}', b"\xf0\x9f\x98{}",
    ]),
    *table("other encodings", "json-encoding", [
        '{"type": "echo"}'.encode("utf-16"), b"\xfe\xff" + '{"type": "echo"}'.encode("utf-16-be"), '{"type": "é"}'.encode("latin-1"),
        '{"type": "echo"}'.encode("utf-32"), '{"x": "日本"}'.encode("shift-jis"), '{"x": "日本"}'.encode("euc-jp"),
        '{"x": "日本"}'.encode("gb18030"), '{"x": "привет"}'.encode("koi8-r"), '{"type": "echo"}'.encode("cp037"),
    ]),
    *table("other encodings that are UTF-8 by chance", "json-syntax", [
        '{"type": "echo"}'.encode("utf-16-le"), '{"type": "echo"}'.encode("utf-16-be"), '{"type": "echo"}'.encode("utf-32-le"),
        '{"type": "echo"}'.encode("utf-7").replace(b"{", b"+AHs-"), b"eyJ0eXBlIjogImVjaG8ifQ==", b"7b2274797065223a226563686f227d",
        b"%7B%22type%22%3A%22echo%22%7D", b"&#123;&quot;type&quot;&#125;",
    ]),
    *table("a mark in front", "json-encoding", [
        b'\xef\xbb\xbf{"type": "echo"}', b"\xef\xbb\xbf", b'\xef\xbb\xbf\xef\xbb\xbf{"type": "echo"}', b'\xef\xbb\xbf {"type": "echo"}\n',
        b"\xef\xbb\xbf[", b"\xef\xbb\xbf\x00",
    ]),
    *table("a mark elsewhere", "json-syntax", [
        b' \xef\xbb\xbf{"type": "echo"}', b'{"type": "echo"}\xef\xbb\xbf', b'{\xef\xbb\xbf"type": "echo"}', b'\n\xef\xbb\xbf{}',
    ]),
    *table("half a pair", "json-surrogate", _task([
        b"\\ud83d", b"\\ude00", b"\\ude00\\ud83d", b"\\ud83d\\u0041", b"\\ud83d\\ud83d\\ude00", b"\\ud83d\\ude00\\ude00", b"\\uD800", b"\\uDFFF",
        b"\\uDBFF", b"a\\udc80b", b"\\ud83d \\ude00", b"\\ud83d\\\\ude00", b"\\ud800\\udbff",
    ])),
    *table("half a pair, elsewhere", "json-surrogate", [
        b'{"type": "echo", "input": {"\\ud800": 1}}', b'{"\\udc00": 1}', b'"\\ud800"', b'["\\udfff"]', b'{"type": "\\ud800"}',
        b'{"type": "echo", "x-\\ud800": 1}', b'{"type": "echo", "input": [[[{"a": ["\\udabc"]}]]]}',
        b'{"kind": "note", "message": "\\ud83d"}', b'{"kind": "state", "key": "k", "value": "\\udcff"}',
    ]),
    *table("looks like a field", "unknown-field", [
        '{"type": "echo", "\\u0442ype": 1}', '{"type": "echo", "ｉnput": 1}', '{"type": "echo", "inpu\u0442": 1}', '{"type": "echo", "Input": 1}',
        '{"type": "echo", "input ": 1}', '{"type": "echo", " input": 1}', '{"type": "echo", "in\u00adput": 1}', '{"type": "echo", "in\u200bput": 1}',
        '{"type": "echo", "\u202einput": 1}', '{"type": "echo", "input\\u0000": 1}', '{"type": "echo", "input\\n": 1}', '{"type": "echo", "": 1}',
        '{"type": "echo", "X-a": 1}', '{"type": "echo", "x\u2010a": 1}', '{"type": "echo", "x": 1}', '{"type": "echo", "\\u0000x-a": 1}',
        '{"type": "echo", "__proto__": {"priority": 0}}', '{"type": "echo", "constructor": 1}', '{"type": "echo", "$ref": "#/"}',
        '{"type": "echo", "a\\nx-b": 1}', '{"type": "echo", "\\ud83d\\ude00": 1}', '{"type": "echo", "e\\u0301": 1}', '{"type": "echo", "x_a": 1}',
    ]),
    *table("looks like a word", "bad-value", [
        '{"type": "ech\u043e"}', '{"type": "ｅcho"}', '{"type": "echo\\n"}', '{"type": "echo\\u0000"}', '{"type": "echo "}', '{"type": "\\ufeffecho"}',
        '{"type": "echo\\u0301"}', '{"type": "ECHO"}', '{"type": "e\u00adcho"}', '{"type": "\u202eohce"}', '{"type": ""}', '{"type": "../echo"}',
        '{"type": "echo.json"}', '{"type": "echo/"}', '{"type": "-echo"}', '{"type": "_echo"}', '{"type": "\u0131"}', '{"type": "\u212a"}',
        '{"type": "1\u0660"}', '{"type": "a\u00b2"}', '{"type": "a\\u2028"}', '{"type": "a\\u0085"}', '{"type": "a\\r"}', '{"type": "a\\u001c"}',
    ]),
]  # fmt: skip
