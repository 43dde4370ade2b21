"""The parts of a benchmark; each takes a ``Bench`` and leaves figures and series in it."""

from __future__ import annotations

from statistics import median, quantiles

__all__ = ["median", "spread"]


def spread(values: list[float]) -> dict[str, float]:
    """Return p50, p95 and p99 of some values."""
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}
