"""Numbers with two divisors."""


def primes(limit: int) -> list[int]:
    """List the primes below a limit.

    >>> primes(20)
    [2, 3, 5, 7, 11, 13, 17, 19]
    >>> primes(2)
    []
    """
    found: list[int] = []
    for number in range(2, limit):
        if all(number % prime for prime in found):
            found.append(number)
    return found
