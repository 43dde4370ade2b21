"""What a service manager is to run: a root's daemon, as whom, by which command."""

from __future__ import annotations

import getpass
import os
import re
import sys
from dataclasses import dataclass

from taskdir.errors import Usage

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST = 230
"""Characters of an escaped path: a file's name has 255, and there is more in it."""


@dataclass(frozen=True, slots=True)
class Job:
    """``root`` and every path are absolute; ``system``: for the machine, at boot, else for one user, at log-in.

    ``command``: the words that start taskdir; ``user``: the owner of the root, whom the daemon runs as.
    """

    root: str
    command: tuple[str, ...]
    user: str
    home: str
    system: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The whole command of the daemon."""
        return (*self.command, "--root", self.root, "run")

    @property
    def label(self) -> str:
        """``instance`` for managers and file systems that know no backslash or colon in a name."""
        return self.instance.replace("\\x", "~").replace(":", "~3a")

    @property
    def instance(self) -> str:
        """The root's path as one word, as ``systemd-escape --path`` makes it: each root has its own service."""
        return escape(self.root)


def job(root: str, *, system: bool) -> Job:
    """Return the job for a root, run by the taskdir that runs now. Raises Usage for a path that no unit can hold."""
    root = os.path.realpath(root)
    for path in (root, sys.executable):
        if _UNPRINTABLE.search(path):
            hint = "rename it: UTF-8 without control characters"
            raise Usage("usage", f"a service cannot name the path {path!a}", hint=hint)
    if len(escape(root)) > _LONGEST:
        raise Usage("usage", "the root's path is too long for a service's name", path=root, hint="move it further up")
    return Job(root, _command(), _owner(root), os.path.expanduser("~"), system)


def escape(path: str) -> str:
    """Return a path as one word: no slashes at its ends, ``-`` for the others, ``\\xNN`` for what is special."""
    inner = "/".join(part for part in path.split("/") if part)
    if not inner:
        return "-"
    text = "".join(
        "-" if byte == b"/" else byte.decode() if re.match(rb"[A-Za-z0-9:_.]", byte) else f"\\x{byte[0]:02x}"
        for byte in (bytes([number]) for number in os.fsencode(inner))
    )
    return text if not text.startswith(".") else f"\\x2e{text[1:]}"


def _command() -> tuple[str, ...]:
    """The script beside this Python, as pip makes it; else Python itself, which must then find taskdir by itself."""
    script = os.path.join(os.path.dirname(sys.executable), "taskdir.exe" if sys.platform == "win32" else "taskdir")
    return (script,) if os.path.isfile(script) else (sys.executable, "-m", "taskdir")


def _owner(root: str) -> str:
    try:
        import pwd

        owner = os.stat(root).st_uid
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            return str(owner)
    except ImportError:  # Windows
        return getpass.getuser()
