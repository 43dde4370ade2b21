"""Cases for ``finish``, ``fail``, ``note`` and ``hold``: what an agent hands in (CONTRACT section 1, SPEC 7.6–7.8)."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskdir.conformance.cases import Broken, NotTested, want
from taskdir.conformance.eye import Eye
from taskdir.conformance.stand import Running, Stand, Word, until

OUTPUT = '{"b": 9007199254740993, "a": 1.0, "text": "\\u00e9 \u00e9"}'
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
GONE = "5-000000000001.t1.1.json"


def finishes(stand: Stand) -> None:
    """finish puts the output into the result as it is, from stdin, from a file, or null; the task file stays"""
    file = stand.at / "output.json"
    file.write_text(f" {OUTPUT}\n")
    plays: tuple[tuple[int, list[Word], str], ...] = ((1, ["-"], OUTPUT), (2, [file], ""), (3, [], ""))
    for seq, words, stdin in plays:
        task = stand.held(seq, f"agent-{seq}")
        stand.ends(0, "finish", task, *words, stdin=stdin.encode())
        text = task.with_name(f"{task.stem}.result.json").read_text()
        wanted = {"status": "ok", "output": json.loads(OUTPUT) if words else None}
        want("the result", wanted, stand.result(task), "bad-value")
        if words and OUTPUT not in text:
            raise Broken("the output was not taken as it is", OUTPUT, text)
        want("the files there", [task.name, f"{task.stem}.result.json"], sorted(os.listdir(task.parent)))


def finish_empty(stand: Stand) -> None:
    """finish with nothing but space on stdin ends with 65 and hands in nothing"""
    task = stand.held()
    stand.refuses(65, "finish", task, "-", stdin=b" \n")


def gone(stand: Stand) -> None:
    """whose claimed file is gone no longer owns the task: finish, fail and note end with 66 and write nothing"""
    (stand.root / "claimed" / "me").mkdir()
    task = stand.root / "claimed" / "me" / GONE
    for verb, word in (("finish", "-"), ("fail", "no"), ("note", "half way")):
        stand.refuses(66, verb, task, word, stdin=b"1")


def gone_meanwhile(stand: Stand) -> None:
    """a claim may end while finish reads its output: then too it ends with 66 and hands in nothing"""
    task = stand.held()
    running = stand.start("finish", task, "-")
    running.feed(b"[1,")
    time.sleep(0.15)
    task.unlink()
    done = running.end(b"2]")
    stand.same("something was handed in for a task that is gone", {})
    want("the exit code of finish", 66, done.code, "")


def by_rename(stand: Stand) -> None:
    """a result has its name only once it is whole: nobody writes through the name that the daemon reads"""
    task = stand.held()
    name = f"{task.stem}.result.json"
    with Eye(stand.root, "claimed/me") as eye:
        running = stand.start("finish", task, "-")
        running.feed(b"[1,")
        time.sleep(0.1)
        early = [each for each in os.listdir(task.parent) if each == name]
        running.end(b"2]")
        want("results while the output is half given", [], early)
        seen = [each for each in eye.seen() if each.name[:1] != "." and each.name != task.name]
    written = [str(each) for each in seen if each.kind in ("written", "closed")]
    want("writes through a visible name", [], written)
    want("the visible names that came", [name], sorted({each.name for each in seen}), "")


def fails(stand: Stand) -> None:
    """fail hands in an error: the message as a JSON string, a code and retry if they are given"""
    odd = 'say "no", \\ and\ttab\nline \x01 \u00e9 \U0001f600'
    plays = (
        ([odd], {"status": "error", "error": {"message": odd}}),
        (
            ["no-luck", "no", "--retry"],
            {"status": "error", "error": {"code": "no-luck", "message": "no"}, "retry": True},
        ),
        (["later", "--retry"], {"status": "error", "error": {"message": "later"}, "retry": True}),
    )
    for seq, (words, wanted) in enumerate(plays, 1):
        task = stand.held(seq, f"agent-{seq}")
        stand.ends(0, "fail", task, *words)
        found = stand.result(task)
        if found.get("retry") is False:
            del found["retry"]
        want("the result", wanted, found, "bad-value")


def fail_texts(stand: Stand) -> None:
    """a message that is no UTF-8 becomes U+FFFD where it is none, a long one is cut to 8,192 characters or fewer"""
    task, long = stand.held(1), stand.held(2, "you")
    stand.ends(0, "fail", task, b"a\xffb")
    want("the message", "a\ufffdb", stand.result(task)["error"]["message"], "json-encoding")
    stand.ends(0, "fail", long, "\u00e9" * 9000)
    text = stand.result(long)["error"]["message"]
    if not 4000 <= len(text) <= 8192 or set(text) - {"\u00e9", "\ufffd"}:
        raise Broken("a message of 9,000 characters", "8,192 of them, or fewer", f"{len(text)}: {text}", "out-of-range")


def fail_usage(stand: Stand) -> None:
    """fail with a code that is no word, or without a message, is a usage error"""
    task = stand.held()
    for words in (["No Code", "no"], [""]):
        stand.refuses(2, "fail", task, *words)


def notes(stand: Stand) -> None:
    """note appends a line with time and text, whatever the text, and so renews the lease"""
    task = stand.held()
    for text in ("half way", 'a "quote" \\ and\nnewline \u00e9'):
        stand.ends(0, "note", task, text)
    path = task.with_name(f"{task.stem}.notes.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    want("the texts", ["half way", 'a "quote" \\ and\nnewline \u00e9'], [line["text"] for line in lines])
    if not all(TIME.fullmatch(line["time"]) for line in lines):
        raise Broken("the times of the notes", "2026-01-02T03:04:05Z", [line["time"] for line in lines])


@contextmanager
def probing(task: Path) -> Iterator[int]:
    """Open a claimed file as the daemon does to look at its lock."""
    fd = os.open(task, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def locked(fd: int) -> bool:
    """Say whether somebody holds the file, as the daemon looks: LOCK_SH without waiting."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def kept_fresh(task: Path, by: Running) -> str:
    """Wait until a claim is seen to be kept: returns ``lock`` or ``renewed``. Raises Broken."""
    shape = task.stat().st_mtime_ns

    def kept() -> str:
        with probing(task) as fd:
            if locked(fd):
                return "lock"
        return "renewed" if task.stat().st_mtime_ns != shape else ""

    found: str = until(kept, "a lock on the claimed file, or a renewal", 10, by)
    return found


def holds(stand: Stand) -> None:
    """hold runs CMD, keeps the lease fresh meanwhile, and ends with CMD's exit code; a lock is gone with it"""
    task = stand.held(lease_seconds=3)
    before = task.read_bytes()
    running = stand.start("hold", task, "sh", "-c", "echo $$; read x; exit 7")
    kept_fresh(task, running)
    done = running.end(b"x\n")
    want("the exit code of hold", 7, done.code)
    want("CMD's stdout comes through", True, done.line.isdigit())
    with probing(task) as fd:
        want("whether the file is still locked", False, locked(fd))
    want("the claimed file", before, task.read_bytes())


def hold_gone(stand: Stand) -> None:
    """hold of a file that is gone ends with 66 and runs nothing"""
    (stand.root / "claimed" / "me").mkdir()
    stand.refuses(66, "hold", stand.root / "claimed" / "me" / GONE, "touch", stand.at / "ran")
    want("CMD was run", False, (stand.at / "ran").exists())


def hold_twice(stand: Stand) -> None:
    """hold of what another process holds ends with 75, and CMD does not inherit the lock"""
    task = stand.held(lease_seconds=3)
    running = stand.start("hold", task, "sh", "-c", "sleep 60 >/dev/null 2>&1 </dev/null & read x")
    try:
        if kept_fresh(task, running) != "lock":
            raise NotTested("it renews instead of locking")
        want("the exit code of a second hold", 75, stand.run("hold", task, "true").code)
        want("the exit code of the first", 0, running.end(b"x\n").code)
        with probing(task) as fd:
            want("whether a child of CMD still holds the lock", False, locked(fd))
    finally:
        running.kill()


CASES = (
    ("finish/writes", "", finishes),
    ("finish/empty", "", finish_empty),
    ("finish/gone", "late", gone),
    ("finish/gone-meanwhile", "late", gone_meanwhile),
    ("finish/by-rename", "json-syntax", by_rename),
    ("fail/writes", "", fails),
    ("fail/texts", "json-encoding", fail_texts),
    ("fail/usage", "", fail_usage),
    ("note/appends", "", notes),
    ("hold/keeps", "", holds),
    ("hold/gone", "", hold_gone),
    ("hold/twice", "", hold_twice),
)
"""(name, the rule that a failure breaks, the play)."""
