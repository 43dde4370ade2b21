"""``taskdir report``: the log as one page that needs no network and no script (SPEC section 9 has the events).

``read`` folds the log, ``figures`` counts, ``page`` draws. The same log gives the same page, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from taskdir.report import charts, lanes, lifemap, tables
from taskdir.report.figures import figures
from taskdir.report.ink import foreign, text
from taskdir.report.ledger import Ledger, read
from taskdir.report.scale import clock, length

__all__ = ["figures", "page", "read"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(ledger: Ledger, told: dict[str, Any]) -> str:
    """Return the page; ``told`` are the figures of this ledger."""
    style = (files("taskdir.report") / "style.css").read_text(encoding="utf-8")
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>taskdir report: {text(told['root'])}</title>\n<style>\n{style}</style></head>\n"
    )
    body = _sections(ledger, told) if ledger.events else '<p class="none">The log is empty.</p>'
    end = f"<footer>Made from the log alone, up to event {ledger.events}. All times are UTC.</footer>"
    return f"{head}<body>\n{_header(ledger, told)}{body}\n{end}\n</body></html>\n"


def _header(ledger: Ledger, told: dict[str, Any]) -> str:
    said = [f"<h1>{foreign(told['root'])}</h1>"]
    if ledger.events:
        times = f"{clock(ledger.first)} to {clock(ledger.last)} UTC ({length(ledger.last - ledger.first)})"
        said.append(f'<p class="sub">taskdir report · {times} · {ledger.events} events</p>')
    if ledger.damage is not None:
        where = f"Reading stopped before event {ledger.damage.seq}: {text(ledger.damage.message)}."
        lost = "What follows is missing here; see taskdir check."
        rest = "Only a batch in flight is missing." if ledger.damage.torn else lost
        said.append(f'<p class="warn">{where} {rest}</p>')
    if ledger.set_back:
        back = f"The clock went back {ledger.set_back} times; such events are drawn where it stood before."
        said.append(f'<p class="warn">{back}</p>')
    return "".join(said) + _sum(told["tasks"])


def _sum(tasks: dict[str, Any]) -> str:
    """P6 as a sum that the reader can check."""
    parts = [f"<div><b>{tasks['accepted']}</b>accepted</div><i>=</i>"]
    states = ("queued", "claimed", "done", "failed", "canceled")
    parts.append("<i>+</i>".join(f"<div><b>{tasks[state]}</b>{state}</div>" for state in states))
    if tasks["balanced"]:
        return f'<div class="sum">{"".join(parts)}</div>'
    wrong = '<p class="warn">The books do not balance: run taskdir check.</p>'
    return f'<div class="sum">{"".join(parts)}</div>{wrong}'


def _sections(ledger: Ledger, told: dict[str, Any]) -> str:
    bar = f"a bar is {length(told['throughput']['bucket_seconds'])}"
    shown = [
        _section("Agents", _agents(ledger, told), "Claims, coloured by how they ended. Renewals are not logged."),
        _section("Throughput", charts.throughput(told["throughput"]), f"Tasks, by when it was logged; {bar}."),
        _section(
            "Queue",
            charts.queue(told["queue"]),
            f"Queued tasks, waiting for others and sleeping too; each return to the queue begins a new wait; {bar}.",
        ),
        _section("Life cycle", lifemap.picture(told["life_cycle"], told["tasks"]), "How often each step was taken."),
    ]
    letters = told["dead_letters"]
    optional: list[tuple[str, int, Callable[[], str]]] = [
        (f"Dead letters ({letters['count']})", letters["count"], lambda: tables.dead_letters(letters)),
        ("Refused", len(told["refused"]), lambda: tables.refused(told["refused"])),
        ("Resources", len(told["resources"]), lambda: lanes.resources(ledger) + tables.resources(told["resources"])),
        ("Shared state", len(ledger.state), lambda: tables.state(told["state"], ledger)),
        ("Benched agents", len(ledger.benches), lambda: tables.benched(told["benched"])),
    ]
    shown += [_section(title, draw()) for title, count, draw in optional if count]
    none = ", ".join(title.lower().removesuffix(" (0)") for title, count, _ in optional if not count)
    return "\n".join(shown) + (f'\n<p class="none">None: {none}.</p>' if none else "")


def _agents(ledger: Ledger, told: dict[str, Any]) -> str:
    if not told["agents"]:
        return '<p class="none">Nobody has claimed anything yet.</p>'
    counts = {name: ledger.counts[name] for name in ("late", "refused", "benched")}
    for agent in told["agents"]:
        for outcome, count in agent["outcomes"].items():
            counts[outcome] = counts.get(outcome, 0) + count
    return lanes.legend(counts) + lanes.agents(ledger) + tables.agents(told["agents"])


def _section(title: str, body: str, note: str = "") -> str:
    about = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{title}</h2>{about}{body}</section>"
