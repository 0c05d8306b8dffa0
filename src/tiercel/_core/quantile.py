"""
A running estimate of one quantile of a stream, in one number.

Each observation moves the estimate a little towards itself, upward and downward in such proportion that it settles
where the wanted part of the observations lies below (stochastic approximation, Robbins and Monro 1951), on a
logarithmic scale, so that it follows a tenfold change as fast from 1 ms as from 100 ms.

Pure. Not thread-safe; a race loses an observation.
"""

from __future__ import annotations

from tiercel.options import require

__all__ = ["Quantile"]


class Quantile:
    """
    Args:
        part: Part of the observations that lies below, for example 0.95.
        first: Estimate before anything is known.
        least: Bound of the estimate.
        most: Bound of the estimate.
        step: How far one observation moves it, as a part of itself.
    """

    __slots__ = ("_down", "_up", "least", "most", "value")

    def __init__(self, part: float, first: float, least: float, most: float, step: float = 0.1) -> None:
        require(0 < part < 1, f"part={part}: must lie in (0, 1)")
        require(0 < least <= first <= most, f"least={least}, first={first}, most={most}: must be in this order")
        self._up = 1 + step * part
        self._down = 1 - step * (1 - part)
        self.least = least
        self.most = most
        self.value = first

    def observe(self, value: float) -> None:
        """Take note of *value*."""
        moved = self.value * (self._up if value > self.value else self._down)
        self.value = min(self.most, max(self.least, moved))
