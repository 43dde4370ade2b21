"""A stranger's view: the real daemon as a process, agents that do nothing but file operations (SPEC section 2)."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.live import Root, taskdir, until


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path / "root", settle_seconds=0.3, scan_seconds=0.2)
    with made:
        yield made


def reason(root: Root, stem: str) -> dict[str, str]:
    """Wait for the reason beside a refused file."""
    path = f"rejected/{stem}.reason.json"
    until((root.path / path).exists, path)
    found: dict[str, str] = root.json(path)
    return found


def test_a_strangers_session(root: Root) -> None:
    root.put("inbox/greet.json", {"type": "echo", "input": "hi"})
    claimed = root.claim("alice")
    offer = json.loads(claimed.read_text())
    assert (offer["id"], offer["attempt"], offer["input"]) == ("greet", 1, "hi")
    root.finish(claimed, {"status": "ok", "output": "hi there"})
    until(lambda: not claimed.exists(), "the verdict")
    record = root.json("done/greet.json")
    assert (record["state"], record["output"], record["attempts"][0]["agent"]) == ("done", "hi there", "alice")
    assert root.names("claimed/alice") == [] or until(lambda: not root.names("claimed/alice"), "a clean desk")


@pytest.mark.parametrize(
    ("message", "code", "pointer", "hint"),
    [
        ("{nonsense", "json-syntax", None, "dot-name"),
        ({"type": "ecco"}, "unknown-type", "/type", "'echo'"),
        ({"type": "echo", "prioritty": 1}, "unknown-field", "/prioritty", "'priority'"),
        ({"type": "echo", "priority": 12}, "out-of-range", "/priority", ""),
        ({"type": "echo", "queue": "defalt"}, "unknown-queue", "/queue", "'default'"),
    ],
)
def test_mistakes_are_answered(root: Root, message: object, code: str, pointer: str | None, hint: str) -> None:
    root.put("inbox/oops.json", message)
    told = reason(root, "oops")
    assert (told["code"], told.get("pointer"), told["file"]) == (code, pointer, "oops.json")
    assert hint in told["hint"]
    until(lambda: root.names("inbox") == [], "the input to go")
    root.put("rejected/oops.json", {"type": "echo"})
    os.rename(root.path / "rejected/oops.json", root.path / "inbox/oops.json")
    until(root.offered, "the repaired message's offer")
    assert not (root.path / "rejected/oops.reason.json").exists()


def awkward(root: Root) -> None:
    """Drop everything into inbox/ that might stop or delay a careless reader; all names sort before ``zz``."""
    inbox = root.path / "inbox"
    (inbox / "a-half.json").write_text('{"type": "ec')
    (inbox / "b-huge.json").write_bytes(b" " * (17 * 1024 * 1024))
    (inbox / "c-deep.json").write_text("[" * 100_000 + "]" * 100_000)
    (inbox / "d-twice.json").write_text('{"type": "echo", "type": "echo"}')
    (inbox / "e-link.json").symlink_to("/etc/passwd")
    os.mkfifo(inbox / "f-pipe.json")
    (inbox / "g-dir.json").mkdir()
    (inbox / "h-nan.json").write_text('{"type": "echo", "input": NaN}')
    (inbox / "i-bom.json").write_bytes(b"\xef\xbb\xbf{}")
    (inbox / "j-latin.json").write_bytes(b'{"type": "\xff"}')
    (inbox / "k name\nwith all.json").write_text("{}")
    (inbox / ("l" * 240 + ".json")).write_text("{}")
    (inbox / "m-empty.json").touch()
    with open(inbox / "n-sparse.json", "wb") as file:
        file.truncate(1 << 40)
    (inbox / ".hard").write_text('{"type": "echo", "type": "echo"}')
    os.link(inbox / ".hard", inbox / "o-hard.json")


def test_no_bad_file_delays_a_good_one(root: Root) -> None:
    awkward(root)
    root.put("inbox/zz-good.json", {"type": "echo"})
    until(root.offered, "the good one's offer")
    until(lambda: root.names("inbox") == [], "all others to be judged")
    codes = {event["file"][:1]: event["reason"]["code"] for event in root.events("rejected")}
    expected = {"a": "json-syntax", "b": "too-large", "c": "json-depth", "d": "json-duplicate-key", "e": "not-regular"}
    expected |= {"f": "not-regular", "g": "not-regular", "h": "json-number", "i": "json-encoding", "j": "json-encoding"}
    expected |= {
        "k": "name-grammar",
        "l": "name-grammar",
        "m": "json-syntax",
        "n": "too-large",
        "o": "json-duplicate-key",
    }
    assert codes == expected
    assert not root.ended()


def test_a_slow_writer_in_place_is_waited_for(root: Root) -> None:
    with open(root.path / "inbox/slow.json", "w") as file:
        for part in ('{"type"', ': "echo", ', '"input": ', '"whole"}'):
            file.write(part)
            file.flush()
            seen = len(root.events())
            root.put(f"inbox/mark-{seen}-{len(part)}.json", {"type": "echo"})
            until(lambda seen=seen: len(root.events("accepted", "rejected")) and len(root.events()) > seen, "a pass")  # type: ignore[misc]
    accepted = until(lambda: [event for event in root.events("accepted") if event["id"] == "slow"], "slow")
    assert accepted[0]["task"]["input"] == "whole"
    assert not root.events("rejected")


def test_an_open_descriptor_changes_nothing_after_judgement(root: Root) -> None:
    """A writer that keeps the file open, mapped even, writes after its message was judged (P7)."""
    path = root.path / "inbox/sly.json"
    with open(path, "w+b") as file:
        file.write(b'{"type": "echo", "input": "good"}')
        file.flush()
        with mmap.mmap(file.fileno(), 0) as memory:
            until(root.offered, "the offer")
            memory[26:30] = b"evil"
            memory.flush()
    claimed = root.claim("alice")
    assert json.loads(claimed.read_text())["input"] == "good"
    (accepted,) = root.events("accepted")
    assert accepted["task"]["input"] == "good"


def test_the_second_daemon_is_refused_and_told_of_the_first(root: Root) -> None:
    second = taskdir("run", root=root.path)
    assert second.returncode == 75
    assert root.daemon is not None
    assert str(root.daemon.pid) in second.stderr
    assert "already running" in second.stderr


def test_sigterm_ends_well(root: Root) -> None:
    root.put("inbox/x.json", {"type": "echo"})
    until(root.offered, "the offer")
    assert root.stop() == 0
    assert root.events()[-1]["event"] == "stopped"


HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CLOEXEC)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_killed_holder_is_noticed_without_waiting_for_the_lease(root: Root) -> None:
    root.put("inbox/x.json", {"type": "echo", "lease_seconds": 3600, "backoff_seconds": 0})
    claimed = root.claim("alice")
    with subprocess.Popen([sys.executable, "-c", HOLDER, claimed], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for _ in range(3):  # the daemon looks at locks once a scan; a pass a message shows that it has
            until_scanned(root)
        holder.kill()
    until(lambda: root.events("abandoned"), "the dropped lock", patience=3)
    until(lambda: [name for name in root.offered() if name.endswith(".x.2.json")], "the next offer", patience=3)


def until_scanned(root: Root) -> None:
    """Wait for one full scan interval of the daemon's: a half-written file is judged after its settle time."""
    name = f"probe-{len(root.events())}"
    (root.path / f"inbox/{name}.json").write_text("{")
    reason(root, name)


def test_work_goes_on_without_a_daemon(root: Root) -> None:
    root.put("inbox/one.json", {"type": "echo"})
    root.put("inbox/two.json", {"type": "echo"})
    until(lambda: len(root.offered()) == 2, "two offers")
    assert root.stop() == 0
    claimed = root.claim("alice")
    root.finish(claimed, {"status": "ok", "output": 1})
    root.claim("bob")
    root.put("inbox/three.json", {"type": "echo"})
    root.start()
    until(lambda: root.names("done") == ["one.json"], "the result to be honoured")
    until(lambda: [name for name in root.offered() if ".three." in name], "the submission to be honoured")
    assert [event["agent"] for event in root.events("claimed")] == ["alice", "bob"]
    assert taskdir("check", root=root.path).returncode == 0


def test_the_daemons_own_directory_can_go_after_a_clean_stop(root: Root) -> None:
    for name in ("a", "b", "c"):
        root.put(f"inbox/{name}.json", {"type": "echo"})
    root.finish(root.claim("alice"), {"status": "ok", "output": 1})
    until(lambda: root.names("done"), "a result")
    root.put("inbox/bad.json", {"type": "nope"})
    reason(root, "bad")
    until(lambda: len(root.offered()) == 2 and not root.names("claimed/alice"), "rest")
    assert root.stop() == 0
    before = tree(root)
    shutil.rmtree(root.path / ".taskdir")
    root.start()
    root.put("inbox/d.json", {"type": "echo"})
    until(lambda: len(root.offered()) == 3, "the next offer")
    assert [name for name in tree(root) if ".d." not in name] == before
    assert taskdir("check", root=root.path).returncode == 0


def tree(root: Root) -> list[str]:
    """Return every visible file but the log."""
    found = [path.relative_to(root.path).as_posix() for path in root.path.rglob("*") if path.is_file()]
    return sorted(name for name in found if not name.startswith((".taskdir", "log")))


def test_views_that_are_deleted_come_back(root: Root) -> None:
    root.put("inbox/a.json", {"type": "echo"})
    until(root.offered, "the offer")
    shutil.rmtree(root.path / "ready/default")
    until(root.offered, "the offer again")
    offered = root.path / "ready/default" / root.offered()[0]
    offered.write_text('{"id": "a", "input": "forged"}')
    until(lambda: root.events("breach"), "the breach")
    until(lambda: offered.exists() and "forged" not in offered.read_text(), "the offer as it was")
    root.put("ready/default/0-000000000001.evil.1.json", {"id": "evil"})
    assert reason(root, "0-000000000001.evil.1")["code"] == "ready-stranger"
    assert [event["code"] for event in root.events("breach")] == ["ready-changed", "ready-stranger"]


def test_a_redrive_by_hand(root: Root) -> None:
    root.put("inbox/x.json", {"type": "echo", "max_attempts": 1})
    root.finish(root.claim("alice"), {"status": "error", "error": {"message": "no luck"}})
    until(lambda: root.names("failed") == ["x.json"], "the dead letter")
    assert root.json("failed/x.json")["error"]["message"] == "no luck"
    os.rename(root.path / "failed/x.json", root.path / "inbox/x.json")
    claimed = root.claim("bob")
    assert json.loads(claimed.read_text())["last_error"]["message"] == "no luck"
    root.finish(claimed, {"status": "ok", "output": 1})
    until(lambda: root.names("done") == ["x.json"], "the second try")
    assert [attempt["outcome"] for attempt in root.json("done/x.json")["attempts"]] == ["errored", "done"]


def test_strangers_in_the_daemons_own_places_do_not_end_it(root: Root) -> None:
    """Directories, names and depths that no step of a pass expects where only the daemon writes (P10)."""
    root.put("inbox/first.json", {"type": "echo"})
    claimed = root.claim("alice")
    root.put("inbox/entry.json", {"kind": "state", "key": "plan", "value": 1})
    until((root.path / "state/plan.json").exists, "the entry")
    root.kill()
    (root.path / "ready/default" / claimed.name).mkdir()  # an offer's name, but no file to unlink
    (root.path / "ready").chmod(0o755)
    os.mkdir(os.fsencode(root.path / "ready") + b"/\xff")
    (root.path / "state/plan.json").write_text("[" * 100_000)
    (Path(os.fsdecode(os.fsencode(root.path / "state") + b"/\xff.json"))).write_text("{}")
    root.start()
    root.put("inbox/zz-good.json", {"type": "echo"})
    until(lambda: [name for name in root.offered() if "zz-good" in name], "the good one's offer")
    assert not root.ended()
    until(lambda: (root.path / "state/plan.json").stat().st_size < 1000, "the entry, written again")
    assert root.json("state/plan.json")["value"] == 1


def test_a_record_replaced_by_a_directory_delays_no_other(root: Root) -> None:
    root.put("inbox/bad.json", {"type": "echo", "max_attempts": 1})
    root.finish(root.claim("alice"), {"status": "error", "error": {"message": "no"}})
    record = root.path / "failed/bad.json"
    until(record.exists, "the record")
    root.put("inbox/bad.json", record.read_text())
    record.unlink()
    record.mkdir()
    until(root.offered, "the second life's offer")
    root.put("inbox/good.json", {"type": "echo"})
    until(lambda: len(root.offered()) == 2, "the good one's offer")
    assert not root.ended()


def test_a_directory_in_place_of_notes_does_not_end_the_daemon(root: Root) -> None:
    root.put("inbox/x.json", {"type": "echo"})
    claimed = root.claim("alice")
    claimed.with_name(claimed.stem + ".notes.jsonl").mkdir()
    root.finish(claimed, {"status": "ok", "output": 1})
    until(lambda: root.names("done") == ["x.json"] or root.ended(), "the record")
    assert not root.ended()


@pytest.mark.parametrize("place", ["done", "failed", "rejected", "state", ".taskdir/taken", ".taskdir/staging"])
def test_a_deleted_directory_is_made_again(root: Root, place: str) -> None:
    shutil.rmtree(root.path / place)
    until((root.path / place).is_dir, "the directory")
    root.put("inbox/x.json", {"type": "echo"})
    root.finish(root.claim("alice"), {"status": "ok", "output": 1})
    until(lambda: root.names("done") == ["x.json"] or root.ended(), "the record")
    assert root.stop() == 0


def test_an_offer_that_cannot_be_withdrawn_is_one_breach(root: Root) -> None:
    root.put("inbox/x.json", {"type": "echo"})
    name = until(root.offered, "the offer")[0]
    offer = root.path / "ready/default" / name
    offer.unlink()
    (offer / "inside").mkdir(parents=True)
    until(lambda: root.events("breach"), "the breach")
    root.put("inbox/y.json", {"type": "echo"})
    until(lambda: len(root.offered()) == 2, "the next offer")
    assert len(root.events("breach")) == 1
    (offer / "inside").rmdir()
    offer.rmdir()
    until(offer.is_file, "the offer, written again")
