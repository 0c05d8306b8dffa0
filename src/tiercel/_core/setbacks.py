"""
Setbacks: which keys failed to load lately, and when the next try is due.

While a stale copy can be served there is no hurry to ask a failing source again: the pause doubles with each failure
of a key, up to a limit. Bounded: beyond its capacity the key that failed longest ago is forgotten, and is tried again
early.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

FIRST_S = 1.0
LONGEST_S = 30.0


class Setbacks:
    """
    Args:
        capacity: Most keys remembered.
    """

    __slots__ = ("_capacity", "_failed")

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._failed: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def note(self, key: Hashable, now: float) -> None:
        """Remember that the load of *key* failed at *now* (seconds, monotonic)."""
        _, pause_s = self._failed.pop(key, (0.0, FIRST_S / 2))
        pause_s = min(2 * pause_s, LONGEST_S)
        self._failed[key] = (now + pause_s, pause_s)
        while len(self._failed) > self._capacity:
            self._failed.popitem(last=False)

    def is_due(self, key: Hashable, now: float) -> bool:
        """Say whether *key* may be tried again."""
        failed = self._failed.get(key)
        return failed is None or now >= failed[0]

    def forget(self, key: Hashable) -> None:
        """Note that *key* was loaded."""
        self._failed.pop(key, None)
