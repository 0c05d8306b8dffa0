"""A cache's figures, made by hand: what the tests of reports and exporters look at."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tiercel._core.journal import JournalStats
from tiercel._core.linkoptions import LinkHealth, NodeHealth
from tiercel.local import LocalStats
from tiercel.observe import Recorder
from tiercel.observe.snapshot import Snapshot, take_snapshot
from tiercel.options import LocalOptions, RegionOptions

STARTED_S = 1000.0
NOW_S = 1100.0


class FakeLocalTier:
    """A local tier whose tables say what they are told to."""

    def __init__(self, stats: Mapping[str, LocalStats]) -> None:
        self._stats = stats

    def tables(self) -> Mapping[str, Any]:
        return {name: SimpleNamespace(stats=lambda stats=stats: stats) for name, stats in self._stats.items()}


def node(name: str = "127.0.0.1:6379", **changes: Any) -> NodeHealth:
    """Return a healthy node, with *changes*."""
    fields: dict[str, Any] = {
        "name": name,
        "role": "primary",
        "is_connected": True,
        "breaker": "closed",
        "breaker_opened": 0,
        "connections": 1,
        "in_flight": 0,
        "reconnects": 0,
        "commands": 5000,
        "errors": 0,
        "latency_s": 0.0002,
        "version": "redis 7.0.15",
        "last_error": "",
    }
    return NodeHealth(**{**fields, **changes})


def link(*nodes: NodeHealth, coverage: float = 1.0) -> LinkHealth:
    """Return a link to *nodes*."""
    chosen = nodes or (node(),)
    return LinkHealth(topology="standalone", nodes={one.name: one for one in chosen}, coverage=coverage)


def journal(**changes: Any) -> JournalStats:
    """Return a journal at work, with *changes*."""
    fields: dict[str, Any] = {
        "depth": 12,
        "size_bytes": 3456,
        "oldest_age_s": 0.75,
        "flushed": 900,
        "coalesced": 100,
        "retried": 2,
        "dead": 1,
        "last_error": None,
    }
    return JournalStats(**{**fields, **changes})


def recorder() -> Recorder:
    """
    Return counters of two data types.

    ``product``: 1,000 reads; 700 answered locally, 200 by Redis (20 of them stale), 100 not; 60 loads, 40 joined
    flights. ``search``: 100 reads of Redis alone, half of them hits, 5 errors.
    """
    counters = Recorder(wall=lambda: STARTED_S)
    product = counters.region("product")
    redis = product.tier("redis")
    redis.hits, redis.stale_hits, redis.misses = 180, 20, 100
    redis.read_bytes, redis.written_bytes = 40_000, 12_000
    product.loads, product.flights_joined, product.stale_served, product.invalidations = 60, 40, 20, 7
    product.store_reads = 60
    for _ in range(300):
        redis.latency.observe(0.0004)
        redis.size.observe(200)
    for _ in range(60):
        product.load_latency.observe(0.02)
    search = counters.region("search").tier("redis")
    search.hits, search.misses, search.errors = 50, 50, 5
    counters.region("search").loads = 50
    counters.tenant_seen("product", "acme", "hit", 900)
    counters.tenant_seen("product", "globex", "miss", 100)
    counters.event("invalidated", region="product", tenant="acme", key="sku-42")
    return counters


def local_tier() -> FakeLocalTier:
    """Return the local copies of ``product``."""
    return FakeLocalTier({"product": LocalStats(hits=700, misses=300, sets=300, entries=250, size_bytes=100_000)})


def snapshot(counters: Recorder | None = None, at_s: float = NOW_S, **changes: Any) -> Snapshot:
    """Return a snapshot of `recorder`, `local_tier`, one link and one journal; *changes* replace arguments."""
    arguments: dict[str, Any] = {
        "local_tier": local_tier(),
        "links": {"redis": link()},
        "journals": {"product": journal()},
        "policies": {"product": RegionOptions(name="product", local=LocalOptions(max_entries=1000))},
    }
    return take_snapshot(counters or recorder(), at_s, **{**arguments, **changes})
