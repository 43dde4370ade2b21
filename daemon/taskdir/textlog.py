"""What the daemon says while it runs: lines for people or JSON lines for programs, on stderr.

The journal is the truth; these lines are a courtesy, and may be lost.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from taskdir.documents import timestamp

FORMATS = ("text", "json")

TOLD = frozenset({"started", "stopped", "rejected", "refused", "late", "breach", "failed"})
"""Events that are told unasked."""

_ASKED = logging.getLogger("taskdir")
_UNASKED = logging.getLogger("taskdir.events")
"""Where the other events go, which are told only when asked for (-v)."""

_LOGGERS = {"taskdir": logging.INFO, "watchdog": logging.CRITICAL}
"""Watchdog complains of events that come while it stops, and of what scanning makes harmless."""


class _Lines(logging.Formatter):
    """``12:30:01 rejected file=b.json``"""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        said = f"{timestamp(record.created)[:19]}Z {level}{record.getMessage()} {fields}".rstrip()
        return f"{said}\n{self.formatException(record.exc_info)}" if record.exc_info else said


class _Json(logging.Formatter):
    """``{"time": …, "level": "info", "message": "rejected", "file": "b.json"}``"""

    def format(self, record: logging.LogRecord) -> str:
        told = {"time": timestamp(record.created), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told | _fields(record), default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def tell(event: dict[str, Any]) -> None:
    """Tell the operator about an event, one line."""
    logger = _ASKED if event["event"] in TOLD else _UNASKED
    if logger.isEnabledFor(logging.INFO):
        about = {name: event[name] for name in ("id", "attempt", "agent", "by", "file", "code") if name in event}
        reason = event.get("reason", event.get("error"))
        about |= {"code": reason["code"]} if isinstance(reason, dict) and "code" in reason else {}
        logger.info("%s", event["event"], extra={"fields": about})


def start(form: str = "text", *, all_events: bool = False) -> logging.Handler:
    """Send what taskdir logs to stderr, as ``form`` says; returns the handler, for ``stop``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Lines())
    _UNASKED.setLevel(logging.NOTSET if all_events else logging.WARNING)
    for name, level in _LOGGERS.items():
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    return handler


def stop(handler: logging.Handler) -> None:
    """Take the handler away again."""
    for name in _LOGGERS:
        logging.getLogger(name).removeHandler(handler)
