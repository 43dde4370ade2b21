"""Text for HTML and SVG: everything that others wrote passes through ``text``, nothing else makes it safe. Pure.

Escaping alone is not enough: control characters are not allowed in a page, and bidirectional overrides would let a note
show its neighbours in another order. Such characters are written as their code points, so that they are seen.
"""

from __future__ import annotations

import html
import unicodedata

_KEPT = {"\t", "\n", "\u200c", "\u200d"}  # the joiners are part of words in many scripts, and of emoji
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def text(value: object) -> str:
    """Return text that is safe between tags and in quoted attributes, whatever it holds."""
    shown = str(value)
    if not shown.isascii() or not shown.isprintable():
        shown = "".join(map(_seen, shown))
    return html.escape(shown, quote=True)


def _seen(char: str) -> str:
    hidden = char not in _KEPT and unicodedata.category(char) in _HIDDEN
    return f"[U+{ord(char):04X}]" if hidden else char


def foreign(value: object, tag: str = "bdi", css: str = "") -> str:
    """Return what somebody else wrote in an element of its own, kept apart from the text around it."""
    return f'<{tag}{f" class={chr(34)}{css}{chr(34)}" if css else ""} dir="auto">{text(value)}</{tag}>'


def cut(value: str, most: int) -> str:
    """Return the text, or its beginning with an ellipsis: at most ``most`` characters."""
    return value if len(value) <= most else value[: most - 1] + "…"


def num(value: float) -> str:
    """Write a coordinate as short as it can be."""
    return f"{value:.1f}".removesuffix(".0")


def svg(width: float, height: float, body: str, label: str) -> str:
    """Return a drawing that scales to its place. ``label`` says in words what it shows."""
    size = f'viewBox="0 0 {num(width)} {num(height)}" style="max-width:{num(width)}px"'
    return f'<div class="scroll"><svg {size} role="img" aria-label="{text(label)}">{body}</svg></div>'


def words(x: float, y: float, shown: object, css: str = "", anchor: str = "start") -> str:
    """Return a line of text in a drawing."""
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{num(x)}" y="{num(y)}"{at}{f" class={chr(34)}{css}{chr(34)}" if css else ""}>{text(shown)}</text>'


def rect(x: float, y: float, width: float, height: float, css: str, title: str = "") -> str:
    """Return a rectangle; ``title`` is what a pointer over it is told."""
    shape = f'<rect x="{num(x)}" y="{num(y)}" width="{num(width)}" height="{num(height)}" class="{css}"'
    return f"{shape}><title>{text(title)}</title></rect>" if title else f"{shape}/>"


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """Return a straight line."""
    return f'<path d="M{num(x1)} {num(y1)}L{num(x2)} {num(y2)}" class="{css}"/>'


def boxes(found: list[tuple[float, float, float, float]], css: str) -> str:
    """Return many rectangles (x, y, width, height) as one shape: small on the page, however many."""
    if not found:
        return ""
    parts = [f"M{num(x)} {num(y)}h{num(w)}v{num(h)}h{num(-w)}z" for x, y, w, h in found]
    return f'<path d="{"".join(parts)}" class="{css}"/>'
