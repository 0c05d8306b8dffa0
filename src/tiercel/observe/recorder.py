"""
The recorder: one per cache, the single place that the engine reports to and that every exporter reads from.

Hot paths add to the plain counters of `RegionStats` and `TierStats`, fetched once and kept. Everything rare (an
error, an invalidation, a breaker that opens) is an `Event`: it goes to the observers and to a bounded ring, from
which `explain` takes the last events of a key. Neither ever holds a key: a key is kept as a hash and a redacted hint.

Thread-safe. An event costs microseconds; never emit one for a hit.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from tiercel._core.stats import RegionStats, TierStats
from tiercel._core.topk import TopK
from tiercel.errors import redact
from tiercel.typing import Key

__all__ = ["Event", "Observer", "Recorder", "RegionStats", "TierStats", "key_hash"]

_log = logging.getLogger("tiercel.observe")
_NO_SPAN = nullcontext()


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something rare that happened.

    Args:
        at_s: When, seconds since the epoch.
        name: What, a few words with underscores: ``fill_refused``, ``breaker_open``, ``invalidated``.
        region, tier, tenant: Where; empty where it does not apply.
        key_hash: `key_hash` of the key concerned, 0 where there is none.
        key_hint: The key redacted to a prefix and a length.
        fields: What else is known; values must be plain (str, int, float, bool).
    """

    at_s: float
    name: str
    region: str = ""
    tier: str = ""
    tenant: str = ""
    key_hash: int = 0
    key_hint: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    """Hears events, on the thread or task that caused them: return quickly and never block."""

    def on_event(self, event: Event) -> None:
        """Take note of *event*; an exception is logged and counted, and otherwise ignored."""


class Recorder:
    """
    Counters, events and the heaviest tenants of one cache.

    Args:
        ring_size: How many of the last events are kept.
        tenants_per_region: How many tenants are counted by name in each region; the rest are summed.
        wall: Clock for event times, seconds since the epoch.
    """

    def __init__(
        self,
        *,
        ring_size: int = 4096,
        tenants_per_region: int = 50,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.observers: list[Observer] = []
        self.spans: Callable[[str, str], AbstractContextManager[object]] | None = None
        self.observer_errors = 0
        self.started_at_s = wall()
        self._wall = wall
        self._regions: dict[str, RegionStats] = {}
        self._events: deque[Event] = deque(maxlen=ring_size)
        self._event_counts: dict[tuple[str, str], int] = {}
        self._tenants: dict[str, TopK] = {}
        self._gauges: dict[str, float] = {}
        self._absorbed: dict[str, dict[str, int]] = {}
        self._tenants_per_region = tenants_per_region
        self._lock = threading.Lock()

    def span(self, operation: str, region: str = "") -> AbstractContextManager[object]:
        """
        Return what surrounds a slow *operation*: a span where `spans` makes them, else nothing.

        For loads, store writes and invalidations, which take milliseconds; never for a hit.
        """
        return _NO_SPAN if self.spans is None else self.spans(operation, region)

    def region(self, name: str) -> RegionStats:
        """Return the counters of region *name*, made on first use; keep the object, do not ask for each read."""
        stats = self._regions.get(name)
        if stats is None:
            stats = self._regions.setdefault(name, RegionStats(name))
        return stats

    def regions(self) -> dict[str, RegionStats]:
        """Return the live counters of every region that was used."""
        return dict(self._regions)

    def event(
        self,
        name: str,
        *,
        region: str = "",
        tier: str = "",
        tenant: str = "",
        key: Key | None = None,
        **fields: Any,
    ) -> None:
        """Record that something rare happened and tell the observers; never raises because of one."""
        event = Event(
            at_s=self._wall(),
            name=name,
            region=region,
            tier=tier,
            tenant=tenant,
            key_hash=0 if key is None else key_hash(region, tenant, key),
            key_hint="" if key is None else redact(key),
            fields=fields,
        )
        with self._lock:
            self._events.append(event)
            self._event_counts[name, region] = self._event_counts.get((name, region), 0) + 1
        for observer in tuple(self.observers):
            self._tell(observer, event)

    def _tell(self, observer: Observer, event: Event) -> None:
        try:
            observer.on_event(event)
        except Exception:  # an observer is a guest: its failure must not become the cache's
            self.observer_errors += 1
            _log.exception("observer %r failed on event %s", observer, event.name)

    def gauge(self, name: str, value: float) -> None:
        """Note the latest *value* of a figure that is a state: ``purge_budget_used`` or ``inconsistency``."""
        self._gauges[name] = value

    def gauges(self) -> dict[str, float]:
        """Return the latest value of each figure that was noted."""
        return dict(self._gauges)

    def tenant_seen(self, region: str, tenant: str, outcome: str, n: int = 1) -> None:
        """Count *n* of *outcome* (``hit``, ``miss``, ``error``) for a tenant; a lock and a dict lookup."""
        with self._lock:
            self._top(region).add(tenant, outcome, n)

    def tenant_read(self, region: str, tenant: str, hits: int, misses: int) -> None:
        """Count reads of a tenant that went beyond the local tier."""
        with self._lock:
            top = self._top(region)
            if hits:
                top.add(tenant, "hit", hits)
            if misses:
                top.add(tenant, "miss", misses)

    def absorb_local_hits(self, region: str, hits: Mapping[str, int]) -> None:
        """Take over the local tier's own cumulative counts: what came since the last time is counted by tenant."""
        with self._lock:
            top, absorbed = self._top(region), self._absorbed.setdefault(region, {})
            for tenant, count in hits.items():
                before = absorbed.get(tenant, 0)
                if count != before:
                    top.add(tenant, "hit", count - before if count > before else count)
            self._absorbed[region] = dict(hits)

    def _top(self, region: str) -> TopK:
        top = self._tenants.get(region)
        if top is None:
            top = self._tenants[region] = TopK(self._tenants_per_region)
        return top

    def tenants(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return counts by region, tenant and outcome, heaviest tenants first; `OTHER` sums the rest."""
        with self._lock:
            return {region: top.counts() for region, top in self._tenants.items()}

    def events(self, limit: int = 100) -> list[Event]:
        """Return the last events, newest first."""
        with self._lock:
            newest = list(self._events)[-limit:] if limit > 0 else []
        return newest[::-1]

    def event_counts(self) -> dict[tuple[str, str], int]:
        """Return how often each ``(event name, region)`` happened since the start."""
        with self._lock:
            return dict(self._event_counts)

    def events_for(self, region: str, tenant: str, key: Key) -> list[Event]:
        """Return the last events of one key, newest first; a scan of the ring."""
        wanted = key_hash(region, tenant, key)
        with self._lock:
            found = [event for event in self._events if event.key_hash == wanted]
        return found[::-1]


def key_hash(region: str, tenant: str, key: Key) -> int:
    """Return a 63-bit hash that names a key of a tenant's region without revealing it; never 0."""
    digest = hashlib.blake2b(digest_size=8)
    kind, text = (b"s", key.encode("utf-8", "surrogatepass")) if isinstance(key, str) else (b"b", key)
    for part in (region.encode(), tenant.encode()):
        digest.update(len(part).to_bytes(4, "big") + part)
    digest.update(kind + text)
    return (int.from_bytes(digest.digest(), "big") >> 1) or 1
