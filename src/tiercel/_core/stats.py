"""
Plain counters of a region and of each of its tiers: slots that the read and write paths add to, and nothing else.

No locks: under the GIL ``stats.hits += 1`` is not interrupted (threads switch only at calls and backward jumps), so the
counts are exact; on a free-threaded build a count may be lost under contention, which is accepted for its price.
"""

from __future__ import annotations

from tiercel._core.histogram import NANOSECONDS_PER_S, Histogram

__all__ = ["RegionStats", "TierStats"]


class TierStats:
    """
    What one tier did for one region.

    ``hits`` are fresh answers, ``stale_hits`` answers inside a grace or keep window, ``misses`` everything else.
    ``latency`` observes seconds of one round trip, ``size`` encoded bytes of one value.
    """

    __slots__ = (
        "deletes",
        "errors",
        "evictions",
        "hits",
        "latency",
        "misses",
        "read_bytes",
        "sets",
        "size",
        "stale_hits",
        "written_bytes",
    )

    def __init__(self) -> None:
        self.hits = 0
        self.stale_hits = 0
        self.misses = 0
        self.errors = 0
        self.sets = 0
        self.deletes = 0
        self.evictions = 0
        self.read_bytes = 0
        self.written_bytes = 0
        self.latency = Histogram(NANOSECONDS_PER_S)
        self.size = Histogram(1)

    @property
    def requests(self) -> int:
        """Reads that this tier was asked for."""
        return self.hits + self.stale_hits + self.misses


class RegionStats:
    """
    What one region did, over all its tiers.

    Attributes:
        tiers: Counters by tier name; use `tier` to get or make them.
        loads: Times that a loader or store was asked because no tier had the value.
        load_errors: Loads that failed.
        negative_hits: Reads answered "no such record" from a tier.
        flights_joined: Callers that waited for another caller's load instead of loading.
        fills_refused: Loaded values not cached because an invalidation overtook the load.
        damaged_frames: Stored frames that could not be read; each was a miss.
        invalidations: Keys, tags and scopes invalidated here.
        store_reads: Queries sent to the store, bulk reads count once.
        store_writes: Rows written to the store.
        stale_served: Answers given from a stale copy because a refresh was running or had failed.
        not_modified: Loads whose source said that the copy at hand still holds.
        load_latency: Seconds of one load.
        write_latency: Seconds from `write` to its acknowledgement.
        slow_reads: Reads that were not served by the plain local hit, which the local tier counts itself.
        slow_hits: Those of them that some tier answered, fresh, stale or "no such record".
        recounted: Local hits met on the slow way, which the local tier counted as well.
    """

    __slots__ = (
        "damaged_frames",
        "fills_refused",
        "flights_joined",
        "invalidations",
        "load_errors",
        "load_latency",
        "loads",
        "negative_hits",
        "not_modified",
        "recounted",
        "region",
        "slow_hits",
        "slow_reads",
        "stale_served",
        "store_reads",
        "store_writes",
        "tiers",
        "write_latency",
    )

    def __init__(self, region: str) -> None:
        self.region = region
        self.tiers: dict[str, TierStats] = {}
        self.loads = 0
        self.load_errors = 0
        self.negative_hits = 0
        self.flights_joined = 0
        self.fills_refused = 0
        self.damaged_frames = 0
        self.invalidations = 0
        self.store_reads = 0
        self.store_writes = 0
        self.stale_served = 0
        self.not_modified = 0
        self.slow_reads = 0
        self.slow_hits = 0
        self.recounted = 0
        self.load_latency = Histogram(NANOSECONDS_PER_S)
        self.write_latency = Histogram(NANOSECONDS_PER_S)

    def tier(self, name: str) -> TierStats:
        """Return the counters of tier *name*, made on first use; keep the object, do not ask for each read."""
        stats = self.tiers.get(name)
        if stats is None:
            stats = self.tiers.setdefault(name, TierStats())
        return stats
