"""
The local tier in pure Python: the readable implementation, and the oracle of the native one.

A table keeps all entries of a region and evicts; a view (`tiercel.local._reference_view`) keeps one tenant's. A hit
takes no lock. Everything else takes the table's lock, which is re-entrant because a finalizer may run inside any
allocation and call the cache again; entries that leave are released after the lock.

An entry is *current* while its stamp is not below the floor of its table and of its view. Bumping an epoch takes the
next number and makes it the floor, so it costs the same for one entry and for a million.

See `tiercel.local.contract` for what each method promises and `tiercel._core.eviction` for who is evicted.
"""

from __future__ import annotations

import itertools
import math
import threading
from typing import Any

from tiercel._core.eviction import Policy
from tiercel.local._reference_entry import Entry
from tiercel.local._reference_view import ReferenceView
from tiercel.local.entry import LocalStats
from tiercel.local.quotas import Quotas
from tiercel.local.seal import Seal
from tiercel.local.ticker import TimeSource
from tiercel.local.weigh import weigh_pair
from tiercel.options import LocalOptions
from tiercel.typing import Key

__all__ = ["ENTRY_OVERHEAD_BYTES", "ReferenceTable"]

ENTRY_OVERHEAD_BYTES = 500
LARGEST_PART = 8
LARGEST_WEIGHT = 0xFFFF_FFFF


class ReferenceTable:
    """
    All entries of one region.

    Args:
        options: Its bounds.
        time: Where the time comes from.
        seal: What is done to values on the way in and out; None where they are shared as they are.
        overhead_bytes: What an entry costs beside its weight, where bytes bound the table.
    """

    def __init__(
        self,
        options: LocalOptions,
        time: TimeSource,
        seal: Seal | None = None,
        *,
        overhead_bytes: int = ENTRY_OVERHEAD_BYTES,
    ) -> None:
        self.lock = threading.RLock()
        self.time = time
        self.floor = 0
        self.epoch = 0
        self.trusted_until = math.inf
        self.seal = seal
        self._overhead_bytes = overhead_bytes
        self._views: dict[str, ReferenceView] = {}
        self._places: list[Entry | None] = []
        self._free: list[int] = []
        self._cursor = 0
        self._tokens = itertools.count(1)
        self.sets = self.evictions = self.expirations = self.rejections = self.suspects = 0
        self._size_bytes = 0
        self.quotas: Quotas[ReferenceView] = Quotas(1, 1.0)
        self._apply(options)

    def _apply(self, options: LocalOptions) -> None:
        self.options = options
        self.by_bytes = options.max_bytes is not None
        self.quotas.rebound(options.bound, options.tenant_share)

    def configure(self, options: LocalOptions, seal: Seal | None) -> None:
        """Take other bounds; entries are kept where they mean the same under both."""
        with self.lock:
            old = self.options
            if options == old:
                return
            if not options.counts_like(old):
                self.clear()
                self._apply(options)
                for view in self._views.values():
                    view.policy = self.new_policy()
            self.seal = seal
            self._apply(options)
            gone = self._shrink()
        del gone

    def _shrink(self) -> list[Entry]:
        gone: list[Entry] = []
        now = self.time.read()
        for view in self._views.values():
            while len(view.policy) and self.quotas.is_crowded(view):
                self._step(view, now, gone)
        return gone

    def new_policy(self) -> Policy[Entry]:
        """Return the policy of a new tenant."""
        return Policy(by_bytes=self.by_bytes, per_cost=self.by_bytes and self.options.objective == "objects")

    def view(self, tenant: str) -> ReferenceView:
        """Return the tenant's view: the same object each time."""
        view = self._views.get(tenant)
        if view is None:
            with self.lock:
                view = self._views.get(tenant)
                if view is None:
                    view = self._views[tenant] = ReferenceView(self, tenant)
        return view

    def bump_epoch(self) -> None:
        """Make every entry of the region suspect."""
        with self.lock:
            self.floor = self.next_epoch()

    def trust_until(self, moment_s: float) -> None:
        """Serve hits before *moment_s* only."""
        self.trusted_until = moment_s

    def next_epoch(self) -> int:
        """Return the next number of the epoch's counter."""
        self.epoch += 1
        return self.epoch

    def next_token(self) -> int:
        """Return a token that no other load has."""
        return next(self._tokens)

    def clear(self) -> None:
        """Remove every entry and void all loads."""
        for view in list(self._views.values()):
            view.clear()

    def stats(self) -> LocalStats:
        """Return the counters as they are now."""
        with self.lock:
            views = list(self._views.items())
            return LocalStats(
                hits=sum(view.hits for _, view in views),
                misses=sum(view.misses for _, view in views),
                sets=self.sets,
                evictions=self.evictions,
                expirations=self.expirations,
                rejections=self.rejections,
                suspects=self.suspects,
                entries=sum(len(view.policy) for _, view in views),
                size_bytes=self._size_bytes,
                tenants={tenant: view.stats() for tenant, view in views},
            )

    def weight_of(self, key: Key, stored: Any, weight: int, stamps: int) -> int:
        """Return the weight to account: as given, or measured where bytes bound the table; and *stamps*."""
        if weight <= 0 and self.by_bytes:
            weight = weigh_pair(key, stored)
        return min(max(weight, 0) + stamps, LARGEST_WEIGHT)

    def cost_of(self, weight: int) -> int:
        """Return what an entry of *weight* takes of the bound."""
        return weight + self._overhead_bytes if self.by_bytes else 1

    def most_entries(self) -> int:
        """Return how many entries the bound can ever allow."""
        return self.quotas.bound // self._overhead_bytes + 1 if self.by_bytes else self.quotas.bound

    def is_too_large(self, cost: int) -> bool:
        """Whether an entry of *cost* would take more than its part of the bound."""
        return cost > max(self.quotas.bound // LARGEST_PART, 1)

    def place(self, entry: Entry) -> None:
        """Take *entry* into the table."""
        if self._free:
            entry.place = self._free.pop()
            self._places[entry.place] = entry
        else:
            entry.place = len(self._places)
            self._places.append(entry)
        self._size_bytes += entry.weight + self._overhead_bytes
        self.quotas.note(entry.view, entry.cost)

    def displace(self, entry: Entry) -> None:
        """Let go of *entry*, which its policy has let go of already."""
        self._places[entry.place] = None
        self._free.append(entry.place)
        entry.place = -1
        self._size_bytes -= entry.weight + self._overhead_bytes
        self.quotas.note(entry.view, -entry.cost)
        del entry.view.entries[entry.key]

    def reweigh(self, entry: Entry, weight: int) -> None:
        """Note that *entry*, overwritten, weighs *weight* now."""
        change = self.cost_of(weight) - entry.cost
        self._size_bytes += weight - entry.weight
        entry.view.policy.reweigh(entry, entry.cost + change)
        self.quotas.note(entry.view, change)

    def settle(self, view: ReferenceView, now: float) -> list[Entry]:
        """Evict until all bounds hold after *view* took something in; return what left."""
        gone: list[Entry] = []
        quotas = self.quotas
        while quotas.is_crowded(view) or view.policy.is_window_over(quotas.capacity(view)):
            self._step(quotas.payer(view), now, gone)
        return gone

    def _step(self, payer: ReferenceView, now: float, gone: list[Entry]) -> None:
        entry = payer.policy.step(now, self.quotas.capacity(payer), is_crowded=self.quotas.is_crowded(payer))
        if entry is not None:
            if entry.is_dead(now):
                self.expirations += 1
            else:
                self.evictions += 1
            self.displace(entry)
            gone.append(entry)

    def discard(self, entry: Entry) -> None:
        """Remove *entry*, which was invalidated or is dead."""
        entry.view.policy.discard(entry)
        self.displace(entry)

    def sweep(self, budget: int) -> int:
        """Look at the next *budget* places and remove what is dead there."""
        with self.lock:
            gone = self.sweep_some(budget, self.time.read())
        return len(gone)

    def sweep_some(self, budget: int, now: float) -> list[Entry]:
        """Remove what is dead in the next *budget* places; return it."""
        gone: list[Entry] = []
        for _ in range(min(budget, len(self._places))):
            self._cursor = self._cursor + 1 if self._cursor + 1 < len(self._places) else 0
            entry = self._places[self._cursor]
            if entry is not None and entry.is_dead(now):
                self.expirations += 1
                self.discard(entry)
                gone.append(entry)
        return gone
