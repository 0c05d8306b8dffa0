"""
A ghost list: fingerprints of the keys that left a cache lately, and nothing else of them.

The list remembers about the last *size* fingerprints added, in a table of four-way buckets whose oldest mark gives way;
no key, value or personal data is kept. A mark is 32 bits of the fingerprint, so a stranger is taken for a ghost about
once in 10^9 look-ups.

Not thread-safe: the owner's lock protects it.
"""

from __future__ import annotations

__all__ = ["GhostList"]

WAYS = 4
MASK32 = 0xFFFF_FFFF


class GhostList:
    """
    The keys that left lately, first in first out.

    Args:
        size: How many are remembered.
    """

    __slots__ = ("_marks", "_mask", "_size", "_turn", "_turns")

    def __init__(self, size: int) -> None:
        buckets = 1
        while buckets * WAYS < 2 * size:
            buckets *= 2
        self._size = size
        self._mask = buckets - 1
        self._marks = [0] * (buckets * WAYS)
        self._turns = [0] * (buckets * WAYS)
        self._turn = 0

    def add(self, fingerprint: int) -> None:
        """Remember *fingerprint*; the oldest of its bucket is forgotten where there is no room."""
        mark = (fingerprint & MASK32) or 1
        base = ((fingerprint >> 32) & self._mask) * WAYS
        self._turn = (self._turn + 1) & MASK32
        chosen, oldest = base, -1
        for place in range(base, base + WAYS):
            if self._marks[place] in (0, mark):
                chosen = place
                break
            age = (self._turn - self._turns[place]) & MASK32
            if age > oldest:
                chosen, oldest = place, age
        self._marks[chosen] = mark
        self._turns[chosen] = self._turn

    def discard(self, fingerprint: int) -> bool:
        """Forget *fingerprint*; return whether it was remembered."""
        mark = (fingerprint & MASK32) or 1
        base = ((fingerprint >> 32) & self._mask) * WAYS
        for place in range(base, base + WAYS):
            if self._marks[place] == mark:
                self._marks[place] = 0
                return ((self._turn - self._turns[place]) & MASK32) < self._size
        return False
