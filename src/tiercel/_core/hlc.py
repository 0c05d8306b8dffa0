"""
Hybrid logical clock: versions that follow wall time and never go back, whatever the machine's clock does.

A version is microseconds since the epoch (63 bits, enough until the year 294,000), or the last version plus one where
the clock stands still, goes back, or lags behind a version seen from another node. After Kulkarni et al., "Logical
Physical Clocks" (2014), with the logical part folded into the microseconds. Pure: the caller gives the time and holds
the lock.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_VERSION", "HybridClock"]

MAX_VERSION: Final = (1 << 63) - 1


class HybridClock:
    """A source of strictly growing versions; not thread-safe by itself."""

    __slots__ = ("_last",)

    def __init__(self, last: int = 0) -> None:
        self._last = last

    @property
    def last(self) -> int:
        """The largest version given or seen."""
        return self._last

    def next(self, now_us: int, floor: int = 0) -> int:
        """
        Return a version larger than *floor* and than every version given or seen before.

        Args:
            now_us: Wall time in microseconds.
            floor: Version that the caller has seen for this row, 0 for none.

        Raises:
            OverflowError: The 63 bits are used up; somebody fed a version that is no time.
        """
        version = max(now_us, self._last + 1, floor + 1)
        if version > MAX_VERSION:
            raise OverflowError(f"version {version} does not fit 63 bits")
        self._last = version
        return version

    def observe(self, version: int) -> None:
        """Learn a *version* made elsewhere: later ones are larger."""
        self._last = max(self._last, version)
