"""SPEC.md, schemas/v1/rules.json, the code and the bad vectors speak of the same rules, states and documents.

A rule is a sentence in SPEC.md with its code in brackets. It has a row in rules.json, a place in
daemon/taskdir/ that raises it, and a bad vector in tests/conformance/vectors/ that provokes it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from taskdir import rules

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "SPEC.md"
PACKAGE = ROOT / "daemon" / "taskdir"
VECTORS = ROOT / "tests" / "conformance" / "vectors"

CODE = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
BRACKETS = re.compile(rf"\[`?({CODE}(?:`?, `?{CODE})*)`?\](?![(\[:])")
EXAMPLE = re.compile(r"<!-- example: ([a-z0-9-]+) -->\s*\n```json\n(.*?)\n```", re.DOTALL)
RAISERS = {"Invalid", "Fault", "Finding", "Reason", "Refusal"}
"""Classes whose first argument is a rule code. Other errors (busy, usage) carry words of their own."""


def spec_text() -> str:
    if not SPEC.is_file():
        pytest.fail("SPEC.md is missing")
    return SPEC.read_text(encoding="utf-8")


def prose_of(text: str) -> str:
    """Return the text without code blocks and inline code; a code written [`so`] is kept as [so]."""
    prose = re.sub(r"^(```+|~~~+).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(rf"\[`({CODE}(?:`, `{CODE})*)`\]", lambda found: f"[{found[1].replace('`', '')}]", prose)
    return re.sub(r"`[^`\n]*`", "", prose)


def codes_in(prose: str) -> list[str]:
    """Return the codes in brackets, in their order."""
    return [code for group in BRACKETS.findall(prose) for code in group.split(", ")]


def sections_of_codes(text: str) -> dict[str, list[str]]:
    """Return code → the numbers of the sections in which it stands."""
    found: dict[str, list[str]] = {}
    parts = re.split(r"^#{2,} (?:Appendix )?([0-9]+(?:\.[0-9]+)*|[A-Z])\b", prose_of(text), flags=re.MULTILINE)
    for number, body in zip(parts[1::2], parts[2::2], strict=True):
        for code in codes_in(body):
            found.setdefault(code, []).append(number)
    return found


def musts_without_code(text: str) -> list[str]:
    """Return the bullets and paragraphs with a MUST and without a code; tables only cite."""
    prose = re.sub(r"^\s*\|.*$", "", prose_of(text), flags=re.MULTILINE)
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*#]|[0-9]+\.) )", prose)
    demands = [block for block in blocks if re.search(r"\bMUST\b(?!-)", block)]
    return [" ".join(block.split())[:120] for block in demands if not codes_in(block)]


def strings(tree: ast.AST) -> set[str]:
    """Return every string literal of a module, the names of keywords in f-strings and docstrings included."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def raised(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, code) where a rule code is plainly given: to a class of RAISERS."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in RAISERS:
            continue
        given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "code")]
        for value in given:
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and re.fullmatch(CODE, value.value):
                yield node.lineno, value.value


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "conformance":
            continue  # it expects codes and raises none
        yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def values_of(key: str, document: Any) -> Iterator[str]:
    """Yield every string below ``key`` anywhere in a document."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == key and isinstance(value, str):
                yield value
            elif name == key and isinstance(value, list):
                yield from (item for item in value if isinstance(item, str))
            yield from values_of(key, value)
    elif isinstance(document, list):
        for item in document:
            yield from values_of(key, item)


def provoked() -> set[str]:
    """Return the codes that the vectors expect: ``code`` or ``codes`` anywhere in a vector file."""
    found: set[str] = set()
    for path in VECTORS.rglob("*.json"):
        document = json.loads(path.read_bytes())
        found |= {*values_of("code", document), *values_of("codes", document)}
    return found


def table(text: str, *head: str) -> list[tuple[str, ...]]:
    """Return the rows of the table in SPEC.md that has this head, without backticks."""
    rows: list[tuple[str, ...]] = []
    inside = False
    for line in text.splitlines():
        if not line.strip().startswith("|"):
            inside = False
            continue
        cells = tuple(cell.replace("`", "").strip() for cell in line.strip().strip("|").split("|"))
        if tuple(cell.lower() for cell in cells) == head:
            inside = True
        elif inside and not set("".join(cells)) <= set("-: "):
            rows.append(cells)
    return rows


def differences(**lists: set[str]) -> str:
    """Say, for each member that is not in all lists, where it is missing."""
    everything = set().union(*lists.values())
    return "\n".join(
        f"{code}: not in {', '.join(name for name, members in lists.items() if code not in members)}"
        for code in sorted(everything)
        if not all(code in members for members in lists.values())
    )


def test_spec_and_rules_have_the_same_codes() -> None:
    report = differences(SPEC=set(codes_in(prose_of(spec_text()))), rules_json=set(rules.codes()))
    assert not report, report


def test_each_rule_is_raised_somewhere() -> None:
    literals = set().union(*(strings(tree) for _, tree in trees()))
    silent = sorted(set(rules.codes()) - literals)
    assert not silent, f"in rules.json, but nowhere in daemon/taskdir/: {silent}"


def test_each_raised_code_is_a_rule() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {code} is not in rules.json"
        for path, tree in trees()
        for line, code in raised(tree)
        if code not in rules.codes()
    ]
    assert not faults, "\n".join(faults)


def test_each_rule_has_a_bad_vector() -> None:
    assert VECTORS.is_dir(), f"{VECTORS.relative_to(ROOT)}/ is missing"
    found = provoked()
    missing = sorted(set(rules.codes()) - found)
    assert not missing, f"no vector provokes: {missing}"


def test_each_rule_stands_once_and_in_its_section() -> None:
    where = sections_of_codes(spec_text())
    faults = [
        f"{code}: rules.json says section {rule['section']}, SPEC.md has it in {where.get(code, [])}"
        for code, rule in rules.codes().items()
        if [f"{number}.".startswith(f"{rule['section']}.") for number in where.get(code, [])] != [True]
    ]
    assert not faults, "\n".join(faults)


def test_appendix_a_repeats_rules_json() -> None:
    shown = table(spec_text(), "code", "about", "sentence")
    kept = [
        (code, rule["about"], rule["sentence"].replace("`", "").replace("|", "\\|"))
        for code, rule in rules.codes().items()
    ]
    assert shown, "SPEC.md has no table with the head | code | about | sentence |"
    faults = [f"only in SPEC.md: {row}" for row in shown if row not in kept]
    faults += [f"only in rules.json: {row}" for row in kept if row not in shown]
    assert not faults, "\n".join(faults)


def test_each_must_has_its_code() -> None:
    naked = musts_without_code(spec_text())
    assert not naked, "a MUST without its code in brackets:\n" + "\n".join(naked)


def test_sections_that_the_code_names_exist() -> None:
    numbers = set(re.findall(r"^#{2,} ([0-9]+(?:\.[0-9]+)*)\b", spec_text(), re.MULTILINE))
    faults = [
        f"{path.relative_to(ROOT)}: names section {number} of SPEC.md, which does not exist"
        for path, _ in trees()
        for group in re.findall(
            r"SPEC(?:\.md)?(?: sections?)? ([0-9.]+(?:(?:, | and )[0-9.]+)*)",
            path.read_text(encoding="utf-8"),
        )
        for number in re.split(r", | and ", group.rstrip("."))
        if number not in numbers
    ]
    assert not faults, "\n".join(faults)


def test_the_life_cycle_is_the_same_table() -> None:
    from taskdir.lifecycle import ROWS

    shown = table(spec_text(), "from", "input", "event", "to")
    assert shown, "SPEC.md has no table with the head | from | input | event | to |"
    only_spec = [row for row in shown if row not in ROWS]
    only_code = [row for row in ROWS if row not in shown]
    assert not only_spec + only_code, f"only in SPEC.md: {only_spec}\nonly in lifecycle.ROWS: {only_code}"
    assert shown == list(ROWS), "the same rows in another order"


def registry() -> referencing.Registry[Any]:
    """Return all our schemas by $id; nothing is ever fetched."""
    found = [referencing.Resource.from_contents(rules.schema(name)) for name in rules.DOCUMENTS]
    return referencing.Registry().with_resources([(one.id() or "", one) for one in found])


def test_the_examples_are_valid() -> None:
    faults = []
    for name, text in EXAMPLE.findall(spec_text()):
        if name not in rules.DOCUMENTS:
            faults.append(f"example: {name}: no such schema; there are {', '.join(rules.DOCUMENTS)}")
            continue
        checker = jsonschema.Draft202012Validator(rules.schema(name), registry=registry())
        try:
            document = json.loads(text)
        except ValueError as error:
            faults.append(f"example: {name}: {error}\n{text[:200]}")
            continue
        faults += [
            f"example: {name}: {fault.json_path}: {fault.message[:200]}" for fault in checker.iter_errors(document)
        ]
    assert not faults, "\n".join(faults)


def test_each_document_has_an_example() -> None:
    shown = {name for name, _ in EXAMPLE.findall(spec_text())}
    missing = sorted(set(rules.DOCUMENTS) - shown)
    assert not missing, f"SPEC.md has no <!-- example: NAME --> for: {missing}"


def test_no_json_block_goes_unchecked() -> None:
    text = spec_text()
    assert text.count("\n```json\n") == len(EXAMPLE.findall(text)), (
        "a ```json block in SPEC.md lacks its <!-- example: NAME --> line; use ```text for a fragment"
    )


def test_the_readers_read() -> None:
    """The helpers above see what is planted, so that an empty answer means something."""
    text = """It MUST fit. [too-large] But `[a-z0-9]` and [a link](x) are none; [`late`] is. [bad-value, p6]
```
[json-depth]
```

| From | Input | Event | To |
|---|---|:-:|---|
| a | b | `c` | d |

| x | y | z | w |

<!-- example: result -->
```json
{"status": 1}
```
"""
    assert codes_in(prose_of(text)) == ["too-large", "late", "bad-value", "p6"]
    assert sections_of_codes("## 1 A\n\nx [late]\n### 1.2 B\n\ny [p6]\n## A C\n") == {
        "late": ["1"],
        "p6": ["1.2"],
    }
    assert musts_without_code("`MUST`\n- a MUST b [late].\n- c MUST NOT\n  d.\n") == ["- c MUST NOT d."]
    assert table(text, "from", "input", "event", "to") == [("a", "b", "c", "d")]
    assert EXAMPLE.findall(text) == [("result", '{"status": 1}')]
    assert differences(a={"x", "y"}, b={"y"}) == "x: not in b"
    assert list(values_of("code", {"cases": [{"code": "late"}, {"expect": {"code": "p6"}}]})) == [
        "late",
        "p6",
    ]
    tree = ast.parse("raise Invalid('too-big', 'no')\nraise Busy('already-running', 'no')\nReason(code='late')")
    assert [code for _, code in raised(tree)] == ["too-big", "late"]


def test_each_promise_names_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (P[0-9]+) \| .* \| (.*) \|$", SPEC.read_text(encoding="utf-8"), re.MULTILINE)
    assert [promise for promise, _ in rows] == [f"P{number}" for number in range(1, 13)]
    for promise, shown in rows:
        named = re.findall(r"`(tests/[^`:]+)(?:::(\w+))?`", shown)
        assert named, promise
        for path, function in named:
            text = (ROOT / path).read_text(encoding="utf-8")
            assert not function or f"def {function}(" in text, f"{promise}: {path}::{function}"
