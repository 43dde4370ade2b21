"""Regular expressions that every engine reads alike and that take no exponential time in any (SPEC section 6.3).

Allowed: literals, escaped punctuation and \\n \\r \\t, ``.``, classes, ``^`` ``$``, groups, ``|``, and ``? * + {m,n}``.
Refused: \\d \\w \\s \\b (not the same in all engines), back references, look-around in contracts, flags, and a repeated
group that can match in several ways itself, which takes exponential time in a backtracking engine. What is allowed may
still take the square of a long text in one, and more: ``automaton`` looks for it in linear time.
"""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"(?P<escape>\\.)|(?P<klass>\[\^?\]?(?:[^\]\\]|\\.)*\])|(?P<open>\((?:\?[:=!<]?|))|(?P<close>\))"
    r"|(?P<repeat>[*+?]|\{[0-9]+(?:,[0-9]*)?\})|(?P<other>.)",
    re.DOTALL,
)
_SAFE_ESCAPES = frozenset("\\.-/^$|?*+()[]{}nrt\"'@#:;,=!%&~_ ")  # not < and >: escaped, they are word ends to some
_MAX_REPEAT = 1000
_MAX_SIZE = 2000
"""So large a pattern is refused by some engines and slow in others."""


def problem(pattern: str) -> str | None:
    """Say in a few words why a pattern is not in the safe list, None when it is."""
    if len(pattern) > 1000 or not pattern.isascii():
        return "longer than 1000 characters or not ASCII"
    open_groups: list[bool] = []  # for each open group: it holds a choice or a repeat of no fixed number
    atom_varies = False  # the atom just read is such a group
    previous = ""
    for match in TOKEN.finditer(pattern):
        kind, text = match.lastgroup or "", match[0]
        if kind in ("escape", "klass") and (why := _escapes(text)):
            return why
        if kind == "open":
            if text not in ("(", "(?:"):
                return "look-around or flags"
            open_groups.append(False)
        elif kind == "close":
            if not open_groups or previous == "open":
                return "an unopened or empty group"
            atom_varies = open_groups.pop()
            open_groups[-1:] = [open_groups[-1] or atom_varies] if open_groups else []
        elif kind == "repeat":
            if why := _repeat(text, previous, atom_varies):
                return why
        elif kind == "other" and text in "[]{}":
            return f"an unclosed or unescaped {text}"
        if open_groups and _varies(kind, text):
            open_groups[-1] = True
        if kind not in ("close", "repeat"):
            atom_varies = False
        previous = text if kind == "other" else kind
    return "an unclosed group" if open_groups else _too_large(pattern) or _unreadable(pattern)


def _too_large(pattern: str) -> str | None:
    too_large = _size(pattern) > _MAX_SIZE
    return f"more than {_MAX_SIZE} characters once its repeats are written out" if too_large else None


def _size(pattern: str) -> int:
    """Return how many characters and classes there are when each repeat is written out as often as it may occur."""
    sizes, last = [0], 0  # of each open group so far; of what a repeat would repeat
    for match in TOKEN.finditer(pattern):
        kind, text = match.lastgroup or "", match[0]
        if kind == "open":
            sizes.append(0)
            last = 0
        elif kind == "close":
            last = sizes.pop()
            sizes[-1] += last
        elif kind == "repeat":
            times = max([1, *map(int, re.findall(r"[0-9]+", text))])
            sizes[-1] += last * (times - 1)
        else:
            last = 1
            sizes[-1] += last
    return sizes[0]


def for_rust(pattern: str) -> str:
    """Rewrite a pattern for Rust's regex: its ``$`` never matches before a newline, and it has no look-ahead."""
    return pattern.replace(r"$(?!\n)", "$")


def for_python(pattern: str) -> str:
    """Rewrite ``$`` for Python's re, whose own also matches before a newline at the end."""
    return "".join(r"\Z" if match[0] == "$" else match[0] for match in TOKEN.finditer(pattern))


def _escapes(text: str) -> str | None:
    for match in re.finditer(r"\\(.)", text, re.DOTALL):
        if match[1] not in _SAFE_ESCAPES:
            return f"\\{match[1]} (write a class such as [0-9] instead)"
    if text.startswith(("[]", "[^]")):
        return "a class that starts with ]"
    if text.startswith("[") and re.search(r"\[|&&|--|~~|\|\|", re.sub(r"\\.", "", text[1:], flags=re.DOTALL)):
        return "set operations or an unescaped [ inside a class"
    return None


def _repeat(text: str, previous: str, atom_varies: bool) -> str | None:
    if previous in ("", "open", "repeat", "^", "$", "|"):
        return "a repeat of nothing or of a repeat"
    if text.startswith("{") and max(int(number) for number in re.findall(r"[0-9]+", text)) > _MAX_REPEAT:
        return f"a repeat of more than {_MAX_REPEAT}"
    if atom_varies and text != "?":
        return "a repeated group with a choice or a repeat inside, which can take exponential time"
    return None


def _varies(kind: str, text: str) -> bool:
    """Say whether a token lets the group around it match in several ways: a choice, or a repeat of no fixed number."""
    return text == "|" if kind == "other" else kind == "repeat" and (not text.startswith("{") or "," in text)


def _unreadable(pattern: str) -> str | None:
    """Let Python's own engine look at what is left: {3,2}, [z-a], groups too deep for it."""
    try:
        re.compile(for_python(pattern))
    except (re.error, RecursionError):
        return "what is no regular expression"
    return None
