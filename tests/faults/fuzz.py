"""What must hold of our readers and validators for any input at all; ``test_fuzz.py`` draws the inputs.

A target takes one input and returns its verdict, a word or two that tell one kind of outcome from the next. It raises
whatever is wrong: only the exceptions that a reader names may come out of it, and those become verdicts.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from faults.hostile import contracts as bad_contracts
from faults.hostile import files, members, papers, syntax, text, values
from faults.mutation import Corpus, mutate_bytes, mutate_value
from support.history import notes
from taskdir import chain, contracts, intake, jsonc, logread, names, patterns, rules, strictjson, validate
from taskdir.conformance import vectors
from taskdir.errors import Invalid
from taskdir.excerpt import is_large
from taskdir.logread import Reader
from taskdir.validate import Checker

JSON_CODES = frozenset(code for code in rules.codes() if code.startswith("json-"))
Target = Callable[[Any], object]


def read_json(data: bytes) -> object:
    """Strict JSON: refused under a code of its own, or read as everybody reads it, and written so that it reads so."""
    try:
        value = strictjson.loads(data)
    except Invalid as fault:
        return _told(fault), fault.message[:30]
    plain = json.loads(data, object_pairs_hook=_once, parse_constant=_never, parse_int=_whole, parse_float=_finite)
    assert same(value, plain)
    assert _levels(value) <= strictjson.MAX_DEPTH
    assert same(strictjson.loads(strictjson.dumps(value).encode()), value)
    assert same(strictjson.loads(strictjson.pretty(value)), value)
    return type(value).__name__


def _told(fault: Invalid) -> str:
    assert fault.code in JSON_CODES
    assert len(fault.message) < 512
    assert fault.message.isascii()
    return fault.code


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a key twice"
    return found


def _never(text: str) -> None:
    raise AssertionError(text)


def _whole(text: str) -> int:
    assert abs(int(text)) < 2**53
    return int(text)


def _finite(text: str) -> float:
    assert math.isfinite(float(text))
    return float(text)


def _levels(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(_levels, inside), default=0)


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same JSON: 1, 1.0 and true are not."""
    return repr(one) == repr(other)


def read_jsonc(text: str) -> object:
    """JSON with comments: malformed at a place in the text, or read; what is added to it can be read again."""
    try:
        node = jsonc.parse(text)
    except jsonc.Malformed as error:
        return "malformed" if 0 <= error.offset <= len(text) else nowhere(error)
    if not (node.members or text[node.start] in "{["):
        return "scalar"
    key = "added" if text[node.start] == "{" else None
    again = jsonc.parse(jsonc.add(text, node, {"n": 1}, key))
    assert len(again.parts) == len(node.parts) + (0 if key in node.members else 1)
    return "object" if key else "array"


def nowhere(error: jsonc.Malformed) -> object:
    raise AssertionError(f"an offset outside the text: {error.offset}")


def read_name(raw: bytes) -> object:
    """Names: any bytes are judged, what is told of one is ASCII, and what is taken apart can be put together."""
    name = os.fsdecode(raw)
    told = names.printable(name)
    assert told.isascii()
    assert told.isprintable()
    if (back := names.unprintable(told)) is not None:
        assert back == name
    stored = names.rejected_name(name, 7)
    assert re.fullmatch(r"[\x20-\x7e]{1,220}", stored)
    assert not stored.endswith(names.REASON)
    assert names.reason_name(stored) != stored
    if names.is_word(name):
        assert re.fullmatch(rb"[a-z0-9][a-z0-9_-]{0,63}", raw)
        assert names.is_queue(name)
    parts = names.split_claimed(name)
    if parts is not None:
        assert f"{parts[0]}{parts[1]}" == name
        assert names.is_word(parts[0].id)
        return parts[1]
    names.is_segment_name(name)
    return names.is_word(name), names.is_message_name(name), names.is_queue(name)


@cache
def checkers(kind: str, part: str | None = None) -> tuple[Checker, Checker]:
    """Return both engines' checkers of a document."""
    return validate.document(kind, part, "rs"), validate.document(kind, part, "py")


def agree(pair: tuple[Checker, Checker], value: Any) -> Invalid | None:
    """Return the verdict that both engines give; of a large value they may tell different faults."""
    fast, slow = (checker.check(value) for checker in pair)
    if is_large(value):
        assert (fast is None) == (slow is None)
    elif fast is not None or slow is not None:
        assert fast is not None
        assert slow is not None
        assert (fast.code, fast.pointer) == (slow.code, slow.pointer)
        assert len(fast.message) < 512
        assert fast.message.isascii()
        assert fast.code in rules.codes()
    return fast


def judge_message(value: Any) -> object:
    """A message's form: what intake says is what both engines say, and what passes has what intake reaches for."""
    fault = intake.form_fault(value)
    kind = value.get("kind", "task") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind in intake.KINDS:
        found = agree(checkers("record") if kind == "record" else checkers("message", kind), value)
        assert (found is None) == (fault is None) or (fault is not None and fault.code == "batch-member-kind")
    if fault is None:
        return str(kind)
    return fault.code, (fault.pointer or "").count("/"), str(kind)[:20]


def judge_paper(value: Any) -> object:
    """Results and settings: both engines give one verdict."""
    faults = [agree(checkers(kind), value) for kind in ("result", "settings")]
    return tuple(fault and (fault.code, fault.pointer) for fault in faults)


PROBES: list[Any] = [
    None, True, 0, 1, 1.0, 1.5, -3, 10**9, "", "a", "ab", "b" * 40, "a\n", "é",
    [], [1], [1, 1.0], ["a", "b"], [[], {}], {}, {"a": 1}, {"a": "b", "b": None}, {"c": {"c": {"c": {}}}}, [[[["a"]]]],
]  # fmt: skip


def _engine_or_fault(schema: Any, engine: str) -> Checker | str:
    try:
        return Checker(schema, engine)
    except Invalid as fault:
        return fault.code


def judge_contract(document: Any) -> object:
    """A contract: told what is wrong, or both engines take it, and give one verdict of any value."""
    fault = contracts.check_document(document)
    if fault is not None:
        assert fault.code in rules.codes()
        assert fault.message.isascii()
        return fault.code, (fault.pointer or "").rpartition("/")[2][:12]
    for side in ("input", "output"):
        if side in document:
            pair = [_engine_or_fault(document[side], engine) for engine in ("rs", "py")]
            if isinstance(pair[0], Checker) and isinstance(pair[1], Checker):
                for probe in PROBES:
                    agree((pair[0], pair[1]), probe)
            else:
                assert pair == ["schema-invalid", "schema-invalid"], "a remark of the wrong type, to one alone"
    return "contract", len(document)


def judge_pattern(pattern: str) -> object:
    """A pattern: told why not, or both engines read it alike."""
    why = patterns.problem(pattern)
    if why is not None:
        assert why.isascii() or not pattern.isascii()
        return why.split(" (")[0]
    pair = Checker({"pattern": pattern}, "rs"), Checker({"pattern": pattern}, "py")
    for probe in ("", "a", "ab", "aab\n", "\n", "b-a", "0", "a" * 40 + "!", "é", "]["):
        agree(pair, probe)
    return "safe"


class Log:
    """A root with a log of two segments, one of which the input is put in place of."""

    def __init__(self, root: Path) -> None:
        self._root = root
        (root / "log").mkdir(parents=True)
        self.lines = sealed()
        self._whole = b"".join(self.lines[:6])
        (root / "log/000000000001.jsonl").write_bytes(self._whole)

    def read(self, data: bytes) -> object:
        """Whatever the live log holds: reading ends, and the fast walk finds what the strict one does."""
        (self._root / logread.LIVE).write_bytes(data)
        segments = logread.segments(str(self._root))
        ends = [self._walk(segments, logread.Mark())]
        ends.append(self._walk(segments, chain.skip(segments, logread.Mark(), (), {}, lambda count: None)))
        assert ends[0] == ends[1]
        mark, damage = ends[0]
        return mark.seq, damage and (damage.code, damage.torn)

    def _walk(self, segments: list[tuple[int, str]], start: logread.Mark) -> tuple[logread.Mark, logread.Damage | None]:
        reader = Reader(segments, start, thorough=True)
        for _ in reader.batches():
            pass
        return reader.mark, reader.damage


def sealed() -> list[bytes]:
    """Return the lines of a short log."""
    lines: list[bytes] = []
    prev = logread.GENESIS
    for event in notes(1, 12):
        ended = {"end": event["seq"] - 1} if event["seq"] % 2 == 0 else {}
        lines.append(json.dumps({**event, "prev": prev, **ended}, separators=(",", ":")).encode() + b"\n")
        prev = hashlib.sha256(lines[-1][:-1]).hexdigest()
    return lines


def _documents(*kinds: str) -> list[Any]:
    return [test["data"] for _, kind, test in vectors.documents() if kind in kinds and "data" in test]


def _messages() -> list[Any]:
    small = [strictjson.loads(case.data) for case in members.CASES if len(case.data) < 400]
    return small + [each for each in _documents("message", "record") if len(repr(each)) < 600]


def _raw() -> list[bytes]:
    found = [case.data for case in syntax.CASES + values.CASES + text.CASES + papers.RESULTS if len(case.data) < 400]
    return found + [strictjson.canonical(each) for each in _messages()[:60]]


@contextmanager
def target(name: str, dice: random.Random) -> Iterator[tuple[Target, Corpus]]:
    """Yield a target by its name, and the inputs for it."""
    if name == "log":
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as root:
            log = Log(Path(root))
            seeds = [b"".join(log.lines[6:]), b"".join(log.lines[6:8]), log.lines[6], b"", b"".join(log.lines[:6])]
            yield log.read, Corpus(dice, seeds, mutate_bytes)
        return
    if name == "jsonc":
        texts = [data.decode("utf-8", "replace") for data in _raw()]
        texts = [*texts, '{\n  // a\n  "a": [1, 2,], /* b */\n}\n', "[]", '{"json.schemas": []}', "[" * 40 + "]" * 40]
        yield read_jsonc, Corpus(dice, texts, _mutate_text)
        return
    makers: dict[str, tuple[Target, Callable[[], list[Any]], Callable[..., Any]]] = {
        "json": (read_json, _raw, mutate_bytes),
        "names": (read_name, lambda: [stem + b".json" for stem in files.BAD] + files.IGNORED + OFFERS, mutate_bytes),
        "messages": (judge_message, _messages, mutate_value),
        "papers": (judge_paper, lambda: _documents("result", "settings"), mutate_value),
        "contracts": (judge_contract, lambda: [*_documents("contract"), *_contracts()], mutate_value),
        "patterns": (judge_pattern, _patterns, _mutate_text),
    }
    judge, seeds_of, mutate = makers[name]
    yield judge, Corpus(dice, seeds_of(), mutate)


OFFERS = [
    b"5-000000000017.build-42.1.json", b"5-000000000017.build-42.1.result.json",
    b"0-000000000001.a.999999999.notes.jsonl", b"9-999999999999.a.1.refused.json",
    b"000000000001.jsonl.gz", b"@alice",
]  # fmt: skip


def _contracts() -> list[Any]:
    found = []
    for case in bad_contracts.CASES:
        if len(case.data) < 600:
            try:
                found.append(strictjson.loads(case.data))
            except Invalid:
                continue
    return found


def _patterns() -> list[str]:
    inputs = [each["input"] for each in _contracts() if isinstance(each, dict) and isinstance(each.get("input"), dict)]
    found = [each["pattern"] for each in inputs if isinstance(each.get("pattern"), str)]
    return [*found, "^[a-z0-9/-]{1,80}$", "(?:ab|cd)?e{2,3}[^a-z]+", "a*b+c?", "^(a|b)$", "[a-z]{1,3}\\.[0-9]+"]


def _mutate_text(dice: random.Random, value: str) -> str:
    return mutate_bytes(dice, value.encode("utf-8", "surrogatepass"), _TEXTS).decode("utf-8", "replace")


_TEXTS = [
    b"{",
    b"[a-z]",
    b"(a|b)",
    b"a{1,2}",
    b"^$",
    b"\\d",
    b"//x\n",
    b"/* */",
    b'{"a": 1}',
    b"[1, 2,]",
    b"(?:a)*",
    b"a+?",
    b"\\",
]
