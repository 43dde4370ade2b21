"""A thousand writers for one key of the shared state, in eight processes: one winner a version, nothing lost (P3, P5).

The daemon is a real process. What writers were told is compared with the log, and with state/ at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from support.live import ENV, Root, taskdir

PROCESSES, ROUNDS, EACH = 8, 5, 25
"""Eight processes, each of which five times throws twenty-five writers on the version that it reads."""

STEPS = 12
"""So often each process counts one up."""

WRITERS = """
import json, sys
from taskdir import shared
from taskdir.disk import Disk
from taskdir.places import Places

places, disk, rounds, each = Places(sys.argv[1]), Disk(), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(rounds):
    entry = shared.read(places, "head")
    version = entry["version"] if entry else 0
    sent = [shared.send(places, disk, "head", {"after": version}, version) for _ in range(each)]
    for one in sent:
        verdict = shared.judged(places, one, 30)
        reason = (verdict.reason or {}).get("code")
        print(json.dumps({"id": one.id, "after": version, "word": verdict.word, "code": reason}))
    now = shared.read(places, "head")
    assert now["version"] > version, "one of them must have won, and its entry be there before the verdict"
"""

COUNTERS = """
import json, sys
from taskdir import Taskdir

root, steps = Taskdir(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(steps):
    value, version = root.update_state("count", lambda value: (value or 0) + 1)
    print(json.dumps({"value": value, "version": version}))
"""


def race(root: Root, program: str, *words: int) -> list[dict[str, Any]]:
    """Run a program in all processes at once; returns what they printed."""
    command = [sys.executable, "-c", program, str(root.path), *map(str, words)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env=ENV, **pipes) for _ in range(PROCESSES)]  # type: ignore[call-overload]
    try:
        for process in running:
            assert process.stdout.readline() == "ready\n"
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[0] for process in running]
        assert [process.returncode for process in running] == [0] * PROCESSES
    finally:
        for process in running:
            process.kill()
    return [json.loads(line) for text in said for line in text.splitlines()]


def test_a_thousand_writers_and_one_winner_a_version(tmp_path: Path) -> None:
    with Root(tmp_path / "root", scan_seconds=0.2) as root:
        told = race(root, WRITERS, ROUNDS, EACH)
        assert len({one["id"] for one in told}) == PROCESSES * ROUNDS * EACH == 1000
        assert Counter(one["code"] for one in told if one["word"] != "accepted").keys() == {"state-conflict"}
        won = {one["after"] + 1: one["id"] for one in told if one["word"] == "accepted"}
        assert len(won) == sum(one["word"] == "accepted" for one in told), "two winners of one version"
        assert sorted(won) == list(range(1, len(won) + 1)), "a version without a winner"
        assert {event["version"]: event["by"] for event in root.events("set")} == won
        assert len(root.events("rejected")) == 1000 - len(won)
        entry = root.json("state/head.json")
        assert (entry["version"], entry["by"]) == (len(won), won[len(won)])
        assert len(won) >= ROUNDS
        assert root.stop() == 0
    assert taskdir("check", root=root.path).returncode == 0


def test_no_count_is_lost(tmp_path: Path) -> None:
    with Root(tmp_path / "root", scan_seconds=0.2) as root:
        told = race(root, COUNTERS, STEPS)
        total = PROCESSES * STEPS
        assert sorted(one["value"] for one in told) == list(range(1, total + 1))
        assert all(one["value"] == one["version"] for one in told)
        assert root.json("state/count.json")["value"] == total
        assert root.names("rejected") == [], "a try that came too late is cleared away by who made it"
