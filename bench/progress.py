"""Where a long run is: a bar on stderr when that is a terminal, a line for each part else."""

from __future__ import annotations

import sys
import time

WIDTH = 24


class Progress:
    """Steps of the part in hand; ``say`` prints a line that stays."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._began = time.monotonic()
        self._name, self._steps, self._done = "", 1, 0

    def part(self, name: str, steps: int) -> None:
        """Begin a part of so many steps."""
        self._name, self._steps, self._done = name, max(1, steps), 0
        if not self._live:
            self.say(name)
        self._draw()

    def step(self) -> None:
        """One step is over."""
        self._done += 1
        self._draw()

    def say(self, text: str) -> None:
        """Print a line."""
        clear = "\r\033[K" if self._live else ""
        print(f"{clear}{self._clock()} {text}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the bar away."""
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes:3d}:{seconds:02d}"

    def _draw(self) -> None:
        if self._live:
            full = WIDTH * min(self._done, self._steps) // self._steps
            bar = "#" * full + "." * (WIDTH - full)
            print(f"\r\033[K{self._clock()} [{bar}] {self._name}", end="", file=sys.stderr, flush=True)
