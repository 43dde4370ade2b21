"""adapters/shell/taskdir.sh, the gestures: what each leaves in the tree, who wins, what is never touched."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from adapters.conftest import Shell

MESSAGE = b'{"type": "echo"}\n'
BAD_NAMES: list[str | bytes] = ["", "-x", "_x", "Ab", "a.b", "a b", "a/b", "..", "é", "x" * 65, "a\n", b"a\xff", "*"]
BAD_NAMES += ["@a"]
GESTURES = [["keep"], ["finish"], ["fail", "m"], ["give-back"], ["note", "m"], ["hold", "touch", "ran"]]


def test_submit_puts_the_bytes_there_and_prints_the_id(sh: Shell) -> None:
    done = sh.run("submit", "build-42", stdin=MESSAGE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"build-42\n", b"")
    assert sh.tree() == {"inbox/build-42.json"}
    assert (sh.root / "inbox/build-42.json").read_bytes() == MESSAGE
    minted = {sh.run("submit", stdin=MESSAGE).stdout.decode().strip() for _ in range(3)}
    assert len(minted) == 3
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name) for name in minted)
    assert sh.tree() == {f"inbox/{name}.json" for name in minted | {"build-42"}}


def test_submit_never_replaces(sh: Shell) -> None:
    inbox = sh.root / "inbox"
    (inbox / "file.json").write_text("first")
    (inbox / "dir.json").mkdir()
    (inbox / "link.json").symlink_to("nowhere")
    for name in ("file", "dir", "link"):
        done = sh.run("submit", name, stdin=MESSAGE)
        assert (done.returncode, done.stdout) == (73, b"")
        assert b"there already" in done.stderr
    assert sh.tree() == {"inbox/file.json", "inbox/link.json"}
    assert (inbox / "file.json").read_text() == "first"
    sh.fake("ln", 'echo first >"$2"; exit 1')  # somebody was faster after our look
    assert sh.run("submit", "late", stdin=MESSAGE).returncode == 73
    assert (inbox / "late.json").read_text() == "first\n"


def test_submit_of_nothing_is_refused(sh: Shell) -> None:
    assert sh.run("submit", "empty").returncode == 65
    assert sh.tree() == set()


def test_eight_submit_one_name_and_one_wins(sh: Shell) -> None:
    script = 'for n in 1 2 3 4 5 6; do echo "$1" | td_submit "race-$n" 2>/dev/null || [ $? -eq 73 ]; done'
    racers = [sh.sourcing(script, str(racer)) for racer in range(8)]
    assert sorted(sh.lines(racers)) == [f"race-{n}" for n in range(1, 7)]
    assert sh.tree() == {f"inbox/race-{n}.json" for n in range(1, 7)}


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_names_outside_the_grammar_are_usage_errors(sh: Shell, name: str | bytes) -> None:
    for locale in ("C", "C.UTF-8"):
        sh.env["LC_ALL"] = locale
        for args in (["submit", name], ["claim", name], ["wait", name]):
            assert sh.run(*args, stdin=MESSAGE).returncode == 2, args
        assert sh.run("claim", "me", name).returncode == 2
    assert sh.tree() == set()


def test_claim_takes_the_first_name_and_prints_where_it_is(sh: Shell) -> None:
    for stranger in "README .5-000000000001.t.1.json 5-1.t.1.json 5-000000000001.t.01.json a\tb.json".split(" "):
        (sh.root / "ready/default" / stranger).write_text("{}")
    (sh.root / "ready/default/0-000000000001.dir.1.json").mkdir()
    before = sh.tree()
    second, first = sh.offer(11), sh.offer(2)
    urgent = second.with_name("0-000000000099.now.1.json")
    urgent.write_text("{}")
    for agent, offer in (("me", urgent), ("x" * 64, first), ("me2", second)):
        done = sh.run("claim", agent)
        assert (done.returncode, done.stdout.decode()) == (0, f"{sh.root}/claimed/{agent}/{offer.name}\n")
    last = sh.run("claim", "me3")
    assert (last.returncode, last.stdout) == (75, b"")
    assert last.stderr == b"taskdir: nothing to claim in ready/default\n"
    assert {name for name in sh.tree() if name.startswith("ready/")} == before


def test_queues(sh: Shell) -> None:
    mine, review = sh.offer(1, "ready/@me"), sh.offer(2, "ready/review")
    assert sh.run("claim", "you", "@me").returncode == 2
    assert sh.run("claim", "you", "absent").returncode == 75
    assert sh.run("claim", "you", "review").stdout.decode().endswith(f"claimed/you/{review.name}\n")
    assert sh.run("claim", "me", "@me").stdout.decode().endswith(f"claimed/me/{mine.name}\n")


def test_unfinished_work_comes_first(sh: Shell) -> None:
    held, _ = sh.offer(1, "claimed/me"), sh.offer(2)
    done = sh.run("claim", "me")
    assert (done.returncode, done.stdout) == (75, b"")
    assert str(held).encode() in done.stderr
    assert sh.run("finish", held).returncode == 0  # now it waits for its verdict only
    assert sh.run("claim", "me").returncode == 0


def test_what_mv_says_is_not_believed(sh: Shell) -> None:
    offer, there = sh.offer(1), sh.root / "claimed/me" / "5-000000000001.t1.1.json"
    sh.fake("mv", "exit 0")  # "mv -n" that kept silent
    assert (sh.run("claim", "me").returncode, offer.exists()) == (75, True)
    sh.fake("mv", "exit 1")  # no permission
    assert (sh.run("claim", "me").returncode, offer.exists()) == (73, True)
    sh.fake("mv", f'{sh.real("mv")} "$@"; exit 1')  # a twin did it
    done = sh.run("claim", "me")
    assert (done.returncode, done.stdout, there.exists()) == (75, b"", True)
    assert str(there).encode() in done.stderr


def test_eight_agents_win_200_offers_once_each(sh: Shell) -> None:
    offers = {sh.offer(seq).name for seq in range(1, 201)}
    script = 'while task=$(td_claim "$1" 2>/dev/null); do echo "$task"; td_give_back "$task"; done; :'
    won = list(sh.lines(sh.sourcing(script, f"agent{n}") for n in range(8)))
    assert len(won) == 200
    assert {Path(task).name for task in won} == offers
    assert len({Path(task).parent for task in won}) > 1, "they did not race"


def test_twins_under_one_name_never_both_win(sh: Shell) -> None:
    for seq in range(1, 41):
        sh.offer(seq)
    script = """while [ -n "$(ls "$TASKDIR/ready/default")" ]; do
        if task=$(td_claim twin 2>/dev/null); then echo "$task"; fi
        rm -f "$TASKDIR"/claimed/twin/*.json
    done"""
    won = list(sh.lines(sh.sourcing(script) for _ in range(8)))
    assert won
    assert len(won) == len(set(won))


def test_finish_wraps_the_output_as_it_is(sh: Shell) -> None:
    task = sh.offer(1, "claimed/me")
    sh.cwd = sh.root
    (sh.root / "out put.json").write_text('{"n": 1.50}\n')
    for args, output in (([], None), (["-"], ["é"]), (["out put.json"], {"n": 1.5})):
        done = sh.run("finish", f"claimed/me/{task.name}", *args, stdin='["é"]'.encode())
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert sh.result(task) == {"status": "ok", "output": output}
    sh.cwd = task.parent
    assert sh.run("finish", task.name).returncode == 0
    assert sh.tree() == {"out put.json", f"claimed/me/{task.name}", f"claimed/me/{task.stem}.result.json"}


def test_finish_without_an_output_writes_nothing(sh: Shell) -> None:
    task = sh.offer(1, "claimed/me")
    assert sh.run("finish", task, "-", stdin=b" \n").returncode == 65
    assert sh.run("finish", task, "absent.json").returncode == 66
    assert sh.tree() == {f"claimed/me/{task.name}"}


@pytest.mark.parametrize(
    ("args", "error", "retry"),
    [
        (["no luck"], {"message": "no luck"}, None),
        (["no luck", "--retry"], {"message": "no luck"}, True),
        (["bad-luck", "no luck"], {"code": "bad-luck", "message": "no luck"}, None),
        (["bad-luck", "-n", "--retry"], {"code": "bad-luck", "message": "-n"}, True),
    ],
)
def test_fail(sh: Shell, args: list[str], error: dict[str, str], retry: bool | None) -> None:
    task = sh.offer(1, "claimed/me")
    assert sh.run("fail", task, *args).returncode == 0
    assert sh.result(task) == {"status": "error", "error": error} | ({"retry": retry} if retry else {})


DICE, COMMON = random.Random(7), [0x22, 0x5C, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80]
TEXTS = [
    bytes(range(1, 256)),
    '%s %d \\n "é" €\u0800\u2028\ud7ff\ue000 😀\U00010000\U0010ffff'.encode(),
    b"\xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf \xe0\x9f\xbf \xf0\x8f\xbf\xbf \xff \xc3",  # nearly UTF-8
    b"'$(id)` \t\r\n\n",
    b"x" * 9000,
    "ü".encode() * 9000,
    *(bytes(DICE.choices([*range(1, 256), *COMMON * 20], k=300)) for _ in range(6)),
]


def as_text(data: bytes) -> str:
    return re.sub("[\udc80-\udcff]", "\ufffd", data.decode("utf-8", "surrogateescape"))


def test_awkward_bytes_become_json_strings(sh: Shell) -> None:
    task = sh.offer(1, "claimed/me")
    for locale in ("C", "C.UTF-8"):
        sh.env["LC_ALL"] = locale
        for text in TEXTS:
            assert sh.run("fail", task, text).returncode == 0
            assert sh.result(task) == {"status": "error", "error": {"message": as_text(text[:8192])}}
    notes = task.with_name(task.stem + ".notes.jsonl")
    for text in TEXTS:
        assert sh.run("note", task, text).returncode == 0
    found = [json.loads(line) for line in notes.read_bytes().splitlines()]
    assert [note["text"] for note in found] == [as_text(text) for text in TEXTS]
    time = re.compile(r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z")
    assert all(time.fullmatch(note["time"]) for note in found)


def test_keep_never_makes_a_task_that_goes_in_between(sh: Shell) -> None:
    task = sh.offer(1, "claimed/me")
    sh.fake("touch", f'rm -f "{task}"; exec {sh.real("touch")} "$@"')
    assert sh.run("keep", task).returncode == 66
    assert sh.tree() == set()


def test_keep_renews_and_give_back_deletes(sh: Shell) -> None:
    task = sh.offer(1, "claimed/me")
    os.utime(task, (1, 1))
    assert sh.run("keep", task).returncode == 0
    assert task.stat().st_mtime > 1
    assert sh.run("give-back", task).returncode == 0
    assert sh.tree() == set()


@pytest.mark.parametrize("gesture", GESTURES, ids=lambda words: words[0])
def test_gestures_want_a_claimed_task_that_is_there(sh: Shell, gesture: list[str]) -> None:
    verb, *rest = gesture
    ready, other = sh.offer(1), sh.root / "claimed/me/mine.json"
    other.write_text("the agent's own")
    before = sh.tree()
    for path, code in (
        (sh.root / "claimed/me" / ready.name, 66),
        (sh.root / "claimed/nobody" / ready.name, 66),
        (ready, 2),
        (other, 2),
        (sh.root / "claimed/me/5-000000000001.t.1.result.json", 2),
    ):
        assert sh.run(verb, path, *rest).returncode == code, path
    assert sh.tree() == before
    assert not (sh.cwd / "ran").exists()
