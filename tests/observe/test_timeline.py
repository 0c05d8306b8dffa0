"""The time series: true points, both widths, bounded."""

from __future__ import annotations

import pytest

from tests.observe.figures import snapshot
from tiercel.observe import Recorder
from tiercel.observe.timeline import Timeline


def _day(timeline: Timeline, until_s: int) -> None:
    """Feed a day of one read a second; every tenth step is slow."""
    recorder = Recorder(wall=lambda: 0.0)
    tier = recorder.region("search").tier("redis")
    for at_s in range(0, until_s + 1, 10):
        if at_s:
            tier.hits += 9
            tier.misses += 1
            recorder.region("search").loads += 1
            for _ in range(10):
                tier.latency.observe(0.1 if at_s % 100 == 0 else 0.001)
        timeline.add(snapshot(recorder, at_s=at_s, local_tier=None, journals={}))


def test_points_are_of_their_own_step() -> None:
    timeline = Timeline()
    _day(timeline, 100)
    points = timeline.points(0)
    assert [point.at_s for point in points] == list(range(10, 101, 10))
    last = points[-1].regions["search"]
    assert (last.requests_per_s, last.hit_rate, last.loads_per_s) == (1.0, 0.9, 0.1)
    assert last.redis_p50_s == pytest.approx(0.1, rel=0.07)
    assert points[-2].regions["search"].redis_p99_s == pytest.approx(0.001, rel=0.07)
    assert points[-1].total == points[-1].regions["search"]


def test_a_day_is_bounded_and_coarse_percentiles_are_true() -> None:
    timeline = Timeline()
    _day(timeline, 90_000)
    fine, coarse = timeline.points(90_000 - 3600), timeline.points(0)
    assert (len(fine), len(coarse)) == (360, 720)
    assert coarse[-1].at_s - coarse[0].at_s == 719 * 120
    assert coarse[-1].regions["search"].redis_p99_s == pytest.approx(0.1, rel=0.07)
    assert coarse[-1].regions["search"].redis_p50_s == pytest.approx(0.001, rel=0.07)
    assert [point.at_s for point in timeline.points(90_000 - 25)] == [89_980, 89_990, 90_000]
