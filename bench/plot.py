"""Pictures of a result as SVG text, readable on light and dark pages."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from bench.judge import number

WIDTH, LEFT, RIGHT, ROW = 720, 190, 90, 26
HEIGHT, TOP, BOTTOM = 260, 40, 40
STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2328}.s{fill:#59636e}.o{fill:#0969da}.p{fill:#8c959f}"
    ".l{stroke:#0969da;stroke-width:2;fill:none}.g{stroke:#d1d9e0}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.o{fill:#4493f8}.p{fill:#656c76}"
    ".l{stroke:#4493f8}.g{stroke:#3d444d}}</style>"
)


def _svg(height: float, title: str, body: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">'
    said = f"<title>{escape(title)}</title>{STYLE}"
    return "\n".join([head, said, _text(0, 18, title), *body, "</svg>\n"])


def _text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{escape(words)}</text>'


def bars(title: str, rows: list[dict[str, Any]], ours: str) -> str:
    """Draw a bar for each row's ``rate``, with its ``name``; the one called ``ours`` stands out."""
    most = max((row["rate"] for row in rows), default=1.0)
    body = []
    for place, row in enumerate(sorted(rows, key=lambda row: -row["rate"])):
        y, length = TOP + place * ROW, (WIDTH - LEFT - RIGHT) * row["rate"] / most
        css = "o" if row["name"] == ours else "p"
        body += [
            _text(LEFT - 8, y + 14, row["name"], anchor="end"),
            f'<rect x="{LEFT}" y="{y}" width="{max(length, 1):.1f}" height="{ROW - 8}" class="{css}"/>',
            _text(LEFT + length + 6, y + 14, number(row["rate"]), "s"),
        ]
    return _svg(TOP + len(rows) * ROW, title, body)


def curve(title: str, rows: list[dict[str, Any]], key: str, what: str) -> str:
    """Draw each row's ``rate`` over ``row[key]``, which grows by factors."""
    most = max((row["rate"] for row in rows), default=1.0) * 1.15
    steps = [math.log(row[key]) for row in rows]
    span = (steps[-1] - steps[0] or 1.0) if steps else 1.0
    body, points = [], []
    for row, step in zip(rows, steps, strict=True):
        x = 60 + (WIDTH - 120) * (step - steps[0]) / span
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * row["rate"] / most
        points.append(f"{x:.1f},{y:.1f}")
        body += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="o"/>',
            _text(x, y - 10, number(row["rate"]), anchor="middle"),
            _text(x, HEIGHT - BOTTOM + 18, f"{row[key]:,}", "s", "middle"),
        ]
    base = f'<line x1="40" x2="{WIDTH - 40}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}" class="g"/>'
    line = f'<polyline points="{" ".join(points)}" class="l"/>'
    return _svg(HEIGHT, title, [base, line, *body, _text(WIDTH / 2, HEIGHT - 4, what, "s", "middle")])
