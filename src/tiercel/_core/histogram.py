"""
A histogram with logarithmic buckets: any quantile to within 6.25 %, in constant memory and one list increment.

Each power of two is cut into eight linear buckets, as in HdrHistogram. A value is scaled to an integer first
(nanoseconds for latencies, bytes for sizes), so that the bucket comes from ``int.bit_length`` and not from a logarithm.
Values above 2**48 units (3.2 days in nanoseconds, 256 TiB in bytes) land in the last bucket.

No locks: under the GIL ``counts[i] += 1`` is not interrupted; on a free-threaded build two threads may lose a count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["NANOSECONDS_PER_S", "Histogram"]

NANOSECONDS_PER_S: Final = 1e9

_SUB_BITS: Final = 3
_SUB_BUCKETS: Final = 1 << _SUB_BITS
_MAX_BITS: Final = 48
_BUCKETS: Final = (_MAX_BITS - _SUB_BITS) * _SUB_BUCKETS + _SUB_BUCKETS


class Histogram:
    """
    Counts of observed values, 2.9 KiB whatever their number.

    Args:
        units_per_one: Integer units in one of the observed unit: 1e9 where seconds are observed and nanoseconds
            are resolved, 1 where bytes are observed.
    """

    __slots__ = ("counts", "maximum", "total", "units_per_one")

    def __init__(self, units_per_one: float = NANOSECONDS_PER_S) -> None:
        self.units_per_one = units_per_one
        self.counts: list[int] = [0] * _BUCKETS
        self.total = 0.0
        """Sum of the observed values, in the observed unit."""
        self.maximum = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a negative one (a clock that was set back) counts as zero."""
        units = int(value * self.units_per_one)
        if units < _SUB_BUCKETS:
            index = max(units, 0)
        else:
            shift = units.bit_length() - _SUB_BITS - 1
            index = (shift << _SUB_BITS) + (units >> shift)
            if index >= _BUCKETS:
                index = _BUCKETS - 1
        self.counts[index] += 1
        if value > 0:
            self.total += value
            if value > self.maximum:  # noqa: PLR1730  # max() costs a call on every observation
                self.maximum = value

    @property
    def count(self) -> int:
        """How many values were observed; O(buckets)."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Exact mean of the observed values, 0 where there are none."""
        count = self.count
        return self.total / count if count else 0.0

    def quantile(self, share: float) -> float:
        """
        Return the value below which *share* (0 to 1) of the observations lie, 0 where there are none.

        The answer is the middle of the bucket, never above the largest observed value.
        """
        count = self.count
        if count == 0:
            return 0.0
        rank = min(max(share, 0.0), 1.0) * count
        seen = 0
        for index, bucket_count in enumerate(self.counts):
            seen += bucket_count
            if bucket_count and seen >= rank:
                return min(_middle(index) / self.units_per_one, self.maximum)
        return self.maximum

    def merge(self, other: Histogram) -> None:
        """Add the observations of *other*, which must have the same unit."""
        if other.units_per_one != self.units_per_one:
            raise ValueError(f"histograms of different units: {self.units_per_one} and {other.units_per_one}")
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.maximum = max(self.maximum, other.maximum)

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was observed after the copy *earlier* was taken; its maximum is that of the whole."""
        difference = Histogram(self.units_per_one)
        difference.counts = [max(now - then, 0) for now, then in zip(self.counts, earlier.counts, strict=True)]
        difference.total = max(self.total - earlier.total, 0.0)
        difference.maximum = self.maximum
        return difference

    def copy(self) -> Histogram:
        """Return an independent copy."""
        twin = Histogram(self.units_per_one)
        twin.counts = list(self.counts)
        twin.total, twin.maximum = self.total, self.maximum
        return twin

    def cumulative(self, exponents: Sequence[int]) -> list[tuple[float, int]]:
        """
        Return ``(bound, observations below the bound)`` for the bounds ``2 ** exponent`` units, in the observed unit.

        Powers of two are bucket edges, so the counts are exact and not interpolated.
        """
        ends = [_edge(exponent) for exponent in exponents]
        bounds = [float(1 << exponent) / self.units_per_one for exponent in exponents]
        return list(zip(bounds, _running_sums(self.counts, ends), strict=True))


def _edge(exponent: int) -> int:
    """Return the index of the first bucket that holds ``2 ** exponent`` units."""
    if exponent <= _SUB_BITS:
        return int(1 << exponent)
    return ((exponent - _SUB_BITS) << _SUB_BITS) + _SUB_BUCKETS


def _middle(index: int) -> float:
    if index < _SUB_BUCKETS:
        return float(index)
    shift = (index >> _SUB_BITS) - 1
    low = ((index & (_SUB_BUCKETS - 1)) + _SUB_BUCKETS) << shift
    return low + (1 << shift) / 2 if shift else float(low)


def _running_sums(counts: Sequence[int], ends: Iterable[int]) -> list[int]:
    sums: list[int] = []
    start = total = 0
    for end in ends:
        total += sum(counts[start:end])
        sums.append(total)
        start = end
    return sums
