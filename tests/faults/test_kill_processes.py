"""Real processes, real kills: the daemon dies 30 times while three agents work, some of which walk away (P1-P5, P8).

Kills come from progress marks in the log, never from sleeping for luck; the seed is printed. The accounting reads the
log and the directories only.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import textwrap
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from faults import ledger
from support.live import Root, taskdir, until

TASKS, KILLS, AGENTS = 600, 30, 3

AGENT = textwrap.dedent("""
    import json, os, random, sys, time
    root, me, seed = sys.argv[1:]
    chance, home = random.Random(seed), f"{root}/claimed/{me}"
    os.makedirs(home, exist_ok=True)
    def mine():
        names = [n for n in sorted(os.listdir(home)) if n.count(".") == 3 and not n.startswith(".")]
        return names[0] if names else None
    def take():
        for name in sorted(os.listdir(f"{root}/ready/default")):
            try:
                os.rename(f"{root}/ready/default/{name}", f"{home}/{name}")
                return name
            except OSError:
                continue
    while not os.path.exists(f"{root}/enough"):
        name = mine() or take()
        if name is None:
            time.sleep(0.005)
            continue
        if chance.random() < 0.03:
            sys.exit(7)  # walks away in the middle of its task
        try:
            task = json.load(open(f"{home}/{name}"))
        except FileNotFoundError:
            continue
        done = f"{home}/.{name}.tmp"
        with open(done, "w") as file:
            json.dump({"status": "ok", "output": task["input"]}, file)
        try:
            os.rename(done, f"{home}/{task['result_file']}")
        except FileNotFoundError:
            continue
        while os.path.exists(f"{home}/{name}") and not os.path.exists(f"{root}/enough"):
            time.sleep(0.002)
""")


class Crew:
    """The agents: whoever walked away is replaced by another under the same name."""

    def __init__(self, root: Root, seed: int) -> None:
        self._root, self._chance = root, random.Random(seed)
        self._at_work = {f"agent-{number}": self._hire(f"agent-{number}") for number in range(AGENTS)}
        self.left = 0

    def _hire(self, name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", AGENT, self._root.path, name, str(self._chance.random())])

    def replace(self) -> None:
        """Hire anew for those who walked away; their names hold unfinished claims, which the new ones resume."""
        for name, process in self._at_work.items():
            if process.poll() is not None:
                assert process.returncode == 7, "an agent broke"
                self.left += 1
                self._at_work[name] = self._hire(name)

    def is_past(self, mark: int) -> bool:
        """Say whether the log has ``mark`` lines; keeps the crew complete meanwhile."""
        self.replace()
        return (self._root.path / "log.jsonl").read_bytes().count(b"\n") >= mark

    def is_through(self) -> bool:
        """Say whether every task is done; keeps the crew complete meanwhile."""
        self.replace()
        return len(self._root.names("done")) == TASKS

    def dismiss(self) -> None:
        (self._root.path / "enough").touch()
        for process in self._at_work.values():
            process.wait(30)


def test_thirty_kills_lose_nothing(tmp_path: Path) -> None:
    seed = ledger.seed()
    with ledger.entry("kill -9 of a working daemon", seed=seed, unit="kills") as entry:
        lose_nothing(tmp_path, seed)
        entry.runs += KILLS


def lose_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    root = Root(tmp_path / "root", scan_seconds=0.1, settle_seconds=0.2)
    marks = sorted(chance.sample(range(20, TASKS * 3 - 40), KILLS))
    with root:
        crew = Crew(root, seed)
        for number in range(TASKS):
            root.put(f"inbox/t-{number}.json", {"type": "echo", "input": number, "lease_seconds": 600})
        for mark in marks:
            until(partial(crew.is_past, mark), f"{mark} events")
            root.kill()
            root.start()
        until(crew.is_through, "all tasks")
        crew.dismiss()
        assert root.stop() == 0
        account(root)
        assert crew.left > 0, "nobody walked away: this run proves less than it says"
    checked = taskdir("check", root=root.path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def account(root: Root) -> None:
    """Each task: accepted once, done once, its own output in done/; nothing else ended."""
    times = {kind: Counter(event["id"] for event in root.events(kind)) for kind in ("accepted", "done")}
    expected = Counter({f"t-{number}": 1 for number in range(TASKS)})
    assert times["accepted"] == expected
    assert times["done"] == expected
    assert not root.events("failed")
    for number in range(TASKS):
        assert json.loads((root.path / f"done/t-{number}.json").read_text())["output"] == number
    assert root.names("inbox") == root.names("ready/default") == root.names("failed") == root.names("rejected") == []


@pytest.mark.parametrize("lie", ["double", "lost", "swapped"])
def test_the_accounting_notices(tmp_path: Path, lie: str) -> None:
    """Planted faults: a task done twice, one missing, an output of another task."""
    root = Root(tmp_path / "root")
    lines = []
    for number in range(TASKS):
        lines += [{"event": "accepted", "id": f"t-{number}"}, {"event": "done", "id": f"t-{number}"}]
        root.put(f"done/t-{number}.json", {"output": number})
    if lie == "double":
        lines.append({"event": "done", "id": "t-5"})
    elif lie == "lost":
        lines.remove({"event": "done", "id": "t-5"})
    else:
        root.put("done/t-5.json", {"output": 6})
    root.put("log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(AssertionError):
        account(root)
