"""Lists in pieces."""


def chunks(items: list[int], size: int) -> list[list[int]]:
    """Cut a list into pieces of a size; the last one may be shorter.

    >>> chunks([1, 2, 3, 4, 5], 2)
    [[1, 2], [3, 4], [5]]
    >>> chunks([], 2)
    []
    """
    return [items[at : at + size] for at in range(0, len(items), size)]
