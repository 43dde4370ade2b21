"""The house rules of daemon/taskdir/, read from its syntax trees: imports, changes of files, sizes.

MAP is the order of the rooms. A module imports only what stands above its row; inside the rows of LEFT_TOO
also what stands to its left. A new module must be given its place here and in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "daemon" / "taskdir"

MAP = {
    "pure": "errors names ownership places nearby patterns automaton strictjson keywords lint excerpt jsonc locate"
    " rules documents seen lifecycle",
    "ground": "system",  # what differs between operating systems
    "edges": "clock disk lock watch validate filesystem textlog terminal notify",  # one outside thing each
    "knowledge": "settings contracts logread journal register stories asking lines shelf tasks trouble index known"
    " papers holdings rooms handover walls observe acceptance orders records entries window mends view facts precedence"
    " audit checkpoint compare chain",
    "desks": "claims results leases benches handouts offers state intake",  # one duty each, no disk, no clock
    "running": "roots taken gestures shared held work client aio given opening daemon merging vscode annotate recognise"
    " vet check waiting story overview graph briefing toolbox mcpserver dialects trespass hooks agentfiles service.*"
    " service report.* report doctor.* doctor demo.* demo conformance.* conformance runner.* runner"
    " interchange.* interchange",
    "surface": "cli.frame cli.argparser cli.parsers cli.quick cli.described cli.words cli.findings cli.* cli __init__"
    " __main__",  # cli.*: or a verb
}
LEFT_TOO = {"pure", "knowledge", "running", "surface"}
PLAYS_OTHERS = "conformance."
"""Its modules do to files what agents and operators do; what the daemon does is still for disk alone."""
NOT_FOR_DESKS = {"clock", "disk", "lock", "watch"}
ONLY_IN = {
    "watchdog": {"watch"},
    "portalocker": {"lock"},
    "jsonschema": {"validate"},
    "jsonschema_rs": {"validate"},
    "referencing": {"validate"},
    "rich": {"terminal"},
    "sqlite3": {"asking", "index", "lines", "register", "shelf", "stories", "tasks", "trouble", "conformance.trees"},
    "mcp": {"mcpserver"},
    "mcp_types": {"mcpserver"},
    "anyio": {"mcpserver"},
    "starlette": {"mcpserver"},
    "uvicorn": {"mcpserver"},
}
PLACE = {name: (row, column) for row, names in enumerate(MAP.values()) for column, name in enumerate(names.split())}
ROWS = list(MAP)

CHANGES = set("rename renames replace link unlink remove mkdir makedirs rmdir removedirs symlink truncate".split())
OS_ONLY = CHANGES | {"chmod", "utime", "mkfifo", "mknod", "setxattr"}
SHUTIL = set("move copy copy2 copyfile copytree copymode copystat rmtree".split())
PATH_ONLY = (CHANGES - {"replace", "remove", "link"}) | set(
    "write_text write_bytes touch symlink_to hardlink_to chmod".split()
)
WRITE_FLAGS = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC"}


def modules() -> dict[str, Path]:
    """Return dotted name below taskdir → file; a package's __init__ goes by the package's name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


def place(name: str) -> tuple[int, int] | None:
    """Return (row, column) of a module in MAP; the parts of a package share one place."""
    package = name.partition(".")[0]
    return PLACE.get(name) or PLACE.get(f"{package}.*") if "." in name else PLACE.get(name)


def imports(tree: ast.AST, name: str, known: set[str]) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import; relative ones are resolved."""
    package = ["taskdir", *name.split(".")][: -1 if name not in ("cli",) else None]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                if (origin, alias.name) == ("taskdir", "__version__"):
                    continue  # a constant that every row may know
                inner = f"{origin}.{alias.name}".removeprefix("taskdir.")
                yield node.lineno, f"taskdir.{inner}" if inner in known else origin


def import_fault(name: str, target: str) -> str | None:
    """Say what is wrong with ``name`` importing ``target``; None when nothing is."""
    top = target.partition(".")[0]
    if top in ONLY_IN and name not in ONLY_IN[top]:
        return f"{top} is imported by {', '.join(ONLY_IN[top])} alone"
    if top != "taskdir":
        return None
    inner = target.removeprefix("taskdir").removeprefix(".") or "__init__"
    here, there = place(name), place(inner)
    if here is None or there is None:
        return None  # test_every_module_has_its_place tells
    row = ROWS[here[0]]
    if row == "desks" and inner in NOT_FOR_DESKS:
        return f"a desk decides; it never sees {inner}"
    if here == there and top != "cli" and not name.startswith("cli."):
        return None  # parts of one package
    if there[0] < here[0] or (row in LEFT_TOO and there[0] == here[0] and there[1] < here[1]):
        return None
    if here[0] == there[0]:
        return f"{name} and {inner} are both {row}: only what stands to its left in MAP, and in desks nothing"
    return f"{name} ({row}) must not know {inner} ({ROWS[there[0]]})"


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, call) of every call that changes files; a call on a ``disk`` is how it should be."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
            banned = OS_ONLY if node.module == "os" else SHUTIL
            yield from ((node.lineno, f"from {node.module} import {a.name}") for a in node.names if a.name in banned)
        if not isinstance(node, ast.Call):
            continue
        owner, _, called = ast.unparse(node.func).rpartition(".")
        if owner.rpartition(".")[2].strip("_") in ("disk", "Disk"):
            continue
        if changes_files(owner, called, node):
            yield node.lineno, ast.unparse(node)[:70]


def writing(mode: ast.Constant) -> bool:
    return re.fullmatch(r"[rbt]*[wax+][wax+rbt]*", str(mode.value)) is not None


def changes_files(owner: str, called: str, call: ast.Call) -> bool:
    """Judge one call by its name and arguments."""
    if owner == "os" and called == "open":
        return any(getattr(n, "attr", None) in WRITE_FLAGS for arg in call.args[1:2] for n in ast.walk(arg))
    if called in ("open", "fdopen") and owner not in ("webbrowser", "gzip", "tarfile", "zipfile"):
        plain = owner in (
            "",
            "io",
            "os",
        )  # else a method: Path.open(mode), or something that is no file at all
        modes = [word.value for word in call.keywords if word.arg == "mode"]
        modes += call.args[1:2] if plain else call.args[:1]
        return any(writing(mode) if isinstance(mode, ast.Constant) else plain for mode in modes)
    if owner in ("os", "shutil"):
        return called in (OS_ONLY if owner == "os" else SHUTIL)
    if called == "replace":  # Path.replace has one argument; str.replace two, dataclasses.replace keywords
        return bool(owner) and len(call.args) == 1 and not call.keywords
    return bool(owner) and called in PATH_ONLY


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parsed() -> Iterator[tuple[str, Path, ast.Module]]:
    for name, path in modules().items():
        yield name, path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_every_module_has_its_place() -> None:
    found = modules()
    lost = [
        f"{path.relative_to(ROOT)}: no place in MAP (tests/meta/test_layers.py)"
        for name, path in found.items()
        if place(name) is None
    ]
    single = [name for name in PLACE if not name.endswith(".*")]
    gone = [f"{name}: in MAP, but there is no such module" for name in single if name not in found]
    assert not lost + gone, "\n".join(lost + gone)


def test_contributing_shows_the_same_map() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| (\w+) \| `([^`]+)` \|", text, re.MULTILINE))
    assert {row: shown.get(row) for row in ROWS[:-1]} == {row: MAP[row] for row in ROWS[:-1]}


def test_a_module_imports_only_what_stands_above_it() -> None:
    known = set(modules())
    faults = [
        f"{path.relative_to(ROOT)}:{line}: imports {target}: {fault}"
        for name, path, tree in parsed()
        for line, target in imports(tree, name, known)
        if (fault := import_fault(name, target))
    ]
    assert not faults, "\n".join(faults)


def test_only_disk_changes_files() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {call}: only disk.py changes files, by system.py if need be"
        for name, path, tree in parsed()
        if name not in ("disk", "system") and not name.startswith(PLAYS_OTHERS)
        for line, call in writes(tree)
        if not (name == "index" and call.startswith("os.unlink("))  # SQLite's own files, when the index is made anew
    ]
    assert not faults, "\n".join(faults)


def test_no_room_is_too_large() -> None:
    faults = []
    for _, path, tree in parsed():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 300:
            faults.append(f"{path.relative_to(ROOT)}: {lines} lines, at most 300")
        faults += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {length(node)} lines, 60 allowed"
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > 60
        ]
    assert not faults, "\n".join(faults)


def test_every_module_says_what_it_is_for() -> None:
    faults = [str(path.relative_to(ROOT)) for _, path, tree in parsed() if tree.body and not ast.get_docstring(tree)]
    assert not faults, f"no docstring: {faults}"


def test_nothing_is_left_for_later() -> None:
    note = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    kept = [
        path
        for top in ("daemon", "schemas", "adapters", "tests")
        for path in (ROOT / top).rglob("*")
        if path.suffix in (".py", ".json", ".md", ".sh", "") and path.is_file()
    ]
    faults = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in kept
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if note.search(line)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("name", "code", "complaint"),
    [
        ("claims", "from taskdir.results import x", "nothing"),
        ("claims", "from . import results", "nothing"),
        ("claims", "from taskdir import disk", "never sees disk"),
        ("claims", "import taskdir.clock", "never sees clock"),
        ("names", "from .errors import Invalid", None),
        ("errors", "from taskdir.names import is_word", "to its left"),
        ("disk", "from taskdir.index import Index", "must not know"),
        ("index", "from taskdir.journal import Journal", None),
        ("journal", "from taskdir.index import Index", "to its left"),
        ("daemon", "def f():\n    import watchdog.events", "watch alone"),
        ("view", "import jsonschema", "validate alone"),
        ("client", "from taskdir.cli import main", "must not know"),
        ("client", "from taskdir import Taskdir", "must not know"),
        ("cli.claim", "from taskdir.cli.frame import Env", None),
        ("cli.claim", "from .finish import run", "to its left"),
        ("cli", "from . import claim", None),
        ("lock", "import portalocker", None),
    ],
)
def test_the_import_rule_sees_a_planted_fault(name: str, code: str, complaint: str | None) -> None:
    known = {*PLACE, "cli.claim", "cli.finish"} - {"cli.*"}
    found = [fault for _, target in imports(ast.parse(code), name, known) if (fault := import_fault(name, target))]
    assert bool(found) == (complaint is not None), found
    assert all(complaint and complaint in fault for fault in found)


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("os.rename(a, b)", True),
        ("from os import link", True),
        ("shutil.move(a, b)", True),
        ("Path(p).write_text('x')", True),
        ("path.unlink()", True),
        ("path.replace(target)", True),
        ("text.replace('a', 'b')", False),
        ("replace(task, state='done')", False),
        ("open(p, 'w')", True),
        ("open(p, mode='ab')", True),
        ("open(p, flags)", True),
        ("open(p, 'rb')", False),
        ("path.open()", False),
        ("path.open('a')", True),
        ("path.open(mode='r+b')", True),
        ("self.journal.open(mark)", False),
        ("os.open(p, os.O_RDWR | os.O_CREAT)", True),
        ("os.open(p, os.O_RDONLY)", False),
        ("self.disk.rename(a, b)", False),
        ("self._disk.unlink(a)", False),
    ],
)
def test_the_write_rule_sees_a_planted_fault(code: str, bad: bool) -> None:
    assert bool(list(writes(ast.parse(code)))) == bad
