"""
Shares: which partitions a worker should hold when several empty one journal.

Every worker sees the same list of living workers and works out its share alone: partition *p* goes to the worker
whose rank in the sorted list is ``p % len(workers)``. While two workers' lists differ for a moment, leases decide.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["share_of"]


def share_of(owner: str, workers: Iterable[str], partitions: int) -> frozenset[int]:
    """Return the partitions of *owner*; all shares together cover every partition once."""
    ranked = sorted({*workers, owner})
    rank = ranked.index(owner)
    return frozenset(range(rank, partitions, len(ranked)))
