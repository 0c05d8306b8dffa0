"""
The catalogue of exported metrics: each family's name, kind, labels and meaning, and how its samples come from a
snapshot.

Every exporter reads this one table, and so does ``docs/reference/metrics.md``. Labels are bounded: regions, tiers,
links and event names come from the configuration and the code, tenants are the heaviest few of each region. A key is
never a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tiercel._core.histogram import Histogram
from tiercel.observe.snapshot import LOCAL_COUNTS, REGION_COUNTS, Snapshot

__all__ = ["BOUND_EXPONENTS", "FAMILIES", "HISTOGRAMS", "Family", "HistogramFamily", "backplane_gaps"]

Labels: TypeAlias = tuple[str, ...]
Sample: TypeAlias = tuple[Labels, float]

BOUND_EXPONENTS: Final = range(14, 36)
"""Bounds of exported histograms, powers of two of nanoseconds: 16 µs to 34 s, bucket edges, so counts are exact."""


@dataclass(frozen=True, slots=True)
class Family:
    """
    Counters or gauges of one name.

    Args:
        name: Without the suffix ``_total`` that counters get in Prometheus.
        kind: ``counter`` or ``gauge``.
        labels: Names of the labels.
        meaning: What is counted, and the unit where the name does not say it.
        samples: Label values and value of each series of a snapshot.
    """

    name: str
    kind: Literal["counter", "gauge"]
    labels: Labels
    meaning: str
    samples: Callable[[Snapshot], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class HistogramFamily:
    """Histograms of one name; observations are seconds."""

    name: str
    labels: Labels
    meaning: str
    histograms: Callable[[Snapshot], Iterable[tuple[Labels, Histogram]]]


def backplane_gaps(snapshot: Snapshot) -> int:
    """Return how often messages were missed."""
    return sum(count for (name, _), count in snapshot.events.items() if name == "backplane_gap")


def _reads(snapshot: Snapshot) -> Iterator[Sample]:
    for name, region in snapshot.regions.items():
        yield (name, "hit"), region.hits
        yield (name, "miss"), region.requests - region.hits


def _errors(snapshot: Snapshot) -> Iterator[Sample]:
    for name, region in snapshot.regions.items():
        yield (name,), region.errors


def _tier_reads(snapshot: Snapshot) -> Iterator[Sample]:
    for name, region in snapshot.regions.items():
        for tier_name, tier in region.tiers.items():
            for outcome, count in (("hit", "hits"), ("stale", "stale_hits"), ("miss", "misses")):
                yield (name, tier_name, outcome), tier.counts[count]


_OPERATIONS: Final = {"set": "sets", "delete": "deletes", "error": "errors", "eviction": "evictions"}


def _tier_operations(snapshot: Snapshot) -> Iterator[Sample]:
    for name, region in snapshot.regions.items():
        for tier_name, tier in region.tiers.items():
            for operation, count in _OPERATIONS.items():
                yield (name, tier_name, operation), tier.counts[count]
            if tier_name == "local":
                for count in LOCAL_COUNTS:
                    yield (name, tier_name, count.removesuffix("s")), tier.counts[count]


def _tier_bytes(snapshot: Snapshot) -> Iterator[Sample]:
    for name, region in snapshot.regions.items():
        for tier_name, tier in region.tiers.items():
            yield (name, tier_name, "read"), tier.counts["read_bytes"]
            yield (name, tier_name, "written"), tier.counts["written_bytes"]


def _local(value: Callable[..., float]) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for name, region in snapshot.regions.items():
            if "local" in region.tiers:
                yield (name,), value(region.tiers["local"])

    return samples


def _region_count(field: str) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for name, region in snapshot.regions.items():
            yield (name,), region.counts[field]

    return samples


def _journal(field: str) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for name, journal in snapshot.journals.items():
            yield (name,), getattr(journal, field)

    return samples


def _node(value: Callable[..., float]) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for link_name, link in snapshot.links.items():
            for name, node in link.nodes.items():
                yield (link_name, name), value(node)

    return samples


def _gauge(name: str) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        if name in snapshot.gauges:
            yield (), snapshot.gauges[name]

    return samples


def _events(snapshot: Snapshot) -> Iterator[Sample]:
    yield from snapshot.events.items()


def _tenants(snapshot: Snapshot) -> Iterator[Sample]:
    for region, tenants in snapshot.tenants.items():
        for tenant, outcomes in tenants.items():
            for outcome, count in outcomes.items():
                yield (region, tenant, outcome), count


_REGION_MEANINGS: Final = {
    "loads": "Times that a loader or store was asked because no tier had the value",
    "load_errors": "Loads that failed",
    "negative_hits": 'Reads answered "no such record" from a tier',
    "flights_joined": "Callers that waited for another caller's load",
    "fills_refused": "Loaded values not cached because an invalidation overtook the load",
    "damaged_frames": "Stored frames that could not be read, each a miss",
    "invalidations": "Keys, tags and scopes invalidated",
    "store_reads": "Queries sent to the store, a bulk read counts once",
    "store_writes": "Rows written to the store",
    "stale_served": "Answers from a stale copy because a refresh was running or had failed",
    "not_modified": "Loads whose source said that the copy at hand still holds",
}

FAMILIES: Final[tuple[Family, ...]] = (
    Family("tiercel_reads", "counter", ("region", "outcome"), "Reads by callers, hit where any tier answered", _reads),
    Family("tiercel_errors", "counter", ("region",), "Failed round trips to a tier and failed loads", _errors),
    Family("tiercel_tier_reads", "counter", ("region", "tier", "outcome"), "Reads that reached a tier", _tier_reads),
    Family(
        "tiercel_tier_operations",
        "counter",
        ("region", "tier", "operation"),
        "Other work of a tier: sets, deletes, errors, evictions; local also expirations, rejections, suspects",
        _tier_operations,
    ),
    Family("tiercel_tier_bytes", "counter", ("region", "tier", "direction"), "Encoded bytes moved", _tier_bytes),
    *(
        Family(f"tiercel_{field}", "counter", ("region",), _REGION_MEANINGS[field], _region_count(field))
        for field in REGION_COUNTS
    ),
    Family("tiercel_local_entries", "gauge", ("region",), "Entries held in this process", _local(lambda t: t.entries)),
    Family("tiercel_local_bytes", "gauge", ("region",), "Bytes held in this process", _local(lambda t: t.size_bytes)),
    Family(
        "tiercel_local_used_ratio",
        "gauge",
        ("region",),
        "Part of the region's bound that is used in this process",
        _local(lambda tier: tier.bound_share),
    ),
    Family("tiercel_journal_pending", "gauge", ("region",), "Acknowledged writes not in the store", _journal("depth")),
    Family("tiercel_journal_pending_bytes", "gauge", ("region",), "Their encoded size", _journal("size_bytes")),
    Family("tiercel_journal_lag_seconds", "gauge", ("region",), "Age of the oldest of them", _journal("oldest_age_s")),
    Family("tiercel_journal_dead_letters", "gauge", ("region",), "Writes refused for good", _journal("dead")),
    Family("tiercel_journal_flushed", "counter", ("region",), "Rows that reached the store", _journal("flushed")),
    Family("tiercel_journal_coalesced", "counter", ("region",), "Writes made needless by later", _journal("coalesced")),
    Family("tiercel_journal_retried", "counter", ("region",), "Flushes that failed", _journal("retried")),
    Family("tiercel_node_up", "gauge", ("link", "node"), "1 where connected", _node(lambda n: float(n.is_connected))),
    Family("tiercel_connections", "gauge", ("link", "node"), "Open connections", _node(lambda node: node.connections)),
    Family(
        "tiercel_in_flight", "gauge", ("link", "node"), "Commands waiting for a reply", _node(lambda n: n.in_flight)
    ),
    Family(
        "tiercel_breaker_open",
        "gauge",
        ("link", "node"),
        "1 where the circuit breaker is open or half-open",
        _node(lambda node: float(node.breaker != "closed")),
    ),
    Family("tiercel_node_errors", "counter", ("link", "node"), "Commands that failed", _node(lambda n: n.errors)),
    Family("tiercel_reconnects", "counter", ("link", "node"), "Connections made anew", _node(lambda n: n.reconnects)),
    Family("tiercel_backplane_lag_seconds", "gauge", (), "Since the quietest stream answered", _gauge("backplane_lag")),
    Family("tiercel_gutter_parts", "gauge", (), "Parts of Redis whose place the gutter takes", _gauge("gutter_parts")),
    Family("tiercel_hedged_reads", "counter", (), "Reads asked of a replica as well", _gauge("hedges")),
    Family("tiercel_hedged_reads_won", "counter", (), "Of these, answered by the replica", _gauge("hedges_won")),
    Family(
        "tiercel_backplane_gaps",
        "counter",
        (),
        "Times that messages were missed and local copies suspected",
        lambda snapshot: [((), backplane_gaps(snapshot))],
    ),
    Family("tiercel_purge_budget_used_ratio", "gauge", (), "CDN purge budget used", _gauge("purge_budget_used")),
    Family("tiercel_inconsistency_ratio", "gauge", (), "Samples that differ from their store", _gauge("inconsistency")),
    Family("tiercel_changes_lag_seconds", "gauge", (), "Age of the newest change that fell", _gauge("changes_lag")),
    Family("tiercel_changes_retained_bytes", "gauge", (), "Log kept until it is read", _gauge("changes_retained")),
    Family("tiercel_events", "counter", ("event", "region"), "Rare events by name", _events),
    Family(
        "tiercel_tenant_reads",
        "counter",
        ("region", "tenant", "outcome"),
        "Reads of the heaviest tenants; @other sums the rest",
        _tenants,
    ),
)


def _tier_response(snapshot: Snapshot) -> Iterator[tuple[Labels, Histogram]]:
    for name, region in snapshot.regions.items():
        for tier_name, tier in region.tiers.items():
            if tier_name != "local":  # a local hit is not timed: reading a clock would cost more than the hit
                yield (name, tier_name), tier.latency


def _of_region(field: str) -> Callable[[Snapshot], Iterator[tuple[Labels, Histogram]]]:
    def histograms(snapshot: Snapshot) -> Iterator[tuple[Labels, Histogram]]:
        for name, region in snapshot.regions.items():
            yield (name,), getattr(region, field)

    return histograms


HISTOGRAMS: Final[tuple[HistogramFamily, ...]] = (
    HistogramFamily("tiercel_tier_response_seconds", ("region", "tier"), "Round trips to a tier", _tier_response),
    HistogramFamily("tiercel_load_seconds", ("region",), "Loads", _of_region("load_latency")),
    HistogramFamily("tiercel_write_seconds", ("region",), "Writes until acknowledged", _of_region("write_latency")),
)
