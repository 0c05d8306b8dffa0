# Generated from src/tiercel/_async/lane_refresh.py by tools/unasync.py. Do not edit.
"""
When the picture of who serves what is fetched: one fetch at a time, and not more often than the interval allows.

A call that failed asks for it and goes on with its pause; only one of many callers pays for the round trip.
"""

from __future__ import annotations

import time

from tiercel._paired import Function, Job, spawn
from tiercel.errors import TierError

__all__ = ["Refresher"]

# Budget of a fetch that nobody waits for.
_BACKGROUND_S = 2.0


class Refresher:
    """
    Paces one function.

    Args:
        fetch: Fetches the picture by a deadline on the clock of `time.monotonic`; raises `TierError`.
        interval_s: Least time between the end of one fetch and the start of the next.
    """

    def __init__(self, fetch: Function[[float], None], interval_s: float) -> None:
        self.last_error: TierError | None = None
        self._fetch = fetch
        self._interval_s = interval_s
        self._ended_at = float("-inf")
        # Until when a fetch that has begun may be going on: a bound, because a fork or a stopped loop never ends it.
        self._runs_until = 0.0
        self._job: Job | None = None
        self._is_closed = False

    def now(self, deadline: float) -> None:
        """Fetch, unless that is going on or was done just now; raises `TierError`."""
        if not self._is_due():
            return
        self._runs_until = deadline
        try:
            self._fetch(deadline)
            self.last_error = None
        except TierError as error:
            self.last_error = error
            raise
        finally:
            self._ended_at = time.monotonic()
            self._runs_until = 0.0

    def soon(self) -> None:
        """Have it fetched in the background, where it is due; a failure is kept in ``last_error``."""
        if self._is_due() and not self._is_closed:
            self._job = spawn("tiercel-topology", self._quietly, time.monotonic() + _BACKGROUND_S)

    def close(self) -> None:
        """Wait for a fetch in the background to end."""
        self._is_closed = True
        if self._job is not None:
            self._job.join(_BACKGROUND_S)

    def _quietly(self, deadline: float) -> None:
        try:
            self.now(deadline)
        except TierError as error:  # nobody waits for it; health shows it, and the next failing call asks again
            self.last_error = error

    def _is_due(self) -> bool:
        now = time.monotonic()
        return now >= self._runs_until and now - self._ended_at >= self._interval_s
