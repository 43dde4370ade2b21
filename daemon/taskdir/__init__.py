"""Maildir for agent work: ``from taskdir import Taskdir``.

The names are loaded when they are first used, so that a command which needs none of them does not pay for them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own would load it, as long as a claim takes (tests/meta/test_budget.py)
if TYPE_CHECKING:
    from typing import Any

    from taskdir.aio import AsyncClaim, AsyncTaskdir
    from taskdir.client import Taskdir
    from taskdir.errors import TaskdirError
    from taskdir.held import Claim

__version__ = "0.1.0"
__all__ = ["AsyncClaim", "AsyncTaskdir", "Claim", "Taskdir", "TaskdirError", "__version__"]

_HOMES = {
    "AsyncClaim": "aio",
    "AsyncTaskdir": "aio",
    "Claim": "held",
    "Taskdir": "client",
    "TaskdirError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
