"""Damages drawn by lot: to a log's bytes, to its events with the chain made right again, and to the directories.

Each takes the dice and a tree, changes the tree, and may find nothing to change: a tree has not always what it wants.
"""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

from conformance.forging import LIVE, Event, Forger, invent_event, log_files
from conformance.lives import ODD_NAMES, VALUES, Kind, Tree

Harm = Callable[[random.Random, Tree], None]
PLACES = (b"done", b"failed", b"rejected", b"state", b"ready", b"ready/default", b"ready/review", b"claimed/al", b"log")
STRANGERS = (
    b"x.json", b"t1.json", b"t2.json", b"t3", b"head.json", b"5-000000000001.t1.1.json", b"9-000000000003.t1.1.json",
    b"5-000000000003.t1.1.result.json", b"5-000000000003.t1.1.refused.json", b"x.reason.json", b".hidden.json",
    b"x.000000000005.json", b"plain.000000000005.json", b"5-00000000003.t1.1.json", b"5-000000000003.T1.1.json",
    b"5-000000000003.t1.0.json", b"00000000001.jsonl", b"000000000099.jsonl", b"000000000001.jsonl.bak",
    ("\u0661" * 12 + ".jsonl").encode(), ("\u00b2" * 12 + ".jsonl").encode(),
    *(name.encode("utf-8", "surrogateescape") for name in ODD_NAMES),
)  # fmt: skip


def _log(dice: random.Random, tree: Tree) -> tuple[bytes, list[bytes]]:
    """Choose a plain log file with lines."""
    files = [name for name in log_files(tree) if not name.endswith(b".gz") and tree[name]]
    name = dice.choice(files)
    content = tree[name]
    assert isinstance(content, bytes)
    return name, content.splitlines(keepends=True)


def flip_bit(dice: random.Random, tree: Tree) -> None:
    name = dice.choice([name for name in log_files(tree) if tree[name]])
    content = bytearray(tree[name])  # type: ignore[arg-type]
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    tree[name] = bytes(content)


def cut_tail(dice: random.Random, tree: Tree) -> None:
    name, lines = _log(dice, tree)
    whole = b"".join(lines)
    tree[name] = whole[: len(whole) - dice.randrange(1, min(len(whole), 2000) + 1)]


def append_rubbish(dice: random.Random, tree: Tree) -> None:
    name, lines = _log(dice, tree)
    more = (
        b"\n",
        b"{",
        b"{}\n",
        b"\x00" * 40,
        b"null\n",
        lines[0],
        lines[-1],
        lines[-1][:-1],
        b'{"event":"x"}\n',
        b"\xff\n",
    )
    tree[name] = b"".join(lines) + dice.choice(more)


def move_lines(dice: random.Random, tree: Tree) -> None:
    name, lines = _log(dice, tree)
    at, to = dice.randrange(len(lines)), dice.randrange(len(lines))
    how = dice.randrange(4)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(to, lines[at])
    elif how == 2:
        lines[at], lines[to] = lines[to], lines[at]
    else:
        lines.insert(at, dice.choice([b"?\n", b"\n", b"[]\n", b'{"event":5}\n', b"{}\n"]))
    tree[name] = b"".join(lines)


def edit_line(dice: random.Random, tree: Tree) -> None:
    """Change a word of a line without making the chain right."""
    name, lines = _log(dice, tree)
    at = dice.randrange(len(lines))
    pairs = (
        (b'"seq":', b'"seq":1'),
        (b'"end":', b'"end":1'),
        (b'"prev":"', b'"prev":"0'),
        (b'"al"', b'"bo"'),
        (b'"end"', b'"x-end"'),
    )
    lines[at] = lines[at].replace(*dice.choice(pairs))
    tree[name] = b"".join(lines)


def harm_segment(dice: random.Random, tree: Tree) -> None:
    """Do something to a whole file of the log."""
    name = dice.choice(log_files(tree))
    content = tree[name]
    assert isinstance(content, bytes)
    how = dice.randrange(12)
    if how == 0:
        del tree[name]
    elif how == 1:
        tree[name] = b""
    elif how == 2:
        tree[b"log/%012d.jsonl" % dice.randrange(1, 40)] = tree.pop(name)
    elif how == 3:
        tree[name] = dice.choice([("directory", ""), ("fifo", ""), ("link", "nowhere"), ("link", "../taskdir.json")])
    elif how == 4:
        tree[name + b".gz"] = b"half"
    elif not name.endswith(b".gz") and name != LIVE:
        packed = gzip.compress(content, mtime=0)
        harmed = (
            packed, packed[: dice.randrange(len(packed) + 1)], packed + b"\0" * 9, packed + b"rest",
            packed[:-8] + b"\0" * 8,
            gzip.compress(content[:300], mtime=0) + gzip.compress(content[300:], mtime=0),
        )  # fmt: skip
        del tree[name]
        tree[name + b".gz"] = harmed[how - 6] if how > 5 else bytes([*packed[:30], packed[30] ^ 4, *packed[31:]])


def forge(dice: random.Random, tree: Tree) -> None:
    """Change events, then make seq, prev and end right again."""
    log = Forger.of(tree)
    edit = None
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        batches = [batch for batch in log.batches() if batch]
        known = list(itertools.chain.from_iterable(batches))
        batch = dice.choice(batches)
        at = dice.randrange(len(batch))
        event = batch[at]
        how = dice.randrange(10)
        if how == 0 and len(batch) > 1:
            del batch[at]
        elif how == 1:
            batch.insert(dice.randrange(len(batch) + 1), copy.deepcopy(event))
        elif how == 2:
            other = dice.choice(batches)
            other.insert(dice.randrange(len(other) + 1), batch.pop(at) if len(batch) > 1 else copy.deepcopy(event))
        elif how == 3:
            segment = dice.choice(log.segments)
            place = dice.randrange(len(segment) + 1)
            segment.insert(place, [invent_event(dice, batch, known) for _ in range(dice.choice([1, 1, 2]))])
        elif how == 4:
            batch.insert(dice.randrange(len(batch) + 1), invent_event(dice, batch, known))
        elif how == 5:
            edit = (event, dice.choice(TEXTS))
        elif how == 6:
            log.segments.insert(dice.randrange(len(log.segments) + 1), [])
        else:
            change_member(dice, event)
    log.put(tree, dice, edit)


TEXTS: tuple[Callable[[str], str], ...] = (
    lambda text: text.replace(",", ',"time":"2027-01-15T08:00:00.000000Z",', 1),  # a key twice
    lambda text: text.replace(",", ',"x-n":90071992547409910,', 1),
    lambda text: text.replace(",", ',"x-n":1e999,', 1),
    lambda text: text.replace(",", ',"x-n":NaN,', 1),
    lambda text: text.replace(",", ',"x-s":"\\ud800",', 1),
    lambda text: text.replace(",", ',"x-d":' + "[" * 32 + "]" * 32 + ",", 1),
    lambda text: text.replace(",", ',"x-d":' + "[" * 33 + "]" * 33 + ",", 1),
    lambda text: text.replace(",", ',"x-own":"\u00e9",', 1),
    lambda text: text.replace(",", ", \t", 1),
    lambda text: text + "\r",
    lambda text: "\ufeff" + text,
    lambda text: text.replace('"seq":', '"seq":0', 1),
    lambda text: text.replace(",", ".0,", 1),  # seq as a number with a fraction
    lambda text: text.replace('"end":', '"end":0.0', 1),
    lambda text: text.replace('"seq"', '"s\\u0065q"', 1),
    lambda text: text.replace('"attempt":1', '"attempt":1.0', 1),
    lambda text: text.replace('"priority":5', '"priority":5.0', 1),
    lambda text: text.replace('"input":', '"input":1E5,"x-input":', 1),
)


def change_member(dice: random.Random, event: Event) -> None:
    """Change, drop or add one member of an event, or of the document in it."""
    inner: list[Any] = [value for value in event.values() if isinstance(value, dict)]
    target: Event = dice.choice([event, event, *inner])
    names = [name for name in target if name not in ("seq", "prev", "end")]
    if not names:
        return
    name = dice.choice(names)
    old = target[name]
    choices: list[Any] = [
        None,
        1,
        "al",
        True,
        [],
        {},
        -1,
        2.5,
        "x" * 70,
        "BAD",
        *VALUES[:4],
        "2027-02-30T00:00:00.000000Z",
    ]
    if isinstance(old, int):
        choices += [old + 1, old - 1, float(old), 10**6, str(old)] * 3
    if isinstance(old, str):
        choices += [
            old + "x",
            old[:-1],
            old.upper(),
            old + "\n",
            old.replace("20", "00"),
            "0000-01-01T00:00:00.000000Z",
        ] * 2
    if isinstance(old, list):
        choices += [old + old, [*old, "ghost"], old[1:], [*old, 1]] * 5
    how = dice.random()
    if how < 0.1:
        del target[name]
    elif how < 0.2:
        target[
            dice.choice(["x-own", "own", "agent", "attempt", "id", "batch", "reason", "delay", "notes", "after"])
        ] = dice.choice(choices)
    elif name == "event":
        target[name] = dice.choice(["claimed", "done", "failed", "expired", "returned", "canceled", "stopped", "none"])
    else:
        target[name] = dice.choice(choices)


def harm_file(dice: random.Random, tree: Tree) -> None:
    """Remove, edit, rename or copy a file in one of the daemon's directories."""
    places = (b"done/", b"failed/", b"rejected/", b"state/", b"ready/", b"claimed/")
    files = [name for name, content in tree.items() if isinstance(content, bytes) and name.startswith(places)]
    name = dice.choice(files)
    content = tree[name]
    assert isinstance(content, bytes)
    how = dice.randrange(9)
    if how == 0:
        del tree[name]
    elif how == 1 and content:
        tree[name] = content.replace(b'"', b"'", 1) if dice.random() < 0.5 else content[:-1]
    elif how == 2 and content:
        tree[name] = json.dumps(json.loads(content)).encode() if content[:1] == b"{" and b"}" in content else b"{}"
    elif how == 3:
        tree[dice.choice(PLACES) + b"/" + name.rpartition(b"/")[2]] = tree.pop(name)
    elif how == 4:
        tree[dice.choice(PLACES) + b"/" + name.rpartition(b"/")[2]] = content
    elif how == 5:
        tree[name] = dice.choice([("directory", ""), ("fifo", ""), ("link", "nowhere"), ("link", "/etc/hostname")])
    elif how == 6:
        tree[name.removesuffix(b".json") + dice.choice([b"", b".000000000009.json", b".2.json", b".JSON"])] = tree.pop(
            name
        )
    elif how == 7:
        tree[name] = content + b" "
    else:
        tree[name] = content.replace(b".0", b"", 1)


def add_stranger(dice: random.Random, tree: Tree) -> None:
    name = dice.choice(PLACES) + b"/" + dice.choice(STRANGERS)
    kinds: list[bytes | Kind] = [b"{}", b"", ("directory", ""), ("fifo", ""), ("link", "../done")]
    tree.setdefault(name, dice.choice(kinds))


def harm_directory(dice: random.Random, tree: Tree) -> None:
    """Take a directory away, or put a file or a link in its place, or a directory where none belongs."""
    place = dice.choice(PLACES[:-1])
    how = dice.randrange(4)
    if how == 3:
        tree[
            dice.choice([b"ready", b"claimed", b"done"])
            + b"/"
            + dice.choice([b"zoe", b"Zoe", b"@al", b"\xff"])
            + b"/x.json"
        ] = b"{}"
        return
    for name in [name for name in tree if name == place or name.startswith(place + b"/")]:
        del tree[name]
    if how == 1:
        tree[place] = b"{}"
    elif how == 2:
        tree[place] = ("link", "contracts" if b"/" not in place else "../contracts")


def harm_settings(dice: random.Random, tree: Tree) -> None:
    settings: Any = {
        "protocol": 1,
        dice.choice(["window", "context_bytes", "refusal_cap", "own"]): dice.choice([1, 2.0, 30, "1"]),
    }
    settings["resources"] = dice.choice([{"gpu": 1}, {"gpu": 9}, {"gpu": 0}, {"Gpu": 1}, {"gpu": 2.0}])
    tree[b"taskdir.json"] = dice.choice(
        [json.dumps(settings).encode()] * 4 + [b"{", b'{"protocol":2}', b'{"protocol":1,"protocol":1}']
    )


def drop_index(dice: random.Random, tree: Tree) -> None:
    for name in [name for name in tree if name.startswith(b".taskdir")]:
        del tree[name]


HARMS: dict[Harm, int] = {
    forge: 40, harm_file: 22, add_stranger: 10, flip_bit: 5, cut_tail: 4, append_rubbish: 4, move_lines: 4,
    edit_line: 4,
    harm_segment: 7, harm_directory: 3, harm_settings: 4, drop_index: 6,
}  # fmt: skip


def harm(dice: random.Random, tree: Tree) -> list[str]:
    """Do none, one or some of these to a tree; returns their names."""
    done = []
    for each in dice.choices(list(HARMS), list(HARMS.values()), k=dice.choice([0, 1, 1, 1, 1, 1, 2, 3])):
        try:
            each(dice, tree)
        except (IndexError, ValueError, TypeError, EOFError, OSError, zlib.error):
            continue  # nothing here that it could harm, or the log cannot be read any more
        done.append(each.__name__)
    return done
