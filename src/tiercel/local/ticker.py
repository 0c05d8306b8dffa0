"""
A clock that is read by looking at an attribute: what a hit in the reference tier compares deadlines with.

`Ticker.now` is kept by a daemon thread, one a process, and lags the system's clock by its interval; a call to
`time.monotonic` would cost a hit as much as its dictionary look-up. The thread ticks only while the tier is in use: it
works for a *lease*, then sets ``now`` to infinity and waits. An infinite ``now`` sends the next read to the slow path,
which reads the real clock and renews the lease. So a parked, late, forked or never started ticker costs time and is
never wrong: a child process begins parked, and where no thread can be started every read takes the slow path.

A long call that holds the interpreter delays the tick with everything else; the first reads after it may see the old
time, for one switch interval at most.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import Protocol

from tiercel._core.clock import SystemClock
from tiercel.typing import Clock

__all__ = ["ClockReader", "Ticker", "TimeSource", "shared_ticker", "time_source"]

INTERVAL_S = 0.005
LEASE_S = 1.0


class TimeSource(Protocol):
    """Where a table takes the time from."""

    @property
    def now(self) -> float:
        """Seconds, cheap, perhaps a tick late; infinity where only `read` knows."""

    def read(self) -> float:
        """Seconds, exact."""


class Ticker:
    """
    The system's monotonic clock as an attribute.

    Args:
        interval_s: Time between two ticks, the most that ``now`` lags on an idle interpreter.
        lease_s: How long the thread ticks after the last `read`.
    """

    def __init__(self, interval_s: float = INTERVAL_S, lease_s: float = LEASE_S) -> None:
        self._interval_s = interval_s
        self._lease_s = lease_s
        self.now = math.inf
        self.park()

    def park(self) -> None:
        """Forget the thread: ``now`` is infinite until the next `read` starts one."""
        self.now = math.inf
        self._is_wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def read(self) -> float:
        """Return the exact time and keep ``now`` ticking for another lease."""
        if not self._is_wanted.is_set():
            self._is_wanted.set()
            if self._thread is None:
                self._start()
        return time.monotonic()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._tick, name="tiercel-ticker", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down, or no thread is left: reads stay on the slow path
                return
            self._thread = thread

    def _tick(self) -> None:
        wanted = self._is_wanted
        while True:
            wanted.wait()
            end = time.monotonic() + self._lease_s
            while (moment := time.monotonic()) < end:
                self.now = moment
                time.sleep(self._interval_s)
            wanted.clear()
            self.now = math.inf


class ClockReader:
    """A user's clock behind the same attribute; each look is a call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def now(self) -> float:
        """Seconds on the user's clock."""
        return self._clock.monotonic()

    def read(self) -> float:
        """Seconds on the user's clock."""
        return self._clock.monotonic()


_shared = Ticker()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.park)


def shared_ticker() -> Ticker:
    """Return the process's ticker."""
    return _shared


def time_source(clock: Clock | None) -> TimeSource:
    """Return what a table reads the time from; None and `SystemClock` share the process's ticker."""
    return _shared if clock is None or type(clock) is SystemClock else ClockReader(clock)
