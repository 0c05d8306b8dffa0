"""
Adaptive batch size: how many rows the next flush writes.

Additive increase, multiplicative decrease (as in TCP): a flush that the store took whole lets the next be a quarter
larger, one that it could not finish halves it. A store that recovers from overload is thus not hit with the largest
batch first.
"""

from __future__ import annotations

__all__ = ["AdaptiveBatch"]


class AdaptiveBatch:
    """
    The size of the next batch, between 1 and *largest*.

    Args:
        largest: Upper bound, rows; also the first size.
    """

    __slots__ = ("_largest", "size")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self.size = largest

    def grow(self) -> None:
        """A batch went through."""
        self.size = min(self._largest, self.size + max(1, self.size // 4))

    def shrink(self) -> None:
        """The store could not take a batch."""
        self.size = max(1, self.size // 2)
