"""``taskdir show --graph``: the workflow around tasks, as Mermaid and DOT."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.chain import SHA, Chain
from taskdir import facts, graph
from taskdir.cli import main
from taskdir.documents import Now
from taskdir.graph import Graph, Node

Verb = Callable[..., tuple[int, str, str]]
HOSTILE = 'a"];\\n<b>&#x27; end --> \u202e %% {x}|'
LABEL = r"(?:[^\"\[\]<>{}|;`\\#&]|#\d+;)*"
MERMAID_LINE = re.compile(
    rf"flowchart LR|  (n\d+|more)\[\"{LABEL}(<br/>{LABEL})*\"\]:::[a-z]+|  n\d+ --> n\d+"
    r"|  classDef [a-z]+ ([a-z-]+:[^,:;]+,?)+"
)


@pytest.fixture
def verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verb:
    """Run ``taskdir show`` on the root that a log was written to."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["--root", str(tmp_path / "root"), "show", *words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def review(tmp_path: Path) -> Iterator[facts.Facts]:
    """A review: split is done, of three parts one is done, one claimed, one failed; merge waits, publish for it too."""
    log = Chain()
    log.accept("split")
    for part in ("part-1", "part-2", "part-3"):
        log.accept(part, after=["split"])
    log.accept("merge", after=["part-1", "part-2", "part-3"])
    log.accept("publish", after=["merge"])
    log.accept("report", after=["part-2"])
    log.accept("alone")
    for id in ("split", "part-1"):
        log.about("claimed", id, "al")
        log.about("done", id, "al", output=1, sha256=SHA)
    log.about("claimed", "part-2", "al")
    log.about("claimed", "part-3", "bo")
    error = {"code": "no", "message": "no"}
    ended = {"event": "errored", "id": "part-3", "attempt": 1, "agent": "bo", "error": error, "retry": False}
    log.add(ended, {"event": "failed", "id": "part-3", "error": error})
    log.write(tmp_path / "root")
    found = facts.open_facts(str(tmp_path / "root"), Now(log.time, ""))
    yield found
    found.close()


EVERYTHING = {"split", "part-1", "part-2", "part-3", "merge", "publish", "report"}
EDGES = {
    ("split", "part-1"),
    ("split", "part-2"),
    ("split", "part-3"),
    ("part-1", "merge"),
    ("part-2", "merge"),
    ("part-3", "merge"),
    ("merge", "publish"),
    ("part-2", "report"),
}


@pytest.mark.parametrize("id", ["split", "part-1", "publish", "report"])
def test_from_anywhere_in_a_workflow_all_of_it_is_seen(id: str, review: facts.Facts) -> None:
    found = graph.workflow(review, [id], (100, 100))
    assert {node.id for node in found.nodes} == EVERYTHING
    assert set(found.edges) == EDGES
    assert found.nodes[0].id == id


def test_each_task_shows_how_it_stands(review: facts.Facts) -> None:
    found = graph.workflow(review, ["merge", "alone"], (100, 100))
    assert {node.id: node.standing for node in found.nodes} == {
        "split": "done",
        "part-1": "done",
        "part-2": "claimed",
        "part-3": "failed",
        "merge": "blocked",
        "publish": "blocked",
        "report": "waiting",
        "alone": "queued",
    }
    assert {node.blocked_by for node in found.nodes if node.standing == "blocked"} == {("part-3 (failed)",)}


def test_a_large_workflow_is_cut_and_says_so(review: facts.Facts) -> None:
    found = graph.workflow(review, ["split"], (4, 2))
    assert [node.id for node in found.nodes] == ["split", "part-1", "part-2", "part-3"]
    assert (len(found.edges), found.tasks_left_out, found.edges_left_out) == (2, 3, 1)
    assert "… 3 more tasks and 1 more edges" in graph.mermaid(found)
    assert "… 3 more tasks and 1 more edges" in graph.dot(found)


def test_a_task_alone_and_an_unknown_one(review: facts.Facts) -> None:
    found = graph.workflow(review, ["alone", "nobody"], (100, 100))
    assert ([node.id for node in found.nodes], found.edges) == (["alone"], [])


HARD = Graph([Node(HOSTILE, "t", "done"), Node("end", "graph", "blocked", ('x" (failed)',))], [(HOSTILE, "end")], 5)


def test_mermaid_has_no_line_that_is_not_of_its_grammar(review: facts.Facts) -> None:
    for drawn in (graph.workflow(review, ["merge"], (100, 100)), HARD):
        wrong = [line for line in graph.mermaid(drawn).splitlines() if not MERMAID_LINE.fullmatch(line)]
        assert not wrong
    assert "#34;" in graph.mermaid(HARD)


def test_the_largest_mermaid_text_is_within_what_mermaid_takes() -> None:
    ids = [f"{number:064}" for number in range(graph.LIMITS["mermaid"][0])]
    nodes = [Node(id, "t" * 64, "blocked", (f"{id} (canceled)", "and", "more")) for id in ids]
    drawn = Graph(nodes, [(ids[0], ids[1])] * graph.LIMITS["mermaid"][1], 10**6, 10**6)
    assert len(graph.mermaid(drawn)) < 50_000
    assert len(drawn.edges) < 500


def test_mermaid_marks_the_blocked(review: facts.Facts) -> None:
    text = graph.mermaid(graph.workflow(review, ["merge"], (100, 100)))
    assert '  n0["merge<br/>count · blocked<br/>by part-3 (failed)"]:::blocked' in text
    assert "classDef blocked" in text
    assert "stroke-dasharray" in text


@pytest.mark.skipif(shutil.which("dot") is None, reason="NO GRAPHVIZ: the DOT text is not drawn (apt install graphviz)")
def test_graphviz_draws_it(review: facts.Facts) -> None:
    for drawn in (graph.workflow(review, ["merge"], (100, 100)), HARD):
        made = subprocess.run(
            ["dot", "-Tsvg"], input=graph.dot(drawn).encode(), capture_output=True, check=False, timeout=60
        )
        assert (made.returncode, made.stderr) == (0, b"")
        svg = made.stdout.decode()
        more = 1 if drawn.tasks_left_out else 0
        assert svg.count('class="node') == len(drawn.nodes) + more
        assert svg.count('class="edge') == len(drawn.edges)
        assert "node blocked" in svg
        assert "<b>" not in svg


def test_the_command_prints_text_or_json(review: facts.Facts, verb: Verb) -> None:
    code, out, err = verb("merge", "--graph", "mermaid")
    assert (code, err, out.splitlines()[0]) == (0, "", "flowchart LR")
    code, out, _ = verb("merge", "alone", "--graph", "dot")
    assert (code, out.splitlines()[0], '"alone" [' in out) == (0, "digraph workflow {", True)
    code, out, _ = verb("merge", "--graph", "dot", "--json")
    told = json.loads(out)
    assert {tuple(edge) for edge in told["edges"]} == EDGES
    assert {node["id"]: node["standing"] for node in told["nodes"]}["merge"] == "blocked"


def test_an_unknown_id_is_missed_after_the_others_are_drawn(review: facts.Facts, verb: Verb) -> None:
    code, out, err = verb("merge", "merg", "--graph", "dot")
    assert (code, out.splitlines()[0], "merg" in err) == (66, "digraph workflow {", True)
    assert verb("nobody", "--graph", "dot")[:2] == (66, "")
    assert verb("merge", "--graph", "png")[0] == 2
