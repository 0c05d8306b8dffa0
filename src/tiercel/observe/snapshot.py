"""
A snapshot: every figure of a cache at one moment, copied out of the live counters.

Reports, exporters, alerts and the time series all read snapshots and never the counters, so that what they say fits
together. Counters are cumulative; `Snapshot.since` turns two snapshots into the figures of the time between them.

Taking one costs about 10 µs a region and tier, mostly for copying histograms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tiercel._core.histogram import Histogram
from tiercel._core.journal import JournalStats
from tiercel._core.linkoptions import LinkHealth
from tiercel._core.stats import RegionStats, TierStats
from tiercel.observe.recorder import Recorder
from tiercel.options import RegionOptions

__all__ = ["LocalTables", "RegionFigures", "Snapshot", "TierFigures", "take_snapshot"]

REGION_COUNTS: Final = (
    "loads",
    "load_errors",
    "negative_hits",
    "flights_joined",
    "fills_refused",
    "damaged_frames",
    "invalidations",
    "store_reads",
    "store_writes",
    "stale_served",
    "not_modified",
)
TIER_COUNTS: Final = (
    "hits",
    "stale_hits",
    "misses",
    "errors",
    "sets",
    "deletes",
    "evictions",
    "read_bytes",
    "written_bytes",
)
LOCAL_COUNTS: Final = ("expirations", "rejections", "suspects")
"""Further counts that only the local tier has; 0 in the others."""

TIER_ORDER: Final = ("local", "redis", "cdn")


class LocalTable(Protocol):
    """One region's local copies; ``stats()`` has any of the names of `TIER_COUNTS`, ``entries`` and ``size_bytes``."""

    def stats(self) -> Any:
        """Return the table's counters."""


class LocalTables(Protocol):
    """The local tier, as far as a snapshot reads it."""

    def tables(self) -> Mapping[str, Any]:
        """Return each region's `LocalTable`."""


@dataclass(slots=True)
class TierFigures:
    """One tier of one region: counts by name, what it holds now (local only), and its histograms."""

    counts: dict[str, int]
    latency: Histogram
    size: Histogram
    entries: int = 0
    size_bytes: int = 0
    bound_share: float = 0.0
    """Part of its bound that is used, 0 where unknown."""

    @property
    def requests(self) -> int:
        """Reads that this tier was asked for."""
        return self.counts["hits"] + self.counts["stale_hits"] + self.counts["misses"]

    @property
    def answered(self) -> int:
        """Reads that this tier answered, fresh or stale."""
        return self.counts["hits"] + self.counts["stale_hits"]


@dataclass(slots=True)
class RegionFigures:
    """One region: counts by name and its tiers, nearest first."""

    counts: dict[str, int]
    tiers: dict[str, TierFigures]
    load_latency: Histogram
    write_latency: Histogram
    slow_reads: int = 0
    slow_hits: int = 0

    @property
    def requests(self) -> int:
        """Reads by callers; where only tiers count (a region of the CDN), those that reached the nearest one."""
        if self.slow_reads:
            return self._local_hits + self.slow_reads
        return next((tier.requests for tier in self.tiers.values() if tier.requests), 0)

    @property
    def hits(self) -> int:
        """Reads that some tier answered."""
        if self.slow_reads:
            return self._local_hits + self.slow_hits
        return min(sum(tier.answered for tier in self.tiers.values()), self.requests)

    @property
    def _local_hits(self) -> int:
        return self.tiers["local"].counts["hits"] if "local" in self.tiers else 0

    @property
    def errors(self) -> int:
        """Failed round trips to a tier, and failed loads."""
        return self.counts["load_errors"] + sum(tier.counts["errors"] for tier in self.tiers.values())


@dataclass(slots=True)
class Snapshot:
    """
    All figures at ``at_s``, counted since ``started_at_s`` (seconds since the epoch).

    Attributes:
        regions: By region name, in the order in which they were first used.
        links: Connections to servers, by a name such as ``redis``.
        journals: Write-behind journals by region.
        events: How often each ``(event, region)`` happened.
        tenants: Counts by region, tenant and outcome, for the heaviest tenants.
        gauges: Other figures by alert metric name: ``backplane_lag``, ``purge_budget_used``, ``inconsistency``,
            ``changes_lag``, ``changes_retained``.
    """

    at_s: float
    started_at_s: float
    regions: dict[str, RegionFigures]
    links: dict[str, LinkHealth] = field(default_factory=dict)
    journals: dict[str, JournalStats] = field(default_factory=dict)
    events: dict[tuple[str, str], int] = field(default_factory=dict)
    tenants: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    hot_keys: dict[str, dict[str, int]] = field(default_factory=dict)
    """Reads in about ten seconds of the hottest keys beyond the local tier, by region and ``tenant:redacted key``."""

    def since(self, earlier: Snapshot) -> Snapshot:
        """Return what was counted after *earlier*; what is a state and not a count stays as it is now."""
        return Snapshot(
            at_s=self.at_s,
            started_at_s=earlier.at_s,
            regions={name: _region_since(now, earlier.regions.get(name)) for name, now in self.regions.items()},
            links=self.links,
            journals=self.journals,
            events={key: count - earlier.events.get(key, 0) for key, count in self.events.items()},
            tenants=self.tenants,
            gauges=self.gauges,
            hot_keys=self.hot_keys,
        )


def take_snapshot(
    recorder: Recorder,
    at_s: float,
    *,
    local_tier: LocalTables | None = None,
    links: Mapping[str, LinkHealth] | None = None,
    journals: Mapping[str, JournalStats] | None = None,
    policies: Mapping[str, RegionOptions] | None = None,
    gauges: Mapping[str, float] | None = None,
) -> Snapshot:
    """
    Copy every figure.

    Args:
        recorder: The live counters.
        at_s: Now, seconds since the epoch.
        local_tier: The local tier, which counts its own hits.
        links: Health of each connection.
        journals: State of each write-behind journal.
        policies: The matrix's regions, whose bounds say how full the local copies are.
        gauges: Further figures beside those that the recorder was told, see `Snapshot`.
    """
    regions = {name: _region_figures(stats) for name, stats in recorder.regions().items()}
    for name, table in (local_tier.tables() if local_tier else {}).items():
        figures = regions.setdefault(name, _region_figures(RegionStats(name)))
        stats = table.stats()
        _add_local(figures, stats, policies.get(name) if policies else None)
        recorder.absorb_local_hits(name, {tenant: part.hits for tenant, part in stats.tenants.items()})
    return Snapshot(
        at_s=at_s,
        started_at_s=recorder.started_at_s,
        regions=regions,
        links=dict(links or {}),
        journals=dict(journals or {}),
        events=recorder.event_counts(),
        tenants=recorder.tenants(),
        gauges=recorder.gauges() | dict(gauges or {}),
    )


def _region_figures(stats: RegionStats) -> RegionFigures:
    names = sorted(stats.tiers, key=lambda name: TIER_ORDER.index(name) if name in TIER_ORDER else len(TIER_ORDER))
    return RegionFigures(
        counts={name: getattr(stats, name) for name in REGION_COUNTS},
        tiers={name: _tier_figures(stats.tiers[name]) for name in names},
        load_latency=stats.load_latency.copy(),
        write_latency=stats.write_latency.copy(),
        slow_reads=stats.slow_reads - stats.recounted,
        slow_hits=stats.slow_hits - stats.recounted,
    )


def _tier_figures(stats: TierStats) -> TierFigures:
    counts = {name: getattr(stats, name) for name in TIER_COUNTS} | dict.fromkeys(LOCAL_COUNTS, 0)
    return TierFigures(counts, stats.latency.copy(), stats.size.copy())


def _add_local(figures: RegionFigures, stats: Any, policy: RegionOptions | None) -> None:
    """Add what the local table counted to the tier ``local``, which comes first."""
    local = figures.tiers.pop("local", None) or _tier_figures(TierStats())
    for name in TIER_COUNTS + LOCAL_COUNTS:
        local.counts[name] += getattr(stats, name, 0)
    local.entries = stats.entries
    local.size_bytes = stats.size_bytes
    if policy is not None:
        by_entries = stats.entries / policy.local.max_entries if policy.local.max_entries else 0.0
        by_bytes = stats.size_bytes / policy.local.max_bytes if policy.local.max_bytes else 0.0
        local.bound_share = max(by_entries, by_bytes)
    figures.tiers = {"local": local, **figures.tiers}


def _region_since(now: RegionFigures, then: RegionFigures | None) -> RegionFigures:
    if then is None:
        return now
    return RegionFigures(
        counts={name: count - then.counts.get(name, 0) for name, count in now.counts.items()},
        tiers={name: _tier_since(tier, then.tiers.get(name)) for name, tier in now.tiers.items()},
        load_latency=now.load_latency.since(then.load_latency),
        write_latency=now.write_latency.since(then.write_latency),
        slow_reads=now.slow_reads - then.slow_reads,
        slow_hits=now.slow_hits - then.slow_hits,
    )


def _tier_since(now: TierFigures, then: TierFigures | None) -> TierFigures:
    if then is None:
        return now
    return TierFigures(
        counts={name: count - then.counts.get(name, 0) for name, count in now.counts.items()},
        latency=now.latency.since(then.latency),
        size=now.size.since(then.size),
        entries=now.entries,
        size_bytes=now.size_bytes,
        bound_share=now.bound_share,
    )
