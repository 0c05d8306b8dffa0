"""
One tenant's entries in the reference tier: the verbs, over a dictionary of the tenant's own.

`ReferenceView.get` is the hit path: a dictionary look-up, three comparisons and one flag, without a lock. Every other
method holds the table's lock; what it lets go is released after the lock.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from tiercel._core.sketch import mix64
from tiercel.errors import KeyRefused
from tiercel.local._calls import wrap_async_call, wrap_call
from tiercel.local._reference_entry import Entry
from tiercel.local.contract import MakeKey, Slow, SlowAsync
from tiercel.local.entry import LocalEntry, Tags, TenantStats
from tiercel.local.seal import Seal
from tiercel.local.weigh import weigh_stamps
from tiercel.typing import MISS, Key, Miss

if TYPE_CHECKING:
    from tiercel.local._reference import ReferenceTable

__all__ = ["ReferenceView"]

SWEPT_BY_A_SET = 2
MOST_FILLS = 65_536


class ReferenceView:
    """One tenant's entries of one region."""

    __slots__ = ("__weakref__", "_fills", "entries", "floor", "hits", "misses", "policy", "salt", "table", "time")

    def __init__(self, table: ReferenceTable, tenant: str) -> None:
        self.table = table
        self.floor = 0
        self.entries: dict[Key, Entry] = {}
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
        table, now = self.table, self.time.now
        if entry.hot_until > now < table.trusted_until and entry.stamp >= self.floor and entry.stamp >= table.floor:
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

    def _is_served(self, entry: Entry, now: float) -> bool:
        return entry.fresh_until > now < self.table.trusted_until and self._is_current(entry)

    def _is_current(self, entry: Entry) -> bool:
        return entry.stamp >= self.floor and entry.stamp >= self.table.floor

    def _note_unserved(self, entry: Entry, now: float) -> None:
        if entry.is_dead(now):
            self.table.expirations += 1
            self.table.discard(entry)
        elif not self._is_current(entry):
            self.table.suspects += 1

    def _unseal(self, seal: Seal, entry: Entry, stored: Any) -> Any | Miss:
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

    def _alive(self, key: Key) -> Entry | None:
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
        weight = table.weight_of(key, stored, weight, _stamps(keep_s, version, tags))
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
        weight = table.weight_of(key, stored, weight, _stamps(keep_s, version, tags))
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

    def _admit(self, key: Key, weight: int) -> Entry:
        table = self.table
        entry = self.entries[key] = Entry(self, key)
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


def _stamps(keep_s: float, version: int, tags: Tags) -> int:
    return weigh_stamps(len(tags), has_extra=bool(keep_s or version or tags))


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
