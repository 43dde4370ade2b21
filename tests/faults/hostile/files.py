"""Names of files in inbox/: any bytes that a file system takes (SPEC 5, 7.2)."""

from __future__ import annotations

from faults.hostile import Case

_GOOD = b'{"type": "echo"}'
BAD: list[bytes] = [
    *(b"A", b"aB", b"a.b", b"a..b", b"-a", b"--help", b"-rf", b"_a", b" a", b"a ", b"a\tb", b"a\nb", b"\n", b"\r", b"a\r", b"\x01", b"\x7f"),
    *(b"\x1b[31mred", b"\x1b]0;title\x07", b"\x9b31m", b"a\x08\x08", b"a*", b"a?", b"[a]", b"{a,b}", b"~", b"~root", b"a;b", b"a|b", b"a&b", b"$HOME"),
    *(b"$(id)", b"`id`", b"a'b", b'a"b', b"a\\b", b"\\", b"\\\\server\\share", b"c:\\a", b"a:b", b"a<b", b"a>b", b"a%00b", b"%2e%2e%2f", b"a=b", b"a,b"),
    *(b"a+b", b"a#b", b"a@b", b"@a", b"!a", b"a!b!c", b"!!", b"a!!b", b"0!alice!x", b"caf\xc3\xa9", b"cafe\xcc\x81", b"\xce\xb1", b"\xe2\x80\xaea", b"\xe2\x80\x8ba"),
    *(b"\xef\xbb\xbfa", b"\xf0\x9f\x98\x80", b"\xef\xbd\x81", b"\xc4\xb0", b"\xe2\x84\xaa", b"\xd9\xa1", b"\xff", b"\xfe\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xae", b"a\xffb"),
    *(b"a" * 65, b"a" * 220, b"a" * 221, b"a" * 250, b"\xc3\xa9" * 125, b"\xff" * 250, b"0" * 65, b"-" * 100, b" " * 250, b"\n" * 250),
    *(b"x.json", b"x.reason", b"x.refused", b"x.result", b"x.000000000001", b"bad-7.reason", b"5-000000000017.build.1", b"5-000000000017.build.1.result"),
    *(b"000000000001.jsonl", b"log.jsonl", b"CON", b"NUL.txt", b"com1.", b"taskdir.json", b"x.json.json", b"x.JSON", b"x.json ", b"a/../b".replace(b"/", b"\\")),
]  # fmt: skip
"""Stems of names; ``.json`` comes behind each. All are name-grammar."""
CASES: list[Case] = [Case(f"{stem!r}", _GOOD, "name-grammar", name=stem + b".json") for stem in BAD]

IGNORED: list[bytes] = [
    *(b".json", b"..a.json", b".a.json", b"..json", b"...json", b".\xff.json", b"a", b"a.", b"a.JSON", b"a.Json", b"a.jsonl", b"a.json.", b"a.json ", b"a.json~", b"a.json.tmp"),
    *(b"a.json\n", b"a.jso", b"ajson", b"json", b"a.json5", b"a.geojson", b"\xff", b"a.json\xff", b"a.json.gz", b"a.yaml", b"#a.json#", b"a.json.swp"),
]  # fmt: skip
"""Names that do not exist for the daemon: they stay where they are, and nothing is said of them."""

RESERVED: list[bytes] = [
    b"con",
    b"nul",
    b"prn",
    b"aux",
    b"com1",
    b"lpt9",
    b"index",
    b"inbox",
    b"default",
    b"null",
    b"true",
    b"0",
    b"00",
    b"a" * 64,
    b"constructor",
    b"__proto__"[2:7],
]
"""Stems that look dangerous and are ids like any other: accepted."""
