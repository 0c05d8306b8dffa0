"""
The K heaviest names of an unbounded stream, in bounded memory, with the rest summed as one.

Space-Saving (Metwally, Agrawal, El Abbadi 2005): an unknown name takes the place of the lightest held one and
inherits its weight as *rank* only. Exact counts are kept beside the rank: they begin at zero when a name is admitted,
and go to `OTHER` when it is displaced. So the sum over all names is always the sum of everything counted, each
exported series only grows while it exists, and a name with more than ``1 / capacity`` of the stream is always held.
"""

from __future__ import annotations

from typing import Final

__all__ = ["OTHER", "TopK"]

OTHER: Final = "@other"
"""Name of the sum over everything that is not held; no tenant can be called so."""


class TopK:
    """
    Counters by name and outcome for the heaviest names.

    Not thread-safe. A held name costs one dict lookup; an unknown one costs a scan of the *capacity* held names.
    """

    __slots__ = ("_counts", "_ranks", "capacity", "other")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: must be at least 1")
        self.capacity = capacity
        self.other: dict[str, int] = {}
        self._ranks: dict[str, int] = {}
        self._counts: dict[str, dict[str, int]] = {}

    def add(self, name: str, outcome: str, amount: int = 1) -> None:
        """Count *amount* of *outcome* for *name*."""
        if name not in self._ranks:
            self._admit(name)
        self._ranks[name] += amount
        counts = self._counts[name]
        counts[outcome] = counts.get(outcome, 0) + amount

    def _admit(self, name: str) -> None:
        inherited = 0
        if len(self._ranks) >= self.capacity:
            lightest = min(self._ranks, key=self._ranks.__getitem__)
            inherited = self._ranks.pop(lightest)
            for outcome, count in self._counts.pop(lightest).items():
                self.other[outcome] = self.other.get(outcome, 0) + count
        self._ranks[name] = inherited
        self._counts[name] = {}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return a copy of the exact counts since admission, heaviest first, `OTHER` last where there is any."""
        names = sorted(self._ranks, key=self._ranks.__getitem__, reverse=True)
        result = {name: dict(self._counts[name]) for name in names}
        if self.other:
            result[OTHER] = dict(self.other)
        return result
