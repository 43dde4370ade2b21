"""`taskdir demo` as a user runs it: its last line, the kill and the refusal in the log, nobody left behind."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskdir import contracts, demo
from taskdir.demo.proof import faults
from taskdir.demo.sources import Plan, Source, gather
from taskdir.documents import Event
from taskdir.errors import Missing

HOUSE = Path(__file__).resolve().parents[2]
FILES = {
    "one.py": "class One:\n    def no(self): ...\n\ndef two(a):\n    pass\nasync def no(): ...\n",
    "deep/er/three.js": "function three() {\n}\nfunction  no() {}\r\nclass Four extends Three {",
    "empty.txt": "",
    "sub-dir/umlaut.md": "class \u00c4rger\nclass Gr\u00fc\u00dfe\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small tree, with things in it that the demo leaves out."""
    home = tmp_path / "tree"
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(text.encode())
    (home / "odd name.py").write_text("")
    (home / "binary.bin").write_bytes(b"\0")
    (home / "latin.txt").write_bytes(b"\xe9")
    (home / ".hidden").write_text("")
    return home


def play(*words: str, tmp: Path, path: str | None = None) -> subprocess.Popen[str]:
    """Start the demo with its temporary files below ``tmp``."""
    home = os.pathsep.join(filter(None, (str(HOUSE / "daemon"), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": home, "TMPDIR": str(tmp)}
    env |= {"PATH": path} if path else {}
    command = [sys.executable, "-m", "taskdir", "demo", *words]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def log_of(tmp: Path) -> list[Event]:
    files = [*tmp.glob("taskdir-demo-*/root/log.jsonl")]
    return [json.loads(line) for file in files for line in file.read_bytes().split(b"\n")[:-1]]


def of(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event"] == kind]


def nobody_is_left(tmp: Path) -> bool:
    """Say whether no process has a word of ``tmp`` on its command line (where there is /proc; else it cannot tell)."""
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return not [line for line in lines if str(tmp).encode() in line and b"worker." in line]


@pytest.mark.skipif(shutil.which("node") is None, reason="NO NODE: the third worker of the demo cannot be tested")
def test_the_demo(folder: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    process = play(str(folder), "--keep", tmp=tmp_path)
    out, words = process.communicate(timeout=110)
    assert process.returncode == 0, out + words
    tasks = 3 * len(FILES) + 1
    assert out.splitlines()[-1] == f"demo: {tasks} tasks, nothing was lost"
    assert f"{len(FILES)} files of {folder}, 3 left out" in words
    assert time.monotonic() - began < 30
    events = log_of(tmp_path)

    (killed,) = of(events, "abandoned")
    assert killed["agent"] == "python-1"
    assert "half way through" in killed["notes"]
    holders = [event["agent"] for event in of(events, "claimed") if event["id"] == killed["id"]]
    assert len(holders) == 2
    assert holders[0] == "python-1" != holders[1]

    (refused,) = of(events, "refused")
    assert (refused["agent"], refused["reason"]["code"]) == ("shell-1", "output-contract")
    (corrected,) = (event for event in of(events, "done") if event["id"] == refused["id"])
    assert (corrected["agent"], corrected["attempt"]) == ("shell-1", 1)

    done = {event["id"]: event["output"] for event in of(events, "done")}
    assert len(done) == len(of(events, "done")) == len(of(events, "accepted")) == tasks
    assert done["outline-002"] == {"names": []}
    assert [done[f"outline-{n:03d}"]["names"] for n in (1, 3, 4)] == [["three", "Four"], ["One", "two"], ["Gr"]]
    assert done["summary"] == {
        "files": 4,
        "lines": 11,
        "bytes": sum(len(t.encode()) for t in FILES.values()),
        "names": 5,
    }
    for told in (killed["id"], refused["id"], "shell-1", "python-2"):
        assert told in out
    assert nobody_is_left(tmp_path)


def test_without_node_a_second_shell_worker_helps(folder: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in "sh ls head mv cat sed awk wc cut mkdir sleep sha256sum shasum openssl".split():
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    process = play(str(folder), tmp=tmp_path, path=str(tools))
    out, words = process.communicate(timeout=110)
    assert process.returncode == 0, out + words
    assert "no node here" in words
    assert out.endswith("tasks, nothing was lost\n")
    assert not [*tmp_path.glob("taskdir-demo-*")], "the root goes, unless --keep"


def test_the_demo_as_json(folder: Path, tmp_path: Path) -> None:
    out, words = play(str(folder), "--json", tmp=tmp_path).communicate(timeout=110)
    told = json.loads(out)
    assert (told["tasks"], told["faults"]) == (3 * len(FILES) + 1, []), words
    assert "python-1" in "".join(told["story"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_leaves_early_takes_everybody_along(folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = play(str(folder), "--keep", tmp=tmp_path)
    until(lambda: of(log_of(tmp_path), "claimed") or process.poll() is not None)
    process.send_signal(number)
    out, words = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out + words
    assert nobody_is_left(tmp_path)
    (root,) = tmp_path.glob("taskdir-demo-*/root")
    fd = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while a daemon holds the root
    finally:
        os.close(fd)


def until(true: Callable[[], Any]) -> None:
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_nothing_to_work_on(tmp_path: Path, name: str) -> None:
    process = play(str(tmp_path / name), tmp=tmp_path)
    out, words = process.communicate(timeout=60)
    assert (process.returncode, out) == (66, ""), words


# --- the proof can fail ------------------------------------------------------------------------------------------


@pytest.fixture
def plan() -> Plan:
    return Plan("/f", [Source("a.py", b"class A:\n")], 0)


def good(plan: Plan) -> tuple[list[Event], dict[str, Any]]:
    """The log and done/ of a run in which all went well."""
    events: list[Event] = []
    for id, output in plan.expected().items():
        events.append({"event": "accepted", "id": id})
        events.append({"event": "claimed", "id": id, "attempt": 1})
        events.append({"event": "done", "id": id, "attempt": 1, "output": output})
    return events, {id: {"state": "done", "output": output} for id, output in plan.expected().items()}


Spoil = Callable[[list[Event], dict[str, Any]], object]


def spoils() -> Iterator[tuple[str, Spoil]]:
    """Each thing that may go wrong, and the words that tell it."""
    yield "hash-001 was done 2 times", lambda events, records: events.append(events[5])
    yield "hash-001 was done 0 times", lambda events, records: events.pop(5)
    yield "hash-001 was accepted 0 times", lambda events, records: events.pop(3)
    yield "x was accepted, but never", lambda events, records: events.append({"event": "accepted", "id": "x"})
    yield "hash-001 was failed", lambda events, records: events.append({"event": "failed", "id": "hash-001"})
    yield "done/hash-001.json is missing", lambda events, records: records.pop("hash-001")
    yield "done/x.json belongs to no task", lambda events, records: records.update(x={})
    yield "done/hash-001.json is not what", lambda events, records: records.update({"hash-001": {"state": "done"}})
    yield "hash-001 came out as 7", lambda events, records: events[5].update(output=7)
    yield "claimed 2 times", lambda events, records: events.append(events[4])
    yield "has no end", lambda events, records: events.append({"event": "claimed", "id": "hash-001", "attempt": 2})


def test_a_good_run_has_no_fault(plan: Plan) -> None:
    assert faults(plan, *good(plan)) == []


@pytest.mark.parametrize(("words", "spoil"), list(spoils()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_fault_is_found(plan: Plan, words: str, spoil: Spoil) -> None:
    events, records = good(plan)
    spoil(events, records)
    assert re.search(re.escape(words), "\n".join(faults(plan, events, records)))


def test_what_is_gathered(folder: Path) -> None:
    plan = gather(str(folder), most=3)
    assert [source.path for source in plan.sources] == sorted(FILES)[:3]
    assert plan.left_out == 4
    with pytest.raises(Missing):
        gather(str(folder / "nowhere"))


def test_the_demos_contracts_are_good() -> None:
    files = sorted((Path(demo.__file__).parent / "contracts").glob("*.json"))
    assert [file.stem for file in files] == ["count", "hash", "outline", "summary"]
    for file in files:
        contracts.parse(file.stem, file.read_bytes())
