"""
Exponential back-off with full jitter: how long to pause before the next try.

The pause before try *n* (from 1) lies between half and the whole of ``min(longest_s, first_s * 2 ** (n - 1))``. The
lower half keeps a dead store from being asked at once; the jitter keeps many workers from asking together.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Backoff"]

_LARGEST_EXPONENT = 62


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    A back-off schedule.

    Args:
        first_s: Longest first pause, seconds.
        longest_s: Longest pause at all, seconds.
    """

    first_s: float
    longest_s: float

    def pause_s(self, tries: int, chance: float) -> float:
        """
        Return the pause after *tries* failures.

        Args:
            tries: Failures so far, at least 1.
            chance: A random number in [0, 1).
        """
        exponent = min(max(tries - 1, 0), _LARGEST_EXPONENT)
        ceiling_s = min(self.longest_s, self.first_s * float(1 << exponent))
        return ceiling_s * (0.5 + chance / 2)
