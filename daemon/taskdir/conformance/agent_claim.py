"""Cases for ``claim``, ``keep`` and ``give-back``: who holds what (CONTRACT section 1, SPEC 7.4, 7.5, 7.9)."""

from __future__ import annotations

import os
from pathlib import Path

from taskdir.conformance.cases import Broken, want
from taskdir.conformance.eye import Eye
from taskdir.conformance.stand import Stand

STRANGERS = (
    "README",
    ".5-000000000001.t.1.json",
    "5-1.t.1.json",
    "5-000000000001.t.01.json",
    "5-000000000001.t.1.json.tmp",
    "a b.json",
    "5-000000000001.T.1.json",
)


def first_name(stand: Stand) -> None:
    """claim takes the first name in byte order, which is the order of work, and prints its absolute path"""
    first, urgent = stand.offer(2), stand.offer(99, priority=0)
    stand.offer(11)
    for agent, offer in (("0-_", urgent), ("x" * 64, first)):
        done = stand.ends(0, "claim", agent)
        want("what claim prints", str(stand.root / "claimed" / agent / offer.name), done.line)
    want("the files in the root", 3, len(stand.tree()))


def by_rename(stand: Stand) -> None:
    """a claim is one rename: neither a copy nor a second link, which two agents could make at once"""
    offer = stand.offer(1)
    before, data = offer.stat(), offer.read_bytes()
    (stand.root / "claimed" / "me").mkdir()
    with Eye(stand.root, "ready/default", "claimed/me") as eye:
        task = Path(stand.ends(0, "claim", "me").line)
        seen = [each.kind for each in eye.seen() if each.name == offer.name]
    want("the content of the claimed file", data, task.read_bytes())
    want("the inode of the claimed file: the offer itself, moved", before.st_ino, task.stat().st_ino)
    if eye.sees:
        want("how it came from ready/ to claimed/", ["moved-from", "moved-to"], seen)


def race(stand: Stand) -> None:
    """of several agents who claim at once, each offer has one winner, and the others are told that there is nothing"""
    offers = {stand.offer(seq).name for seq in range(1, 4)}
    runs = [stand.start("claim", f"agent-{number}") for number in range(5)]
    ended = [running.end() for running in runs]
    won = [Path(done.line).name for done in ended if done.code == 0]
    want("offers that were won twice", [], sorted({name for name in won if won.count(name) > 1}))
    want("the offers that were won", sorted(offers), sorted(won), "")
    want("the exit codes of 5 who claim 3 offers", [0] * 3 + [75] * 2, sorted(done.code for done in ended), "")
    held = [name for name in stand.tree() if name.startswith("claimed/")]
    want("the claimed files", 3, len(held))


def strangers(stand: Stand) -> None:
    """names outside the grammar, and what is no regular file, are let be"""
    for name in STRANGERS:
        stand.put(f"ready/default/{name}", "{}")
    (stand.root / "ready/default/0-000000000001.dir.1.json").mkdir()
    (stand.root / "ready/default/0-000000000001.link.1.json").symlink_to("README")
    stand.refuses(75, "claim", "me")
    offer = stand.offer(1)
    want("what claim takes", offer.name, Path(stand.ends(0, "claim", "me").line).name)


def nothing(stand: Stand) -> None:
    """where there is nothing to claim, or no such queue, claim ends with 75; it makes the agent's directory"""
    stand.refuses(75, "claim", "me")
    stand.refuses(75, "claim", "me", "no-such-queue")
    want("claimed/me/ is a directory", True, (stand.root / "claimed" / "me").is_dir())
    want("ready/no-such-queue/ is made", False, (stand.root / "ready" / "no-such-queue").exists())


def unfinished(stand: Stand) -> None:
    """who holds unfinished work is told its path on stderr and gets nothing new; with a result it is finished"""
    held, _ = stand.held(1), stand.offer(2)
    stand.put("claimed/me/mine.json", "{}")
    done = stand.refuses(75, "claim", "me")
    if os.fsencode(held) not in done.err:
        raise Broken("claim with unfinished work, on stderr", held, done.err, "")
    stand.put(f"claimed/me/{held.stem}.result.json", "{}")
    stand.ends(0, "claim", "me")


def queues(stand: Stand) -> None:
    """a queue is named; the queue @me is for me alone"""
    mine, review = stand.offer(1, "ready/@me"), stand.offer(2, "ready/review")
    code = stand.run("claim", "you", "@me").code
    want("the offer of @me is still there", True, mine.exists())
    if code not in (2, 75):
        raise Broken("the exit code of `claim you @me`", "2 or 75", code, "")
    want("what claim takes", review.name, Path(stand.ends(0, "claim", "you", "review").line).name)
    want("what claim takes", mine.name, Path(stand.ends(0, "claim", "me", "@me").line).name)


def benched(stand: Stand) -> None:
    """an agent whose directory has no write bit is benched: 75, and the offer stays"""
    stand.offer(1)
    home = stand.root / "claimed" / "me"
    home.mkdir()
    options = stand.as_nobody()
    home.chmod(0o555)
    stand.refuses(75, "claim", "me", **options)
    home.chmod(0o755)


def keep_renews(stand: Stand) -> None:
    """keep changes the claimed file's time and nothing else; PATH may be relative"""
    task = stand.held()
    os.utime(task, (1_000_000_000, 1_000_000_000))
    before, tree = task.stat(), stand.tree()
    stand.ends(0, "keep", task.name, cwd=task.parent)
    want("the inode", before.st_ino, task.stat().st_ino)
    if task.stat().st_mtime_ns == before.st_mtime_ns:
        raise Broken("keep does not renew", "another time of the claimed file", before.st_mtime_ns)
    stand.same("keep changed something", tree)


def keep_gone(stand: Stand) -> None:
    """keep of a file that is gone ends with 66 and never makes it again"""
    (stand.root / "claimed" / "me").mkdir()
    gone = stand.root / "claimed/me/5-000000000001.t1.1.json"
    stand.refuses(66, "keep", gone)


def gives_back(stand: Stand) -> None:
    """give-back deletes the claimed file, and only that; of one that is gone it ends with 66"""
    task, other = stand.held(1), stand.held(2, "you")
    stand.ends(0, "give-back", task)
    stand.same("after give-back", {f"claimed/you/{other.name}": other.read_bytes()})
    stand.refuses(66, "give-back", task)


def not_a_claim(stand: Stand) -> None:
    """no verb takes as PATH what is not the name of a task in claimed/AGENT/: 2"""
    offer, own = stand.offer(1), stand.put("claimed/me/mine.json", "{}")
    for verb, path in (("give-back", offer), ("keep", own)):
        stand.refuses(2, verb, path)


def no_file(stand: Stand) -> None:
    """a link that is named as a claimed file is none: 66, and what it leads to stays as it is"""
    task = stand.held(1, "you")
    link = stand.root / "claimed" / "me" / task.name
    link.parent.mkdir()
    link.symlink_to(task)
    os.utime(task, (1_000_000_000, 1_000_000_000))
    for verb in ("keep", "finish", "give-back"):
        stand.refuses(66, verb, link)
    want("the time of what the link leads to", 1_000_000_000, int(task.stat().st_mtime))
    offer = stand.offer(2)
    want("what claim takes", offer.name, Path(stand.ends(0, "claim", "me").line).name)


CASES = (
    ("claim/first-name", "", first_name),
    ("claim/by-rename", "claim-copy", by_rename),
    ("claim/race", "claim-copy", race),
    ("claim/strangers", "claim-unknown", strangers),
    ("claim/nothing", "", nothing),
    ("claim/unfinished", "max-claims", unfinished),
    ("claim/queues", "wrong-queue", queues),
    ("claim/benched", "", benched),
    ("keep/renews", "", keep_renews),
    ("keep/gone", "claim-unknown", keep_gone),
    ("give-back/deletes", "", gives_back),
    ("path/not-a-claim", "", not_a_claim),
    ("path/no-file", "not-regular", no_file),
)
"""(name, the rule that a failure breaks, the play)."""
