"""Text by its runs."""


def runs(text: str) -> list[tuple[str, int]]:
    """Count how often each character follows itself.

    >>> runs("aaabcc")
    [('a', 3), ('b', 1), ('c', 2)]
    >>> runs("")
    []
    """
    found: list[tuple[str, int]] = []
    for char in text:
        if found and found[-1][0] == char:
            found[-1] = (char, found[-1][1] + 1)
        else:
            found.append((char, 1))
    return found
