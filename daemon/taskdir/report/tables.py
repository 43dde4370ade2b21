"""The tables of a report: agents, resources, dead letters, refusals, shared state, benches. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from taskdir.documents import parse_timestamp
from taskdir.report.charts import versions
from taskdir.report.ink import cut, foreign, text
from taskdir.report.lanes import OUTCOMES
from taskdir.report.ledger import Ledger
from taskdir.report.scale import Span, clock, length

SHOWN = 60
"""So many rows are shown."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], total: int, numbers: Iterable[str]) -> str:
    """Return a table whose cells are HTML already; columns named in ``numbers`` stand right."""
    right = [' class="num"' if name in set(numbers) else "" for name in head]
    heads = "".join(f"<th{css}>{text(name)}</th>" for name, css in zip(head, right, strict=True))
    cells = ["".join(f"<td{css}>{cell}</td>" for cell, css in zip(row, right, strict=True)) for row in rows]
    body = [f"<tr>{each}</tr>" for each in cells]
    more = f'<p class="note">{total - len(body)} more are not shown.</p>' if total > len(body) else ""
    whole = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="scroll">{whole}</div>{more}'


def agents(told: list[dict[str, Any]]) -> str:
    """Each agent's claims by how they ended."""
    names = [name for name in OUTCOMES if any(name in agent["outcomes"] for agent in told)]
    also = [name for name in ("refused", "late") if any(agent[name] for agent in told)]
    rows = []
    for agent in told[:SHOWN]:
        counts = [agent["outcomes"].get(name, 0) for name in names] + [agent[name] for name in also]
        row = [agent["claims"], *counts]
        rows.append([foreign(agent["agent"]), *map(_zero, row), length(agent["held_seconds"])])
    columns = ["claims", *[name.replace("_", " ") for name in names], *also, "held"]
    return table(["agent", *columns], rows, len(told), columns)


def _zero(count: int) -> str:
    return str(count) if count else '<span class="zero">0</span>'


def resources(told: list[dict[str, Any]]) -> str:
    """How often, how long and by how many each resource was held."""
    rows = []
    for each in told[:SHOWN]:
        now = ", ".join(f"{foreign(holder['agent'])} ({foreign(holder['id'])})" for holder in each["held_by"][:5])
        counts = [str(each["claims"]), str(each["agents"]), length(each["held_seconds"]), str(each["most_at_once"])]
        rows.append([foreign(each["resource"]), *counts, now or "nobody"])
    head = ["resource", "claims", "agents", "held", "at once", "at the end held by"]
    return table(head, rows, len(told), ("claims", "agents", "held", "at once"))


def dead_letters(told: dict[str, Any]) -> str:
    """Failed tasks with their reason and every attempt."""
    codes = ", ".join(f"{foreign(each['code'] or 'no code')} {each['count']}" for each in told["by_code"][:20])
    letters = "".join(map(_letter, told["latest"]))
    more = told["count"] - len(told["latest"])
    rest = f'<p class="note">The latest {len(told["latest"])}; {more} more are in failed/.</p>' if more else ""
    return f"<p>By error: {codes}.</p>{letters}{rest}"


def _letter(letter: dict[str, Any]) -> str:
    error = letter.get("error", {"code": "", "message": ""})
    steps = "".join(f"<li>{_attempt(attempt, error)}</li>" for attempt in letter["history"])
    older = letter["attempts"] - len(letter["history"])
    skipped = f"<li>{older} earlier attempts are not shown</li>" if older else ""
    when = f"<small>{foreign(letter['type'])} · failed {_clock(letter['failed'])}</small>"
    head = f"<h3>{foreign(letter['id'])} {when}</h3>"
    said = f'<p class="said"><code>{text(error["code"])}</code> {foreign(error["message"])}</p>'
    return f'<article class="letter">{head}{said}<ol>{skipped}{steps}</ol></article>'


def _attempt(told: dict[str, Any], known: dict[str, Any]) -> str:
    start = parse_timestamp(told["claimed"])
    lasted = f", {length(parse_timestamp(told['ended']) - start)}" if "ended" in told else ""
    who = f"#{told['attempt']} {foreign(told['agent'])}"
    line = f"{who} {_outcome(told['outcome'])} <small>{clock(start)}{lasted}</small>"
    if told.get("error", known) != known:
        line += f" <code>{text(told['error']['code'])}</code> {foreign(cut(told['error']['message'], 160))}"
    if "refused" in told:
        line += f" <small>results refused: {text(', '.join(told['refused'][:5]))}</small>"
    if "notes" in told:
        line += foreign(told["notes"], "pre")
    return line


def _outcome(name: str) -> str:
    return f'<b class="o-{text(name)}">{text(name.replace("_", " "))}</b>'


def refused(told: list[dict[str, Any]]) -> str:
    """What was refused, by kind and rule, with the last case of each."""
    rows = [
        [
            f'<span class="whole">{text(each["kind"])}</span>',
            f'<code class="whole">{text(each["code"])}</code>',
            str(each["count"]),
            f"{foreign(each['file'])}<br><small>{foreign(each['message'])}</small>",
            _clock(each["last"]),
        ]
        for each in told[:SHOWN]
    ]
    return table(["what", "rule", "count", "the last one", "when (UTC)"], rows, len(told), ["count"])


def state(told: list[dict[str, Any]], ledger: Ledger) -> str:
    """Each key of the shared state: its versions over time, and the last."""
    paper = Span(ledger.first, max(ledger.last, ledger.first + 1), 4, 180)
    rows = []
    for each in told[:SHOWN]:
        strip = versions(ledger.state[each["key"]].times, paper, f"{each['version']} versions over time")
        last = f"<code>{foreign(cut(each['value'], 120))}</code>"
        version, when = str(each["version"]), _clock(each["time"])
        rows.append([foreign(each["key"]), version, strip, last, foreign(each["by"]), when])
    head = ["key", "version", "changes over time", "value", "by", "when (UTC)"]
    return table(head, rows, len(told), ["version"])


def benched(told: list[dict[str, Any]]) -> str:
    """Who had to rest, when, and how long."""
    rows = [
        [
            foreign(each["agent"]),
            _clock(each["benched"]),
            length(each["seconds"]),
            _clock(each["unbenched"]) if "unbenched" in each else "still resting",
        ]
        for each in reversed(told)
    ]
    return table(["agent", "benched (UTC)", "for", "until"], rows[:SHOWN], len(told), ["for"])


def _clock(moment: str) -> str:
    return f'<span class="time">{clock(parse_timestamp(moment))}</span>'
