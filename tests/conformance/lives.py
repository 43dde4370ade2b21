"""Grows roots: lives drawn by lot, played by a real daemon under a clock of its own, and kept as trees in memory.

``grow(seed)`` gives the trees that one life left at several moments; the same seed gives the same lives. What the
agents and operators of a life do is often wrong on purpose, so that refusals, breaches and late results occur.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from taskdir.conformance.stage import Stage

Kind = tuple[str, str]
"""("link", target), ("fifo", "") or ("directory", ""): what is no regular file."""
Tree = dict[bytes, bytes | Kind]
"""Path below the root → content; directories only where they are empty."""

AGENTS = ("al", "bo", "eve")
QUEUES = ("default", "review", "@al")
ODD_NAMES = (
    "Bad Name.json", "é.json", "a\\b.json", "tab\t.json", "line\n.json", "x.reason.json", "y" * 230 + ".json", ".json",
    os.fsdecode(b"\xff\xfe.json"), os.fsdecode(b"\xe2\x82.json"), "-n.json", "a.b.json", "t1.000000000007.json",
)  # fmt: skip
ODD_TEXTS = (
    '{"type":"echo","type":"echo"}',
    "{",
    "[]",
    '{"type":"echo","input":1e999}',
    '{"type":"none"}',
    '"\\ud800"',
)
VALUES: tuple[Any, ...] = (
    1, 1.0, -0.0, 0, 1e16, 1.5e-7, 123456789.25, 2**53 - 1, "é\u20ac\U0001f600\x7f\x1f\"\\/", "", None, True, [], {},
    {"2": 1, "1": [{}, [0.1]], "__proto__": {"a": None}}, [[[[[["deep"]]]]]], {"é": "\u2028"}, "x" * 300,
)  # fmt: skip
CONTRACTS = {
    "echo": {"description": "anything"},
    "sum": {"input": {"type": "object"}, "output": {"type": "integer", "maximum": 9}, "defaults": {"max_attempts": 1}},
    "text": {"output": {"type": "string", "maxLength": 400}},
}
OPERATIONS = 120
SNAPSHOTS = 4


def grow(seed: int, base: Path) -> list[Tree]:
    """Play one life in a directory of its own below ``base``; returns the trees it left, the last one at its end."""
    life = Life(random.Random(seed), base / f"life-{seed}")
    trees = life.play()
    shutil.rmtree(life.root)
    return trees


def read_tree(root: Path) -> Tree:
    """Take a whole root into memory."""
    tree: Tree = {}
    top = os.fsencode(root)
    for place, directories, files in os.walk(top):
        inside = os.path.relpath(place, top)
        for name in (*files, *directories):
            path = os.path.join(place, name)
            mode = os.lstat(path).st_mode
            key = os.path.normpath(os.path.join(inside, name))
            if stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    tree[key] = file.read()
            elif stat.S_ISLNK(mode):
                tree[key] = ("link", os.fsdecode(os.readlink(path)))
            elif stat.S_ISFIFO(mode):
                tree[key] = ("fifo", "")
            elif not os.listdir(path):
                tree[key] = ("directory", "")
    return tree


def write_tree(tree: Tree, root: Path) -> None:
    """Put a tree on disk; what lies in the way of something (a file where a directory should be) keeps it out."""
    top = os.fsencode(root)
    made = {top}
    os.makedirs(top)
    for name, content in tree.items():
        path = os.path.join(top, name)
        parent = os.path.dirname(path)
        with suppress(FileExistsError, NotADirectoryError):
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            if isinstance(content, bytes):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                os.write(fd, content)
                os.close(fd)
            elif content[0] == "link":
                os.symlink(os.fsencode(content[1]), path)
            elif content[0] == "fifo":
                os.mkfifo(path)
            else:
                os.makedirs(path)


class Life:
    """One root and all that happens to it."""

    def __init__(self, dice: random.Random, root: Path) -> None:
        self.dice, self.root = dice, root
        self._ids = 0
        self._made: list[str] = []
        self._late: list[tuple[Path, str]] = []
        root.mkdir(parents=True)
        self.stage = Stage(root, {"settings": self._settings(), "contracts": CONTRACTS})
        moves = {
            self.submit: 16, self.batch: 3, self.cancel: 4, self.state: 5, self.note: 2, self.odd: 4, self.claim: 16,
            self.finish: 12, self.fail: 10, self.refuse: 5, self.give_back: 2, self.wait: 6, self.forge: 3,
            self.redrive: 12, self.repair: 3, self.restart: 2, self.configure: 2, self.prune: 1, self.late: 4,
            self.contract: 1,
        }  # fmt: skip
        self._moves: list[Callable[[], None]] = list(moves)
        self._weights = list(moves.values())

    def play(self) -> list[Tree]:
        trees = []
        for number in range(1, OPERATIONS + 1):
            with suppress(OSError, IndexError, KeyError):  # nothing is there to do that with, or it is a forgery
                self.dice.choices(self._moves, self._weights)[0]()
            if self.dice.random() < 0.7:
                self.stage.rest()
            if number % (OPERATIONS // SNAPSHOTS) == 0 and number < OPERATIONS:
                self.stage.rest()
                trees.append(read_tree(self.root))
        self.stage.rest()
        self.stage.close()
        return [*trees, read_tree(self.root)]

    def _settings(self) -> dict[str, Any]:
        dice = self.dice
        return {
            "queues": ["review"], "scan_seconds": 60, "settle_seconds": 0, "bench_seconds": 100,
            "log_segment_bytes": dice.choice([4096, 16384, 10**6]), "resources": dice.choice([{}, {"gpu": 2}]),
            "window": dice.choice([1, 2, 4, 64]), "max_claims": dice.choice([1, 2, 9]),
            "refusal_cap": dice.choice([1, 2, 3]), "bench_after": dice.choice([0, 2, 5]),
            "context_bytes": dice.choice([0, 20, 200, 65536]),
        }  # fmt: skip

    def configure(self) -> None:
        self._put("taskdir.json", {"protocol": 1, **self._settings()})

    def contract(self) -> None:
        self._put("contracts/echo.json", {"description": f"edit {self.dice.random()}"})

    def _put(self, name: str, value: Any) -> None:
        self.stage.write(
            {"write": name, "json": value} if not isinstance(value, str) else {"write": name, "text": value}
        )

    def _id(self) -> str:
        self._ids += 1
        self._made.append(f"t{self._ids}")
        return self._made[-1]

    def _known(self) -> str:
        return self.dice.choice([*self._made[-12:], "ghost"] if self.dice.random() < 0.05 else self._made[-12:])

    def _task(self) -> dict[str, Any]:
        dice = self.dice
        task: dict[str, Any] = {"type": dice.choice(["echo", "echo", "sum", "text"])}
        if task["type"] == "sum":
            task["input"] = {"n": dice.choice(VALUES)}
        elif dice.random() < 0.7:
            task["input"] = dice.choice(VALUES)
        some: dict[str, Callable[[], Any]] = {
            "queue": lambda: dice.choice(QUEUES),
            "priority": lambda: dice.choice([0, 5, 9, 3.0]),
            "after": lambda: sorted({self._known() for _ in range(dice.randrange(1, 4))}),
            "resources": lambda: dice.sample(["gpu", "disk", "net"], dice.randrange(1, 3)),
            "not_before": lambda: dice.choice(
                ["2020-02-29T00:00:00Z", "2027-01-15T08:03:00.5Z", "2999-12-31T23:59:59Z"]
            ),
            "max_attempts": lambda: dice.choice([1, 2]),
            "lease_seconds": lambda: dice.choice([60, 90.5, 3600]),
            "timeout_seconds": lambda: dice.choice([100, 86400.0]),
            "backoff_seconds": lambda: dice.choice([0, 0.25, 30]),
            "from": lambda: "ann",
            "x-own": lambda: dice.choice(VALUES),
        }
        for field in dice.sample(list(some), dice.choice([0, 1, 2, 3, 5])):
            with suppress(IndexError):
                task[field] = some[field]()
        return task

    def submit(self) -> None:
        id = self._id() if self.dice.random() < 0.93 or not self._made else self._known()
        self._put(f"inbox/{id}.json", self._task())

    def batch(self) -> None:
        members = [{"id": self._id(), **self._task()} for _ in range(self.dice.randrange(1, 5))]
        if self.dice.random() < 0.5:
            members[0]["after"] = sorted({each["id"] for each in members[1:]})
        if self.dice.random() < 0.1:
            members[-1]["after"] = [members[0]["id"]]
        self._put(f"inbox/{self._id()}.json", {"kind": "batch", "messages": members})

    def cancel(self) -> None:
        said = {"kind": "cancel", "task": self._known(), "dependants": self.dice.random() < 0.4}
        self._put(f"inbox/{self._id()}.json", said)

    def state(self) -> None:
        said = {"kind": "state", "key": self.dice.choice(["head", "plan"]), "value": self.dice.choice(VALUES)}
        if self.dice.random() < 0.4:
            said["if_version"] = self.dice.randrange(4)
        self._put(f"inbox/{self._id()}.json", said)

    def note(self) -> None:
        said = {"kind": "note", "message": "well \u20ac"} | (
            {"task": self._known()} if self.dice.random() < 0.5 else {}
        )
        self._put(f"inbox/{self._id()}.json", said)

    def odd(self) -> None:
        """Put into inbox/ what is no message, or has no name for one."""
        path = self.root / "inbox" / self.dice.choice([*ODD_NAMES, f"{self._id()}.json"])
        how = self.dice.randrange(6)
        if os.path.lexists(path):
            return  # it may be a FIFO of ours that nobody takes away, and to write there would wait for a reader
        if how == 0:
            path.symlink_to("/etc/hostname")
        elif how == 1:
            os.mkfifo(path)
        elif how == 2:
            path.mkdir()
        else:
            path.write_text(self.dice.choice([*ODD_TEXTS, '{"type":"echo"}']))

    def claim(self) -> None:
        queue, agent = self.dice.choice(os.listdir(self.root / "ready")), self.dice.choice(AGENTS)
        offers = sorted(os.listdir(self.root / "ready" / queue))
        home = self.root / "claimed" / agent
        home.mkdir(exist_ok=True)
        name = offers[0] if self.dice.random() < 0.8 else self.dice.choice(offers)
        os.rename(self.root / "ready" / queue / name, home / name)

    def _held(self) -> Path:
        """Return a claimed file without its ``.json``."""
        found = sorted(path for path in self.root.glob("claimed/*/*.json") if path.name.count(".") == 3)
        return self.dice.choice(found).with_suffix("")

    def _hand_in(self, held: Path, result: dict[str, Any]) -> None:
        if self.dice.random() < 0.3:
            held.with_name(held.name + ".notes.jsonl").write_text("half\u00e9 way\n" * self.dice.randrange(3))
        self._put(f"claimed/{held.parent.name}/{held.name}.result.json", result)
        if self.dice.random() < 0.3:
            self._late.append((held, json.dumps(result)))

    def finish(self) -> None:
        held = self._held()
        type = json.loads(held.with_name(held.name + ".json").read_bytes())["type"]
        good: dict[str, tuple[Any, ...]] = {"sum": (1, 9, -3), "text": ("", "é", "x" * 300), "echo": VALUES}
        self._hand_in(held, {"status": "ok", "output": self.dice.choice(good[type])})

    def fail(self) -> None:
        error = {"message": self.dice.choice(["no luck", "\u20ac\x7f" * 9])} | self.dice.choice([{}, {"code": "disk"}])
        self._hand_in(self._held(), {"status": "error", "error": error, "retry": self.dice.random() < 0.7})

    def refuse(self) -> None:
        self._hand_in(self._held(), self.dice.choice([{"status": "ok"}, {"status": "ok", "output": 1, "own": 1}]))

    def late(self) -> None:
        held, text = self._late.pop()
        held.with_name(held.name + ".result.json").write_text(text)

    def give_back(self) -> None:
        held = self._held()
        held.with_name(held.name + ".json").unlink()

    def wait(self) -> None:
        self.stage.wait({"wait": self.dice.choice([60, 120, 240])})

    def forge(self) -> None:
        """Put something where only the daemon writes, or edit what it wrote."""
        names = ["5-000000000001.ghost.1.json", "9-000000000002.t1.1.json", "x.json", "plain"]
        place = self.dice.choice(["ready/default", "claimed/al", "state", "edit"])
        if place == "edit":
            shown = sorted([*self.root.glob("ready/*/*.json"), *self.root.glob("state/*.json")])
            self.dice.choice(shown).write_text("{}")
        else:
            (self.root / place / self.dice.choice(names)).write_text("{}")

    def redrive(self) -> None:
        record = self.dice.choice(sorted((self.root / "failed").glob("*.json")))
        if self.dice.random() < 0.1:
            record.write_bytes(record.read_bytes() + b" ")
        record.rename(self.root / "inbox" / record.name)

    def repair(self) -> None:
        refused = self.dice.choice(sorted(path for path in (self.root / "rejected").glob("*.json") if path.is_file()))
        if self.dice.random() < 0.7:
            self._put(f"rejected/{refused.name}", {"type": "echo"})
        refused.rename(self.root / "inbox" / refused.name)

    def restart(self) -> None:
        self.stage.daemon({"daemon": self.dice.choice(["restart", "kill"])})
        if not self.stage.running:
            self.stage.daemon({"daemon": "start"})

    def prune(self) -> None:
        self.dice.choice(sorted(self.root.glob("done/*.json"))).unlink()
