"""What somebody may try on purpose: as another user of the machine, and as the user that everybody here is.

Each attack says what comes of it: ``prevented`` (by the system, or since the daemon refuses or mends it, with the code),
``found`` (by ``taskdir check``, with the code of the finding), ``found against a checkpoint`` (by that alone), ``told``
(it succeeds, and the log says that it happened), or ``open`` (it succeeds, and nothing shows it), and why.
``test_attacks.py`` makes them all; ``python -m faults.attacks`` writes docs/attacks.md. This is about the plain layout.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import ledger
from faults.hostile.stand import Stand

PAGE = ledger.HOME / "docs/attacks.md"
OUTCOMES = ("prevented", "found", "found against a checkpoint", "told", "open")


@dataclass(frozen=True, slots=True)
class Attack:
    """``act`` does it; what it returns, if anything, is asked afterwards whether the attack succeeded."""

    what: str
    act: Callable[[Scene], Callable[[], bool] | None]
    outcome: str
    code: str
    why: str


class Scene(Stand):
    """A root with a life behind it: ``held`` is claimed by al, ``offered`` waits, ``b`` was refused, ``plan`` is set."""

    def __init__(self, base: Path, **settings: Any) -> None:
        super().__init__(base, **({"max_claims": 5} | settings))
        self.write("inbox/plan.json", {"kind": "state", "key": "plan", "value": 1})
        self.write("inbox/held.json", {"type": "echo", "lease_seconds": 5})
        self.write("inbox/offered.json", {"type": "echo", "priority": 7})
        self.write("inbox/b.json", {"type": "nope"})
        self.passes()
        self.stem = self.claim_one("al", "held").removesuffix(".json")
        self.passes()
        self.daemon_pid = os.getpid()
        (self.offer,) = (name for name in os.listdir(self.root / "ready/default") if ".offered." in name)
        self.news()

    def lines(self) -> list[bytes]:
        """Return the log's lines."""
        return (self.root / "log.jsonl").read_bytes().splitlines(keepends=True)

    def relog(self, lines: list[bytes]) -> None:
        """Put other lines in the log's place, in the same file, so that a daemon that has it open writes on in it."""
        with open(self.root / "log.jsonl", "r+b") as file:
            file.write(b"".join(lines))
            file.truncate()

    def reseal(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change events and make the chain right again, as whoever has a program can."""
        prev, made = "0" * 64, []
        for line in self.lines():
            event = json.loads(line)
            change(event)
            event["prev"] = prev
            if "end" in event:
                event["end"] = event.pop("end")
            made.append(json.dumps(event, separators=(",", ":")).encode())
            prev = hashlib.sha256(made[-1]).hexdigest()
        self.relog([line + b"\n" for line in made])

    def forge(self, **event: Any) -> None:
        """Append an event, sealed, as a batch of its own."""
        last = self.lines()[-1]
        seq = json.loads(last)["seq"] + 1
        made = {
            "seq": seq,
            "time": json.loads(last)["time"],
            **event,
            "prev": hashlib.sha256(last[:-1]).hexdigest(),
            "end": seq,
        }
        with open(self.root / "log.jsonl", "ab") as file:
            file.write(json.dumps(made, separators=(",", ":")).encode() + b"\n")

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the log's events of these kinds."""
        found = [json.loads(line) for line in self.lines()]
        return [event for event in found if event["event"] in kinds]

    def record(self, place: str) -> dict[str, Any]:
        """Read a JSON file of the root."""
        found: dict[str, Any] = json.loads((self.root / place).read_bytes())
        return found


def _edit(place: str, old: str, new: str) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        path = scene.root / place.format(offer=scene.offer, stem=scene.stem)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return act


def _put(place: str, value: Any) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        path = scene.root / place.format(offer=scene.offer, stem=scene.stem)
        path.parent.mkdir(exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))

    return act


def _remove(place: str) -> Callable[[Scene], None]:
    return lambda scene: os.unlink(scene.root / place.format(offer=scene.offer, stem=scene.stem))


def _move(source: str, target: str) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        path = scene.root / target.format(offer=scene.offer, stem=scene.stem)
        path.parent.mkdir(exist_ok=True)
        os.rename(scene.root / source.format(offer=scene.offer, stem=scene.stem), path)

    return act


def _flip(scene: Scene) -> None:
    lines = scene.lines()
    lines[2] = lines[2].replace(b'"event":"', b'"event": "', 1)
    scene.relog(lines)


def _lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Scene], None]:
    return lambda scene: scene.relog(change(scene.lines()))


def _rewrite(scene: Scene) -> None:
    """Change an output everywhere: in the log, sealed anew, in the record; the index goes, for a start makes another."""
    scene.stop()

    def change(event: dict[str, Any]) -> None:
        if event["event"] == "done" and event["id"] == "ended":
            event["output"] = "forged"

    scene.reseal(change)
    _edit("done/ended.json", '"output": "ended"', '"output": "forged"')(scene)
    shutil.rmtree(scene.root / ".taskdir")


def _forge_end(scene: Scene) -> Callable[[], bool]:
    _kill(scene)
    scene.forge(event="canceled", id="fixed", by="nobody", sha256="0" * 64)
    return (scene.root / "failed/fixed.json").exists


def _forge_after_stop(scene: Scene) -> None:
    scene.stop()
    scene.forge(event="canceled", id="fixed", by="nobody", sha256="0" * 64)


def _index(scene: Scene) -> None:
    scene.stop()
    with sqlite3.connect(scene.root / ".taskdir/index.sqlite") as db:
        db.execute("UPDATE tasks SET state = 'done' WHERE id = 'fixed'")
    db.close()


def _copy(scene: Scene) -> None:
    (scene.root / "claimed/eve").mkdir()
    shutil.copy(scene.root / f"claimed/al/{scene.stem}.json", scene.root / f"claimed/eve/{scene.stem}.json")


def _answer_for_another(scene: Scene) -> Callable[[], bool]:
    _put("claimed/al/{stem}.result.json", {"status": "ok", "output": "forged"})(scene)
    return lambda: scene.record("done/held.json")["attempts"][0]["agent"] == "al"


def _answer_late(scene: Scene) -> None:
    scene.clock.seconds += 100
    for _ in range(4):
        scene.clock.seconds += 2
        scene.passes()
    _put("claimed/al/{stem}.result.json", {"status": "ok", "output": "late"})(scene)


def _answer_twice(scene: Scene) -> None:
    scene.result("al", {"status": "ok", "output": 1})
    scene.passes()
    _put("claimed/al/{stem}.result.json", {"status": "ok", "output": 2})(scene)


def _answer_from_elsewhere(scene: Scene) -> None:
    _put("claimed/eve/{stem}.result.json", {"status": "ok", "output": "forged"})(scene)


def _sit_on(scene: Scene) -> Callable[[], bool]:
    fd = os.open(scene.root / f"claimed/al/{scene.stem}.json", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    for _ in range(20):
        scene.clock.seconds += 2
        scene.passes()
    held = not scene.events("expired")
    os.close(fd)
    return lambda: held


def _as_al(scene: Scene) -> Callable[[], bool]:
    os.rename(scene.root / f"ready/default/{scene.offer}", scene.root / f"claimed/al/{scene.offer}")
    return lambda: scene.events("claimed")[-1]["agent"] == "al"


def _overwrite(scene: Scene) -> Callable[[], bool]:
    scene.write("inbox/w.json", {"type": "echo", "input": "mine"})
    scene.write("inbox/w.json", {"type": "echo", "input": "forged"})
    return lambda: scene.events("accepted")[-1]["task"]["input"] == "forged"


def _cancel(scene: Scene) -> Callable[[], bool]:
    scene.write("inbox/stop.json", {"kind": "cancel", "task": "fixed", "from": "ann"})
    return lambda: scene.events("canceled")[-1]["by"] == "stop"


def _lie(scene: Scene) -> Callable[[], bool]:
    scene.write("inbox/said.json", {"kind": "note", "message": "all is well", "from": "operator"})
    return lambda: scene.events("noted")[-1]["from"] == "operator"


def _loosen(scene: Scene) -> Callable[[], bool]:
    scene.write("contracts/strict.json", {})
    scene.write("inbox/loose.json", {"type": "strict", "input": "anything"})
    return lambda: scene.events("accepted")[-1]["id"] == "loose"


def _stop_all(scene: Scene) -> Callable[[], bool]:
    scene.write("taskdir.json", {"protocol": 1, "max_message_bytes": 1024, "settle_seconds": 3600})
    return lambda: scene.start().settings.max_message_bytes == 1024


def _taken(scene: Scene) -> Callable[[], bool]:
    _put(".taskdir/taken/1!al!{stem}.result.json", {"status": "ok", "output": "forged"})(scene)
    return lambda: scene.record("done/held.json")["output"] == "forged"


def _elsewhere(scene: Scene) -> Callable[[], bool]:
    other = scene.base / "project"
    other.mkdir()
    (other / "package.json").write_text("{}")
    os.rename(scene.root / "inbox", scene.base / "inbox-before")
    os.symlink(other, scene.root / "inbox")
    return lambda: not (other / "package.json").exists()


def _kill(scene: Scene) -> Callable[[], bool]:
    scene.start().abandon()
    scene.daemon = None
    return lambda: scene.events("started")[-1]["seq"] > 5


def _lock_root(scene: Scene) -> Callable[[], bool]:
    from taskdir.daemon import Daemon
    from taskdir.errors import Busy

    scene.stop()
    fd = os.open(scene.root, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        Daemon(str(scene.root)).abandon()
        kept_out = False
    except Busy:
        kept_out = True
    os.close(fd)
    return lambda: kept_out


def _refill(scene: Scene) -> Callable[[], bool]:
    scene.write("inbox/p.json", {"kind": "state", "key": "plan", "value": "forged"})
    return lambda: bool(scene.record("state/plan.json")["value"] == "forged")


SAME: list[Attack] = [
    Attack("change bytes of a line of the log", _flip, "found", "log-chain", "the next line names its hash"),
    Attack("cut a line out of the log", _lines(lambda lines: lines[:3] + lines[4:]), "found", "log-seq", "the seq has a gap"),
    Attack("swap two lines", _lines(lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]]), "found", "log-seq", "the seq goes back"),
    Attack("put a line in twice", _lines(lambda lines: [*lines[:3], lines[2], *lines[3:]]), "found", "log-seq", "the seq stands still"),
    Attack("cut off the end of the log", _lines(lambda lines: lines[:-2]), "found", "index-ahead", "the index knows of more"),
    Attack("empty the log", _lines(lambda lines: []), "found", "index-ahead", "the index knows of more"),
    Attack("put a line of rubbish at the end", _lines(lambda lines: [*lines, b"rubbish\n"]), "found", "log-torn", "it is told as a torn tail, and cut off at the next start"),
    Attack("rewrite history with a program: one output, record and chain made right, the index deleted", _rewrite, "found against a checkpoint", "log-checkpoint", "everything under the root agrees; only a checkpoint that lies elsewhere knows better"),
    Attack("append a sealed event after a kill of the daemon", _forge_end, "open", "", "nobody else knew the end of the log; a checkpoint covers what came before it alone"),
    Attack("append a sealed event after a clean stop", _forge_after_stop, "found", "log-event", "no event stands between stopped and started"),
    Attack("change the index", _index, "found", "index-differs", "it is compared with the log"),
    Attack("change a record in done/", _edit("done/ended.json", '"output": "ended"', '"output": "forged"'), "found", "view-differs", "the log says what it holds"),
    Attack("put a record into done/", _put("done/ghost.json", {"kind": "record"}), "found", "view-stranger", "the log knows of no such end"),
    Attack("change a record in failed/", _edit("failed/broken.json", '"no"', '"yes"'), "found", "view-differs", "the log says what it holds"),
    Attack("change a failed record, then hand it in for another run", lambda scene: (_edit("failed/broken.json", '"priority": 5', '"priority": 0')(scene), _move("failed/broken.json", "inbox/broken.json")(scene))[1], "prevented", "record-edited", "a record runs again only as it was written"),
    Attack("hand in a record of a done task", _move("done/ended.json", "inbox/ended.json"), "prevented", "record-done", "done is final"),
    Attack("hand in a record that nobody wrote", _put("inbox/ghost.json", {"kind": "record"}), "prevented", "missing-field", "its form is checked as any other's"),
    Attack("change a reason in rejected/", _edit("rejected/b.reason.json", "no contract", "a contract"), "found", "view-differs", "the log has the reason"),
    Attack("put a reason into rejected/", _put("rejected/x.reason.json", {"code": "late"}), "found", "view-stranger", "the log knows of no such refusal"),
    Attack("change an entry in state/", _edit("state/plan.json", '"value": 1', '"value": 2'), "prevented", "state-changed", "it goes to rejected/, the entry is written again"),
    Attack("put an entry into state/", _put("state/ghost.json", {"key": "ghost"}), "prevented", "state-stranger", "it goes to rejected/"),
    Attack("change an offer", _edit("ready/default/{offer}", '"id":"offered"', '"id":"fixed"'), "prevented", "ready-changed", "it is removed, and published again"),
    Attack("put an offer into ready/", _put("ready/default/0-000000000001.ghost.1.json", {"id": "ghost"}), "prevented", "ready-stranger", "it goes to rejected/"),
    Attack("put an offer into another queue", _move("ready/default/{offer}", "ready/review/{offer}"), "prevented", "", "it is removed, and offered where it belongs"),
    Attack("claim what was never offered", _put("claimed/eve/0-000000000001.ghost.1.json", {"id": "ghost"}), "prevented", "claim-unknown", "it goes to rejected/"),
    Attack("copy another's claim", _copy, "prevented", "claim-copy", "the holder on record stays the holder"),
    Attack("take another's claim away", _move("claimed/al/{stem}.json", "claimed/eve/{stem}.json"), "told", "returned", "the claim ends, and the thief's file with it: the attempt is over"),
    Attack("delete another's claim", _remove("claimed/al/{stem}.json"), "told", "returned", "for the daemon al gave it back"),
    Attack("claim under another's name", _as_al, "open", "", "an agent's name is said, not proven"),
    Attack("answer for another agent", _answer_for_another, "open", "", "who wrote a file of this user's cannot be told"),
    Attack("answer for another, from a directory of one's own", _answer_from_elsewhere, "prevented", "late", "a result counts from the holder's directory alone"),
    Attack("answer after the lease", _answer_late, "prevented", "late", "the attempt number is the fencing token"),
    Attack("answer twice", _answer_twice, "prevented", "late", "done is final"),
    Attack("lock another's claimed file", _sit_on, "open", "", "the lease stays fresh; timeout_seconds ends the attempt all the same"),
    Attack("hand in a message under a known id", _put("inbox/ended.json", {"type": "echo", "input": "forged"}), "prevented", "id-taken", "an id is never used twice"),
    Attack("overwrite a message before it was judged", _overwrite, "open", "", "until then the last writer of a name wins (SPEC 7.1)"),
    Attack("cancel another's task", _cancel, "told", "canceled", "the event names the message"),
    Attack("say to be somebody else", _lie, "open", "", "`from` is said, not proven"),
    Attack("set shared state without if_version", _refill, "told", "set", "the last one wins, and the log has every version"),
    Attack("make a contract accept anything", _loosen, "told", "contract", "the new text is logged; tasks that are bound to the old one stay so"),
    Attack("change the settings", _stop_all, "open", "", "they are the operator's, who is the same user"),
    Attack("put a result among what the daemon has taken", _taken, "open", "", "as answering for another agent"),
    Attack("put a link to another directory in place of inbox/", _elsewhere, "told", "rejected", "the files there are judged, and refused ones moved: who can rename inbox/ could do that, too"),
    Attack("kill the daemon", _kill, "told", "started", "nothing is lost; the next start goes on"),
    Attack("lock the root while no daemon runs", _lock_root, "open", "", "no daemon starts meanwhile: it says that one is there"),
]  # fmt: skip


def _open(place: str, flags: int) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        os.close(os.open(scene.root / place.format(offer=scene.offer, stem=scene.stem), flags | os.O_CLOEXEC, 0o644))

    return act


def _path(step: Callable[[str], Any], place: str) -> Callable[[Scene], None]:
    return lambda scene: step(str(scene.root / place.format(offer=scene.offer, stem=scene.stem)))


def _read(place: str) -> Callable[[Scene], Callable[[], bool]]:
    def act(scene: Scene) -> Callable[[], bool]:
        text = (scene.root / place.format(offer=scene.offer, stem=scene.stem)).read_bytes()
        return lambda: bool(text)

    return act


def is_open(fd: int) -> bool:
    """Say whether a descriptor is open: what it locks is locked as long."""
    return bool(os.fstat(fd))


def _flock(place: str) -> Callable[[Scene], Callable[[], bool]]:
    def act(scene: Scene) -> Callable[[], bool]:
        fd = os.open(scene.root / place.format(stem=scene.stem), os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return lambda: is_open(fd)

    return act


def _lock_index(scene: Scene) -> Callable[[], bool]:
    fd = os.open(scene.root / ".taskdir/index.sqlite-shm", os.O_RDONLY)
    fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 120, 8, 0))
    return lambda: is_open(fd)


def _signal(scene: Scene) -> None:
    os.kill(scene.daemon_pid, 0)


def _out(scene: Scene) -> None:
    os.link(scene.root / f"claimed/al/{scene.stem}.json", scene.base / "outside.json")


_W, _NEW = os.O_WRONLY, os.O_WRONLY | os.O_CREAT | os.O_EXCL
_PRIVATE = "a root that is not private can be read by all: make it 0700"
OTHER: list[Attack] = [
    Attack("hand in a message", _open("inbox/evil.json", _NEW), "prevented", "EACCES", "inbox/ is 0755: agents are the same user"),
    Attack("hand in a link", _path(lambda path: os.symlink("/etc/passwd", path), "inbox/evil.json"), "prevented", "EACCES", "inbox/ is 0755"),
    Attack("hand in a FIFO", _path(os.mkfifo, "inbox/evil.json"), "prevented", "EACCES", "inbox/ is 0755"),
    Attack("make an agent's directory", _path(os.mkdir, "claimed/eve"), "prevented", "EACCES", "claimed/ is 0755"),
    Attack("claim", _move("ready/default/{offer}", "../evil.json"), "prevented", "EACCES", "a rename needs both directories"),
    Attack("take an offer away", _path(os.unlink, "ready/default/{offer}"), "prevented", "EACCES", "ready/default/ is 0755"),
    Attack("put an offer into ready/", _open("ready/default/evil.json", _NEW), "prevented", "EACCES", "ready/default/ is 0755"),
    Attack("make a queue", _path(os.mkdir, "ready/evil"), "prevented", "EACCES", "ready/ is 0555"),
    Attack("write a result for an agent", _open("claimed/al/{stem}.result.json", _NEW), "prevented", "EACCES", "the agent's directory is 0755"),
    Attack("renew another's claim", _path(os.utime, "claimed/al/{stem}.json"), "prevented", "EACCES", "times are the owner's"),
    Attack("delete another's claim", _path(os.unlink, "claimed/al/{stem}.json"), "prevented", "EACCES", "the agent's directory is 0755"),
    Attack("change a record", _open("done/ended.json", _W), "prevented", "EACCES", "records are 0644"),
    Attack("delete a record", _path(os.unlink, "done/ended.json"), "prevented", "EACCES", "done/ is 0755"),
    Attack("run a failed task again", _move("failed/broken.json", "inbox/broken.json"), "prevented", "EACCES", "failed/ is 0755"),
    Attack("change shared state", _open("state/plan.json", _W), "prevented", "EACCES", "entries are 0644"),
    Attack("append to the log", _open("log.jsonl", _W | os.O_APPEND), "prevented", "EACCES", "the log is 0644"),
    Attack("empty the log", _path(lambda path: os.truncate(path, 0), "log.jsonl"), "prevented", "EACCES", "the log is 0644"),
    Attack("rename the log", _move("log.jsonl", "log.old"), "prevented", "EACCES", "the root is 0755"),
    Attack("make log/, for a segment", _path(os.mkdir, "log"), "prevented", "EACCES", "the root is 0755"),
    Attack("change a contract", _open("contracts/echo.json", _W), "prevented", "EACCES", "contracts are 0644"),
    Attack("make a contract", _open("contracts/evil.json", _NEW), "prevented", "EACCES", "contracts/ is 0755"),
    Attack("change the settings", _open("taskdir.json", _W), "prevented", "EACCES", "taskdir.json is 0644"),
    Attack("change the index", _open(".taskdir/index.sqlite", os.O_RDWR), "prevented", "EACCES", "the index is 0644"),
    Attack("put a file among what the daemon has taken", _open(".taskdir/taken/1!al!x.result.json", _NEW), "prevented", "EACCES", ".taskdir/ is 0755"),
    Attack("open the modes of the root", _path(lambda path: os.chmod(path, 0o777), ""), "prevented", "EPERM", "modes are the owner's"),
    Attack("take over a file", _path(lambda path: os.chown(path, os.getuid(), -1), "inbox"), "prevented", "EPERM", "only root gives files away"),
    Attack("rename the root away", _path(lambda path: os.rename(path, f"{path}.evil"), ""), "prevented", "EACCES", "the directory above is not theirs"),
    Attack("swap inbox/", _move("inbox", "inbox.evil"), "prevented", "EACCES", "the root is 0755"),
    Attack("signal the daemon", _signal, "prevented", "EPERM", "the kernel asks whose it is"),
    Attack("give a claimed file a second name", _out, "prevented", "EPERM or EACCES", "the directory that it would lie in is not theirs; in one of their own fs.protected_hardlinks forbids it, and the file stays 0644"),
    Attack("read inputs", _read("claimed/al/{stem}.json"), "open", "", _PRIVATE),
    Attack("read the log", _read("log.jsonl"), "open", "", _PRIVATE),
    Attack("lock a claimed file", _flock("claimed/al/{stem}.json"), "open", "", "the lease stays fresh until timeout_seconds; " + _PRIVATE),
    Attack("lock the index for reading", _lock_index, "open", "", "the daemon opens it anew and goes on a pass later; " + _PRIVATE),
    Attack("lock the root while the daemon runs", _flock(""), "prevented", "EAGAIN", "the daemon has it"),
    Attack("lock the root while no daemon runs", _flock(""), "open", "", "none starts meanwhile; " + _PRIVATE),
]  # fmt: skip


def page() -> str:
    """Return docs/attacks.md."""
    lines = [
        "# What was tried on purpose",
        "",
        "Made by `PYTHONPATH=tests python -m faults.attacks` from `tests/faults/attacks.py`; `tests/faults/test_attacks.py`",
        "makes each of these attacks and looks at what comes of it. All of this is about the plain layout: one user for",
        "operator, daemon and agents, the root with the modes of SPEC section 4.",
        "",
        "- **prevented**: the system refuses it, or the daemon refuses or mends it, under the code.",
        "- **found**: it succeeds, and `taskdir check` finds it, under the code.",
        "- **found against a checkpoint**: only `check --checkpoint`, with one that lies where they cannot write, finds it.",
        "- **told**: it succeeds by the rules, and the log has the event.",
        "- **open**: it succeeds, and nothing shows it. Among programs of one user that cannot be prevented.",
    ]
    for title, attacks in (("As another user of the machine", OTHER), ("As the same user", SAME)):
        counts = ", ".join(
            f"{count} {outcome}" for outcome in OUTCOMES if (count := sum(each.outcome == outcome for each in attacks))
        )
        lines += [
            "",
            f"## {title}",
            "",
            f"{len(attacks)} attacks: {counts}.",
            "",
            "| attack | outcome | code | why |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {each.what} | {each.outcome} | {f'`{each.code}`' if each.code else '–'} | {each.why} |"
            for each in attacks
        ]
    lines += [
        "",
        "Each attack of another user that is open here is prevented in a root of mode 0700, which the same test shows.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
