"""Spans of time for people."""


def clock(seconds: int) -> str:
    """Write a span of time as hours, minutes and seconds.

    >>> clock(3725)
    '1:02:05'
    >>> clock(59)
    '0:00:59'
    """
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
