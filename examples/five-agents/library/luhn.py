"""Numbers that guard against typing errors."""


def luhn(number: str) -> bool:
    """Say whether the last digit of a number is the right one, by Luhn's sum; spaces do not count.

    >>> luhn("4539 1488 0343 6467")
    True
    >>> luhn("8273 1232 7352 0569")
    False
    """
    digits = [int(char) for char in number if char != " "]
    twice = [2 * digit - 9 if digit > 4 else 2 * digit for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(twice)) % 10 == 0
