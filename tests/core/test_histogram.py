"""The histogram: its quantiles stay within the promised error, and its bounds are exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.histogram import Histogram

values = st.lists(st.floats(1e-8, 1e4), min_size=1, max_size=200)


@given(values, st.floats(0.01, 1))
def test_a_quantile_is_within_the_promised_error(observed: list[float], share: float) -> None:
    histogram = Histogram()
    for value in observed:
        histogram.observe(value)
    rank = max(int(-(-share * len(observed) // 1)), 1)
    true_value = sorted(observed)[rank - 1]
    assert histogram.quantile(share) == pytest.approx(true_value, rel=0.0626, abs=1.1e-9)


@given(values)
def test_bounds_at_powers_of_two_are_exact(observed: list[float]) -> None:
    histogram = Histogram()
    for value in observed:
        histogram.observe(value)
    for bound, count in histogram.cumulative(range(4, 44, 2)):
        assert count == sum(int(value * 1e9) < round(bound * 1e9) for value in observed)


@given(values, values)
def test_the_difference_of_two_copies_is_what_came_between(first: list[float], second: list[float]) -> None:
    histogram = Histogram()
    for value in first:
        histogram.observe(value)
    earlier = histogram.copy()
    alone = Histogram()
    for value in second:
        histogram.observe(value)
        alone.observe(value)
    difference = histogram.since(earlier)
    assert difference.counts == alone.counts
    assert difference.total == pytest.approx(alone.total, rel=1e-6, abs=1e-6)


def test_a_clock_that_was_set_back_counts_as_zero() -> None:
    histogram = Histogram()
    histogram.observe(-5.0)
    assert (histogram.count, histogram.mean, histogram.quantile(1.0)) == (1, 0.0, 0.0)


def test_a_value_beyond_the_range_lands_in_the_last_bucket() -> None:
    histogram = Histogram(1)
    histogram.observe(2.0**70)
    assert histogram.count == 1
    assert histogram.counts[-1] == 1


def test_nothing_observed_is_zero() -> None:
    histogram = Histogram()
    assert (histogram.mean, histogram.quantile(0.99), histogram.count) == (0.0, 0.0, 0)


def test_histograms_of_different_units_do_not_mix() -> None:
    with pytest.raises(ValueError, match="different units"):
        Histogram().merge(Histogram(1))
