"""
Promotions: which hot keys are kept nearer for now.

A promotion holds for a while and is then earned again: a promoted key is read where it is near, so nothing counts its
reads. Bounded: beyond the capacity the promotion that ends first gives way.

Pure: ``now`` is seconds on a monotonic clock. Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Promotions"]

K = TypeVar("K", bound=Hashable)


class Promotions(Generic[K]):
    """
    Args:
        capacity: Most keys promoted at once.
        hold_s: How long a promotion holds.
    """

    __slots__ = ("_ends", "capacity", "hold_s")

    def __init__(self, capacity: int, hold_s: float) -> None:
        self.capacity = capacity
        self.hold_s = hold_s
        self._ends: dict[K, float] = {}

    def promote(self, key: K, now: float) -> bool:
        """Promote *key* until ``now + hold_s``; return whether it was not promoted before."""
        is_new = not self.is_promoted(key, now)
        self._ends.pop(key, None)
        while len(self._ends) >= self.capacity:
            del self._ends[min(self._ends, key=self._ends.__getitem__)]
        self._ends[key] = now + self.hold_s
        return is_new

    def is_promoted(self, key: K, now: float) -> bool:
        """Say whether *key* is kept nearer at *now*."""
        return now < self._ends.get(key, float("-inf"))

    def promoted(self, now: float) -> list[K]:
        """Return the keys that are promoted at *now*."""
        return [key for key, ends in self._ends.items() if now < ends]
