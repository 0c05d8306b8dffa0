"""
The local tier in pure Python: the readable implementation, and the oracle of the native one.

A table keeps all entries of a region; a view keeps one tenant's, in a dictionary of its own with the tenant's policy. A
hit is a dictionary look-up, three comparisons and one flag: it takes no lock. Everything else takes the table's lock,
which is re-entrant because a finalizer may run inside any allocation and call the cache again; entries that leave are
released after the lock.

An entry is *current* while its stamp is not below the floor of its table and of its view. Bumping an epoch takes the next
number and makes it the floor, so it costs the same for one entry and for a million.

See `tiercel.local.contract` for what each method promises and `tiercel._core.eviction` for who is evicted.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tiercel._core.eviction import Policy
from tiercel._core.sketch import fingerprint, mix64
from tiercel.errors import KeyRefused
from tiercel.local._calls import wrap_async_call, wrap_call
from tiercel.local.contract import MakeKey, Slow, SlowAsync
from tiercel.local.entry import LocalEntry, LocalStats, Tags, TenantStats
from tiercel.local.quotas import Quotas
from tiercel.local.seal import Seal
from tiercel.local.ticker import TimeSource
from tiercel.local.weigh import weigh_pair
from tiercel.options import LocalOptions
from tiercel.typing import MISS, Key, Miss

__all__ = ["ENTRY_OVERHEAD_BYTES", "ReferenceTable", "ReferenceView"]

ENTRY_OVERHEAD_BYTES = 540
LARGEST_PART = 8
SWEPT_BY_A_SET = 2
MOST_FILLS = 65_536
LARGEST_WEIGHT = 0xFFFF_FFFF


class _Entry:
    """One stored value; ``hot_until`` is ``fresh_until``, or minus infinity where a hit has to unseal the value."""

    __slots__ = (
        "cost",
        "fingerprint",
        "fresh_until",
        "hot_until",
        "in_window",
        "keep_s",
        "key",
        "place",
        "stamp",
        "tags",
        "value",
        "version",
        "view",
        "visited",
        "weight",
    )

    hot_until: float
    stamp: int
    visited: bool
    value: Any

    def __init__(self, view: ReferenceView, key: Key) -> None:
        self.view = view
        self.key = key
        self.fingerprint = fingerprint(hash(key), view.salt)
        self.cost = 0
        self.place = -1
        self.in_window = True
        self.visited = False

    def fill(self, value: Any, now: float, ttl_s: float, keep_s: float, version: int, tags: Tags, weight: int) -> None:
        self.value = value
        self.keep_s = keep_s
        self.version = version
        self.tags = tags
        self.weight = weight
        self.refresh(now + ttl_s)

    def refresh(self, fresh_until: float) -> None:
        self.fresh_until = fresh_until
        self.hot_until = fresh_until if self.view.table.seal is None else -math.inf

    def is_dead(self, now: float) -> bool:
        return self.fresh_until + self.keep_s <= now


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
        self.seal = seal
        self._overhead_bytes = overhead_bytes
        self._views: dict[str, ReferenceView] = {}
        self._places: list[_Entry | None] = []
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

    def _shrink(self) -> list[_Entry]:
        gone: list[_Entry] = []
        now = self.time.read()
        for view in self._views.values():
            while len(view.policy) and self.quotas.is_crowded(view):
                self._step(view, now, gone)
        return gone

    def new_policy(self) -> Policy[_Entry]:
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

    def weight_of(self, key: Key, stored: Any, weight: int) -> int:
        """Return the weight to account: as given, or measured where bytes bound the table."""
        if weight <= 0 and self.by_bytes:
            weight = weigh_pair(key, stored)
        return min(max(weight, 0), LARGEST_WEIGHT)

    def cost_of(self, weight: int) -> int:
        """Return what an entry of *weight* takes of the bound."""
        return weight + self._overhead_bytes if self.by_bytes else 1

    def most_entries(self) -> int:
        """Return how many entries the bound can ever allow."""
        return self.quotas.bound // self._overhead_bytes + 1 if self.by_bytes else self.quotas.bound

    def is_too_large(self, cost: int) -> bool:
        """Whether an entry of *cost* would take more than its part of the bound."""
        return cost > max(self.quotas.bound // LARGEST_PART, 1)

    def place(self, entry: _Entry) -> None:
        """Take *entry* into the table."""
        if self._free:
            entry.place = self._free.pop()
            self._places[entry.place] = entry
        else:
            entry.place = len(self._places)
            self._places.append(entry)
        self._size_bytes += entry.weight + self._overhead_bytes
        self.quotas.note(entry.view, entry.cost)

    def displace(self, entry: _Entry) -> None:
        """Let go of *entry*, which its policy has let go of already."""
        self._places[entry.place] = None
        self._free.append(entry.place)
        entry.place = -1
        self._size_bytes -= entry.weight + self._overhead_bytes
        self.quotas.note(entry.view, -entry.cost)
        del entry.view.entries[entry.key]

    def reweigh(self, entry: _Entry, weight: int) -> None:
        """Note that *entry*, overwritten, weighs *weight* now."""
        change = self.cost_of(weight) - entry.cost
        self._size_bytes += weight - entry.weight
        entry.view.policy.reweigh(entry, entry.cost + change)
        self.quotas.note(entry.view, change)

    def settle(self, view: ReferenceView, now: float) -> list[_Entry]:
        """Evict until all bounds hold after *view* took something in; return what left."""
        gone: list[_Entry] = []
        quotas = self.quotas
        while quotas.is_crowded(view) or view.policy.is_window_over(quotas.capacity(view)):
            self._step(quotas.payer(view), now, gone)
        return gone

    def _step(self, payer: ReferenceView, now: float, gone: list[_Entry]) -> None:
        entry = payer.policy.step(now, self.quotas.capacity(payer), is_crowded=self.quotas.is_crowded(payer))
        if entry is not None:
            if entry.is_dead(now):
                self.expirations += 1
            else:
                self.evictions += 1
            self.displace(entry)
            gone.append(entry)

    def discard(self, entry: _Entry) -> None:
        """Remove *entry*, which was invalidated or is dead."""
        entry.view.policy.discard(entry)
        self.displace(entry)

    def sweep(self, budget: int) -> int:
        """Look at the next *budget* places and remove what is dead there."""
        with self.lock:
            gone = self.sweep_some(budget, self.time.read())
        return len(gone)

    def sweep_some(self, budget: int, now: float) -> list[_Entry]:
        """Remove what is dead in the next *budget* places; return it."""
        gone: list[_Entry] = []
        for _ in range(min(budget, len(self._places))):
            self._cursor = self._cursor + 1 if self._cursor + 1 < len(self._places) else 0
            entry = self._places[self._cursor]
            if entry is not None and entry.is_dead(now):
                self.expirations += 1
                self.discard(entry)
                gone.append(entry)
        return gone


class ReferenceView:
    """One tenant's entries of one region."""

    __slots__ = ("__weakref__", "_fills", "entries", "floor", "hits", "misses", "policy", "salt", "table", "time")

    def __init__(self, table: ReferenceTable, tenant: str) -> None:
        self.table = table
        self.floor = 0
        self.entries: dict[Key, _Entry] = {}
        self.policy = table.new_policy()
        self.salt = mix64(hash(tenant))
        self.hits = 0
        self.misses = 0
        self.time = table.time
        self._fills: dict[Key, dict[int, int]] = {}

    def get(self, key: Key) -> Any | Miss:
        """Return the fresh value of the current epoch, else `MISS`."""
        try:
            entry = self.entries[key]
        except KeyError:
            return self._get_slowly(key)
        if entry.hot_until > self.time.now and entry.stamp >= self.floor and entry.stamp >= self.table.floor:
            entry.visited = True
            self.hits += 1
            return entry.value
        return self._get_slowly(key)

    def _get_slowly(self, key: Key) -> Any | Miss:
        """Answer what the hit path could not: misses, a parked ticker, sealed values, keys of other types."""
        key = plain_key(key)
        table = self.table
        with table.lock:
            now = table.time.read()
            entry = self.entries.get(key)
            is_hit = entry is not None and self._is_served(entry, now)
            if not is_hit:
                self.misses += 1
                if entry is not None:
                    self._note_unserved(entry, now)
                return MISS
            assert entry is not None
            entry.visited = True
            self.hits += 1
            stored = entry.value
        return stored if table.seal is None else self._unseal(table.seal, entry, stored)

    def _is_served(self, entry: _Entry, now: float) -> bool:
        return entry.fresh_until > now and self._is_current(entry)

    def _is_current(self, entry: _Entry) -> bool:
        return entry.stamp >= self.floor and entry.stamp >= self.table.floor

    def _note_unserved(self, entry: _Entry, now: float) -> None:
        if entry.is_dead(now):
            self.table.expirations += 1
            self.table.discard(entry)
        elif not self._is_current(entry):
            self.table.suspects += 1

    def _unseal(self, seal: Seal, entry: _Entry, stored: Any) -> Any | Miss:
        value = seal.unseal(stored)
        if value is MISS:
            with self.table.lock:
                self.hits -= 1
                self.misses += 1
                if entry.place >= 0 and entry.value is stored:
                    self.table.discard(entry)
        return value

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Any]:
        """Return the values that `get` would return, by key."""
        get = self.get
        return {key: value for key in keys if (value := get(key)) is not MISS}

    def entry(self, key: Key) -> LocalEntry | None:
        """Look at an entry without counting a read."""
        with self.table.lock:
            entry = self._alive(plain_key(key))
            if entry is None:
                return None
            seen = LocalEntry(
                value=entry.value,
                version=entry.version,
                tags=entry.tags,
                fresh_until=entry.fresh_until,
                stale_until=entry.fresh_until + entry.keep_s,
                is_suspect=not self._is_current(entry),
                stamp=entry.stamp,
                epoch=self.table.epoch,
                weight=entry.weight,
            )
        return seen if self.table.seal is None else self._unsealed(seen, self.table.seal)

    def _unsealed(self, seen: LocalEntry, seal: Seal) -> LocalEntry | None:
        value = seal.unseal(seen.value)
        return None if value is MISS else seen.with_value(value)

    def _alive(self, key: Key) -> _Entry | None:
        now = self.table.time.read()
        entry = self.entries.get(key)
        if entry is not None and entry.is_dead(now):
            self.table.expirations += 1
            self.table.discard(entry)
            return None
        return entry

    def set(
        self,
        key: Key,
        value: Any,
        *,
        ttl_s: float,
        keep_s: float = 0.0,
        version: int = 0,
        tags: Tags = (),
        weight: int = 0,
    ) -> bool:
        """Store *value*; loads of this key that are under way become void."""
        table = self.table
        key = plain_key(key)
        stored = value if table.seal is None else table.seal.seal(value)
        weight = table.weight_of(key, stored, weight)
        with table.lock:
            self._fills.pop(key, None)
            kept, gone = self._store(key, table.epoch, stored, ttl_s, keep_s, version, tags, weight)
        del gone
        return kept

    def begin_fill(self, key: Key) -> int:
        """Announce a load of *key*."""
        key = plain_key(key)
        with self.table.lock:
            token = self.table.next_token()
            if key not in self._fills and len(self._fills) >= MOST_FILLS:
                del self._fills[next(iter(self._fills))]
            self._fills.setdefault(key, {})[token] = self.table.epoch
        return token

    def commit_fill(
        self,
        key: Key,
        token: int,
        value: Any,
        *,
        ttl_s: float,
        keep_s: float = 0.0,
        version: int = 0,
        tags: Tags = (),
        weight: int = 0,
    ) -> bool:
        """Store what was loaded, unless the key was set, deleted, expired or cleared since `begin_fill`."""
        table = self.table
        key = plain_key(key)
        stored = value if table.seal is None else table.seal.seal(value)
        weight = table.weight_of(key, stored, weight)
        with table.lock:
            stamp = self._end_fill(key, token)
            if stamp is None:
                table.rejections += 1
                return False
            kept, gone = self._store(key, stamp, stored, ttl_s, keep_s, version, tags, weight)
        del gone
        return kept

    def abandon_fill(self, key: Key, token: int) -> None:
        """Forget a load that failed."""
        with self.table.lock:
            self._end_fill(plain_key(key), token)

    def _end_fill(self, key: Key, token: int) -> int | None:
        fills = self._fills.get(key)
        if fills is None:
            return None
        stamp = fills.pop(token, None)
        if not fills:
            del self._fills[key]
        return stamp

    def _store(
        self, key: Key, stamp: int, stored: Any, ttl_s: float, keep_s: float, version: int, tags: Tags, weight: int
    ) -> tuple[bool, list[Any]]:
        """Store and evict; return whether the entry stays, and all that must be released outside the lock."""
        table = self.table
        now = table.time.read()
        entry = self.entries.get(key)
        if entry is not None and entry.version > version > 0 and not entry.is_dead(now):
            table.rejections += 1
            return False, []
        if not ttl_s > 0 or table.is_too_large(table.cost_of(weight)):
            table.rejections += 1
            if entry is not None:
                table.discard(entry)
            return False, [entry]
        is_new = entry is None
        released = [None if entry is None else entry.value]
        if entry is None:
            entry = self._admit(key, weight)
        else:
            table.reweigh(entry, weight)
        entry.fill(stored, now, ttl_s, keep_s, version, tags, weight)
        entry.stamp = stamp
        table.sets += 1
        released += table.settle(self, now)
        if is_new:
            released += table.sweep_some(SWEPT_BY_A_SET, now)
        return entry.place >= 0, released

    def _admit(self, key: Key, weight: int) -> _Entry:
        table = self.table
        entry = self.entries[key] = _Entry(self, key)
        entry.weight = weight
        entry.cost = table.cost_of(weight)
        self.policy.fit(table.most_entries())
        self.policy.admit(entry, table.quotas.capacity(self))
        table.place(entry)
        return entry

    def delete(self, key: Key) -> bool:
        """Remove an entry."""
        key = plain_key(key)
        with self.table.lock:
            self._fills.pop(key, None)
            entry = self._alive(key)
            if entry is not None:
                self.table.discard(entry)
        return entry is not None

    def expire(self, key: Key) -> bool:
        """End an entry's ttl now and keep its body for its ``keep_s``."""
        key = plain_key(key)
        with self.table.lock:
            self._fills.pop(key, None)
            entry = self._alive(key)
            if entry is not None:
                now = self.table.time.read()
                entry.refresh(min(now, entry.fresh_until))
                entry.hot_until = -math.inf  # the ticked clock may lag behind now, and this must be seen at once
                if entry.is_dead(now):
                    self.table.discard(entry)
        return entry is not None

    def restamp(self, key: Key, entry: LocalEntry) -> bool:
        """Say that *entry*, as it was looked at, was proved current."""
        with self.table.lock:
            held = self._alive(plain_key(key))
            if (
                held is None
                or held.stamp != entry.stamp
                or held.fresh_until != entry.fresh_until
                or held.version != entry.version
                or held.tags is not entry.tags
            ):
                return False
            held.stamp = max(held.stamp, entry.epoch)
            return self._is_current(held)

    def touch(self, key: Key, ttl_s: float) -> bool:
        """Give an entry that `get` would serve a new ttl from now."""
        with self.table.lock:
            now = self.table.time.read()
            entry = self.entries.get(plain_key(key))
            if entry is None or not ttl_s > 0 or not self._is_served(entry, now):
                return False
            entry.refresh(now + ttl_s)
            return True

    def ttl(self, key: Key) -> float | None:
        """Return the seconds that `get` will still serve the entry."""
        with self.table.lock:
            now = self.table.time.read()
            entry = self.entries.get(plain_key(key))
            return entry.fresh_until - now if entry is not None and self._is_served(entry, now) else None

    def bump_epoch(self) -> None:
        """Make every entry of this tenant suspect."""
        with self.table.lock:
            self.floor = self.table.next_epoch()

    def clear(self) -> None:
        """Remove every entry of this tenant and void its loads."""
        with self.table.lock:
            self._fills.clear()
            gone = list(self.policy)
            for entry in gone:
                self.table.discard(entry)
        del gone

    def stats(self) -> TenantStats:
        """Return this tenant's part."""
        return TenantStats(entries=len(self.policy), cost=self.policy.cost, hits=self.hits, misses=self.misses)

    def wrap(
        self, function: Callable[..., Any], make_key: MakeKey, slow: Slow, *, ignore_first: bool = False
    ) -> Callable[..., Any]:
        """Return *function* with its hits answered here."""
        return wrap_call(self, function, make_key, slow)

    def wrap_async(
        self, function: Callable[..., Any], make_key: MakeKey, slow_async: SlowAsync, *, ignore_first: bool = False
    ) -> Callable[..., Awaitable[Any]]:
        """Return the awaitable twin of `wrap`."""
        return wrap_async_call(self, function, make_key, slow_async)


def plain_key(key: Key) -> Key:
    """Return *key* as an exact str or bytes; a subclass counts as the text that it holds."""
    kind = type(key)
    if kind is str or kind is bytes:
        return key
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, bytes):
        return bytes.__bytes__(key) if hasattr(bytes, "__bytes__") else bytes(key)
    raise KeyRefused(f"a key must be str or bytes, not {kind.__name__}")
