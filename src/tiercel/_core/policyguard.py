"""
Guard rails: what a change on trial must not do to hit rate, response times and the load of the origin.

A node that tries a change compares a sliding window of its own figures with fixed bounds, and with the time before the
change. It judges only windows with enough reads. One breach is enough, and it names the figure, the bound and the
window.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import msgspec

from tiercel._core.histogram import Histogram
from tiercel.errors import ConfigurationError

__all__ = ["Guard", "GuardWatch", "Rates", "Reading", "Verdict"]

EARLIER_S: Final = 300.0
"""How far back the time before a change is looked at."""
LONGEST_WINDOW_S: Final = 300.0
MOST_READINGS: Final = 512


class Guard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    When a change on trial is rolled back; at least one bound.

    Attributes:
        least_hit_rate: Hits by reads, [0, 1].
        most_hit_rate_drop: Points of hit rate below the time before, (0, 1].
        most_p99_s: 99th percentile of reads that left the process: far tier and loads.
        most_load_growth: Loads a second, as a multiple of the time before.
        most_loads_per_s: Loads a second, one node.
        window_s: Length of the window that is judged.
        least_requests: Reads in a window below which it is not judged.
        region: Only this region's figures; empty for all.
    """

    least_hit_rate: float | None = None
    most_hit_rate_drop: float | None = None
    most_p99_s: float | None = None
    most_load_growth: float | None = None
    most_loads_per_s: float | None = None
    window_s: float = 30.0
    least_requests: int = 200
    region: str = ""

    def __post_init__(self) -> None:
        bounds = (self.least_hit_rate, self.most_hit_rate_drop)
        others = (self.most_p99_s, self.most_load_growth, self.most_loads_per_s)
        if all(bound is None for bound in (*bounds, *others)):
            raise ConfigurationError("guard: set at least one bound, for example most_hit_rate_drop")
        if any(bound is not None and not 0 <= bound <= 1 for bound in bounds):
            raise ConfigurationError("guard: least_hit_rate and most_hit_rate_drop must lie in [0, 1]")
        if any(bound is not None and not bound > 0 for bound in (*others, self.window_s)):
            raise ConfigurationError("guard: most_p99, most_load_growth, most_loads_per_s, window must be above 0")
        if self.window_s > LONGEST_WINDOW_S:
            raise ConfigurationError(f"guard: window={self.window_s}: at most {LONGEST_WINDOW_S:g} seconds")
        if self.least_requests < 1:
            raise ConfigurationError(f"guard: least_requests={self.least_requests}: must be at least 1")


class Reading(NamedTuple):
    """Cumulative figures of a node at ``at_s`` on its monotonic clock; ``latency`` of reads that left the process."""

    at_s: float
    requests: int
    hits: int
    loads: int
    latency: Histogram


class Rates(NamedTuple):
    """What happened between two readings."""

    requests: int
    hit_rate: float
    loads_per_s: float
    p99_s: float

    @classmethod
    def between(cls, first: Reading, last: Reading) -> Rates:
        """Return the rates from *first* to *last*; 0 where nothing happened."""
        requests, span_s = last.requests - first.requests, last.at_s - first.at_s
        return cls(
            requests,
            (last.hits - first.hits) / requests if requests else 0.0,
            (last.loads - first.loads) / span_s if span_s > 0 else 0.0,
            last.latency.since(first.latency).quantile(0.99),
        )


class Verdict(NamedTuple):
    """What is known of a trial: whether it was judged at all, and the breach in words; empty for none."""

    is_judged: bool
    breach: str = ""


class GuardWatch:
    """
    Readings of one node, before and during a trial; not thread-safe.

    Outside a trial it is fed seldom (`EARLIER_S` is covered by a few readings), during one often.
    """

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque(maxlen=MOST_READINGS)
        self._before: Rates | None = None
        self._began: Reading | None = None

    def note(self, reading: Reading) -> None:
        """Take one reading; those before the last `EARLIER_S` are dropped."""
        self._readings.append(reading)
        while len(self._readings) > 2 and self._readings[1].at_s <= reading.at_s - EARLIER_S:
            self._readings.popleft()

    def begin(self, reading: Reading) -> None:
        """A trial begins now: what came before is what it is compared with."""
        self.note(reading)
        first = self._readings[0]
        self._before = Rates.between(first, reading) if reading.at_s > first.at_s else None
        self._readings.clear()
        self._readings.append(reading)
        self._began = reading

    def end(self) -> None:
        """The trial is over."""
        self._began = self._before = None

    def judge(self, guard: Guard, now: Reading) -> Verdict:
        """Note *now* and judge the window that ends there; a window of the trial's own, however young it is."""
        if self._began is None:
            return Verdict(False)
        self.note(now)
        while len(self._readings) > 2 and self._readings[1].at_s <= now.at_s - guard.window_s:
            self._readings.popleft()
        rates = Rates.between(self._readings[0], now)
        if rates.requests < guard.least_requests:
            return Verdict(False)
        before = self._before if self._before and self._before.requests >= guard.least_requests else None
        return Verdict(True, _breach(guard, rates, before))


def _breach(guard: Guard, now: Rates, before: Rates | None) -> str:
    """Say which bound is passed; bounds against the time before count only where enough was read then."""
    if guard.least_hit_rate is not None and now.hit_rate < guard.least_hit_rate:
        return f"hit rate {now.hit_rate:.1%} is below {guard.least_hit_rate:.1%}{_over(now)}"
    if guard.most_p99_s is not None and now.p99_s > guard.most_p99_s:
        return f"p99 {now.p99_s * 1e3:.3g} ms is above {guard.most_p99_s * 1e3:.3g} ms{_over(now)}"
    if guard.most_loads_per_s is not None and now.loads_per_s > guard.most_loads_per_s:
        return f"{now.loads_per_s:.3g} loads/s are above {guard.most_loads_per_s:.3g}{_over(now)}"
    if before is None:
        return ""
    drop = before.hit_rate - now.hit_rate
    if guard.most_hit_rate_drop is not None and drop > guard.most_hit_rate_drop:
        return (
            f"hit rate fell from {before.hit_rate:.1%} to {now.hit_rate:.1%}, "
            f"by more than {guard.most_hit_rate_drop:.1%}{_over(now)}"
        )
    if guard.most_load_growth is not None and now.loads_per_s > guard.most_load_growth * before.loads_per_s:
        return (
            f"loads grew from {before.loads_per_s:.3g}/s to {now.loads_per_s:.3g}/s, "
            f"to more than {guard.most_load_growth:g} times{_over(now)}"
        )
    return ""


def _over(now: Rates) -> str:
    return f" over {now.requests:,} reads"
