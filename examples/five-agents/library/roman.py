"""Numbers as the Romans wrote them."""


def roman(number: int) -> str:
    """Write a number from 1 to 3999 in Roman numerals.

    >>> roman(1994)
    'MCMXCIV'
    >>> roman(8)
    'VIII'
    """
    values = [1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1]
    written = ""
    for value, letters in zip(values, "M CM D CD C XC L XL X IX V IV I".split(), strict=True):
        written += letters * (number // value)
        number %= value
    return written
