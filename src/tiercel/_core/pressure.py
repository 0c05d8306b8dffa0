"""
Back-pressure: whether a journal may take more rows.

A bound by count, by bytes and by age; the first that is reached is named, so that an operator knows which to raise.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercel._core.journal import JournalSize

__all__ = ["Bounds"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How much may wait.

    Args:
        rows: Most rows, None for no bound.
        size_bytes: Most encoded bytes, None for no bound.
        age_s: Most seconds that the oldest row may have waited, None for no bound.
    """

    rows: int | None = None
    size_bytes: int | None = None
    age_s: float | None = None

    def reached(self, size: JournalSize, *, more_rows: int, more_bytes: int, now_s: float) -> str | None:
        """
        Say which bound forbids *more_rows* of *more_bytes*, None where they fit.

        An empty journal takes one append of any size: a bound smaller than a row must not stop the region for ever.
        """
        if size.rows == 0:
            return None
        if self.rows is not None and size.rows + more_rows > self.rows:
            return f"max_pending={self.rows}: {size.rows} rows wait"
        if self.size_bytes is not None and size.size_bytes + more_bytes > self.size_bytes:
            return f"max_pending_bytes={self.size_bytes}: {size.size_bytes} bytes wait"
        if self.age_s is not None and size.oldest_s is not None and now_s - size.oldest_s > self.age_s:
            return f"max_age_s={self.age_s}: the oldest row waits since {now_s - size.oldest_s:.1f} s"
        return None
