"""Time as places on paper: round bucket widths, axis ticks, and words for times and lengths of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
_ROUND = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0,
    MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY, 365 * DAY,
)  # fmt: skip


def round_step(seconds: float, most: int) -> float:
    """Return the shortest round length of time that covers ``seconds`` in at most ``most`` steps."""
    return next((step for step in _ROUND if seconds / step <= most), seconds / most)


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a chart shows, in seconds since 1970, and the width it has on paper."""

    start: float
    end: float
    left: float
    width: float

    def x(self, time: float) -> float:
        """Return where a time lies on paper."""
        share = (time - self.start) / (self.end - self.start)
        return self.left + min(1.0, max(0.0, share)) * self.width

    def ticks(self, most: int = 8) -> list[tuple[float, str]]:
        """Return round times with their labels, each of which fits beside the next."""
        step = round_step(self.end - self.start, most)
        first = -(-self.start // step)
        count = int((self.end - first * step) / step + 1e-6) + 1
        times = [(first + number) * step for number in range(max(0, count))]
        days = self.end - self.start > DAY or _day(self.start) != _day(self.end)
        return [(time, _label(time, step, days=days)) for time in times if self.start <= time <= self.end]


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%m-%d")


def _label(time: float, step: float, *, days: bool) -> str:
    at = datetime.fromtimestamp(time, UTC)
    if step >= DAY:
        return at.strftime("%Y-%m-%d")
    clock = at.strftime("%H:%M" if step >= MINUTE else "%H:%M:%S")
    if step < 1:
        digits = 1 if step >= 0.1 else 3
        clock += f"{at.microsecond / 1e6:.{digits}f}"[1:]
    return f"{at:%m-%d} {clock}" if days else clock


@dataclass(frozen=True, slots=True)
class Buckets:
    """Equal stretches of time: ``count`` of ``seconds`` each from ``start`` on."""

    start: float
    seconds: float
    count: int

    @classmethod
    def over(cls, start: float, end: float, most: int) -> Buckets:
        """Cover a range with at most ``most`` buckets of a round width that begin at round times."""
        step = round_step(max(end - start, 0.001), most - 1)
        begin = start // step * step
        return cls(begin, step, max(1, int((end - begin) / step) + 1))

    @property
    def end(self) -> float:
        """Where the last bucket ends."""
        return self.start + self.count * self.seconds

    def at(self, time: float) -> int:
        """Return the number of the bucket that a time falls into."""
        return min(self.count - 1, max(0, int((time - self.start) / self.seconds)))

    def tally(self, times: Iterable[float]) -> list[int]:
        """Count times, bucket by bucket."""
        found = [0] * self.count
        for time in times:
            found[self.at(time)] += 1
        return found

    def busy(self, stretches: Iterable[tuple[float, float]]) -> list[float]:
        """Return the seconds of each bucket that the stretches cover, added up."""
        found = [0.0] * self.count
        for start, end in stretches:
            for place in range(self.at(start), self.at(end) + 1):
                left = self.start + place * self.seconds
                found[place] += max(0.0, min(end, left + self.seconds) - max(start, left))
        return found

    def highest(self, times: Sequence[float], values: Sequence[float], *, end: float, ages: bool) -> list[float]:
        """Return the highest value in each bucket of something that holds from each of ``times`` to the next.

        ``ages``: a value is a start, and what counts is how long ago it is; it grows until the next change.
        """
        found = [0.0] * self.count
        for place, (time, value) in enumerate(zip(times, values, strict=True)):
            until = times[place + 1] if place + 1 < len(times) else end
            for bucket in range(self.at(time), self.at(until) + 1):
                reached = min(until, self.start + (bucket + 1) * self.seconds) - value if ages else value
                found[bucket] = max(found[bucket], reached)
        return found


def clock(time: float) -> str:
    """Write a time for people: UTC, to the second."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")


def length(seconds: float) -> str:
    """Write a length of time in at most two units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < MINUTE:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    for unit, size, small, part in (("d", DAY, "h", HOUR), ("h", HOUR, "min", MINUTE), ("min", MINUTE, "s", 1.0)):
        if seconds >= size:
            rest = int(seconds % size // part)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{seconds:.0f} s"


def round_top(value: float) -> float:
    """Return a round number that is not less: the top of an axis."""
    if value <= 1:
        return 1.0
    size = 10.0 ** (len(str(int(value))) - 1)
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if size * step >= value)
