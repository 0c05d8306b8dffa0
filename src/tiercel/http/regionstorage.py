"""
Stored responses in a region: the embedded edge's storage in the local tier and Redis, shared by every edge.

Each URL's shelf is one entry. A purge is an invalidation of tags: the response's own, and some that name its URL, its
host and everything, so it costs a few writes however much falls, and reaches every node. Two things are coarser than in
memory: a purge by prefix takes everything, and a soft purge is a hard one.

A purge must also reach what is on its way into the region while it happens (see `tiercel.http.storage`)::

    purge                                save
    1. the purge clock gets a new token  1. the entry is stored
    2. the tags fall                     2. the purge clock is read: a token other than the fence's
                                            means that a purge may have come too early, so the entry falls

Whichever of the two is first, the other one sees it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol

from tiercel.errors import CacheError, EncodeError, TierError
from tiercel.http.rules.answers import merged_variants
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import ContentSpan, Request, StoredResponse
from tiercel.http.storage import Purge, addresses
from tiercel.options import RegionOptions
from tiercel.typing import MISS

__all__ = ["RegionStorage"]

_CLOCK_KEY = "purge-clock"
_CLOCK_TTL_S = 7 * 86_400.0
_EVERYTHING = "edge:all"
_MAX_TAGS = 60


class _Region(Protocol):
    options: RegionOptions

    async def get(self, key: str, default: Any = ..., *, consistency: str | None = None) -> Any: ...
    async def set(self, key: str, value: Any, *, tags: Sequence[str] = (), ttl_s: float | None = None) -> None: ...
    async def remove(self, key: str) -> Any: ...


class _Tenant(Protocol):
    def region(self, name: str) -> Any: ...
    async def invalidate_tags(self, *tags: str) -> Any: ...


class RegionStorage:
    """
    A storage for `tiercel.http.edge.Edge`.

    A tier that fails makes misses, not errors; a purge that it does not take is raised.

    Args:
        tenant: The cache's tenant under which responses are kept, whosever they are; made by ``cache.tenant(…)``.
        region: Name of the region.
    """

    def __init__(self, tenant: _Tenant, region: str) -> None:
        self._tenant = tenant
        self._region: _Region = tenant.region(region)
        # The clock must not come from a copy that lags; a region without a far tier has no other copy.
        self._consistency = "strong" if "redis" in self._region.options.tiers else None

    async def load(self, request: Request) -> Sequence[StoredResponse]:
        """See `Storage.load`."""
        try:
            shelf = await self._region.get(_shelf_key(request), ())
        except TierError:
            return ()
        return tuple(_from_plain(plain) for plain in shelf)

    async def fence(self) -> int:
        """Return the purge clock's token; 0, which forbids to store, where it cannot be read."""
        try:
            token = await self._region.get(_CLOCK_KEY, consistency=self._consistency)
            return await self._new_token() if token is MISS else int(token)
        except CacheError:
            return 0

    async def save(self, request: Request, stored: StoredResponse, *, fence: int, most: int) -> bool:
        """See `Storage.save`; also False for a response of more than 55 tags, or larger than the region takes."""
        tags = _tags(request, stored)
        if not fence or len(tags) > _MAX_TAGS:
            return False
        variants = merged_variants(await self.load(request), stored, most)
        all_tags = list(dict.fromkeys(tag for variant in variants for tag in _tags(request, variant)))
        if len(all_tags) > _MAX_TAGS:
            variants, all_tags = (stored,), tags
        shelf = [_to_plain(variant) for variant in variants]
        try:
            await self._region.set(_shelf_key(request), shelf, tags=all_tags, ttl_s=_life_s(variants))
            if await self.fence() == fence:
                return True
            await self._region.remove(_shelf_key(request))
        except (TierError, EncodeError):
            return False
        return False

    async def purge(self, purge: Purge, now: float) -> int:
        """See `Storage.purge`; returns 0, because nobody counts what falls."""
        await self._new_token()
        await self._tenant.invalidate_tags(*_purge_tags(purge))
        return 0

    async def _new_token(self) -> int:
        token = secrets.randbits(62) + 1
        await self._region.set(_CLOCK_KEY, token, ttl_s=_CLOCK_TTL_S)
        return token


def _shelf_key(request: Request) -> str:
    return "shelf:" + hashlib.blake2b(request.key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def _tags(request: Request, stored: StoredResponse) -> list[str]:
    places = [_place_tag("url", address) for address in sorted(addresses(request))]
    return list(dict.fromkeys([*stored.tags, *places, _place_tag("host", request.host), _EVERYTHING]))


def _purge_tags(purge: Purge) -> list[str]:
    if purge.everything or purge.prefixes:
        return [_EVERYTHING]
    places = [_place_tag("url", url) for url in purge.urls] + [_place_tag("host", host) for host in purge.hosts]
    return [*purge.tags, *places]


def _place_tag(kind: str, place: str) -> str:
    """Return a tag of bounded length that names a URL or a host; no response's own tag begins like it."""
    digest = hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"edge:{kind}:{digest}"


def _life_s(variants: Sequence[StoredResponse]) -> float:
    """Return how long the longest-lived variant can be of use, stale windows included."""
    lives = [
        variant.lifetime_s - variant.initial_age_s + max(variant.while_revalidate_s, variant.if_error_s)
        for variant in variants
    ]
    # What is stale at once can still be validated for a while.
    return max(*lives, 60.0)


def _to_plain(stored: StoredResponse) -> dict[str, Any]:
    plain = {field.name: getattr(stored, field.name) for field in fields(stored)}
    span = stored.span
    plain["headers"] = [list(line) for line in stored.headers]
    plain["selecting"] = [list(pair) for pair in stored.selecting]
    plain["tags"] = list(stored.tags)
    plain["span"] = None if span is None else [span.first, span.last, span.total]
    return plain


def _from_plain(plain: Mapping[str, Any]) -> StoredResponse:
    span = plain["span"]
    values = {
        **plain,
        "headers": Headers((name, value) for name, value in plain["headers"]),
        "body": bytes(plain["body"]),
        "selecting": tuple((name, value) for name, value in plain["selecting"]),
        "tags": tuple(plain["tags"]),
        "span": None if span is None else ContentSpan(*span),
    }
    return StoredResponse(**values)
