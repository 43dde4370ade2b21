"""Everything of tests/faults/hostile through one daemon each: every bad one ends in its rule code, a good one passes.

``settle_seconds`` is 0, so that half a document is judged at once. How long a verdict takes is bench/parts/latency.py's
to say; here the good task behind the bad ones must come through in the pass that its place in line gives it (P10).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from faults import ledger
from faults.hostile import Case, contracts, files, members, papers, syntax, text, trees, values
from faults.hostile.stand import Stand
from faults.hostile.trees import Tree
from faults.test_kill_points import base
from taskdir import check, lint, names, observe, strictjson, view
from taskdir.conformance import vectors
from taskdir.errors import Invalid

__all__ = ["base"]

MESSAGES: dict[str, list[Case]] = {
    "no JSON": syntax.CASES,
    "numbers": values.NUMBERS,
    "keys twice": values.TWICE,
    "nesting": values.DEPTH,
    "sizes": values.SIZES,
    "text": text.CASES,
    "members": members.CASES,
    "file names": files.CASES,
}
TREES = [trees.INBOX, trees.READY, trees.STATE, trees.CLAIMED, trees.QUIET, trees.FOUND, trees.CONTRACTS]


def findings(stand: Stand) -> list[tuple[str, str]]:
    """Return what ``check`` finds as (code, place); the daemon is at rest."""
    report = check.check_root(str(stand.root), lambda count: None, lambda seconds: None)
    return [(each.code, each.file) for each in report.findings]


def special(tree: Tree, stand: Stand) -> bytes:
    """Make a tree at its place; returns its name."""
    path = stand.root / tree.place
    path.parent.mkdir(parents=True, exist_ok=True)
    tree.make(str(path))
    return os.fsencode(path.name)


@pytest.mark.parametrize("group", MESSAGES)
def test_bad_messages_end_in_their_code_and_delay_nobody(base: Path, group: str) -> None:
    stand = Stand(base / "root")
    with ledger.entry("hostile documents", seed=None, unit="documents") as entry:
        assert stand.refused(MESSAGES[group]) == []
        entry.runs += len(MESSAGES[group])
    assert findings(stand) == []


def test_bad_contracts_make_no_type(base: Path) -> None:
    stand = Stand(base / "root")
    good = {f"good-{number}": {"description": str(number)} for number in range(3)}
    for name, document in good.items():
        stand.write(f"contracts/{name}.json", document)
    for number, case in enumerate(contracts.CASES):
        stand.drop("contracts", f"bad-{number:03}.json".encode(), case.data)
        stand.drop("contracts/state", f"bad-{number:03}.json".encode(), case.data)
    with ledger.entry("hostile documents", seed=None, unit="documents") as entry:
        stand.work("first")
        catalog = stand.start()._catalog
        assert catalog.keys is not None
        for found in (catalog, catalog.keys):
            told = {number: found.faults.get(f"bad-{number:03}") for number in range(len(contracts.CASES))}
            wrong = [
                f"{case.title}: {fault.code if fault else 'taken'} instead of {case.code}"
                for case, fault in zip(contracts.CASES, told.values(), strict=True)
                if fault is None or fault.code != case.code or len(fault.message) > 512
            ]
            assert wrong == []
            entry.runs += len(contracts.CASES)
    assert set(catalog.types()) == {"echo", "count", "strict", *good}
    task = Case("of a bad type", b'{"type": "bad-001"}', "unknown-type")
    value = Case("of a bad key", b'{"kind": "state", "key": "bad-001", "value": 1}', "state-contract")
    assert stand.refused([task, value]) == []


def test_bad_settings_leave_the_last_good_ones_in_force(base: Path) -> None:
    stand = Stand(base / "root", window=7)
    with ledger.entry("hostile documents", seed=None, unit="documents") as entry:
        for number, case in enumerate(papers.SETTINGS):
            stand.drop("", b"taskdir.json", case.data)
            stand.start().one_pass()
            fault = stand.start()._fault or ""
            assert f"[{case.code}]" in fault, f"{case.title}: {fault}"
            assert stand.start().settings.window == 7
            entry.runs += 1
            if number % 10 == 0:
                stand.work(f"good-{number}")


def test_bad_results_are_refused_and_the_claim_goes_on(base: Path) -> None:
    stand = Stand(base / "root")
    stand.write(
        "contracts/counted.json",
        {"output": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}},
    )
    stand.write("inbox/w.json", {"type": "counted"})
    stand.passes()
    name = stand.claim_one("al", "w").encode().removesuffix(b".json")
    stand.passes()
    with ledger.entry("hostile documents", seed=None, unit="documents") as entry:
        for case in papers.RESULTS:
            stand.drop("claimed/al", name + b".result.json", case.data)
            stand.passes()
            refused = strictjson.loads((stand.root / f"claimed/al/{name.decode()}.refused.json").read_bytes())
            assert refused["code"] == case.code, f"{case.title}: {refused}"
            assert os.listdir(stand.root / "claimed/al").count(f"{name.decode()}.result.json") == 0
            (stand.root / f"claimed/al/{name.decode()}.refused.json").unlink()
            entry.runs += 1
    stand.work("good")
    stand.result("al", {"status": "ok", "output": {"n": 1}})
    stand.passes()
    assert strictjson.loads((stand.root / "done/w.json").read_bytes())["output"] == {"n": 1}


def test_bad_records_do_not_run_again(base: Path) -> None:
    stand = Stand(base / "root")
    with ledger.entry("hostile documents", seed=None, unit="documents") as entry:
        for file, change, code in papers.RECORDS:
            stand.write(f"inbox/{file}.json", papers.RECORD | change)
            stand.passes()
            (event,) = [event for event in stand.news() if event["event"] in ("rejected", "redriven", "duplicate")]
            assert event.get("reason", event)["code"] == code, f"{file}, {change}: {event}"
            entry.runs += 1
    stand.work("good")


def test_special_files_in_the_inbox(base: Path) -> None:
    stand = Stand(base / "root")
    wanted = [*trees.INBOX, *(trees.INBOX_ROOT if os.getuid() == 0 and devices(base) else [])]
    with ledger.entry("hostile trees", seed=None, unit="trees") as entry:
        made = {names.printable(os.fsdecode(special(tree, stand))): tree for tree in wanted}
        assert stand.work("zz-good") == 1, "one pass, whatever lies in front of it"
        stand.passes()
        events = {event["file"]: event for event in stand.news() if event["event"] == "rejected"}
        codes = {file: events[file]["reason"]["code"] if file in events else "nothing" for file in made}
        assert codes == {file: tree.code for file, tree in made.items()}
        for file, tree in made.items():
            stored = names.rejected_name(tree.place.removeprefix("inbox/"), events[file]["seq"])
            assert os.path.lexists(stand.root / "rejected" / stored), f"{file} is not in rejected/"
        entry.runs += len(made)
    left = [name for name in os.listdir(stand.root / "inbox") if names.is_message_name(name)]
    assert left == []
    assert findings(stand) == []


def devices(base: Path) -> bool:
    """Say whether we can make a device here; a container may not let us."""
    try:
        trees.device(1, 3)(str(base / "device"))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("place", ["ready", "state", "claimed"])
def test_special_files_where_only_the_daemon_or_an_agent_writes(base: Path, place: str) -> None:
    stand = Stand(base / "root")
    wanted = {"ready": trees.READY, "state": trees.STATE, "claimed": trees.CLAIMED}[place]
    for tree in wanted:
        special(tree, stand)
    with ledger.entry("hostile trees", seed=None, unit="trees") as entry:
        stand.clock.seconds += 2
        assert stand.work("good") == 1
        stand.passes()
        told = Counter(
            (event["place"], event["name"], event["code"]) for event in stand.news() if event["event"] == "breach"
        )
        expected = Counter(
            (os.path.dirname(tree.place), names.printable(os.path.basename(tree.place)), tree.code) for tree in wanted
        )
        assert told == expected
        assert [tree.place for tree in wanted if os.path.lexists(stand.root / tree.place)] == []
        entry.runs += len(wanted)
    assert findings(stand) == []


def test_what_is_nobodys_business_stays_and_is_not_read(base: Path) -> None:
    stand = Stand(base / "root")
    for tree in trees.QUIET:
        if tree.place.startswith("ready/"):
            (stand.root / "ready").chmod(0o755)
        special(tree, stand)
    with ledger.entry("hostile trees", seed=None, unit="trees") as entry:
        for name in files.IGNORED:
            stand.drop("inbox", name, b"{")
        stand.clock.seconds += 2
        assert stand.work("good") == 1
        stand.passes()
        assert [event for event in stand.news() if event["event"] in ("breach", "rejected")] == []
        assert [tree.place for tree in trees.QUIET if not os.path.lexists(stand.root / tree.place)] == []
        assert {os.fsencode(name) for name in os.listdir(stand.root / "inbox")} >= set(files.IGNORED)
        entry.runs += len(trees.QUIET) + len(files.IGNORED)


def test_names_that_look_dangerous_are_names(base: Path) -> None:
    stand = Stand(base / "root")
    for stem in files.RESERVED:
        stand.drop("inbox", stem + b".json", b'{"type": "echo"}')
    stand.passes()
    accepted = {event["id"] for event in stand.news() if event["event"] == "accepted"}
    assert accepted == {stem.decode() for stem in files.RESERVED}


def test_what_the_daemon_does_not_look_at_is_found_by_check(base: Path) -> None:
    stand = Stand(base / "root")
    with ledger.entry("hostile trees", seed=None, unit="trees") as entry:
        for tree in trees.FOUND:
            special(tree, stand)
        assert stand.work("good") == 1
        assert Counter(findings(stand)) == Counter((tree.code, tree.place) for tree in trees.FOUND)
        entry.runs += len(trees.FOUND)


def test_notes_that_are_none(base: Path) -> None:
    stand = Stand(base / "root", max_claims=1000)
    with ledger.entry("hostile trees", seed=None, unit="trees") as entry:
        homes = {}
        for number, (_, make, _) in enumerate(trees.NOTES):
            stand.write(f"inbox/n{number}.json", {"type": "echo"})
            stand.passes()
            name = stand.claim_one(f"agent-{number}", f"n{number}")
            homes[f"n{number}"] = stand.root / f"claimed/agent-{number}/{name}"
            make(str(homes[f"n{number}"]).removesuffix(".json") + ".notes.jsonl")
        stand.passes()
        for path in homes.values():
            stand.write(
                str(path.relative_to(stand.root)).removesuffix(".json") + ".result.json", {"status": "ok", "output": 1}
            )
        stand.work("good")
        for number, (title, _, told) in enumerate(trees.NOTES):
            record = strictjson.loads((stand.root / f"done/n{number}.json").read_bytes())
            assert record["attempts"][0].get("notes") == told, title
            assert not homes[f"n{number}"].exists(), title
            entry.runs += 1


def test_whatever_is_done_to_a_claimed_file_keeps_it(base: Path) -> None:
    stand = Stand(base / "root", max_claims=1000)
    with ledger.entry("hostile trees", seed=None, unit="trees") as entry:
        for number, (title, act) in enumerate(trees.RENEWALS):
            stand.write(f"inbox/r{number}.json", {"type": "echo", "lease_seconds": 5})
            stand.passes()
            path = stand.root / f"claimed/agent-{number}" / stand.claim_one(f"agent-{number}", f"r{number}")
            stand.passes()
            for _ in range(2):
                stand.clock.seconds += 2
                stand.passes()
            act(str(path))
            stand.passes()
            stand.news()
            for _ in range(2):  # four seconds old without the renewal; with it, none expires
                stand.clock.seconds += 2
                stand.passes()
            stand.work(f"good-{number}")
            assert [event for event in stand.news() if event.get("id") == f"r{number}"] == [], title
            stand.write(
                str(path.relative_to(stand.root)).removesuffix(".json") + ".result.json", {"status": "ok", "output": 1}
            )
            stand.passes()
            assert (stand.root / f"done/r{number}.json").exists(), title
            assert not os.path.lexists(path), title
            entry.runs += 1
        assert findings(stand) == []


def test_a_refused_file_of_any_size_is_moved_aside_unread(base: Path) -> None:
    """Twice one name: the first lies in rejected/ with a TiB, and must not be read to be told from the second."""
    stand = Stand(base / "root")
    trees.sparse(1 << 40)(str(stand.root / "inbox/x.json"))
    stand.passes()
    for data in (b"{", b"[", b"{"):
        stand.drop("inbox", b"x.json", data)
        stand.work(f"good-{len(os.listdir(stand.root / 'rejected'))}")
    assert len([name for name in os.listdir(stand.root / "rejected") if name.startswith("x.0000")]) == 3
    assert findings(stand) == []


def test_a_queue_that_is_a_link_is_left_alone(base: Path) -> None:
    """``.json`` files behind a link in ready/ are somebody else's: once they were taken for strangers, and moved."""
    stand = Stand(base / "root")
    other = base / "project"
    other.mkdir()
    (other / "package.json").write_text("{}")
    (stand.root / "ready").chmod(0o755)
    (stand.root / "ready/project").symlink_to(other)
    stand.work("good")
    assert (other / "package.json").exists()
    assert [event for event in stand.news() if event["event"] == "breach"] == []


@pytest.mark.parametrize(
    "make", [trees.fifo, trees.link("/dev/zero"), trees.sparse(1 << 40), trees.directory, trees.sock]
)
def test_settings_that_are_no_file_stop_nobody(base: Path, make: trees.Make) -> None:
    stand = Stand(base / "root", window=7)
    (stand.root / "taskdir.json").unlink()
    make(str(stand.root / "taskdir.json"))
    stand.work("good")
    assert stand.start().settings.window == 7
    assert "not used" in (stand.start()._fault or "")


def all_cases() -> list[Case]:
    """Return every bad document of every table."""
    found = [case for group in MESSAGES.values() for case in group]
    return found + contracts.CASES + papers.RESULTS + papers.SETTINGS


def test_there_are_six_hundred_that_repeat_no_vector() -> None:
    cases = [case for case in all_cases() if not case.name]
    repeated: list[str] = []
    for kind, tables in {
        "message": [
            case for group, found in MESSAGES.items() for case in found if not case.name and group != "no JSON"
        ],
        "contract": contracts.CASES,
        "result": papers.RESULTS,
        "settings": papers.SETTINGS,
    }.items():
        bytes_of = Counter(case.data for case in tables)
        assert [data[:60] for data, count in bytes_of.items() if count > 1] == []
        known = {
            strictjson.canonical(test["data"])
            for _, name, test in vectors.documents()
            if name == kind and "data" in test and not test["valid"]
        }
        for case in tables:
            try:
                if strictjson.canonical(strictjson.loads(case.data)) in known:
                    repeated.append(case.title)
            except Invalid:
                continue
    assert len(repeated) < len(cases) / 8, repeated
    assert len({case.data for case in cases}) - len(repeated) > 1000
    assert len(files.BAD) + len(papers.RECORDS) + sum(map(len, TREES)) > 250


def planted_read(path: str, limit: int) -> tuple[bytes, os.stat_result]:
    """A naive reader: follows links, and takes a FIFO for empty."""
    with open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
        return file.read(min(limit, 4096)), os.fstat(file.fileno())


@pytest.mark.parametrize(
    ("owner", "name", "fault", "group"),
    [
        (strictjson, "_check_depth", lambda data, most: None, "nesting"),
        (strictjson, "_integer", int, "numbers"),
        (strictjson, "_has_surrogate", lambda value: False, "text"),
        (names, "is_word", lambda text: text.isprintable(), "file names"),
        (view.View, "_take_over", lambda self, paper: None, "nesting"),
        (observe, "PASS_LIMIT", 30, "members"),
    ],
)
def test_a_planted_fault_is_noticed(
    base: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, fault: Any, group: str
) -> None:
    monkeypatch.setenv("TASKDIR_LEDGER", str(base / "planted"))  # no finding
    stand = Stand(base / "root")
    monkeypatch.setattr(owner, name, fault)
    if name == "_integer":
        monkeypatch.setattr(strictjson, "_DECODER", json.JSONDecoder(object_pairs_hook=strictjson._pairs))
    with pytest.raises((AssertionError, RecursionError, ValueError)):
        assert stand.refused(MESSAGES[group]) == []


def test_a_reader_that_follows_links_is_noticed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKDIR_LEDGER", str(base / "planted"))  # no finding
    monkeypatch.setattr("taskdir.papers.read_shaped", planted_read)
    with pytest.raises(AssertionError):
        test_special_files_in_the_inbox(base)


@pytest.mark.parametrize("name", ["_returns", "_too_much"])
def test_a_lint_that_overlooks_is_noticed(base: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TASKDIR_LEDGER", str(base / "planted"))  # no finding
    monkeypatch.setattr(lint, name, lambda *_: None)
    with pytest.raises((AssertionError, RecursionError)):
        test_bad_contracts_make_no_type(base)


def test_special_files_for_contracts(base: Path) -> None:
    stand = Stand(base / "root")
    with ledger.entry("hostile trees", seed=None, unit="trees") as entry:
        for tree in trees.CONTRACTS:
            special(tree, stand)
        assert stand.work("good") == 1
        catalog = stand.start()._catalog
        for tree in trees.CONTRACTS:
            place, word = os.path.split(tree.place.removesuffix(".json"))
            found = catalog.keys if place.endswith("state") else catalog
            assert found is not None
            assert found.faults[word].code == tree.code, tree.place
            entry.runs += 1
