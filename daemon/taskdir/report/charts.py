"""Charts of what happened over time: bars bucket by bucket under one axis. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from taskdir.documents import parse_timestamp
from taskdir.report.ink import boxes, line, num, rect, svg, text, words
from taskdir.report.scale import Span, clock, length, round_top

WIDTH, LEFT, RIGHT = 1120.0, 170.0, 14.0
"""All drawings over time share this paper, so that their times stand in line."""
PLOT = WIDTH - LEFT - RIGHT
_HEIGHT, _GAP = 64.0, 20.0


def axis(span: Span, top: float, bottom: float) -> str:
    """Return the vertical lines of round times, with their labels below."""
    drawn = []
    for time, label in span.ticks():
        x = span.x(time)
        anchor = "end" if x > WIDTH - 44 else "middle"
        drawn += [line(x, top, x, bottom, "grid"), words(x, bottom + 15, label, "small", anchor)]
    return "".join(drawn)


def throughput(told: dict[str, Any]) -> str:
    """Draw accepted, done, failed and canceled tasks, a row each."""
    rows = [(name, name, told[name], str) for name in ("accepted", "done", "failed", "canceled") if any(told[name])]
    return _rows(rows, told, "tasks accepted, done, failed and canceled over time")


def queue(told: dict[str, Any]) -> str:
    """Draw how long the task that waits longest has waited, and how many wait."""
    rows: list[_Row] = [
        ("longest wait", "age", told["oldest_seconds"], length),
        ("tasks waiting", "depth", told["depth"], str),
    ]
    return _rows(rows, told, "the longest wait and the number of tasks waiting over time")


_Row = tuple[str, str, Sequence[float], Callable[[Any], str]]


def _rows(rows: Sequence[_Row], told: dict[str, Any], label: str) -> str:
    """Draw rows of bars, each with its own scale, over one axis. A row: name, css class, values, words for a value."""
    if not rows:
        return '<p class="none">Nothing yet.</p>'
    start, step = parse_timestamp(told["start"]), float(told["bucket_seconds"])
    count = len(rows[0][2])
    span = Span(start, start + step * count, LEFT, PLOT)
    bottom = 10 + len(rows) * (_HEIGHT + _GAP) - _GAP
    drawn = [axis(span, 6, bottom)]
    for number, row in enumerate(rows):
        drawn.append(_row(row, 10 + number * (_HEIGHT + _GAP), start, step))
    return svg(WIDTH, bottom + 22, "".join(drawn), label)


def _row(row: _Row, top: float, start: float, step: float) -> str:
    name, css, values, say = row
    highest = max(values)
    scale = _HEIGHT / _top(highest, say)
    base, wide = top + _HEIGHT, PLOT / len(values)
    gap = min(1.0, wide / 6)
    drawn = [
        words(LEFT - 10, top + 26, name, "label", "end"),
        words(LEFT - 10, top + 42, f"at most {say(highest)}", "small", "end"),
        line(LEFT, base, LEFT + PLOT, base, "base"),
    ]
    for place, value in enumerate(values):
        if value > 0:
            tall = max(1.0, value * scale)
            said = f"{clock(start + place * step)} UTC, {length(step)}: {say(value)}"
            drawn.append(rect(LEFT + place * wide + gap / 2, base - tall, wide - gap, tall, f"f-{css}", said))
    return f"<g>{''.join(drawn)}</g>"


def _top(highest: float, say: Callable[[Any], str]) -> float:
    return (highest or 1.0) if say is length else round_top(highest)


def versions(times: Sequence[float], span: Span, label: str) -> str:
    """Draw a strip with a stroke at each time; those that fall together are one."""
    places = sorted({round(span.x(time)) for time in times})
    drawn = line(span.left, 9, span.left + span.width, 9, "base")
    drawn += boxes([(x - 1, 2, 2, 14) for x in places], "f-accepted")
    size = f'width="{num(span.width + 2 * span.left)}" height="18"'
    return f'<svg {size} role="img" aria-label="{text(label)}">{drawn}</svg>'
