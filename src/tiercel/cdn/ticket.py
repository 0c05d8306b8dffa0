"""
The number list in a purge ticket: ranges, so that a ticket for 10,000 items is still a short text.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiercel.errors import ConfigurationError


def pack_numbers(numbers: Iterable[int]) -> str:
    """Return *numbers* as ``1-4,9``."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def unpack_numbers(text: str) -> list[int]:
    """Return the numbers of ``1-4,9``; raise `ConfigurationError` where *text* is no such list."""
    numbers: list[int] = []
    try:
        for part in text.split(","):
            low, _, high = part.partition("-")
            numbers += range(int(low), int(high or low) + 1)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a purge ticket") from error
    return numbers
