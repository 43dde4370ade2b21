"""Text in lines."""


def wrap(text: str, width: int) -> list[str]:
    """Break text into lines of at most a width, between words; a longer word has a line of its own.

    >>> wrap("the quick brown fox", 9)
    ['the quick', 'brown fox']
    >>> wrap("extraordinary", 5)
    ['extraordinary']
    """
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
