"""
Where stored responses live: the protocol, and the in-memory storage bounded by bytes.

A storage keeps, for each URL of each tenant, the few responses that may answer it (its *shelf*), and purges by tag,
URL, prefix, tenant or altogether. A hard purge removes; a soft one makes stale, so that the old answer can still be
served while the new one is fetched, or where the origin fails.

A response that was asked for before a purge must not be stored after it::

    1. the cache misses and asks the origin
    2. the origin reads the old row
    3. the row changes; its tag is purged
    4. the origin's answer arrives, made from the old row

So the cache takes a *fence* before it asks and hands it back with the answer; the storage refuses an answer that a
purge since then speaks of.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from tiercel.http.rules.answers import merged_variants
from tiercel.http.rules.messages import Request, StoredResponse
from tiercel.options import require

__all__ = ["AsyncStorage", "InLoop", "MemoryStorage", "Purge", "Storage"]

_REMEMBERED_PURGES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """
    What is to fall: everything that any of the lists names.

    Args:
        tags: Tags, spelled as the origin's tag header spells them.
        urls: Absolute URLs, or targets (``/path?query``) that fall on every host; a path without a query falls with
            every query.
        prefixes: Beginnings of absolute URLs or of targets.
        hosts: Host names, with the port where it is not the scheme's own.
        everything: All there is.
        tenant: Only what belongs to this tenant; None for every tenant.
        soft: Make stale instead of removing.
    """

    tags: Sequence[str] = ()
    urls: Sequence[str] = ()
    prefixes: Sequence[str] = ()
    hosts: Sequence[str] = ()
    everything: bool = False
    tenant: str | None = None
    soft: bool = False

    def concerns(self, request: Request, tags: Sequence[str]) -> bool:
        """Say whether an answer to *request* that carries *tags* falls."""
        if self.tenant is not None and request.tenant != self.tenant:
            return False
        if self.everything or request.host in self.hosts or not addresses(request).isdisjoint(self.urls):
            return True
        prefixes = tuple(self.prefixes)
        if prefixes and (request.url.startswith(prefixes) or request.target.startswith(prefixes)):
            return True
        return not set(self.tags).isdisjoint(tags)


def addresses(request: Request) -> frozenset[str]:
    """Return every spelling under which a purge may name the URL of *request*."""
    return frozenset({request.url, request.target, request.target.partition("?")[0]})


@runtime_checkable
class Storage(Protocol):
    """A blocking storage; every method may be called from any thread."""

    def load(self, request: Request) -> Sequence[StoredResponse]:
        """Return the responses stored for the URL of *request*."""

    def fence(self) -> int:
        """Return a mark of this moment for `save`."""

    def save(self, request: Request, stored: StoredResponse, *, fence: int, most: int) -> bool:
        """Store a response, keeping *most* of its URL; False where a purge since *fence* forbids it."""

    def purge(self, purge: Purge, now: float) -> int:
        """Carry out *purge* and return how many stored responses fell."""


@runtime_checkable
class AsyncStorage(Protocol):
    """The awaitable twin of `Storage`."""

    async def load(self, request: Request) -> Sequence[StoredResponse]:
        """See `Storage.load`."""

    async def fence(self) -> int:
        """See `Storage.fence`."""

    async def save(self, request: Request, stored: StoredResponse, *, fence: int, most: int) -> bool:
        """See `Storage.save`."""

    async def purge(self, purge: Purge, now: float) -> int:
        """See `Storage.purge`."""


class InLoop:
    """A blocking storage that never waits, used as an awaitable one without leaving the loop's thread."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def load(self, request: Request) -> Sequence[StoredResponse]:
        """See `Storage.load`."""
        return self._storage.load(request)

    async def fence(self) -> int:
        """See `Storage.fence`."""
        return self._storage.fence()

    async def save(self, request: Request, stored: StoredResponse, *, fence: int, most: int) -> bool:
        """See `Storage.save`."""
        return self._storage.save(request, stored, fence=fence, most=most)

    async def purge(self, purge: Purge, now: float) -> int:
        """See `Storage.purge`."""
        return self._storage.purge(purge, now)


class _Shelf:
    """The stored responses of one URL."""

    __slots__ = ("request", "touched", "variants", "weight_bytes")

    def __init__(self, request: Request, variants: tuple[StoredResponse, ...]) -> None:
        self.request = request
        self.variants = variants
        self.touched = False
        self.weight_bytes = sum(stored.weight_bytes for stored in variants)

    @property
    def tags(self) -> set[str]:
        return {tag for stored in self.variants for tag in stored.tags}


class MemoryStorage:
    """
    Stored responses in this process, bounded by bytes, evicted by second chance.

    A load takes no lock: one dictionary lookup and one flag. Everything else is under one lock. A purge by URL or tag
    costs what falls; one by prefix looks at every URL.

    Args:
        max_bytes: Most bytes of content, fields and bookkeeping.
    """

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        require(max_bytes >= 1, f"max_bytes={max_bytes}: must be at least 1")
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._lock = threading.Lock()
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()
        self._keys_by_tag: dict[str, set[str]] = {}
        self._keys_by_address: dict[str, set[str]] = {}
        self._clock = 0
        self._purges: deque[tuple[int, Purge]] = deque(maxlen=_REMEMBERED_PURGES)

    def __len__(self) -> int:
        return len(self._shelves)

    def load(self, request: Request) -> Sequence[StoredResponse]:
        """See `Storage.load`."""
        shelf = self._shelves.get(request.key)
        if shelf is None:
            return ()
        shelf.touched = True
        return shelf.variants

    def fence(self) -> int:
        """See `Storage.fence`."""
        return self._clock

    def save(self, request: Request, stored: StoredResponse, *, fence: int, most: int) -> bool:
        """See `Storage.save`; a response larger than the whole storage is not kept."""
        with self._lock:
            if self._was_purged(request, stored, fence):
                return False
            if stored.weight_bytes > self.max_bytes:
                return False
            shelf = self._shelves.get(request.key)
            variants = merged_variants(shelf.variants if shelf else (), stored, most)
            self._place(request, variants)
            self._evict()
            return True

    def purge(self, purge: Purge, now: float) -> int:
        """See `Storage.purge`."""
        with self._lock:
            self._clock += 1
            self._purges.append((self._clock, purge))
            return sum(self._purge_shelf(key, purge, now) for key in self._candidates(purge))

    def _was_purged(self, request: Request, stored: StoredResponse, fence: int) -> bool:
        if self._clock - fence > len(self._purges):
            return True
        since = (purge for at, purge in self._purges if at > fence)
        return any(purge.concerns(request, stored.tags) for purge in since)

    def _candidates(self, purge: Purge) -> list[str]:
        if purge.everything or purge.prefixes or purge.hosts:
            return list(self._shelves)
        keys: set[str] = set()
        for tag in purge.tags:
            keys |= self._keys_by_tag.get(tag, set())
        for url in purge.urls:
            keys |= self._keys_by_address.get(url, set())
        return list(keys)

    def _purge_shelf(self, key: str, purge: Purge, now: float) -> int:
        shelf = self._shelves[key]
        falling = [stored for stored in shelf.variants if purge.concerns(shelf.request, stored.tags)]
        if not falling:
            return 0
        expired = tuple(_expired(stored, now) for stored in falling) if purge.soft else ()
        staying = tuple(stored for stored in shelf.variants if stored not in falling)
        self._place(shelf.request, staying + expired)
        return len(falling)

    def _place(self, request: Request, variants: tuple[StoredResponse, ...]) -> None:
        self._remove(request.key)
        if not variants:
            return
        # What the key needs is kept, not the client's fields.
        shelf = _Shelf(replace(request, headers=type(request.headers)()), variants)
        self._shelves[request.key] = shelf
        self.size_bytes += shelf.weight_bytes
        for index, names in ((self._keys_by_tag, shelf.tags), (self._keys_by_address, addresses(request))):
            for name in names:
                index.setdefault(name, set()).add(request.key)

    def _remove(self, key: str) -> None:
        shelf = self._shelves.pop(key, None)
        if shelf is None:
            return
        self.size_bytes -= shelf.weight_bytes
        for index, names in ((self._keys_by_tag, shelf.tags), (self._keys_by_address, addresses(shelf.request))):
            for name in names:
                keys = index[name]
                keys.discard(key)
                if not keys:
                    del index[name]

    def _evict(self) -> None:
        while self.size_bytes > self.max_bytes:
            key, shelf = next(iter(self._shelves.items()))
            if shelf.touched:
                shelf.touched = False
                self._shelves.move_to_end(key)
            else:
                self._remove(key)


def _expired(stored: StoredResponse, now: float) -> StoredResponse:
    return stored if stored.expired_at is not None else replace(stored, expired_at=now)
