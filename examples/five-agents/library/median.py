"""The middle of numbers."""


def median(numbers: list[float]) -> float:
    """Return the middle number, or the mean of the two in the middle.

    >>> median([5, 1, 3])
    3
    >>> median([4, 1, 3, 2])
    2.5
    """
    ordered, half = sorted(numbers), len(numbers) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
