"""The life cycle as a picture, with how often the log took each edge. The edges are those of lifecycle.ROWS. Pure."""

from __future__ import annotations

from typing import Any

from taskdir.report.ink import rect, svg, words

_WIDE, _TALL = 116.0, 44.0
_NODES = {
    "submitted": (80, 180),
    "queued": (350, 180),
    "claimed": (700, 180),
    "done": (980, 180),
    "rejected": (80, 320),
    "failed": (350, 320),
    "canceled": (700, 320),
}
"""State → middle of its box."""

EDGES: dict[tuple[str, str], tuple[str, float, float, str]] = {
    ("submitted", "accepted"): ("M138 180H288", 215, 172, "middle"),
    ("submitted", "rejected"): ("M80 202V294", 88, 254, "start"),
    ("queued", "claimed"): ("M408 180H638", 525, 196, "middle"),
    ("claimed", "done"): ("M758 180H918", 840, 172, "middle"),
    ("claimed", "refused"): ("M740 158C748 112 812 128 762 168", 794, 132, "start"),
    ("claimed", "returned"): ("M660 158C640 134 410 134 392 155", 525, 144, "middle"),
    ("claimed", "errored"): ("M674 158C654 106 396 106 378 154", 525, 123, "middle"),
    ("claimed", "expired"): ("M688 158C668 78 382 78 364 154", 525, 102, "middle"),
    ("claimed", "abandoned"): ("M702 158C682 50 368 50 350 154", 525, 81, "middle"),
    ("claimed", "timed_out"): ("M716 158C696 22 354 22 336 154", 525, 60, "middle"),
    ("queued", "failed"): ("M330 202V294", 322, 254, "end"),
    ("failed", "redriven"): ("M364 298V206", 372, 282, "start"),
    ("queued", "canceled"): ("M404 202C470 250 560 300 638 312", 560, 270, "start"),
    ("canceled", "redriven"): ("M642 330C560 330 450 280 390 207", 500, 324, "middle"),
    ("claimed", "canceled"): ("M700 202V294", 708, 254, "start"),
}
"""(state, event) → path, and the label's place and anchor. A test compares the keys with lifecycle.ROWS."""


def picture(life_cycle: list[dict[str, Any]], tasks: dict[str, Any]) -> str:
    """Draw states with how many tasks are in each now, and edges with how often they were taken."""
    drawn = []
    for told in life_cycle:
        path, x, y, anchor = EDGES[told["state"], told["event"]]
        css = "edge" if told["count"] else "edge zero"
        label = f"{told['event'].replace('_', ' ')} {told['count']}"
        arrow = f'<path d="{path}" marker-end="url(#arrow)"/>'
        drawn.append(f'<g class="{css}">{arrow}{words(x, y, label, "halo", anchor)}</g>')
    for state, (x, y) in _NODES.items():
        css = f"node n-{state}"
        drawn.append(rect(x - _WIDE / 2, y - _TALL / 2, _WIDE, _TALL, css).replace("/>", ' rx="8"/>'))
        count = tasks.get(state)
        drawn.append(words(x, y + (5 if count is None else -2), state, "state", "middle"))
        if count is not None:
            drawn.append(words(x, y + 15, f"{count} now", "small", "middle"))
    head = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" class="head"/></marker></defs>'
    )
    counts = ", ".join(f"{told['state']} {told['event']} {told['count']}" for told in life_cycle)
    return svg(
        1060,
        308,
        f'{head}<g transform="translate(0 -44)">{"".join(drawn)}</g>',
        f"the life cycle with counts: {counts}",
    )
