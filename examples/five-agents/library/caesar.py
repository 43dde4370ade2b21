"""The oldest cipher."""


def caesar(text: str, shift: int) -> str:
    """Move each letter along the alphabet, and leave everything else.

    >>> caesar("Hello, World!", 3)
    'Khoor, Zruog!'
    >>> caesar("Khoor, Zruog!", -3)
    'Hello, World!'
    """
    moved = []
    for char in text:
        first = ord("a") if "a" <= char <= "z" else ord("A") if "A" <= char <= "Z" else None
        moved.append(char if first is None else chr((ord(char) - first + shift) % 26 + first))
    return "".join(moved)
