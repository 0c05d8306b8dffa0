"""
What the local tier tells about itself: one entry seen from outside, and the counters of a table.

Times are seconds on the tier's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

__all__ = ["LocalEntry", "LocalStats", "Tags", "TenantStats"]

Tags: TypeAlias = tuple[tuple[int, int], ...]
"""The tags that an entry was built under: pairs of a tag's hash and its version token."""


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """
    An entry as it was when somebody looked; it does not change when the table does.

    Args:
        value: What `LocalView.get` would have returned.
        version: The row's version; 0 where there is none.
        tags: The tags that it was built under.
        fresh_until: End of its ttl.
        stale_until: End of the time that it is kept for stale serving; not before ``fresh_until``.
        is_suspect: An epoch was bumped since it was filled: prove it current before serving it.
        stamp: The epoch that it was filled in.
        epoch: The epoch when somebody looked; `LocalView.restamp` proves the entry up to here and no further.
        weight: Bytes accounted: its weight as given or measured, and its version and tags.
    """

    value: Any
    version: int
    tags: Tags
    fresh_until: float
    stale_until: float
    is_suspect: bool
    stamp: int
    epoch: int
    weight: int

    def with_value(self, value: Any) -> LocalEntry:
        """Return the same entry with another value."""
        return replace(self, value=value)

    def is_fresh(self, now: float) -> bool:
        """Whether it may be served as current at *now*; equality counts as expired."""
        return not self.is_suspect and now < self.fresh_until

    def is_stale(self, now: float) -> bool:
        """Whether its ttl is over and it is kept for stale serving at *now*."""
        return self.fresh_until <= now < self.stale_until


@dataclass(frozen=True, slots=True)
class TenantStats:
    """One tenant's part of a table; ``cost`` is in the unit of the table's bound, entries or bytes."""

    entries: int = 0
    cost: int = 0
    hits: int = 0
    misses: int = 0


@dataclass(frozen=True, slots=True)
class LocalStats:
    """
    Counters of one table since it was made.

    Args:
        hits: Reads that were answered.
        misses: Reads that were not, suspects included.
        sets: Values stored, overwrites included.
        evictions: Live entries that gave way to others, new entries that lost their first duel included.
        expirations: Entries removed because their time was over.
        rejections: Values not stored: too large, older than the stored version, or voided while they were loaded.
        suspects: Reads that found an entry of an earlier epoch.
        entries: Entries held now.
        size_bytes: Bytes held now: the weights, and the table's own overhead.
        tenants: Each tenant's part.
    """

    hits: int = 0
    misses: int = 0
    sets: int = 0
    evictions: int = 0
    expirations: int = 0
    rejections: int = 0
    suspects: int = 0
    entries: int = 0
    size_bytes: int = 0
    tenants: Mapping[str, TenantStats] = field(default_factory=dict)

    @property
    def hit_ratio(self) -> float:
        """Hits in all reads, 0 to 1; 0 before the first read."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0
