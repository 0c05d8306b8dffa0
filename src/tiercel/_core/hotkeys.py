"""
Which keys a process reads most, so that they can be kept nearer: the K hottest of a stream, forgetting with time.

Space-Saving (Metwally, Agrawal, El Abbadi 2005) over counts that are halved every half-life: a key that was hot
yesterday does not stay hot. A count is too high by at most the smallest one held, never too low.

Pure: ``now`` is seconds on a monotonic clock. Not thread-safe. An unknown key costs a scan of the *capacity* keys held,
so callers sample (one read in eight is plenty).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from tiercel.options import require

__all__ = ["HotKeys"]

K = TypeVar("K", bound=Hashable)


class HotKeys(Generic[K]):
    """
    The hottest keys of a stream.

    Args:
        capacity: Keys held.
        threshold: Reads, halved with time, from which a key counts as hot.
        half_life_s: Time in which a count that gets no reads falls by half.
    """

    __slots__ = ("_counts", "_halved_at", "capacity", "half_life_s", "threshold")

    def __init__(self, capacity: int = 64, threshold: float = 100.0, half_life_s: float = 10.0) -> None:
        require(capacity >= 1, f"capacity={capacity}: must be at least 1")
        require(threshold > 0, f"threshold={threshold}: must be greater than 0")
        require(half_life_s > 0, f"half_life_s={half_life_s}: must be greater than 0")
        self.capacity = capacity
        self.threshold = threshold
        self.half_life_s = half_life_s
        self._counts: dict[K, float] = {}
        self._halved_at = float("-inf")

    def add(self, key: K, now: float, weight: float = 1.0) -> bool:
        """Count *weight* reads of *key*; return whether it is hot now."""
        if now - self._halved_at >= self.half_life_s:
            self._halve(now)
        count = self._counts.get(key)
        if count is None:
            count = self._make_room()
        self._counts[key] = count = count + weight
        return count >= self.threshold

    def is_hot(self, key: K) -> bool:
        """Say whether *key* has reached the threshold."""
        return self._counts.get(key, 0.0) >= self.threshold

    def hottest(self, most: int) -> list[tuple[K, float]]:
        """Return up to *most* keys with their counts, hottest first."""
        return sorted(self._counts.items(), key=lambda held: held[1], reverse=True)[:most]

    def _make_room(self) -> float:
        """Drop the coldest key where there is no room, and return the count that the newcomer inherits."""
        if len(self._counts) < self.capacity:
            return 0.0
        coldest = min(self._counts, key=self._counts.__getitem__)
        return self._counts.pop(coldest)

    def _halve(self, now: float) -> None:
        if self._counts:
            halvings = min(64, int((now - self._halved_at) / self.half_life_s))
            self._counts = {key: left for key, count in self._counts.items() if (left := count / 2**halvings) >= 0.5}
        self._halved_at = now
