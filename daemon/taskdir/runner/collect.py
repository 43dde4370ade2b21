"""What a try left: its result, checked as the daemon will check it, before it is handed in; its artifacts.

An exit code proves nothing. A result is the file, or what a profile finds in what the tool printed.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from taskdir import names, results, strictjson
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.errors import Invalid, TaskdirError
from taskdir.runner.commands import Case, Profile
from taskdir.runner.paths import Paths
from taskdir.runner.process import Ended
from taskdir.validate import Checker

LARGEST = 1 << 28
TAIL = 4096
"""Bytes of what a command printed that its story tells."""
ARTIFACTS = 1000
_BLOCK = re.compile(r"^[ \t]*```[a-z]*[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_MISSING = object()


class Finding(NamedTuple):
    """What became of a try: a result to hand in (``document``), or what is wrong and what is to follow.

    ``then``: again (in the same workspace), retry (another attempt), final (none). ``code`` is a word.
    """

    document: dict[str, Any] | None
    then: str = "again"
    code: str = ""
    message: str = ""


def look(ended: Ended, paths: Paths, profile: Profile, printed: tuple[str, str], check: Checker | None) -> Finding:
    """Judge a try that ended by itself."""
    try:
        document = _file(paths.result)
        if document is _MISSING:
            output = _said(profile, paths, printed[0])
            document = _MISSING if output is _MISSING else {"status": "ok", "output": output}
        if document is not _MISSING:
            fault = results.check(document, check)
            return _refused(fault) if fault is not None else Finding(document)
    except Invalid as fault:
        return _refused(fault)
    return _none(ended, profile, printed)


def stopped(ended: Ended, tail: str) -> Finding:
    """Say what follows when a command was stopped at a limit or could not be started."""
    told = {
        "timeout": "the command ran into its time limit",
        "output-limit": "the command printed more than it may",
        "no-start": "the command could not be started",
    }[ended.why]
    return Finding(None, "retry", ended.why, f"{told}. {tail}" if tail else told)


def artifacts(paths: Paths) -> list[dict[str, Any]]:
    """List the desk's artifacts: path in there, size in bytes, SHA-256. Raises TaskdirError for what is no file."""
    if os.path.islink(paths.offered):
        raise TaskdirError("bad-artifact", "the place for artifacts is a link", path=paths.offered)
    found: list[dict[str, Any]] = []
    for path, name in _files(paths.offered):
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode) or len(found) >= ARTIFACTS:
            told = "is no regular file" if not stat.S_ISREG(mode) else f"comes after {ARTIFACTS} others"
            raise TaskdirError("bad-artifact", f"the artifact {names.printable(name)} {told}", path=paths.offered)
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            size = file.tell()
        found.append({"path": name, "size": size, "sha256": digest.hexdigest()})
    return found


def free(path: str) -> str:
    """Return a path, with a number behind it if another life of the root left something there."""
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = f"{path}-{number}"
    return found


def tail(printed: tuple[str, str]) -> str:
    """Return the end of what a command printed, stderr if there is any."""
    for path in reversed(printed):
        try:
            with open(path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                if text := file.read().decode("utf-8", "replace").strip():
                    return text
        except OSError:
            continue
    return ""


def _none(ended: Ended, profile: Profile, printed: tuple[str, str]) -> Finding:
    """Say why there is no result, by the profile's cases."""
    said = _read(printed[0])
    told = tail(printed)
    for case in profile.cases:
        if _fits(case, ended, said, f"{said.decode('utf-8', 'replace')}\n{told}"):
            return Finding(None, case.then, case.code, _story(ended, told))
    if ended.code == 0:
        return Finding(None, "again", "no-result", f"no result was written, though the command ended well. {told}")
    return Finding(None, "retry", "no-result", _story(ended, told))


def _fits(case: Case, ended: Ended, said: bytes, words: str) -> bool:
    if case.exit is not None and case.exit != ended.code:
        return False
    if case.says is not None and case.says not in words:
        return False
    if case.at is None:
        return True
    values = [_at(document, case.at) for document in _documents(said)]
    values = [value for value in values if value is not _MISSING]
    return any(value == case.equals if case.equals is not None else bool(value) for value in values)


def _story(ended: Ended, told: str) -> str:
    how = f"was ended by signal {-ended.code}" if ended.code and ended.code < 0 else f"exited with {ended.code}"
    return f"the command {how} and left no result. {told}".strip()


def _refused(fault: TaskdirError) -> Finding:
    where = f" at {fault.pointer}" if fault.pointer else ""
    expected = f" (expected: {fault.expected})" if fault.expected else ""
    return Finding(None, "again", "bad-result", f"the result{where}: {fault.message}{expected} [{fault.code}]")


def _file(path: str) -> Any:
    """Read the result file. Raises Invalid when it is there and is none."""
    try:
        return strictjson.loads(read_regular(path, LARGEST))
    except FileNotFoundError:
        return _MISSING
    except (NotRegular, TooLarge, OSError) as error:
        raise Invalid("unreadable", f"the result file cannot be read: {type(error).__name__} {error}") from None


def _said(profile: Profile, paths: Paths, stdout: str) -> Any:
    """Find an output in what a tool printed, as its profile tells."""
    for kind, file, at in profile.reads:
        data = _read(file.replace("{last}", paths.last).replace("{desk}", paths.desk) if file else stdout)
        text = data.decode("utf-8", "replace")
        documents = [*_documents(data)] if kind == "json" else [_prose(text, whole=kind == "text")]
        for document in reversed(documents):
            value = _at(document, at)
            if isinstance(value, str):
                value = _prose(value)
            if value is not _MISSING and value is not None:
                return value
    return _MISSING


def _documents(data: bytes) -> Iterator[Any]:
    """Yield the JSON documents in what was printed: all of it as one, else each line that is one."""
    try:
        yield strictjson.loads(data)
    except Invalid:
        for line in data.splitlines():
            if line.startswith(b"{"):
                try:
                    yield strictjson.loads(line)
                except Invalid:
                    continue


def _prose(text: str, *, whole: bool = True) -> Any:
    """Find JSON in what a model said: all of it if ``whole``, or its last fenced block that is JSON."""
    for piece in (*([text] if whole else []), *reversed(_BLOCK.findall(text))):
        try:
            found = strictjson.loads(piece.encode("utf-8", "replace"))
        except Invalid:
            continue
        if piece is not text or isinstance(found, dict | list):  # a lone word or number is prose
            return found
    return _MISSING


def _at(value: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return _MISSING
    return value


def _read(path: str) -> bytes:
    try:
        return read_regular(path, LARGEST)
    except (OSError, NotRegular, TooLarge):
        return b""


def _files(top: str) -> Iterator[tuple[str, str]]:
    for at, inner, files in os.walk(top):
        inner.sort()
        links = [name for name in inner if os.path.islink(os.path.join(at, name))]
        for name in sorted([*files, *links]):
            path = os.path.join(at, name)
            yield path, os.path.relpath(path, top)
