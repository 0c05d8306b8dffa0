"""
A circuit breaker for one node: it says whether a call may be tried, from how the last calls went.

It opens on consecutive bad calls, and where most of the calls of the current window were bad. A *bad* call failed or
took longer than ``slow_s``: a server that answers late hurts its callers as much as one that does not answer. While
open, every call is refused; after a pause some *probes* are let through (half-open). Enough good probes close it, a bad
one opens it for twice as long, up to ``open_max_s``.

Pure: ``now`` is seconds on any monotonic clock. Several threads may use one breaker without a lock: a count may then be
short by the calls that raced, and every transition can be made twice without harm.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tiercel.options import require

__all__ = ["Breaker", "BreakerOptions", "BreakerState"]


class BreakerState(enum.Enum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """
    When a breaker opens and how it recovers.

    Args:
        failures: Consecutive bad calls that open it.
        slow_s: A call that takes at least this long is bad.
        window_s: Length of the window in which the share of bad calls is counted; it begins with a bad call.
        bad_share: Part of the window's calls that must be bad to open it.
        least_calls: Fewer calls in the window than this never open it by share.
        open_s: First pause after opening.
        open_max_s: Longest pause.
        probes: Good calls in a row, half-open, that close it; also the most that run at once.
        probe_timeout_s: A probe that has not ended after this long is forgotten (its caller was cancelled).
    """

    failures: int = 5
    slow_s: float = 0.25
    window_s: float = 1.0
    bad_share: float = 0.5
    least_calls: int = 20
    open_s: float = 0.5
    open_max_s: float = 2.0
    probes: int = 2
    probe_timeout_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("failures", "least_calls", "probes"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}: must be at least 1")
        for name in ("slow_s", "window_s", "open_s", "probe_timeout_s"):
            require(getattr(self, name) > 0, f"{name}={getattr(self, name)}: must be greater than 0")
        require(0 < self.bad_share <= 1, f"bad_share={self.bad_share}: must lie in (0, 1]")
        require(
            self.open_max_s >= self.open_s,
            f"open_max_s={self.open_max_s} is below open_s={self.open_s}: the longest must not be the shorter one",
        )


class Breaker:
    """The state of one node's breaker; see the module's text."""

    __slots__ = (
        "_bad_in_a_row",
        "_calls",
        "_good_probes",
        "_open_until",
        "_pause_s",
        "_probes_started",
        "_window_bad",
        "_window_ends",
        "is_closed",
        "opened_count",
        "options",
    )

    def __init__(self, options: BreakerOptions | None = None) -> None:
        self.options = options or BreakerOptions()
        self.opened_count = 0
        self.is_closed = True
        self._pause_s = self.options.open_s
        self._open_until = 0.0
        self._window_ends = 0.0
        self._probes_started: list[float] = []
        self._close()

    def state(self, now: float) -> BreakerState:
        """Return the state that a call at *now* would meet."""
        if self.is_closed:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def allows(self, now: float) -> bool:
        """Say whether a call may be tried at *now*; a yes while half-open uses up one probe."""
        if self.is_closed:
            return True
        if now < self._open_until:
            return False
        self._probes_started = [start for start in self._probes_started if now - start < self.options.probe_timeout_s]
        if len(self._probes_started) >= self.options.probes:
            return False
        self._probes_started.append(now)
        return True

    def ended(self, now: float, duration_s: float) -> None:
        """Record a call that was answered, *duration_s* seconds after it began."""
        if duration_s >= self.options.slow_s:
            self.failed(now)
        else:
            self.answered(1)

    def answered(self, calls: int) -> None:
        """Record *calls* that were answered in time."""
        if self.is_closed:
            self._bad_in_a_row = 0
            self._calls += calls
            return
        for _ in range(min(calls, self.options.probes)):
            self._probe_was_good()

    def failed(self, now: float) -> None:
        """Record a call that failed or took too long."""
        if not self.is_closed:
            # A call from before the opening says nothing new; a bad probe does.
            if now >= self._open_until:
                self._open(now, self._pause_s * 2)
            return
        if now >= self._window_ends:
            # A window begins with a bad call, so that good ones need no look at the clock.
            self._window_ends = now + self.options.window_s
            self._calls = self._window_bad = 0
        self._bad_in_a_row += 1
        self._calls += 1
        self._window_bad += 1
        if self._bad_in_a_row >= self.options.failures or self._window_is_bad():
            self._open(now, self.options.open_s)

    def _window_is_bad(self) -> bool:
        return self._calls >= self.options.least_calls and self._window_bad >= self._calls * self.options.bad_share

    def _probe_was_good(self) -> None:
        if self._probes_started:
            self._probes_started.pop()
        self._good_probes += 1
        if self._good_probes >= self.options.probes:
            self._close()

    def _open(self, now: float, pause_s: float) -> None:
        self._pause_s = min(pause_s, self.options.open_max_s)
        self._open_until = now + self._pause_s
        self._good_probes = 0
        self._probes_started = []
        self.opened_count += 1
        self.is_closed = False

    def _close(self) -> None:
        self._bad_in_a_row = 0
        self._calls = self._window_bad = 0
        self._window_ends = 0.0
        self._good_probes = 0
        self._probes_started = []
        self.is_closed = True
