"""Lanes over time: who worked on what and how it ended, who held which resource, when a daemon ran. Pure.

A lane with few claims shows each as a bar. One with many shows, stretch by stretch, the share of time that was busy,
and below it strokes for what did not end well: the page stays small however long the log is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from taskdir.report.charts import LEFT, PLOT, WIDTH, axis
from taskdir.report.figures import BUCKETS
from taskdir.report.ink import boxes, cut, line, num, rect, svg, text, words
from taskdir.report.ledger import Claim, Ledger
from taskdir.report.ledger import Span as Stretch
from taskdir.report.scale import Buckets, Span, clock, length

MOST_LANES = 40
"""So many agents or resources get a lane: those with the most claims, shown in the order of their names."""
MOST_BARS = 240
"""A lane with more claims is drawn as shares of time."""
_ALL_BARS = 3000
_ROWS = 4
_COLUMNS = 465
BAD = ("errored", "expired", "abandoned", "timed_out")
OUTCOMES = ("done", *BAD, "returned", "canceled", "running")


@dataclass(slots=True)
class _Lane:
    """What one lane shows. ``named``: its bars carry the agents' names; ``late``: times of late results."""

    name: str
    claims: list[Claim]
    late: Sequence[tuple[float, str]] = ()
    benches: Sequence[Stretch] = ()
    named: bool = False


def span(ledger: Ledger) -> Span:
    """Return the time of the log on paper, as wide as the bars of the charts make it."""
    buckets = Buckets.over(ledger.first, ledger.last, BUCKETS)
    return Span(buckets.start, buckets.end, LEFT, PLOT)


def agents(ledger: Ledger) -> str:
    """Draw a lane for each agent, and one for the daemon's runs."""
    found: dict[str, list[Claim]] = {name: [] for name, _, _ in ledger.late}
    for claim in ledger.claims:
        found.setdefault(claim.agent, []).append(claim)
    late: dict[str, list[tuple[float, str]]] = {}
    for agent, time, id in ledger.late:
        late.setdefault(agent, []).append((time, id))
    chosen, left_out = _choose(found)
    lanes = [_Lane(name, found[name], late.get(name, ()), _of(ledger.benches, name)) for name in chosen]
    return _draw(lanes, ledger, left_out, "agents", runs=True)


def resources(ledger: Ledger) -> str:
    """Draw a lane for each resource: which agent held it for which task."""
    chosen, left_out = _choose(ledger.held)
    lanes = [_Lane(name, ledger.held[name], named=True) for name in chosen]
    return _draw(lanes, ledger, left_out, "resources", runs=False)


def _of(benches: Iterable[Stretch], agent: str) -> list[Stretch]:
    return [bench for bench in benches if bench.name == agent]


def _choose(found: dict[str, list[Claim]]) -> tuple[list[str], int]:
    most = sorted(found, key=lambda name: (-len(found[name]), name))[:MOST_LANES]
    return sorted(most), len(found) - len(most)


def _draw(lanes: list[_Lane], ledger: Ledger, left_out: int, what: str, *, runs: bool) -> str:
    paper = span(ledger)
    drawn, y, room = [], 8.0, _ALL_BARS
    if runs:
        drawn.append(_daemon(ledger, paper, y))
        y += 22
    shares = False
    for lane in lanes:
        rows = _stack(lane.claims, paper)
        if len(lane.claims) <= min(MOST_BARS, room) and max(rows, default=0) < _ROWS:
            room -= len(lane.claims)
            body, tall = _bars(lane, rows, y, paper, ledger.last)
        else:
            shares = True
            body, tall = _shares(lane, y, paper, ledger.last)
        drawn += [_backdrop(lane, y, tall, paper, ledger.last), body]
        y += tall
    page = svg(WIDTH, y + 24, axis(paper, 4, y) + "".join(drawn), f"{what} over time")
    said = []
    if shares:
        many = "In lanes with many claims, height is the share of time that was busy."
        said.append(
            many + " Strokes: below what ended badly, above results refused and late, in the colours of the list."
        )
    if left_out:
        said.append(f"{left_out} more {what}, with fewer claims, have no lane.")
    return page + (f'<p class="note">{" ".join(said)}</p>' if said else "")


def _daemon(ledger: Ledger, paper: Span, y: float) -> str:
    drawn = [words(LEFT - 10, y + 12, "daemon", "label", "end")]
    for run in ledger.runs[-MOST_BARS:]:
        end = ledger.last if run.end is None else run.end
        left, right = paper.x(run.start), paper.x(end)
        how = "was cut short" if run.cut else "runs still at the end" if run.end is None else "stopped"
        said = f"taskdir {run.name}: from {clock(run.start)}, {length(end - run.start)}, {how}"
        drawn.append(rect(left, y + 5, max(1.5, right - left), 6, "f-daemon", said))
        if run.cut:
            drawn.append(_mark(right, y + 8, "f-errored", "cross", said))
    return "".join(drawn)


def _backdrop(lane: _Lane, y: float, tall: float, paper: Span, now: float) -> str:
    """Draw a lane's name, the line above it, and the stretches in which its agent rested."""
    shown = words(LEFT - 10, y + min(tall / 2 + 1, 17), cut(lane.name, 22), "label", "end")
    count = f"{len(lane.claims)} claim{'' if len(lane.claims) == 1 else 's'}"
    drawn = [f"<g><title>{text(lane.name)}: {count}</title>{shown}", line(0, y, WIDTH, y, "rule")]
    if tall > 30:
        drawn.append(words(LEFT - 10, y + min(tall / 2 + 1, 17) + 13, count, "small", "end"))
    for bench in lane.benches[-MOST_BARS:]:
        left, right = paper.x(bench.start), paper.x(now if bench.end is None else bench.end)
        said = f"benched for {length(bench.seconds)} at {clock(bench.start)}"
        drawn.append(rect(left, y + 1, max(1.5, right - left), tall - 2, "f-bench", said))
    return "".join(drawn) + "</g>"


def _stack(claims: list[Claim], paper: Span) -> list[int]:
    """Give each claim the first row in which it covers no other."""
    ends: list[float] = []
    rows = []
    for claim in claims:
        start = paper.x(claim.start)
        row = next((number for number, end in enumerate(ends) if end <= start + 0.01), len(ends))
        if row >= _ROWS:
            return [_ROWS]
        ends[row : row + 1] = [paper.x(paper.end if claim.end is None else claim.end)]
        rows.append(row)
    return rows


def _bars(lane: _Lane, rows: list[int], y: float, paper: Span, now: float) -> tuple[str, float]:
    count = max(rows, default=0) + 1
    tall = 13.0 if count == 1 else 10.0
    drawn = []
    for claim, row in zip(lane.claims, rows, strict=True):
        top = y + 6 + row * (tall + 3)
        left = paper.x(claim.start)
        end = now if claim.end is None else claim.end
        wide = max(1.5, paper.x(end) - left - 0.4)
        colour = f"f-{claim.outcome}" if not lane.named else "f-held"
        drawn.append(rect(left, top, wide, tall, colour, _say(claim, end)))
        shown = claim.agent if lane.named else claim.id
        if wide > 6.2 * len(shown) + 10 and (lane.named or not claim.refused):  # else a mark would cover it
            drawn.append(words(left + 5, top + tall - 3, shown, "inbar" if claim.outcome != "returned" else "small"))
        if lane.named:
            continue
        for time, code in claim.refused[:10]:
            drawn.append(_mark(paper.x(time), top + tall / 2, "f-refused", "diamond", f"result refused: {code}"))
        if claim.outcome in BAD:
            drawn.append(_mark(left + wide, top + tall / 2, f"f-{claim.outcome}", "cross", _say(claim, end)))
    drawn += [_late(time, id, y, paper) for time, id in lane.late[:MOST_BARS]]
    return "".join(drawn), count * (tall + 3) + 9


def _late(time: float, id: str, y: float, paper: Span) -> str:
    return _mark(paper.x(time), y + 5, "f-late", "triangle", f"late result for {id} at {clock(time)}")


def _say(claim: Claim, end: float) -> str:
    held = f"{clock(claim.start)}, {length(end - claim.start)}"
    why = f"\n{claim.error['code']}: {cut(claim.error['message'], 120)}" if claim.error else ""
    return f"{claim.id} #{claim.attempt} by {claim.agent}: {claim.outcome}\n{held}{why}"


_SHAPES = {
    "diamond": "M{x} {a}l4 4l-4 4l-4 -4z",
    "triangle": "M{x} {a}l4 7h-8z",
    "cross": "M{x} {a}m-2.5 1.5l5 5m0 -5l-5 5",
}


def _mark(x: float, y: float, css: str, shape: str, title: str) -> str:
    path = _SHAPES[shape].format(x=num(x), a=num(y - 4))
    kind = f"mark cross {css.replace('f-', 's-')}" if shape == "cross" else f"mark {css}"
    return f'<path d="{path}" class="{kind}"><title>{text(title)}</title></path>'


def _shares(lane: _Lane, y: float, paper: Span, now: float) -> tuple[str, float]:
    """Draw a lane of many claims by columns: the share of time busy, and below what ended badly."""
    tall = 26.0
    buckets = Buckets(paper.start, (paper.end - paper.start) / _COLUMNS, _COLUMNS)
    busy = buckets.busy((claim.start, now if claim.end is None else claim.end) for claim in lane.claims)
    most = max(*busy, buckets.seconds)
    wide, found = paper.width / _COLUMNS, []
    for place, seconds in enumerate(busy):
        if seconds > 0:
            high = max(0.8, seconds / most * tall)
            found.append((paper.left + place * wide, y + 4 + tall - high, wide, high))
    drawn = [boxes(found, "f-held" if lane.named else "f-done")]
    for row, outcome in enumerate(() if lane.named else BAD):
        hits = {buckets.at(claim.end) for claim in lane.claims if claim.outcome == outcome and claim.end is not None}
        strokes = [(paper.left + place * wide, y + 6 + tall + row * 4, wide, 3.5) for place in sorted(hits)]
        drawn.append(boxes(strokes, f"f-{outcome}"))
    refused = {buckets.at(time) for claim in lane.claims for time, _ in claim.refused}
    for row, (hits, css) in enumerate(
        ((refused, "f-refused"), ({buckets.at(time) for time, _ in lane.late}, "f-late"))
    ):
        strokes = [(paper.left + place * wide, y + 1 + row * 3, wide, 2.5) for place in sorted(hits)]
        drawn.append(boxes(strokes, css))
    return "".join(drawn), tall + (8 if lane.named else 25)


def legend(counts: dict[str, int]) -> str:
    """Return what the colours and marks mean, with how many there are of each."""
    shown = [(f"f-{name}", name.replace("_", " "), counts.get(name, 0)) for name in OUTCOMES]
    items = [f'<span><i class="key k{css[1:]}"></i>{name} {count}</span>' for css, name, count in shown if count]
    marks = (("diamond", "refused", "result refused"), ("triangle", "late", "late result"))
    for shape, name, label in marks:
        if counts.get(name):
            path = _SHAPES[shape].format(x=6, a=2)
            sign = f'<svg width="12" height="12" aria-hidden="true"><path d="{path}" class="mark f-{name}"/></svg>'
            items.append(f"<span>{sign}{label} {counts[name]}</span>")
    if counts.get("benched"):
        items.append(f'<span><i class="key k-bench"></i>benched {counts["benched"]}</span>')
    return f'<p class="legend">{"".join(items)}</p>'
