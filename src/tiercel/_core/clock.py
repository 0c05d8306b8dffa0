"""
The clocks: the operating system's, and one for tests that stands still until told.

Both give seconds as float. `SystemClock.monotonic` is unaffected by changes of the wall clock; its origin is arbitrary.
"""

from __future__ import annotations

import time

__all__ = ["ManualClock", "SystemClock"]


class SystemClock:
    """The operating system's time."""

    __slots__ = ()

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()


class ManualClock:
    """
    A clock that moves only when `advance` is called; safe to read from any thread.

    Args:
        monotonic_s: Where the monotonic side starts.
        wall_s: Where the wall side starts, seconds since the epoch.
    """

    __slots__ = ("_monotonic_s", "_wall_s")

    def __init__(self, monotonic_s: float = 1_000.0, wall_s: float = 1_700_000_000.0) -> None:
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return self._monotonic_s

    def wall(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._wall_s

    def advance(self, seconds: float) -> None:
        """Move both sides forward; *seconds* must not be negative."""
        if seconds < 0:
            raise ValueError(f"advance({seconds}): a monotonic clock never goes back")
        self._monotonic_s += seconds
        self._wall_s += seconds

    def jump_wall(self, seconds: float) -> None:
        """Move only the wall side, forward or back, as an operator or NTP would."""
        self._wall_s += seconds
