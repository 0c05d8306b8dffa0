"""
A time series of the last day, in bounded memory: one track every ten seconds for an hour, one every two minutes for a
day.

Each track computes the figures of its own steps from snapshots, so that a coarse point is as true as a fine one: its
percentile is that of all observations of the two minutes, and no average of percentiles.

Memory: a point is about 1 KB a region; eight regions and both tracks hold 360 + 720 points, about 9 MB at most.
Not thread-safe: one sampler feeds it; readers get copies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from tiercel._core.histogram import Histogram
from tiercel.observe.snapshot import RegionFigures, Snapshot

__all__ = ["Point", "RegionPoint", "Timeline"]


class RegionPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One region during one step; rates are per second, shares from 0 to 1, times seconds."""

    requests_per_s: float
    hit_rate: float
    error_rate: float
    loads_per_s: float
    invalidations_per_s: float
    redis_p50_s: float
    redis_p99_s: float
    load_p99_s: float
    memory_bytes: int
    entries: int
    journal_pending: int
    journal_lag_s: float


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One step that ended at ``at_s`` and took ``span_s``; ``total`` is over all regions."""

    at_s: float
    span_s: float
    total: RegionPoint
    regions: dict[str, RegionPoint]


class Timeline:
    """
    Points of the last day.

    Args:
        tracks: Step in seconds and number of points kept, finest first.
    """

    def __init__(self, tracks: Sequence[tuple[float, int]] = ((10.0, 360), (120.0, 720))) -> None:
        self._tracks = [_Track(step_s, points) for step_s, points in tracks]

    def add(self, snapshot: Snapshot) -> None:
        """Take note of *snapshot*; call at least as often as the finest step."""
        for track in self._tracks:
            track.add(snapshot)

    def points(self, since_s: float) -> list[Point]:
        """Return the points after *since_s* (seconds since the epoch), of the finest track that reaches back to it."""
        for track in self._tracks:
            if track.reaches(since_s):
                return track.after(since_s)
        return self._tracks[-1].after(since_s)


class _Track:
    """Points of one step width."""

    def __init__(self, step_s: float, capacity: int) -> None:
        self.step_s = step_s
        self._points: deque[Point] = deque(maxlen=capacity)
        self._last: Snapshot | None = None

    def add(self, snapshot: Snapshot) -> None:
        """Make a point where a step is over."""
        if self._last is None:
            self._last = snapshot
        elif snapshot.at_s - self._last.at_s >= self.step_s:
            self._points.append(_point(snapshot.since(self._last)))
            self._last = snapshot

    def reaches(self, since_s: float) -> bool:
        """Say whether nothing after *since_s* has been dropped here."""
        return len(self._points) < (self._points.maxlen or 0) or self._points[0].at_s - self.step_s <= since_s

    def after(self, since_s: float) -> list[Point]:
        """Return the points that end after *since_s*."""
        return [point for point in self._points if point.at_s > since_s]


def _point(step: Snapshot) -> Point:
    span_s = step.at_s - step.started_at_s
    regions = {name: _region_point(name, [figures], step, span_s) for name, figures in step.regions.items()}
    total = _region_point("", list(step.regions.values()), step, span_s)
    return Point(at_s=step.at_s, span_s=span_s, total=total, regions=regions)


def _region_point(name: str, figures: list[RegionFigures], step: Snapshot, span_s: float) -> RegionPoint:
    requests = sum(one.requests for one in figures)
    journals = [journal for region, journal in step.journals.items() if name in {"", region}]
    redis = _merged([one.tiers["redis"].latency for one in figures if "redis" in one.tiers])
    local = [one.tiers["local"] for one in figures if "local" in one.tiers]
    return RegionPoint(
        requests_per_s=requests / span_s,
        hit_rate=sum(one.hits for one in figures) / requests if requests else 0.0,
        error_rate=sum(one.errors for one in figures) / requests if requests else 0.0,
        loads_per_s=sum(one.counts["loads"] for one in figures) / span_s,
        invalidations_per_s=sum(one.counts["invalidations"] for one in figures) / span_s,
        redis_p50_s=redis.quantile(0.5),
        redis_p99_s=redis.quantile(0.99),
        load_p99_s=_merged([one.load_latency for one in figures]).quantile(0.99),
        memory_bytes=sum(tier.size_bytes for tier in local),
        entries=sum(tier.entries for tier in local),
        journal_pending=sum(journal.depth for journal in journals),
        journal_lag_s=max((journal.oldest_age_s for journal in journals), default=0.0),
    )


def _merged(histograms: Sequence[Histogram]) -> Histogram:
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total
