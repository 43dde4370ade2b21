"""What can go wrong, told so that the reader knows what to do next.

Every error carries a rule code (SPEC appendix A), a sentence, and where it applies: file, JSON pointer, hint. The class
says whose fault it is and fixes the exit code (SPEC section 1.3). Losing a race is never an error: it is a value.
"""

from __future__ import annotations

import os


class TaskdirError(Exception):
    """The base of all errors that taskdir raises on purpose.

    ``code`` is a rule code or a short word, ``message`` one sentence; ``path`` the file, ``pointer`` an RFC 6901
    pointer into it ("" is the whole document), ``expected`` what would have been right, ``hint`` the next thing to do.
    """

    exit = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        path: str | None = None,
        pointer: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path
        self.pointer = pointer
        self.expected = expected
        self.hint = hint

    def as_dict(self) -> dict[str, str]:
        """Return the error as a JSON object; absent parts are left out."""
        parts = {
            "code": self.code,
            "message": self.message,
            "file": self.path,
            "pointer": self.pointer,
            "expected": self.expected,
            "hint": self.hint,
        }
        return {name: value for name, value in parts.items() if value is not None}

    def __str__(self) -> str:
        where = "".join(f"{part}: " for part in (self.path, self.pointer) if part)
        expected = f" (expected: {self.expected})" if self.expected else ""
        hint = f"\n  next: {self.hint}" if self.hint else ""
        return f"{where}{self.message}{expected} [{self.code}]{hint}"


class Usage(TaskdirError):
    """The caller asked for something that makes no sense (exit 2)."""

    exit = 2


class Invalid(TaskdirError):
    """A document breaks a rule (exit 65)."""

    exit = 65


class Missing(TaskdirError):
    """A file, task or directory is not there (exit 66)."""

    exit = 66


class NoDaemon(TaskdirError):
    """The command needs a running daemon (exit 69)."""

    exit = 69


class CannotCreate(TaskdirError):
    """Something of that name exists, or the place cannot be written (exit 73)."""

    exit = 73


class Busy(TaskdirError):
    """Nothing to claim, or somebody else is at it (exit 75)."""

    exit = 75


class ConfigError(TaskdirError):
    """taskdir.json or a contract is wrong (exit 78)."""

    exit = 78


class TimedOut(TaskdirError):
    """The answer did not come in time (exit 124)."""

    exit = 124


class LogDamaged(TaskdirError):
    """The log is damaged before its last batch: the daemon refuses to guess (exit 1; SPEC section 9)."""


class Telling:
    """``with Telling(path):`` turns what the file system refuses into errors that say what to do."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            told = "a directory of the root is missing"
            raise Missing("no-directory", told, path=self._path, hint="`taskdir init` makes what is missing") from None
        if isinstance(error, OSError):
            told = f"cannot write here: {os.strerror(error.errno or 0)}"
            raise CannotCreate("cannot-write", told, path=self._path) from error


def claim_lost(path: str) -> Missing:
    """Return the error for a claimed file that is gone."""
    told = "the claimed file is gone: you no longer own the task"
    return Missing("claim-lost", told, path=path, hint="stop working on it; its next attempt has another number")
