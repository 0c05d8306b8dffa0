"""
The report: what a cache achieved, overall and per data type, as plain values that survive JSON and back.

Rates are shares from 0 to 1, times are seconds, sizes bytes. A rate of nothing is 0. ``database_load_saved`` is the
share of reads that did not become a load: a stale answer, a joined flight and a negative answer save a load as a hit
does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tiercel._core.histogram import Histogram
from tiercel._core.journal import JournalStats
from tiercel._core.linkoptions import LinkHealth
from tiercel.errors import ConfigurationError
from tiercel.observe.recorder import Recorder
from tiercel.observe.snapshot import LocalTables, RegionFigures, Snapshot, TierFigures, take_snapshot
from tiercel.options import RegionOptions

__all__ = ["Connections", "JournalReport", "Latency", "Overall", "RegionReport", "Report", "TierReport"]


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Response times in seconds; quantiles are within 6.25 %."""

    count: int = 0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0

    @classmethod
    def of(cls, histogram: Histogram) -> Latency:
        """Summarise *histogram*."""
        return cls(
            count=histogram.count,
            mean_s=histogram.mean,
            p50_s=histogram.quantile(0.5),
            p99_s=histogram.quantile(0.99),
            max_s=histogram.maximum,
        )


class TierReport(msgspec.Struct, frozen=True, kw_only=True):
    """One tier of one region; ``hit_rate`` is of the reads that reached this tier."""

    requests: int
    hits: int
    stale_hits: int
    misses: int
    errors: int
    sets: int
    deletes: int
    evictions: int
    expirations: int
    rejections: int
    suspects: int
    read_bytes: int
    written_bytes: int
    hit_rate: float
    entries: int
    memory_bytes: int
    mean_value_bytes: float
    response: Latency


class JournalReport(msgspec.Struct, frozen=True, kw_only=True):
    """One write-behind journal."""

    pending: int
    pending_bytes: int
    lag_s: float
    flushed: int
    coalesced: int
    retried: int
    dead_letters: int
    last_error: str | None


class RegionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One data type, over all its tiers."""

    requests: int
    hits: int
    misses: int
    hit_rate: float
    miss_rate: float
    error_rate: float
    database_load_saved: float
    loads: int
    load_errors: int
    negative_hits: int
    stale_served: int
    not_modified: int = 0
    flights_joined: int
    fills_refused: int
    damaged_frames: int
    invalidations: int
    store_reads: int
    store_writes: int
    memory_bytes: int
    tiers: dict[str, TierReport]
    load: Latency
    write: Latency
    journal: JournalReport | None = None


class Overall(msgspec.Struct, frozen=True, kw_only=True):
    """All data types together; ``invalidations`` are keys, and calls that made tags, regions or tenants fall."""

    requests: int
    requests_per_s: float
    hits: int
    misses: int
    hit_rate: float
    miss_rate: float
    error_rate: float
    database_load_saved: float
    loads: int
    invalidations: int
    memory_bytes: int
    connections: int
    journal_pending: int
    journal_lag_s: float
    dead_letters: int
    response: dict[str, Latency]
    """Response time by tier, over all regions; ``load`` and ``write`` beside them."""


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """The connections to one server of one link."""

    role: str
    is_connected: bool
    breaker: str
    connections: int
    in_flight: int
    reconnects: int
    errors: int
    latency_s: float
    version: str
    last_error: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, at ``at_s`` and over the ``span_s`` seconds before it."""

    at_s: float
    span_s: float
    overall: Overall
    regions: dict[str, RegionReport]
    connections: dict[str, dict[str, Connections]]
    events: dict[str, int]
    tenants: dict[str, dict[str, dict[str, int]]]
    hot_keys: dict[str, dict[str, int]] = {}

    @classmethod
    def build(
        cls,
        recorder: Recorder,
        local_tier: LocalTables | None = None,
        link_health: Mapping[str, LinkHealth] | None = None,
        journals: Mapping[str, JournalStats] | None = None,
        *,
        policies: Mapping[str, RegionOptions] | None = None,
        at_s: float | None = None,
    ) -> Report:
        """Take a snapshot now and report it; see `take_snapshot` for the arguments."""
        now = time.time() if at_s is None else at_s
        snapshot = take_snapshot(
            recorder, now, local_tier=local_tier, links=link_health, journals=journals, policies=policies
        )
        return cls.of(snapshot)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Report:
        """Report a snapshot, or the difference of two."""
        span_s = max(snapshot.at_s - snapshot.started_at_s, 0.0)
        regions = {
            name: _region_report(figures, snapshot.journals.get(name)) for name, figures in snapshot.regions.items()
        }
        return cls(
            at_s=snapshot.at_s,
            span_s=span_s,
            overall=_overall(snapshot, span_s),
            regions=regions,
            connections={name: _connections(link) for name, link in snapshot.links.items()},
            events=_event_totals(snapshot.events),
            tenants=snapshot.tenants,
            hot_keys=snapshot.hot_keys,
        )

    def to_json(self) -> str:
        """Return the report as one JSON object."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Read what `to_json` wrote; raises `ConfigurationError` where it is something else."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"this is no report: {error}") from error


def _region_report(figures: RegionFigures, journal: JournalStats | None) -> RegionReport:
    counts, requests, hits = figures.counts, figures.requests, figures.hits
    return RegionReport(
        requests=requests,
        hits=hits,
        misses=requests - hits,
        hit_rate=_share(hits, requests),
        miss_rate=_share(requests - hits, requests),
        error_rate=_share(figures.errors, requests),
        database_load_saved=_saved(counts["loads"], requests),
        memory_bytes=sum(tier.size_bytes for tier in figures.tiers.values()),
        tiers={name: _tier_report(tier) for name, tier in figures.tiers.items()},
        load=Latency.of(figures.load_latency),
        write=Latency.of(figures.write_latency),
        journal=_journal_report(journal) if journal else None,
        **counts,
    )


def _tier_report(figures: TierFigures) -> TierReport:
    return TierReport(
        requests=figures.requests,
        hit_rate=_share(figures.answered, figures.requests),
        entries=figures.entries,
        memory_bytes=figures.size_bytes,
        mean_value_bytes=figures.size.mean,
        response=Latency.of(figures.latency),
        **figures.counts,
    )


def _journal_report(stats: JournalStats) -> JournalReport:
    return JournalReport(
        pending=stats.depth,
        pending_bytes=stats.size_bytes,
        lag_s=stats.oldest_age_s,
        flushed=stats.flushed,
        coalesced=stats.coalesced,
        retried=stats.retried,
        dead_letters=stats.dead,
        last_error=stats.last_error,
    )


def _overall(snapshot: Snapshot, span_s: float) -> Overall:
    regions, journals = list(snapshot.regions.values()), list(snapshot.journals.values())
    requests = sum(region.requests for region in regions)
    hits = sum(region.hits for region in regions)
    loads = sum(region.counts["loads"] for region in regions)
    tag_calls = sum(count for (event, _), count in snapshot.events.items() if event == "tags_invalidated")
    return Overall(
        requests=requests,
        requests_per_s=requests / span_s if span_s else 0.0,
        hits=hits,
        misses=requests - hits,
        hit_rate=_share(hits, requests),
        miss_rate=_share(requests - hits, requests),
        error_rate=_share(sum(region.errors for region in regions), requests),
        database_load_saved=_saved(loads, requests),
        loads=loads,
        invalidations=sum(region.counts["invalidations"] for region in regions) + tag_calls,
        memory_bytes=sum(tier.size_bytes for region in regions for tier in region.tiers.values()),
        connections=sum(node.connections for link in snapshot.links.values() for node in link.nodes.values()),
        journal_pending=sum(journal.depth for journal in journals),
        journal_lag_s=max((journal.oldest_age_s for journal in journals), default=0.0),
        dead_letters=sum(journal.dead for journal in journals),
        response=_responses(regions),
    )


def _responses(regions: list[RegionFigures]) -> dict[str, Latency]:
    names = list(dict.fromkeys(name for region in regions for name in region.tiers))
    groups = {name: [region.tiers[name].latency for region in regions if name in region.tiers] for name in names}
    groups["load"] = [region.load_latency for region in regions]
    groups["write"] = [region.write_latency for region in regions]
    return {name: Latency.of(_merged(histograms)) for name, histograms in groups.items()}


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total


def _connections(link: LinkHealth) -> dict[str, Connections]:
    fields = Connections.__struct_fields__
    values: dict[str, dict[str, Any]] = {
        name: {field: getattr(node, field) for field in fields} for name, node in link.nodes.items()
    }
    return {name: Connections(**node) for name, node in values.items()}


def _event_totals(events: Mapping[tuple[str, str], int]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for (name, _), count in events.items():
        totals[name] = totals.get(name, 0) + count
    return totals


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _saved(loads: int, requests: int) -> float:
    return max(1 - loads / requests, 0.0) if requests else 0.0
