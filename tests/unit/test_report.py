"""``taskdir report``: the figures of known logs, what the page may hold, and how it is written."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from support.chain import HOSTILE, SHA, START, Chain, story, traffic
from taskdir import check, lifecycle, report
from taskdir.cli import main
from taskdir.report import ink, lifemap, scale
from taskdir.report.figures import figures, most_at_once
from taskdir.report.ledger import Claim

Verb = Callable[..., tuple[int, str, str]]
VOID = {"meta", "link", "br", "path", "rect"}


@pytest.fixture
def verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verb:
    """Run ``taskdir report`` on the root that a log was written to: (exit code, stdout, stderr)."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main(["--root", str(tmp_path / "root"), "report", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def told(log: Chain, tmp_path: Path) -> dict[str, Any]:
    root = log.write(tmp_path / "root")
    return figures(report.read(str(root)), "/root")


def drawn(log: Chain, tmp_path: Path) -> str:
    ledger = report.read(str(log.write(tmp_path / "root")))
    return report.page(ledger, figures(ledger, "/root"))


class Reader(HTMLParser):
    """Reads a page strictly: every tag that opens closes, in order. Collects tags, attributes and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}
        if tag not in VOID or (tag in ("path", "rect") and not (self.get_starttag_text() or "").endswith("/>")):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("log", [story(), traffic(300, 3)], ids=["story", "traffic"])
def test_the_logs_of_these_tests_could_have_been_written_by_a_daemon(log: Chain, tmp_path: Path) -> None:
    root = log.write(tmp_path / "root")
    found = check.check_files([str(root / "log.jsonl")], lambda _: None)
    assert found.findings == []


def test_the_figures_of_a_story(tmp_path: Path) -> None:
    found = told(story(), tmp_path)
    assert found["tasks"] == {
        "accepted": 4, "queued": 0, "claimed": 1, "done": 1, "failed": 1, "canceled": 1, "balanced": True
    }  # fmt: skip
    steps = {(row["state"], row["event"]): row["count"] for row in found["life_cycle"] if row["count"]}
    assert steps == {
        ("submitted", "accepted"): 4,
        ("submitted", "rejected"): 2,
        ("queued", "claimed"): 5,
        ("queued", "canceled"): 1,
        ("claimed", "done"): 1,
        ("claimed", "errored"): 1,
        ("claimed", "refused"): 1,
        ("claimed", "expired"): 1,
        ("queued", "failed"): 1,
        ("claimed", "canceled"): 1,
        ("canceled", "redriven"): 1,
    }
    assert found["agents"] == [
        {"agent": "al", "claims": 3, "outcomes": {"done": 1, "errored": 1, "running": 1}, "refused": 1, "late": 0,
         "held_seconds": 61.0},
        {"agent": "bo", "claims": 2, "outcomes": {"canceled": 1, "expired": 1}, "refused": 0, "late": 1,
         "held_seconds": 65.0},
    ]  # fmt: skip
    assert found["resources"] == [
        {"resource": "gpu", "claims": 2, "agents": 2, "held_seconds": 80.0, "most_at_once": 1, "held_by": []}
    ]
    refused = {(row["kind"], row["code"]): row["count"] for row in found["refused"]}
    assert refused == {
        ("message", "json-syntax"): 2,
        ("breach", "wrong-type"): 1,
        ("late result", "late"): 1,
        ("result", "output-contract"): 1,
    }
    assert [(row["key"], row["version"], row["by"]) for row in found["state"]] == [("plan", 2, "al")]
    assert [row["seconds"] for row in found["benched"]] == [30]
    assert (found["first"], found["seconds"]) == ("2026-01-02T00:00:00.000000Z", 201.0)


def test_a_dead_letter_comes_with_its_history(tmp_path: Path) -> None:
    letters = told(story(), tmp_path)["dead_letters"]
    assert (letters["count"], letters["by_code"]) == (1, [{"code": "no-luck", "count": 1}])
    (letter,) = letters["latest"]
    assert (letter["id"], letter["error"]["code"], letter["attempts"]) == ("bad", "no-luck", 2)
    assert [(each["agent"], each["outcome"]) for each in letter["history"]] == [("bo", "expired"), ("al", "errored")]


def test_throughput_and_queue_go_by_the_same_buckets(tmp_path: Path) -> None:
    log = Chain()
    log.accept("a", later=10)
    log.accept("b", later=10)
    log.about("claimed", "a", "al", later=10)
    log.about("done", "a", "al", output=1, sha256=SHA, later=5)
    log.add({"event": "stopped"}, later=20)
    found = told(log, tmp_path)
    assert found["throughput"]["bucket_seconds"] == found["queue"]["bucket_seconds"] == 1
    accepted, done = found["throughput"]["accepted"], found["throughput"]["done"]
    assert [place for place, count in enumerate(accepted) if count] == [10, 20]
    assert [place for place, count in enumerate(done) if count] == [35]
    ages, depth = found["queue"]["oldest_seconds"], found["queue"]["depth"]
    assert (ages[9], ages[15], ages[29], ages[31], ages[54]) == (0, 6, 20, 12, 35), "the head leaves, the next counts"
    assert (depth[9], depth[15], depth[25], depth[40]) == (0, 1, 2, 1)


def test_nobody_waits_no_age(tmp_path: Path) -> None:
    log = Chain()
    log.accept("a", later=1)
    log.about("claimed", "a", "al", later=1)
    log.about("done", "a", "al", output=1, sha256=SHA, later=50)
    assert max(told(log, tmp_path)["queue"]["oldest_seconds"]) == 1


def test_a_run_that_was_cut_short_ends_with_its_last_event(tmp_path: Path) -> None:
    log = Chain()
    log.accept("a", later=5)
    log.add({"event": "started", "version": "0.1.0", "protocol": 1, "pid": 8}, later=100)
    log.add({"event": "stopped"}, later=1)
    first, second = told(log, tmp_path)["runs"]
    assert (first["ended"], first["cut_short"]) == ("2026-01-02T00:00:05.000000Z", True)
    assert "cut_short" not in second


def test_a_clock_that_was_set_back_is_told_and_harmless(tmp_path: Path) -> None:
    log = Chain()
    log.accept("a", later=100)
    log.about("claimed", "a", "al", later=-3000)
    log.about("done", "a", "al", output=1, sha256=SHA, later=10)
    found = told(log, tmp_path)
    assert (found["clock_set_back"], found["seconds"]) == (2, 100.0)
    assert "clock went back" in drawn(log, tmp_path)


def test_claims_at_once() -> None:
    claims = [
        Claim("al", "a", 1, 0, 10),
        Claim("bo", "b", 1, 10, 20),
        Claim("cy", "c", 1, 15),
        Claim("di", "d", 1, 5, 5),
    ]
    assert (most_at_once(claims), most_at_once(claims[:2]), most_at_once(claims[3:]), most_at_once([])) == (2, 1, 1, 0)


# --- the page


def test_the_picture_has_every_edge_of_the_life_cycle_and_no_other() -> None:
    assert set(lifemap.EDGES) == {(state, event) for state, _, event, _ in lifecycle.ROWS}


@pytest.mark.parametrize(
    "log", [story(), traffic(300, 3), traffic(3000, 60), Chain()], ids=["story", "few", "many", "none"]
)
def test_a_page_is_whole_and_asks_for_nothing(log: Chain, tmp_path: Path) -> None:
    page = drawn(log, tmp_path)
    read = Reader(page)
    assert not read.tags & {
        "script",
        "iframe",
        "object",
        "embed",
        "img",
        "image",
        "form",
        "base",
        "foreignobject",
        "use",
    }
    assert not {name for name, _ in read.attributes if name.startswith("on") or name in ("src", "xlink:href", "action")}
    assert {value for name, value in read.attributes if name == "href"} == {"data:,"}
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {"#arrow"}
    assert "@import" not in page
    assert "nan" not in page.lower().split()


def test_what_others_wrote_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    page = drawn(story(), tmp_path)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5
    assert page.count("[U+202E]") >= 5
    unseen = {char for char in page if unicodedata.category(char) in ("Cc", "Cf", "Cs")} - {"\n"}
    assert not unseen
    shown = "".join(Reader(page).texts)
    assert "alert(1)</script>[U+202E]gnp.exe[U+202C]" in shown
    assert page.count("</style>") == 1


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#x27;"),
        ("\u202eabc", "[U+202E]abc"),
        ("\x00\x1b\x7f\x85", "[U+0000][U+001B][U+007F][U+0085]"),
        ("\ud800", "[U+D800]"),
        ("\u2066x\u2069\u200e\ufeff\u2028", "[U+2066]x[U+2069][U+200E][U+FEFF][U+2028]"),
        ("a\tb\nc", "a\tb\nc"),
        ("שלום \U0001f468\u200d\U0001f469", "שלום \U0001f468\u200d\U0001f469"),
    ],
)
def test_text_is_made_safe(raw: str, safe: str) -> None:
    assert ink.text(raw) == safe


@pytest.mark.parametrize(("events", "agents"), [(100_000, 8), (30_000, 300)])
def test_a_long_log_makes_a_page_of_bounded_size(events: int, agents: int, tmp_path: Path) -> None:
    ledger = report.read(str(traffic(events, agents).write(tmp_path / "root")))
    told = figures(ledger, "/root")
    page = report.page(ledger, told)
    assert told["events"] >= events
    assert told["tasks"]["balanced"]
    assert len(page.encode("utf-8")) < 3_000_000
    assert len(json.dumps(told)) < 1_000_000


def test_the_same_log_gives_the_same_page(tmp_path: Path) -> None:
    assert drawn(story(), tmp_path) == drawn(story(), tmp_path)


def test_few_claims_are_bars_and_many_are_shares_of_time(tmp_path: Path) -> None:
    few, many = drawn(traffic(300, 3), tmp_path), drawn(traffic(6000, 3), tmp_path)
    assert "share of time that was busy" not in few
    assert "<title>task-1 #1 by " in few
    assert "share of time that was busy" in many


# --- time on paper


@pytest.mark.parametrize(
    ("seconds", "most", "step"),
    [(0.001, 60, 0.001), (59, 59, 1), (60, 59, 2), (3600, 8, 600), (86400, 8, 10800), (86400 * 400, 60, 86400 * 7)],
)
def test_steps_are_round(seconds: float, most: int, step: float) -> None:
    assert scale.round_step(seconds, most) == step


@pytest.mark.parametrize("seconds", [0.0005, 0.3, 1, 7, 59, 60, 61, 600, 3601, 40_000, 86_401, 5e5, 4e6, 4e7, 4e9])
def test_ticks_are_few_round_and_inside(seconds: float) -> None:
    span = scale.Span(START + 0.25, START + 0.25 + seconds, 0, 936)
    ticks = span.ticks()
    assert len(ticks) <= 9
    assert all(span.start <= time <= span.end for time, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.5, 59.0, 61.0, 86_400.0, 4e7, 4e9])
def test_buckets_cover_the_range(seconds: float) -> None:
    buckets = scale.Buckets.over(START + 0.3, START + 0.3 + seconds, 60)
    assert 1 <= buckets.count <= 61
    assert buckets.start <= START + 0.3
    assert buckets.end >= START + 0.3 + seconds
    assert sum(buckets.tally([START + 0.3, START + 0.3 + seconds])) == 2


def test_busy_time_is_shared_out_among_buckets() -> None:
    buckets = scale.Buckets(0, 10, 3)
    assert buckets.busy([(5, 25), (12, 13), (29, 99)]) == [5, 11, 6]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (59.94, "59.9 s"),
        (61, "1 min 1 s"),
        (7200, "2 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_lengths_of_time_in_words(seconds: float, words: str) -> None:
    assert scale.length(seconds) == words


# --- the command


def test_a_file_is_replaced_and_nothing_is_left_beside_it(verb: Verb, tmp_path: Path) -> None:
    story().write(tmp_path / "root")
    target = tmp_path / "out" / "page.html"
    target.parent.mkdir()
    target.write_text("old")
    code, out, err = verb(target)
    assert (code, out) == (0, "")
    assert "tasks" in err
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert os.listdir(target.parent) == ["page.html"]


def test_a_dash_is_stdout(verb: Verb, tmp_path: Path) -> None:
    story().write(tmp_path / "root")
    code, out, _ = verb("-")
    assert (code, out.splitlines()[0], out.rstrip()[-7:]) == (0, "<!doctype html>", "</html>")


def test_json_prints_the_figures_with_and_without_a_page(verb: Verb, tmp_path: Path) -> None:
    story().write(tmp_path / "root")
    code, out, err = verb("--json")
    assert (code, err, json.loads(out)["tasks"]["accepted"]) == (0, "", 4)
    code, again, err = verb("--json", tmp_path / "page.html")
    assert (code, err, again) == (0, "", out)
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize(("words", "code"), [([], 2), (["-", "--json"], 2), (["{}/no/page.html"], 73), (["{}"], 73)])
def test_a_call_that_makes_no_sense(words: list[str], code: int, verb: Verb, tmp_path: Path) -> None:
    story().write(tmp_path / "root")
    assert verb(*[word.format(tmp_path) for word in words])[0] == code


@pytest.mark.parametrize("name", ["log.jsonl", "taskdir.json", "inbox/x.html", ".taskdir/x", "log/x", "state/x.html"])
def test_the_root_itself_is_never_written_to(name: str, verb: Verb, tmp_path: Path) -> None:
    root = story().write(tmp_path / "root")
    before = (root / "log.jsonl").read_bytes()
    code, _, err = verb(root / name)
    assert (code, "belongs to the root" in err) == (73, True)
    assert (root / "log.jsonl").read_bytes() == before


def test_a_link_to_the_log_is_seen_through(verb: Verb, tmp_path: Path) -> None:
    root = story().write(tmp_path / "root")
    (tmp_path / "page.html").symlink_to(root / "log.jsonl")
    assert verb(tmp_path / "page.html")[0] == 73


def test_what_is_no_file_is_not_replaced(verb: Verb, tmp_path: Path) -> None:
    story().write(tmp_path / "root")
    os.mkfifo(tmp_path / "fifo")
    code, _, err = verb(tmp_path / "fifo")
    assert (code, "- for stdout" in err) == (73, True)


def test_a_damaged_log_is_reported_up_to_the_damage(verb: Verb, tmp_path: Path) -> None:
    log = story()
    log.lines[8] = log.lines[8].replace("al", "xx")
    log.write(tmp_path / "root")
    code, _, err = verb(tmp_path / "page.html")
    assert (code, "log-chain" in err) == (1, True)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Reading stopped before event 10" in page


def test_a_torn_tail_is_no_damage(verb: Verb, tmp_path: Path) -> None:
    root = story().write(tmp_path / "root")
    with open(root / "log.jsonl", "a") as file:
        file.write('{"seq": 99')
    code, out, _ = verb("--json")
    assert (code, json.loads(out)["damage"]["torn"]) == (0, True)


def test_a_log_that_cannot_be_true_is_damage(verb: Verb, tmp_path: Path) -> None:
    log = Chain()
    log.accept("a")
    log.about("done", "a", "al", output=1, sha256=SHA)
    log.write(tmp_path / "root")
    code, _, err = verb("-")
    assert (code, "log-event" in err) == (1, True)


def test_a_root_without_a_log_gives_an_empty_page(verb: Verb, tmp_path: Path) -> None:
    (Chain().write(tmp_path / "root") / "log.jsonl").unlink()
    code, out, _ = verb("-")
    assert (code, "The log is empty" in out) == (0, True)


def test_hostile_text_is_what_it_says() -> None:
    """The tests above lean on it: a tag, an override, controls, a quote, an end."""
    assert all(part in HOSTILE for part in ("<script>", "\u202e", "\x1b", "\x00", '"', "</style>"))
