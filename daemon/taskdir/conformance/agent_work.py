"""Cases for ``work``: the loop around claim, a command and finish (CONTRACT section 1)."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from taskdir.conformance.agent_result import kept_fresh, probing
from taskdir.conformance.cases import Broken, NotTested, want
from taskdir.conformance.stand import Stand, until

HANDS_IN = """cat >/dev/null
stem=${TASKDIR_TASK%.json}
case $TASKDIR_ID in
t4) echo '{}' >"$stem.refused.json" ;;
*) echo '{"status": "ok", "output": "own"}' >"$stem.result.json" ;;
esac
echo '"stdout"'
case $TASKDIR_ID in t2) exit 3 ;; t3) exit 75 ;; esac"""

ENDS = """cat >/dev/null
case $TASKDIR_ID in
t1) echo half; exit 3 ;;
t2) exit 75 ;;
t3) kill -KILL $$ ;;
t4) echo ;;
esac"""


def drains(stand: Stand) -> None:
    """work gives each task to CMD on stdin and hands in its stdout; --tasks ends it"""
    offers = [stand.offer(seq, input="a  \u00e9") for seq in (1, 2, 3)]
    stand.ends(0, "work", "me", "--tasks", "2", "--", "cat")
    for offer in offers[:2]:
        task = stand.root / "claimed" / "me" / offer.name
        want("the output of cat", json.loads(task.read_bytes()), stand.result(task)["output"])
    want("the third offer is still there", True, offers[2].exists())


def no_command(stand: Stand) -> None:
    """without CMD the output is the claimed file's content"""
    offers = [stand.offer(seq, input={"a": [1.0, "\u00e9"]}) for seq in (1, 2)]
    stand.ends(0, "work", "me", "--tasks", "2")
    for offer in offers:
        task = stand.root / "claimed" / "me" / offer.name
        want("the output", json.loads(task.read_bytes()), stand.result(task)["output"])


def surroundings(stand: Stand) -> None:
    """CMD finds the path, the id and the attempt in its environment; its stderr goes through"""
    offer = stand.offer(7, attempt=12)
    task = stand.root / "claimed" / "me" / offer.name
    script = (
        'echo a-word >&2; printf %s "$TASKDIR_TASK" >"$1"; printf \'["%s", "%s"]\' "$TASKDIR_ID" "$TASKDIR_ATTEMPT"'
    )
    done = stand.ends(0, "work", "me", "--tasks", "1", "--", "sh", "-c", script, "sh", stand.at / "said")
    want("TASKDIR_TASK", str(task), (stand.at / "said").read_text())
    want("TASKDIR_ID and TASKDIR_ATTEMPT", ["t7", "12"], stand.result(task)["output"])
    if b"a-word" not in done.err:
        raise Broken("CMD's stderr", "a-word", done.err)


def ends(stand: Stand) -> None:
    """how CMD ended decides: blank stdout is null, 75 gives back, else it failed with exit-N or signal-N, and retry"""
    tasks = [stand.root / "claimed" / "me" / stand.offer(seq).name for seq in (1, 2, 3, 4)]
    stand.ends(0, "work", "me", "--idle", "0", "--", "sh", "-c", ENDS)
    for task, code in ((tasks[0], "exit-3"), (tasks[2], "signal-9")):
        found = stand.result(task)
        want("status, code and retry", ("error", code, True), (
            found.get("status"), found.get("error", {}).get("code"), found.get("retry")
        ))  # fmt: skip
    want("the result of a blank output", {"status": "ok", "output": None}, stand.result(tasks[3]))
    left = sorted(name for name in os.listdir(tasks[1].parent) if name.startswith(tasks[1].stem))
    want("what is left of the task that was given back", [], left)


def large(stand: Stand) -> None:
    """an output may be larger than a pipe holds, and than a command line may be"""
    task = stand.root / "claimed" / "me" / stand.offer(1).name
    script = """printf '"'; head -c 3000000 /dev/zero | tr '\\0' x; printf '"'"""
    stand.ends(0, "work", "me", "--tasks", "1", "--", "sh", "-c", script)
    want("the length of the output", 3_000_000, len(stand.result(task)["output"]))


def handed_in(stand: Stand) -> None:
    """a result that CMD handed in itself stands, however CMD ends; one that was refused by then fails as refused"""
    tasks = [stand.root / "claimed" / "me" / stand.offer(seq).name for seq in (1, 2, 3, 4)]
    stand.ends(0, "work", "me", "--idle", "0", "--", "sh", "-c", HANDS_IN)
    for task in tasks[:3]:
        want("the result", {"status": "ok", "output": "own"}, stand.result(task))
        want("the claimed file is still there", True, task.exists())
    found = stand.result(tasks[3])
    want("code and retry", ("refused", True), (found.get("error", {}).get("code"), found.get("retry")), "refusal-cap")


def usage(stand: Stand) -> None:
    """a number of tasks that is not 1 or more, no number of seconds, no command after -- and the like: 2"""
    stand.offer(1)
    for words in (["--tasks", "0"], ["--tasks", "x"], ["--idle", "1.5"], ["--idle"], ["--"], ["@you"], ["--odd", "1"]):
        stand.refuses(2, "work", "me", *words)


def idle(stand: Stand) -> None:
    """where there is nothing to do, --idle ends it, with 0"""
    stand.ends(0, "work", "me", "--idle", "0", "--", "touch", stand.at / "ran")
    want("CMD was run", False, (stand.at / "ran").exists())
    want("claimed/me/ is there", True, (stand.root / "claimed" / "me").is_dir())


def unfinished_first(stand: Stand) -> None:
    """a worker takes up its unfinished work before it claims"""
    held, offer = stand.held(9), stand.offer(1)
    stand.ends(0, "work", "me", "--tasks", "1", "--", "cat")
    want("the output", json.loads(held.read_bytes()), stand.result(held)["output"])
    want("the offer is still there", True, offer.exists())


def refused(stand: Stand) -> None:
    """unfinished work with a refusal beside it is failed with the code refused, and retry"""
    held = stand.held(9)
    stand.put(f"claimed/me/{held.stem}.refused.json", '{"code": "output-contract", "message": "no"}')
    stand.ends(0, "work", "me", "--idle", "0", "--", "touch", stand.at / "ran")
    found = stand.result(held)
    want("code and retry", ("refused", True), (found.get("error", {}).get("code"), found.get("retry")), "refusal-cap")
    want("CMD was run", False, (stand.at / "ran").exists())


def held(stand: Stand) -> None:
    """what another process holds by a lock is let be, refused or not, and hold of it ends with 75"""
    if sys.platform != "linux":
        raise NotTested("a language without locks can see those of others on Linux only")
    task, offer = stand.held(9), stand.offer(1)
    with probing(task) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        before = stand.tree()
        stand.ends(0, "work", "me", "--idle", "0", "--", "touch", stand.at / "ran")
        stand.same("work touched what another process holds, or claimed beside it", before)
        stand.put(f"claimed/me/{task.stem}.refused.json", "{}")
        before = stand.tree()
        stand.ends(0, "work", "me", "--idle", "0", "--", "touch", stand.at / "ran")
        stand.same("work touched refused work that another process holds", before)
        stand.refuses(75, "hold", task, "touch", stand.at / "ran")
    want("CMD was run", False, (stand.at / "ran").exists())
    want("the offer is still there", True, offer.exists())


def gone(stand: Stand) -> None:
    """when the claimed file goes while CMD runs, CMD is terminated and nothing is handed in"""
    offer = stand.offer(1, lease_seconds=3)
    script = 'echo $$ >"$1"; rm "$TASKDIR_TASK"; echo 1; exec sleep 60'
    said = stand.at / "pid"
    stand.ends(0, "work", "me", "--idle", "0", "--", "sh", "-c", script, "sh", said)
    want("the offer is still there", False, offer.exists(), "")
    stand.same("something was handed in for a task that is gone", {})
    until(lambda: not _runs(int(said.read_text())), "the end of CMD", 5)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" if os.path.isdir("/proc/1") else True
    )


def terminated(stand: Stand) -> None:
    """SIGTERM ends a worker with 0, after the task in hand"""
    task, other = stand.root / "claimed" / "me" / stand.offer(1).name, stand.offer(2)
    script = 'touch "$1"; sleep 0.6; echo 5'
    running = stand.start("work", "me", "--", "sh", "-c", script, "sh", stand.at / "started")
    until((stand.at / "started").exists, "the start of CMD", by=running)
    running.process.send_signal(signal.SIGTERM)
    want("the exit code of work", 0, running.end().code, "")
    want("the output of the task in hand", 5, stand.result(task)["output"])
    want("the next offer is still there", True, other.exists())


def ended_idle(stand: Stand) -> None:
    """SIGTERM and SIGINT end a worker that waits for work, with 0"""
    for agent, number in (("me", signal.SIGTERM), ("you", signal.SIGINT)):
        running = stand.start("work", agent)
        until((stand.root / "claimed" / agent).is_dir, "claimed/AGENT/", by=running)
        running.process.send_signal(number)
        want("the exit code of work", 0, running.end().code, "")


def fresh(stand: Stand) -> None:
    """while CMD runs the claim is kept: by a lock, or by renewing"""
    task = stand.root / "claimed" / "me" / stand.offer(1, lease_seconds=3).name
    go = stand.at / "go"
    script = 'until [ -e "$1" ]; do sleep 0.02; done; echo 5'
    running = stand.start("work", "me", "--tasks", "1", "--", "sh", "-c", script, "sh", go)
    until(task.exists, "the claim", by=running)
    kept_fresh(task, running)
    go.touch()
    want("the exit code of work", 0, running.end().code, "")
    want("the output", 5, stand.result(task)["output"])


def race(stand: Stand) -> None:
    """several workers drain a queue side by side: each task is handed in once"""
    offers = Counter(stand.offer(seq).stem for seq in range(1, 31))
    runs = [stand.start("work", f"agent-{number}", "--idle", "0") for number in range(3)]
    want("the exit codes", [0, 0, 0], [running.end().code for running in runs], "")
    done = Counter(
        Path(name).name.removesuffix(".result.json") for name in stand.tree() if name.endswith(".result.json")
    )
    want("tasks with more than one result", [], [stem for stem, count in done.items() if count > 1])
    want("the tasks with a result", offers, done, "")


CASES = (
    ("work/drains", "", drains),
    ("work/no-command", "", no_command),
    ("work/large", "", large),
    ("work/surroundings", "", surroundings),
    ("work/ends", "", ends),
    ("work/handed-in", "", handed_in),
    ("work/usage", "", usage),
    ("work/idle", "", idle),
    ("work/unfinished-first", "max-claims", unfinished_first),
    ("work/refused", "refusal-cap", refused),
    ("work/held", "", held),
    ("work/gone", "late", gone),
    ("work/terminated", "", terminated),
    ("work/ended-idle", "", ended_idle),
    ("work/fresh", "", fresh),
    ("work/race", "claim-copy", race),
)
"""(name, the rule that a failure breaks, the play)."""
