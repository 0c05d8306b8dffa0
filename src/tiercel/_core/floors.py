"""
Floors: which entries fell lately, so that an older record of theirs is recognised wherever it comes from.

    1. a key is invalidated; this process hears of it, and drops its copy
    2. a read is answered by a replica that has not got the invalidation yet
    3. the old value would be kept here for its whole ttl

Bounded: where too many fell at once, everything older than now is refused for as long as a floor holds.

Pure: ``now_ms`` is a wall clock. Not thread-safe, but a race only loses to a later floor.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["FLOOR_MS", "MARGIN_MS", "Floors"]

K = TypeVar("K", bound=Hashable)

FLOOR_MS = 60_000
"""How long a floor holds: longer than any replica that is asked may lag."""
MARGIN_MS = 1_000
"""A record is refused though it seems younger than its floor by so much: clocks are known no better."""


class Floors(Generic[K]):
    """
    Args:
        capacity: Most entries remembered.
    """

    __slots__ = ("_all_ms", "_capacity", "_fell_ms")

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._fell_ms: OrderedDict[K, int] = OrderedDict()
        self._all_ms = -FLOOR_MS

    def fell(self, key: K, now_ms: int) -> None:
        """Note that *key* fell."""
        self._fell_ms.pop(key, None)
        self._fell_ms[key] = now_ms
        while self._fell_ms and next(iter(self._fell_ms.values())) < now_ms - FLOOR_MS:
            self._fell_ms.popitem(last=False)
        if len(self._fell_ms) > self._capacity:
            self.all_fell(now_ms)

    def all_fell(self, now_ms: int) -> None:
        """Note that anything may have fallen: messages were missed."""
        self._fell_ms.clear()
        self._all_ms = now_ms

    def admits(self, key: K, created_ms: int) -> bool:
        """Say whether a record of *key* from *created_ms* is younger than all that is known to have fallen."""
        return created_ms > max(self._fell_ms.get(key, -FLOOR_MS), self._all_ms) + MARGIN_MS
