"""Titles as parts of an address."""


def slug(title: str) -> str:
    """Write a title in small letters and digits, with single hyphens between its words.

    >>> slug("Hello, World! -- again")
    'hello-world-again'
    >>> slug("  42  ")
    '42'
    """
    kept = "".join(char if char.isalnum() else " " for char in title.lower())
    return "-".join(kept.split())
