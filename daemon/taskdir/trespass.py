"""Whether a tool that a coding agent is about to use writes where it must not (SPEC section 4: who writes what).

Paths in a tool's input are resolved, links included. A shell command is read as far as words go: what it computes is
not seen. So this keeps mistakes from happening, and stops nobody who means it: walls do (docs/agents.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DAEMONS = ("log.jsonl", "log", ".taskdir", "state")
_VIEWS = ("ready", "done", "failed")
"""Written by the daemon; but agents rename and remove files there, which only a shell does."""

_PATHS = re.compile(r"path|file|dir|folder|target|dest|source|uri|notebook|workspace", re.IGNORECASE)
_WRITES = re.compile(
    r"write|edit|create|patch|replace|move|delete|remove|rename|update|save|insert|append|mkdir|put|copy", re.IGNORECASE
)
_READS = re.compile(r"read|list|glob|grep|search|find|view|fetch|get|stat|^ls$|diff|todo", re.IGNORECASE)
_PATCHED = re.compile(
    r"^(?:\*\*\* (?:Add File|Update File|Delete File|Move to): |\+\+\+ (?:b/)?)(.+?)\s*$", re.MULTILINE
)

_WHERE = ("cwd", "workdir", "dir_path", "directory")
_TOKEN = re.compile(
    r"""(?P<word> (?: \\. | '[^']*' | "(?:\\.|[^"\\])*" | [^\s'"\\();<>|&] )+ )
    | (?P<into> &?>>?\|?&? | <> ) | (?P<from> <<?<?-?&? ) | (?P<end> [;|&()\n] ) | (?P<stray> \S )""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r"""\\(.)|'([^']*)'|"((?:\\.|[^"\\])*)\"""", re.DOTALL)
_ASSIGNMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*=")
_BEFORE = set("sudo env nohup time command exec nice ionice stdbuf xargs then do else if while until ! builtin".split())
_SHELLS = set("sh bash dash zsh ksh busybox ash".split())
_LOOKERS = set(
    "cat less more head tail grep egrep fgrep rg jq ls wc stat file diff cmp cd pushd tree du echo printf sort uniq cut"
    " sha256sum md5sum cksum test [ [[ pwd realpath readlink basename dirname xxd od hexdump column nl tac awk sed find"
    " taskdir git export set for case".split()
)
_CHANGES = re.compile(r"^(?:-i|--in-place|-delete|-exec|-execdir|-ok|-o$|--output|-fprint)")
_COPIERS = set("cp install rsync scp ln".split())
_SWEEPERS = set("rm mv chmod chown chgrp shred truncate rmdir rsync unlink".split())
"""What takes all below a directory with it, so that it must not be given one that holds a protected place either."""


def trespass(root: str, agent: str, tool: str, given: Any, cwd: str) -> str | None:
    """Return the path that a tool would write to though it is not the agent's to write; None when there is none.

    ``tool`` is the tool's name, ``given`` its input, ``cwd`` where relative paths begin.
    """
    guard = _Guard(os.path.realpath(root), agent)
    if not isinstance(given, dict):
        return None
    command = given.get("command", given.get("cmd"))
    for text in _texts(command, given.get("patch"), given.get("input")):
        if "*** " in text or "\n+++ " in text:
            for path in _PATCHED.findall(text):
                if guard.closed(path, cwd):
                    return str(path)
    if isinstance(command, str | list) and not _WRITES.search(tool):
        places = [given[name] for name in _WHERE if isinstance(given.get(name), str)]
        if (found := _in_shell(guard, command, os.path.join(cwd, *places[:1]))) is not None:
            return found
    if _READS.search(tool) and not _WRITES.search(tool):
        return None
    return next((path for path in _named(given) if guard.closed(path, cwd)), None)


class _Guard:
    """What is closed to an agent in a root."""

    def __init__(self, root: str, agent: str) -> None:
        self._root, self._mine = root, ("claimed", agent)
        self.named = re.compile(
            re.escape(root) + r"/(?:log\.jsonl|log/|\.taskdir/|state/|claimed/(?!" + re.escape(agent) + r"[/'\"\s]))"
        )

    def closed(self, path: str, cwd: str, *, views: bool = True) -> bool:
        """Say whether a path is not the agent's to write to; ``views``: nor in what the daemon shows."""
        parts = self._inside(path, cwd)
        if not parts:
            return False
        if parts[0] == "claimed":
            return len(parts) > 1 and parts[:2] != self._mine
        return parts[0] in _DAEMONS or (views and parts[0] in _VIEWS)

    def holds(self, path: str, cwd: str) -> bool:
        """Say whether a path is a directory in which a closed one lies."""
        full = self.resolved(path, cwd)
        return self._inside(path, cwd) in ((), ("claimed",)) or self._root.startswith(full.rstrip("/") + "/")

    def resolved(self, path: str, cwd: str) -> str:
        """Return a path in full, links followed."""
        return os.path.realpath(os.path.join(cwd, os.path.expanduser(self.expanded(path.removeprefix("file://")))))

    def expanded(self, text: str) -> str:
        """Put in the variables that are known here; $TASKDIR always is."""
        return os.path.expandvars(re.sub(r"\$(?:TASKDIR\b|\{TASKDIR\})", lambda _: self._root, text))

    def _inside(self, path: str, cwd: str) -> tuple[str, ...] | None:
        full = self.resolved(path, cwd)
        if full != self._root and not full.startswith(self._root + os.sep):
            return None
        return tuple(part for part in full[len(self._root) :].split(os.sep) if part)


def _texts(*values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(*value)


def _named(value: Any, key: str = "") -> Iterator[str]:
    """Yield the paths in a tool's input: strings on one line under a key that sounds like one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _named(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, key)
    elif isinstance(value, str) and _PATHS.search(key) and value and "\n" not in value:
        yield value


def _in_shell(guard: _Guard, command: str | list[Any], cwd: str) -> str | None:
    """Look at a script, or at one command as its list of words; returns the first path that it must not write to."""
    tokens = [("word", str(word)) for word in command] if isinstance(command, list) else [*_tokens(command)]
    simple: list[tuple[str, str]] = []
    for kind, text in [*tokens, ("end", "")]:
        if kind != "end":
            simple.append((kind, text))
            continue
        if (found := _in_simple(guard, simple, cwd)) is not None:
            return found
        if len(simple) > 1 and simple[0][1] in ("cd", "pushd"):
            cwd = guard.resolved(simple[1][1], cwd)
        simple = []
    return None


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of a script: words without their quotes, what redirects, and what ends a command."""
    for match in _TOKEN.finditer(text.replace("\\\n", " ")):
        kind, found = str(match.lastgroup), match[0]
        if kind == "word" and found in ("{", "}"):
            kind = "end"
        yield kind, _QUOTED.sub(lambda part: part[1] or part[2] or part[3] or "", found) if kind == "word" else found


def _in_simple(guard: _Guard, tokens: list[tuple[str, str]], cwd: str) -> str | None:
    """Look at one command with its words and redirections."""
    plain: list[str] = []
    before = ""
    for kind, text in tokens:
        if kind == "word" and before == "into" and guard.closed(text, cwd):
            return text
        if kind == "word" and before not in ("into", "from"):
            plain.append(text)
        before = kind
    while plain and (_ASSIGNMENT.match(plain[0]) or plain[0] in _BEFORE or (plain[0][:1] == "-" and len(plain) > 1)):
        plain.pop(0)
    if not plain:
        return None
    name, given = os.path.basename(plain[0]), plain[1:]
    if name in _SHELLS:
        scripts = [word for flag, word in pairwise(given) if re.fullmatch("-[a-z]*c", flag)]
        return next((found for script in scripts if (found := _in_shell(guard, script, cwd)) is not None), None)
    if name in _LOOKERS and not any(map(_CHANGES.match, given)):
        return None
    if name in _COPIERS and given:
        given = [given[-1], *(word for word in given if word.startswith(("-t", "--target-directory")))]
    return next((word for word in given if _touches(guard, name, word, cwd)), None)


def _touches(guard: _Guard, name: str, word: str, cwd: str) -> bool:
    value = word.partition("=")[2] if re.match(r"-*[A-Za-z-]+=", word) else word
    head = re.split(r"[*?\[{]", value)[0]
    if guard.closed(head, cwd, views=False) or guard.named.search(guard.expanded(word)):
        return True
    return name in _SWEEPERS and not value.startswith("-") and bool(head or value) and guard.holds(head or ".", cwd)
