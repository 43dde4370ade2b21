"""The kit for daemons: every vector put to a program that answers the requests of adapters/CONTRACT.md section 2."""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from taskdir import logread, rules
from taskdir.conformance import trees, vectors
from taskdir.conformance.books import check_documents, check_log, codes_of
from taskdir.conformance.cases import Broken, Case, NotTested, program, want
from taskdir.conformance.stage import Subject, events_of, play
from taskdir.conformance.wire import Child
from taskdir.index import open_for_reading

JOBS = 2
DAEMON = ("open", "pass", "close")
INDEX_RULES = {"index-differs", "index-ahead"}
Found = list[tuple[str, str, int | None]]
"""(rule code, file from the root, line), sorted."""


def document(subject: Subject, kind: str, test: dict[str, Any]) -> None:
    """Judge one document: the rule code and the pointer, exactly. Raises Broken."""
    said = subject.ask({"do": "judge", "document": kind, "base64": base64.b64encode(vectors.content(test)).decode()})
    expected = None if test["valid"] else (test["code"], test.get("pointer"))
    found = (said["code"], said.get("pointer")) if "code" in said else None
    want("the verdict: code and pointer", expected, found, test.get("code"))


def name(subject: Subject, grammar: str, test: dict[str, Any]) -> None:
    """Judge one name, and the parts of a good one. Raises Broken."""
    parts = subject.ask({"do": "name", "grammar": grammar, "name": test["name"]})["parts"]
    want("whether the grammar takes it", test["valid"], parts is not None)
    if "parts" in test:
        want("its parts", test["parts"], parts)


def scenario(subject: Subject, scene: dict[str, Any], root: Path) -> None:
    """Play one scenario, and check all that must hold in any. Raises Broken."""
    code = scene.get("code", "")
    if faults := play(scene, root, check_documents, subject):
        raise Broken("what is there", "what the scenario says", "\n".join(faults), code)
    events = events_of(root)
    check_log(str(root), events)
    if code and code not in codes_of(events):
        raise Broken("the reasons in the log", code, sorted(codes_of(events)), code)


def tree(subject: Subject, life: Path, case: dict[str, Any], root: Path, *, alone: bool) -> None:
    """Damage a copy of a life's root and compare what an audit finds with what the case says. Raises Broken.

    ``alone``: the log's files without their root.
    """
    shutil.copytree(life, root, symlinks=True)
    damage = trees.Damage(root)
    for operation in case["damage"]:
        damage.do(operation)
    files = [path for _, path in logread.segments(str(root))]
    kept = {"checkpoints": damage.checkpoints} if damage.checkpoints else {}
    asked = {"do": "check-log", "files": files} if alone else {"do": "check", "root": str(root), **told(root)}
    with trees.running(root, case.get("daemon", "stopped")):
        said = subject.ask(asked | kept)
    wanted = case.get("log_alone", _about_log(case["findings"])) if alone else case["findings"]
    expected = [(each["code"], each["file"], each.get("line")) for each in wanted]
    found = [
        (each["code"], os.path.relpath(os.path.join(root, each["place"]), root), each.get("line"))
        for each in said["findings"]
    ]
    if not any(line for _, _, line in found):
        expected = [(code, file, None) for code, file, _ in expected]
    broken = {code for code, _, _ in {*expected} ^ {*found}}
    expected, found = sorted(expected, key=_by_words), sorted(found, key=_by_words)
    want("the findings: code, place, line", expected, found, min(broken, default=""))
    if not alone and "pruned" in said:
        want("records that their readers took away", case.get("pruned", said["pruned"]), said["pruned"])


def told(root: Path) -> dict[str, Any]:
    """What the index knows and no log tells, for those who do not read it: up to which seq records were published, and
    who sleeps; nothing without an index."""
    index = open_for_reading(str(root / ".taskdir" / "index.sqlite"))
    if index is None:
        return {}
    try:
        asleep = [id for (id,) in index.rows("SELECT id FROM tasks WHERE wake_at IS NOT NULL")]
        return {"published": int(index.meta("records_synced") or 0), "asleep": asleep}
    finally:
        index.close()


def _by_words(finding: tuple[str, str, int | None]) -> tuple[str, str, int]:
    return finding[0], finding[1], finding[2] or 0


def _about_log(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if rules.codes()[each["code"]]["about"] == "log" or each["code"] == "p6"]


def has_log(life: dict[str, Any], case: dict[str, Any]) -> bool:
    """Say whether a case leaves files of the log: closed segments, or the open one."""
    unlinked = any(operation.get("unlink") == "log.jsonl" for operation in case["damage"])
    return "log_segment_bytes" in life.get("settings", {}) or not unlinked


def end_of(case: dict[str, Any]) -> str:
    """Return how the life of a case's tree ended."""
    return "stopped" if case.get("daemon", "stopped") == "stopped" else "killed"


def needs(case: dict[str, Any], request: str) -> tuple[str, ...]:
    """Return what a program must offer for a case about a tree, besides the request itself."""
    found = [request]
    if request == "check" and needs_index(case):
        found.append("index")
    if any("checkpoint" in operation for operation in case["damage"]):
        found.append("checkpoint")
    return tuple(found)


def needs_index(case: dict[str, Any]) -> bool:
    """Say whether a case is about the index that our own daemon keeps."""
    damaged = any("index" in operation or "index.sqlite" in str(operation) for operation in case["damage"])
    return damaged or any(each["code"] in INDEX_RULES for each in case["findings"])


class Kit:
    """The cases for one program: a child for each thread, the lives of the trees, and room on disk."""

    def __init__(self, command: Sequence[str], base: Path) -> None:
        self._command, self._base = program(command), base
        self._numbers, self._own, self._lock = itertools.count(1), threading.local(), threading.Lock()
        self._children: list[Child] = []
        self._lives: dict[tuple[str, str], Path] = {}
        self.told: dict[str, Any] = {}
        self.offers: frozenset[str] = frozenset()

    def child(self) -> Child:
        """Return this thread's child."""
        if not hasattr(self._own, "child"):
            self._own.child = Child(self._command, self._base / f"stderr-{next(self._numbers)}")
            self._own.child.offers = self.offers
            self._children.append(self._own.child)
        found: Child = self._own.child
        return found

    def close(self) -> None:
        """End the children."""
        for child in self._children:
            child.end()

    def hello(self) -> None:
        """Ask what the program offers."""
        self.told = {"daemon": self.child().hello()}
        self.offers = self.child().offers

    def life(self, stem: str, end: str) -> Path:
        """Return the root that a life left; our own daemon plays it, once."""
        with self._lock:
            if (stem, end) not in self._lives:
                at = self._base / f"life-{stem}-{end}"
                at.mkdir()
                self._lives[stem, end] = trees.live(vectors.life(stem), end, at)
            return self._lives[stem, end]

    def cases(self) -> Iterator[Case]:
        """Yield all cases."""
        for label, kind, test in vectors.documents():
            yield self._case(f"documents/{label}", test.get("code", ""), ("judge",), self._on(document, kind, test))
        for label, grammar, test in vectors.names():
            yield self._case(f"names/{label}", "", ("name",), self._on(name, grammar, test))
        for label, stem, case in vectors.trees():
            yield self._case(f"trees/{label}", "", needs(case, "check"), partial(self._tree, stem, case, alone=False))
            if has_log(vectors.life(stem), case):
                also = needs(case, "check-log")
                yield self._case(f"logs/{label}", "", also, partial(self._tree, stem, case, alone=True))
        for label, scene in vectors.scenarios():
            yield self._case(f"scenarios/{label}", scene.get("code", ""), DAEMON, partial(self._scenario, scene))

    def _case(self, label: str, rule: str, needs: tuple[str, ...], action: Callable[[], None]) -> Case:
        def run() -> None:
            if missing := [word for word in needs if word not in self.offers]:
                raise NotTested(f"the program does not offer {', '.join(missing)}")
            try:
                action()
            except Broken:
                if needs == DAEMON:
                    self.child().end()  # the root may still be open: the next case begins afresh
                raise

        return Case(label, label.partition("/")[2], rule, run)

    def _on(self, judge: Callable[[Subject, str, dict[str, Any]], None], *words: Any) -> Callable[[], None]:
        return lambda: judge(self.child(), *words)

    def _room(self) -> Path:
        return self._base / str(next(self._numbers))

    def _tree(self, stem: str, case: dict[str, Any], *, alone: bool) -> None:
        tree(self.child(), self.life(stem, end_of(case)), case, self._room(), alone=alone)

    def _scenario(self, scene: dict[str, Any]) -> None:
        if scene.get("needs") == "unprivileged" and os.geteuid() == 0:
            raise NotTested("file modes do not bind root: run the kit as another user")
        scenario(self.child(), scene, self._room())


@contextmanager
def cases(command: Sequence[str]) -> Iterator[tuple[list[Case], dict[str, Any]]]:
    """Yield the cases for a program, and what it said about itself; without a command, the cases alone."""
    base = Path(tempfile.mkdtemp(prefix="taskdir-daemon-"))
    kit = Kit(command, base)
    try:
        if command:
            kit.hello()
        yield list(kit.cases()), kit.told
    finally:
        kit.close()
        shutil.rmtree(base, ignore_errors=True)
