"""docs/performance.md, its plots and README's sentence, all made from docs/performance.json and docs/soak.json.

`python -m bench page` writes them again; tests/meta/test_figures.py compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from bench import plot, table
from bench.judge import number

HOUSE = Path(__file__).resolve().parents[1]
DOCS = HOUSE / "docs"
RESULT, SOAK = DOCS / "performance.json", DOCS / "soak.json"
QUOTED = {
    "beanstalkd -f0": "beanstalkd",
    "Redis Streams always": "Redis Streams",
    "PostgreSQL SKIP LOCKED": "PostgreSQL",
}
QUIET = 1.0
BUSY = """\
The machine did other work when this run began, so figures are rougher than they could be: what waits for the disk or
for a process to be woken suffers most. Run it again on a machine that does nothing else.
"""
FLOOR = """\
The floor does the file operations of a task in the submitter's and the agents' own processes: nothing waits for
anything, and no process does more than its share. With a daemon each task changes hands four times, and one process
does all that is decided, checked, chained and indexed; on two cores, submitter and agents take theirs from it.
`python bench/drive.py --on DIR` tells the daemon's CPU time a task, and `--tool phases`, `cprofile` or `strace` where
it goes.
"""
ONE_PROCESS = (
    "One process decides, checks, chains, indexes and publishes, so one core bounds it, and submitter and agents want"
    " the same cores. A good part of its time are system calls (`bench/drive.py` tells how much): a task is several"
    " files that come and go, each by a name of the protocol. The peer does none of this for a task: it checks no"
    " contract, chains no log, and leaves no record for people."
)
AT_REST = (
    "Nothing is waited for on purpose: inotify wakes the daemon, and one pass offers the task. That takes one fdatasync"
    " of the log, for which ext4 commits its journal (table (d) has it alone), and the kernel wakes two processes,"
    " whose code and data are no longer in the processor's caches; all of it grows with whatever else the machine does."
    " Records are synced after a pass has offered what there is, never before."
)
IDLE = (
    "It wakes once in `scan_seconds`, a second by default, to see what no event told. What such an empty pass"
    " takes depends on the machine more than on us: after a second of sleep the processor has to fetch all of it again,"
    " which on some virtual machines takes many times as long as the pass itself:"
    ' `make bench ARGS="--parts g"` tells both. A larger `scan_seconds` makes it less.'
)
REPLAY = (
    "A line is read strictly (duplicate keys, depth, numbers), hashed and compared, its event is folded, and rows of up"
    " to five tables are written, in one thread. Reading, folding and SQLite take about as much each; SQLite's settings"
    " (its cache, larger logs, indexes made afterwards) change little, since it is the rows themselves that cost."
    " An `accepted` costs the most, so a log of tasks that wait is the slowest."
)
LIMITS = {
    "ratio beanstalkd -f0": ONE_PROCESS,
    "ratio Redis Streams always": ONE_PROCESS,
    "ratio PostgreSQL SKIP LOCKED": ONE_PROCESS + " PostgreSQL has a process for each client, and so every core.",
    "ratio RQ always": ONE_PROCESS,
    "ratio the floor": "See above: one process, through which each task goes four times.",
    "latency rest p50 ms": AT_REST,
    "latency rest p99 ms": AT_REST,
    "ratio waiting": "A pass does the same however many wait, but SQLite's trees are deeper, their pages further away.",
    "idle cpu percent": IDLE,
    "waiting replay per s": REPLAY,
    "history replay per s": REPLAY,
    "ratio claim start": "Most of it is the interpreter, `re`, which the script that pip makes imports, and `json`.",
    "ratio agents": (
        "Agents take offers in one order, as the protocol wants, so they meet at the same names, and most renames come"
        " too late; whoever finds nothing looks again soon, which takes the cores from the daemon."
    ),
}
"""Where the time goes, by figure; shown for the goals that a run misses."""
CROWD = """\
A window shows 64 offers of a queue. More agents than that find nothing most of the time, and each look costs the cores
that the daemon needs, too: fewer agents, or longer pauses between two looks, do more.
"""
BEGIN, END = "<!-- figures: python -m bench page -->\n", "\n<!-- end of figures -->"


def load(path: Path) -> dict[str, Any] | None:
    """Read a result, if it is there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def sentence(told: dict[str, Any]) -> str:
    """Return README's sentence: three ratios, and where they come from."""
    ratios = [
        f"{number(told['figures'][f'ratio {name}'])} × of {words}"
        for name, words in QUOTED.items()
        if f"ratio {name}" in told["figures"]
    ]
    said = ", ".join(ratios[:-1]) + (" and " if len(ratios) > 1 else "") + "".join(ratios[-1:])
    return (
        "Tasks a second end to end, side by side in one run (`make bench`), all syncing each step, 2 agents at work:\n"
        f"taskdir does **{said}**.\n"
        "The whole table, with date, machine and what was missed: [docs/performance.md](docs/performance.md)."
    )


def markdown(told: dict[str, Any], soak: dict[str, Any] | None) -> str:
    """Return the page."""
    parts = [
        "# Performance\n",
        "Made by `make bench ARGS=--publish` from [performance.json](performance.json); do not edit it.\n",
        f"- Date: {told['date']}{' — a **small run** (`QUICK=1`)' if told['quick'] else ''}",
        f"- Commit: `{told['commit']}`",
        f"- Machine: {table.machine_words(told['machine'])}",
        f"- File system: {told['file_system']}",
        f"- Contracts: checked both ways, {'with' if told['fast'] else 'without'} the compiled engine (`[fast]`)\n",
        f"A ratio is the median over {told['rounds']} pairs: a lap of the other, then one of ours, again and again in",
        "the same run; other figures are medians of as many repetitions, with the least and the most beside them.",
        "*Not judged* means that this machine or run cannot show it; it is neither met nor missed.\n",
        "## Goals\n",
        _table(table.goal_rows(told)),
        FLOOR,
        *_limits(told),
        "![Tasks a second, end to end](performance-peers.svg)\n",
    ]
    if told["machine"]["load"] > QUIET:
        parts.insert(parts.index("## Goals\n"), BUSY)
    for title, rows in table.sections(told):
        parts += [f"## {title}\n", _table(rows)]
        if title.startswith("(a) (i)"):
            parts.append(_bound(told))
        if title.startswith("(e)"):
            parts.append("![Rate over tasks waiting](performance-waiting.svg)\n")
        if title.startswith("(i)"):
            parts.append(CROWD + "\n![Rate over agents](performance-agents.svg)\n")
    parts += [f"Not measured: {what}: {why}\n" for what, why in told["skipped"].items()]
    parts.append(_soak(soak))
    return "\n".join(parts).rstrip() + "\n"


def _limits(told: dict[str, Any]) -> list[str]:
    """Say of each missed goal where the time goes; goals with the same cause share a line."""
    causes: dict[str, list[str]] = {}
    for each in told["goals"]:
        if each["verdict"] == "missed" and each["figure"] in LIMITS:
            causes.setdefault(LIMITS[each["figure"]], []).append(each["what"].removeprefix("… "))
    lines = [f"- **{'; '.join(goals)}**: {cause}" for cause, goals in causes.items()]
    return ["Where the time goes in what was missed:\n", *lines, ""] if lines else []


def _bound(told: dict[str, Any]) -> str:
    """Say what one process can do at most, with what the table of parts tells, beside the floor."""
    row = told["series"]["phases"][0]
    waits = sum(spent for part, spent in row["parts"].items() if "waiting for" in part)
    most = 1e6 / row["daemon"]
    words = (
        f"So {number(waits)} µs of {number(row['wall'])} are waits for the disk. The daemon's processor time alone,"
        f" {number(row['daemon'])} µs a task, bounds it at {number(most)} tasks/s"
    )
    floor = next((each["rate"] for each in told["series"].get("peers", ()) if each["name"] == "the floor"), None)
    return words + (f", {number(most / floor)} × of the floor.\n" if floor else ".\n")


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def _soak(told: dict[str, Any] | None) -> str:
    if told is None:
        return ""
    rows = [["what", "figure"], *([name, value] for name, value in told["shown"].items())]
    parts = [
        "## Soak\n",
        f"`make soak`, {told['date']}, commit `{told['commit']}`; {told['file_system']};",
        f"{table.machine_words(told['machine'])}.\n",
        f"Verdict: **{told['verdict']}**. {told['words']}\n",
        _table(rows),
    ]
    return "\n".join(parts)


def pictures(told: dict[str, Any]) -> dict[str, str]:
    """Return the plots by file name, as far as their parts ran."""
    series, made = told["series"], {}
    if series.get("peers"):
        title = "Tasks a second, end to end: 1 submitter, 2 agents"
        made["performance-peers.svg"] = plot.bars(title, series["peers"], "taskdir")
    if series.get("waiting"):
        made["performance-waiting.svg"] = plot.curve(
            "Claimed and completed a second, 2 agents", series["waiting"], "waiting", "tasks waiting"
        )
    if series.get("agents"):
        made["performance-agents.svg"] = plot.curve(
            "Tasks a second, end to end, by agents", series["agents"], "agents", "agents"
        )
    return made


def in_readme(text: str, told: dict[str, Any]) -> str:
    """Return README's text with the sentence between its two marks."""
    return re.sub(f"(?s)(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", lambda _: sentence(told), text)


def publish() -> None:
    """Write everything that is made from the results."""
    told = load(RESULT)
    if told is None:
        raise SystemExit("there is no docs/performance.json: make bench ARGS=--publish")
    (DOCS / "performance.md").write_text(markdown(told, load(SOAK)), encoding="utf-8")
    for name, text in pictures(told).items():
        (DOCS / name).write_text(text, encoding="utf-8")
    readme = HOUSE / "README.md"
    readme.write_text(in_readme(readme.read_text(encoding="utf-8"), told), encoding="utf-8")


def main(argv: list[str]) -> int:
    """Write, and say so."""
    if argv:
        print("usage: python -m bench page", file=sys.stderr)
        return 2
    publish()
    return 0
