"""Cases for ``submit`` and ``wait``, and for how an agent finds its root (CONTRACT section 1, SPEC 7.1)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from taskdir.conformance.cases import Broken, NotTested, want
from taskdir.conformance.eye import Eye
from taskdir.conformance.stand import WORD, Stand

MESSAGE = b'{"type": "echo", "input": "hi"}'
NO_NAMES = ("", "_x", "a/B", "x" * 65, "a\n")
DELAYS = (0.0, 0.004, 0.03, 0.15)


def whole(stand: Stand) -> None:
    """submit ID puts the bytes of stdin into inbox/ID.json, whatever they are, and prints the ID"""
    large = b'{"type": "echo", "input": "' + b"x" * 250_000 + b'"}\r\n\n'
    for id, data in (("x" * 64, b"\xff\x00 no JSON, no newline"), ("0-_", large)):
        want("what submit prints", id, stand.ends(0, "submit", id, stdin=data).line)
        want(f"the content of inbox/{id}.json", data, (stand.root / "inbox" / f"{id}.json").read_bytes())
    want("the number of files", 2, len(stand.tree()))


def minted(stand: Stand) -> None:
    """submit without an ID mints one, another each time"""
    ids = {stand.ends(0, "submit", stdin=MESSAGE).line for _ in range(2)}
    want("the number of ids of two submits", 2, len(ids))
    for id in ids:
        if not WORD.fullmatch(id):
            raise Broken("a minted id", "[a-z0-9][a-z0-9_-]{0,63}", id)
    stand.same("inbox/ is not as it should be", {f"inbox/{id}.json": MESSAGE for id in ids})


def never_replaces(stand: Stand) -> None:
    """submit of a name that is taken ends with 73 and changes nothing, be it a file, a directory or a link"""
    first = stand.put("inbox/file.json", b"first")
    (first.parent / "dir.json").mkdir()
    (first.parent / "link.json").symlink_to("nowhere")
    for id in ("file", "dir", "link"):
        stand.refuses(73, "submit", id, stdin=MESSAGE)


def taken_while_reading(stand: Stand) -> None:
    """submit does not replace a message that came while it was reading its own"""
    running = stand.start("submit", "slow")
    running.feed(MESSAGE[:9])
    time.sleep(0.15)
    stand.put("inbox/slow.json", b"first")
    done = running.end(MESSAGE[9:])
    stand.same("submit replaced a message", {"inbox/slow.json": b"first"})
    want("the exit code of submit", 73, done.code, "")


def taken_meanwhile(stand: Stand) -> None:
    """submit does not replace a message that came between its look and its rename"""
    with Eye(stand.root, "inbox") as eye:
        for number, delay in enumerate(DELAYS):
            id, first = f"late-{number}", stand.at / f"first-{number}"
            first.write_bytes(b"first")
            running = stand.start("submit", id)
            running.feed(MESSAGE, last=True)
            while running.process.poll() is None and not eye.seen(0.05):
                pass
            time.sleep(delay)
            running.signal(signal.SIGSTOP)
            try:
                os.link(first, stand.root / "inbox" / f"{id}.json")
                ours = True
            except FileExistsError:
                ours = False  # it was through already
            running.signal(signal.SIGCONT)
            done = running.end()
            if ours:
                want("what lies in inbox/", b"first", (stand.root / "inbox" / f"{id}.json").read_bytes())
            want("the exit code of submit", 73 if ours else 0, done.code, "")
            eye.seen()


def race(stand: Stand) -> None:
    """of several who submit one name at once, one wins, and its message is the one that is there"""
    runs = [stand.start("submit", "race") for _ in range(5)]
    for number, running in enumerate(runs):
        running.feed(b"%d" % number)
    codes = [running.end().code for running in runs]
    want("submits of one name that were told that they won", 1, min(codes.count(0), 1), "")
    want("submits of one name that were told that they won", 1, codes.count(0))
    want("the exit codes of the losers", {73}, {*codes} - {0}, "")
    there = (stand.root / "inbox" / "race.json").read_bytes()
    want("the message that is there", b"%d" % codes.index(0), there)
    want("the files in inbox/", ["race.json"], os.listdir(stand.root / "inbox"))


def never_half(stand: Stand) -> None:
    """a message has its name only once it is whole: nobody writes through a name that the daemon sees"""
    with Eye(stand.root, "inbox") as eye:
        running = stand.start("submit", "half")
        running.feed(MESSAGE[:9])
        time.sleep(0.1)
        early = [name for name in os.listdir(stand.root / "inbox") if not name.startswith(".")]
        running.end(MESSAGE[9:])
        want("visible names in inbox/ while stdin is half given", [], early)
        written = [str(each) for each in eye.seen() if each.name[:1] != "." and each.kind in ("written", "closed")]
        want("writes through a visible name", [], written)
    stand.same("inbox/ is not as it should be", {"inbox/half.json": MESSAGE}, "")


def empty(stand: Stand) -> None:
    """submit of nothing ends with 65 and leaves nothing"""
    stand.refuses(65, "submit", "nothing")


def names(stand: Stand) -> None:
    """what is no id, agent or queue is a usage error: 2, and nothing happens"""
    for name in NO_NAMES:
        stand.refuses(2, "submit", name, stdin=MESSAGE)
    for words in (["claim", "a/../b"], ["claim", "a", "B"], ["no-verb"]):
        stand.refuses(2, *words)


def no_root(stand: Stand) -> None:
    """where there is no root, a verb ends with 66"""
    outside = stand.at / "outside"
    outside.mkdir()
    for words in (["submit", "a"], ["claim", "me"]):
        stand.refuses(66, *words, stdin=MESSAGE, cwd=outside, named=False)
    want("what lies there then", [], os.listdir(outside))
    for named in (stand.at / "missing", stand.root / "taskdir.json", stand.root / "inbox"):  # no search from there
        stand.refuses(66, "submit", "a", stdin=MESSAGE, cwd=stand.root, named=named)


def found_upwards(stand: Stand) -> None:
    """without $TASKDIR the root is the nearest parent directory with a taskdir.json"""
    below = stand.root / "claimed" / "me"
    below.mkdir()
    stand.ends(0, "submit", "a", stdin=MESSAGE, cwd=below, named=False)
    stand.same("the message is not in that root", {"inbox/a.json": MESSAGE})


def relative(stand: Stand) -> None:
    """$TASKDIR may be relative; the path that claim prints is absolute"""
    offer = stand.offer(1)
    done = stand.ends(0, "claim", "me", named=Path(stand.root.name))
    want("what claim prints", str(stand.root / "claimed" / "me" / offer.name), done.line)


def any_bytes(first: Stand) -> None:
    """the root's path may hold any bytes"""
    stand = Stand(first.program, first.at / "odd", os.fsdecode(b"a \xff \xc3\xa9\n\"$x`'*"))
    stand.ends(0, "submit", "a", stdin=MESSAGE)
    stand.same("the message is not there", {"inbox/a.json": MESSAGE})
    (stand.root / "inbox" / "a.json").unlink()
    offer = stand.offer(1)
    done = stand.ends(0, "claim", "me")
    task = stand.root / "claimed" / "me" / offer.name
    want("what claim prints", os.fsencode(task) + b"\n", done.out)
    stand.ends(0, "finish", task)
    want("the result", {"status": "ok", "output": None}, stand.result(task))


def wait_ends(stand: Stand) -> None:
    """wait prints the path of the record or reason: 0 for done, 1 for failed or refused, 124 when time is up"""
    for id, name, code in (("a", "done/a.json", 0), ("b", "failed/b.json", 1), ("c", "rejected/c.reason.json", 1)):
        path = stand.put(name, "{}")
        want("what wait prints", str(path), stand.ends(code, "wait", id, "5").line)
    want("what wait prints when time is up", b"", stand.ends(124, "wait", "x", "0").out)


def wait_waits(stand: Stand) -> None:
    """wait waits for a record to come, and takes no old reason for the verdict on a message that is not judged yet"""
    stand.put("rejected/r.reason.json", "{}")
    message = stand.put("inbox/r.json", MESSAGE)
    running = stand.start("wait", "r", "20")
    time.sleep(0.3)
    want("whether wait ended before the verdict", None, running.process.poll())
    path = stand.put("done/r.json", "{}")
    message.unlink()
    done = running.end()
    want("the exit code of wait", 0, done.code)
    want("what wait prints", str(path), done.line)


def untold(stand: Stand) -> None:
    """what cannot be told on stdout is an error: 73"""
    if not os.path.exists("/dev/full"):
        raise NotTested("there is no /dev/full")
    stand.offer(1)
    stand.put("done/a.json", "{}")
    with open("/dev/full", "wb") as full:
        for words in (["submit", "b"], ["claim", "me"], ["wait", "a"]):
            done = stand.ends(73, *words, stdin=MESSAGE, stdout=full)
            want(f"{done} on stderr", b"taskdir: ", done.err[:9])


CASES = (
    ("submit/whole", "", whole),
    ("submit/minted", "name-grammar", minted),
    ("submit/never-replaces", "id-taken", never_replaces),
    ("submit/taken-while-reading", "id-taken", taken_while_reading),
    ("submit/taken-meanwhile", "id-taken", taken_meanwhile),
    ("submit/race", "id-taken", race),
    ("submit/never-half", "json-syntax", never_half),
    ("submit/empty", "json-syntax", empty),
    ("submit/names", "name-grammar", names),
    ("root/none", "", no_root),
    ("root/found-upwards", "", found_upwards),
    ("root/relative", "", relative),
    ("root/any-bytes", "", any_bytes),
    ("wait/ends", "", wait_ends),
    ("wait/waits", "", wait_waits),
    ("stdout/full", "", untold),
)
"""(name, the rule that a failure breaks, the play)."""
