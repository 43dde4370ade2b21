"""The service manager that started us, told how we are: systemd's notify protocol, on the one socket it names.

Nobody there is no error, and nothing said here can stop or hold up the daemon: the socket never blocks, and what could
not be sent is said once to the log. Standard library only; docs/service.md says what each message is for.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger("taskdir")

STATUS_SECONDS = 1.0
"""A status that has changed is told no more often than this."""


class Manager:
    """Tells the manager: ready after the first pass, alive after each pass, and what goes on in words."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """``environ`` as the process got it: NOTIFY_SOCKET, a path or ``@`` and an abstract name; WATCHDOG_USEC."""
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._socket: socket.socket | None = None
        if name and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        watchdog = _watchdog_seconds(environ) if self._socket else None
        self.patience = watchdog / 4 if watchdog else math.inf
        """Seconds that may pass between two passes: a manager that watches us wants to hear from us when idle too."""
        self._every = min(self.patience / 2, STATUS_SECONDS)
        self._watched = watchdog is not None
        self._is_told_ready = self._is_told_trouble = False
        self._told_at, self._status = -math.inf, ""

    def passed(self, status: str) -> None:
        """A pass came to its end: the only thing that counts as a sign of life. ``status``: one line about us."""
        now = time.monotonic()
        is_news = status != self._status or self._watched
        if self._socket is None or (self._is_told_ready and (now - self._told_at < self._every or not is_news)):
            return
        lines = [] if self._is_told_ready else ["READY=1"]
        lines += ["WATCHDOG=1"] if self._watched else []
        if self._send(*lines, f"STATUS={status}"):
            self._is_told_ready, self._status, self._told_at = True, status, now

    def reloading(self) -> None:
        """Settings and contracts are read again; the end of the next pass says that it is over."""
        self._is_told_ready = False
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The last pass is over; what is left is to write down that we stopped."""
        self._send("STOPPING=1", "STATUS=stopping")

    def close(self) -> None:
        """Let the socket go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> bool:
        if self._socket is None:
            return False
        message = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            self._socket.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError as error:
            if not self._is_told_trouble:
                name = self._address.replace("\0", "@")
                log.warning("the service manager at %s cannot be told (%s); tried again after each pass", name, error)
            self._is_told_trouble = True
            return False
        self._is_told_trouble = False
        return True


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Return how long the manager waits for a sign of life; None when it does not, or means another process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        seconds = int(environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None
