"""
One edge: an origin that is published to, a CDN that is purged, or both.

The folder edge has an origin only, and a purge of it is done when the call returns. With a CDN, purges go through the
durable log of `tiercel._async.purger`: *stored, then dropped at the origin, then sent*, so that no edge can fetch the
old answer again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tiercel._async.purger import AsyncPurger
from tiercel._edges.protocols import Origin, Put
from tiercel._paired import AsyncSemaphore, async_run_blocking
from tiercel.cdn.capabilities import FOLDER, Capabilities
from tiercel.cdn.headers import CachePolicy, cache_headers
from tiercel.cdn.objects import EdgeObject, Published, entity_tag
from tiercel.cdn.overflow import fit_tags
from tiercel.cdn.paths import check_path, check_purge_path
from tiercel.cdn.planner import express
from tiercel.cdn.purge import PurgeItem, PurgeRequest, PurgeStatus, PurgeTicket
from tiercel.cdn.tagcodec import TagCodec
from tiercel.cdn.tagindex import TagIndex
from tiercel.cdn.ticket import pack_numbers, unpack_numbers
from tiercel.cdn.variants import accepts, variant_of, variant_path, with_variants
from tiercel.errors import ConfigurationError, TierError
from tiercel.typing import GLOBAL, Clock

DONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionParts:
    """
    What a distribution is put together from.

    Args:
        name: In reports and tickets.
        codec: Spells tags.
        clock: Wall time for published objects.
        origin: Where objects are published; None where the CDN fetches from the application itself.
        purger: Sends purges; None for an edge that serves the origin directly.
        concurrency: Most blocking calls at once.
        alone_s: This process alone serves the pages, and none lives longer at the CDN: a CDN without tags is then
            purged by the paths that were `served`, instead of whole. None where others serve too.
    """

    name: str
    codec: TagCodec
    clock: Clock
    origin: Origin | None = None
    purger: AsyncPurger | None = None
    concurrency: int = 8
    alone_s: float | None = None


class AsyncDistribution:
    """An `AsyncEdge` made of parts; see the module. Safe to share between tasks."""

    def __init__(self, parts: DistributionParts) -> None:
        self.name = parts.name
        self.codec = parts.codec
        self.purger = parts.purger
        self.origin = parts.origin
        self._clock = parts.clock
        self._slots = AsyncSemaphore(parts.concurrency)
        complete_from_s = None if parts.alone_s is None else parts.clock.wall() + parts.alone_s
        self.index = TagIndex(complete_from_s=complete_from_s)
        self._index_lock = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """What the CDN can do; the folder's where there is none."""
        return FOLDER if self.purger is None else self.purger.sender.capabilities

    async def publish(
        self,
        path: str,
        body: bytes,
        *,
        content_type: str,
        ttl_s: float,
        tags: Sequence[str] = (),
        immutable: bool = False,
        grace_s: float = 0.0,
        keep_s: float = 0.0,
        tenant: str = GLOBAL,
        encoding: str = "",
        browser_ttl_s: float | None = None,
    ) -> Published:
        """
        Put one object where the edge serves it from; the same content again changes nothing.

        Args:
            path: URL path, see `check_path`; build it with `edge_path` where it holds a tenant's key.
            body: Bytes as served.
            content_type: Media type, with its charset.
            ttl_s: Fresh for so many seconds.
            grace_s: Then served stale while one request fetches the new one.
            keep_s: Then served stale where the origin fails.
            tags: Application tags of *tenant* that a purge can name.
            immutable: *path* names this content for ever; an object that is there already is left alone.
            tenant: Whose tags they are.
            encoding: ``Content-Encoding`` of *body*, if any.
            browser_ttl_s: How long browsers keep it, which no purge reaches; None for *ttl_s*.

        Raises:
            ConfigurationError: a bad path or tag, or an edge without an origin.
            TierUnavailable: the origin failed; nothing was published.
        """
        fitted = fit_tags(self.codec, tenant, tags, self.capabilities, ttl_s)
        policy = CachePolicy(
            ttl_s=fitted.ttl_s, browser_ttl_s=browser_ttl_s, grace_s=grace_s, keep_s=keep_s, immutable=immutable
        )
        headers = {"Content-Type": content_type}
        headers |= (
            {"Cache-Control": "no-store"} if fitted.step == "uncacheable" else cache_headers(policy, self.capabilities)
        )
        if encoding:
            headers |= {"Content-Encoding": encoding, "Vary": "Accept-Encoding"}
        item = EdgeObject(
            path=check_path(path),
            body=body,
            headers=headers,
            etag=entity_tag(body, encoding),
            tags=fitted.tags,
            published_s=self._clock.wall(),
            ttl_s=fitted.ttl_s,
            grace_s=grace_s,
            keep_s=keep_s,
            immutable=immutable,
        )
        return await self.publish_object(item, tenant=tenant)

    async def publish_object(self, item: EdgeObject, *, tenant: str = GLOBAL) -> Published:
        """Put *item* as it is, and purge the edge's older copies where there may be some."""
        origin = self._origin("publish")
        async with self._slots:
            put = await async_run_blocking(_put, origin, item)
        ticket = None
        if put.changed and put.existed and not item.immutable:
            ticket = await self.purge(PurgeRequest(paths=(item.path,), tenant=tenant, keep_origin=True))
        return Published(item.path, put.changed, put.existed, item.etag, ticket)

    async def fetch(self, path: str, *, accept_encoding: str = "") -> EdgeObject | None:
        """
        Return what is published at *path*, however old: see `EdgeObject.freshness`. None where there is nothing.

        With *accept_encoding* (the request's header) a compressed variant is preferred, where the origin has one.
        """
        origin = self._origin("fetch")
        check_path(path)
        async with self._slots:
            if origin.negotiates and accepts(accept_encoding):
                variant = await async_run_blocking(origin.get, variant_path(path))
                if variant is not None:
                    return replace(variant, path=path)
            return await async_run_blocking(origin.get, path)

    async def remove(self, path: str) -> bool:
        """Take *path* away, at the origin and at the edge; say whether the origin had it."""
        origin = self._origin("remove")
        check_path(path)
        async with self._slots:
            existed = await async_run_blocking(origin.remove, path)
            if origin.negotiates:
                await async_run_blocking(origin.remove, variant_path(path))
        if self.purger is not None:
            await self.purge(PurgeRequest(paths=(path,), keep_origin=True))
        return existed

    async def purge(self, request: PurgeRequest) -> PurgeTicket:
        """
        Make copies fall; with a CDN, the request is stored durably when this returns and sent in the background.

        Raises:
            ConfigurationError: an empty or malformed request.
            TierUnavailable: it could not be stored, or the folder could not be changed.
        """
        items = request.items(self.codec)
        drop = not request.keep_origin and self.origin is not None
        if self.purger is None:
            if drop:
                await self._drop(items)
            return PurgeTicket(self.name, DONE, self._clock.wall(), len(items))
        spoken = await self.express(items)
        added = await self.purger.add(request.tenant, spoken, drop=drop, names=request.named(self.codec))
        if drop and await self._drop_now(items):
            await async_run_blocking(self.purger.log.dropped, added)
        return PurgeTicket(self.name, pack_numbers([number for number, _ in added]), self._clock.wall(), len(items))

    async def status(self, ticket: PurgeTicket) -> PurgeStatus:
        """Say how far a purge of this edge is."""
        if ticket.edge != self.name:
            raise ConfigurationError(f"ticket of edge {ticket.edge!r} asked of {self.name!r}")
        if ticket.id == DONE or self.purger is None:
            return PurgeStatus("done", ticket.created_s)
        return await self.purger.status(unpack_numbers(ticket.id))

    async def ping(self) -> None:
        """Raise `TierError` where the origin or the CDN cannot be reached."""
        if self.origin is not None:
            await async_run_blocking(self.origin.ping)
        if self.purger is not None:
            await async_run_blocking(self.purger.sender.ping)

    async def aclose(self) -> None:
        """End background work; purges that are stored are sent by the next process that opens the log."""
        if self.purger is not None:
            await self.purger.aclose()
        if self.origin is not None:
            await async_run_blocking(self.origin.close)

    def served(self, path: str, tags: Sequence[str], tenant: str = GLOBAL) -> None:
        """
        Note that the application answered *path* with a response that depends on *tags*.

        Needed only where the CDN knows no tags and pulls from the application: its purges by tag then name these paths,
        where the edge's URL says ``alone=SECONDS``; see `tiercel.cdn.tagindex`. Hand it to the page cache:
        ``PageCache(…, served=cache.edge.served)``.
        """
        if self.capabilities.tags:
            return
        names = [self.codec.tenant_tag(tenant), *(self.codec.encode(tenant, tag) for tag in tags)]
        try:
            check_purge_path(path)
        except ConfigurationError:  # no path that a purge could name, so purges of its tags must not go by paths
            with self._index_lock:
                self.index.open(names)
        else:
            with self._index_lock:
                self.index.add(path, names)

    async def express(self, items: Sequence[PurgeItem]) -> tuple[PurgeItem, ...]:
        """Return *items* in words that the CDN understands; asks the origin or the tag index where it knows no tags."""
        known: dict[PurgeItem, Sequence[str] | None] = {}
        for item in items:
            if not _understood(self.capabilities, item):
                known[item] = await self._paths(item)
        return express(items, self.capabilities, known.__getitem__)

    async def _paths(self, item: PurgeItem) -> Sequence[str] | None:
        if self.origin is not None:
            return await async_run_blocking(self.origin.find, [item])
        if item.kind != "tag":
            return None
        with self._index_lock:
            return self.index.find(item.value, self._clock.wall())

    async def _drop(self, items: Sequence[PurgeItem]) -> None:
        if self.origin is not None:
            async with self._slots:
                await async_run_blocking(self.origin.drop, with_variants(items) if self.origin.negotiates else items)

    async def _drop_now(self, items: Sequence[PurgeItem]) -> bool:
        """Drop at once; False leaves it to the purger, which tries again before it sends."""
        try:
            await self._drop(items)
        except TierError:
            return False
        return True

    def _origin(self, operation: str) -> Origin:
        if self.origin is None:
            raise ConfigurationError(
                f"edge {self.name!r} cannot {operation}: give it an origin, for example ?origin=s3://bucket"
            )
        return self.origin


def _put(origin: Origin, item: EdgeObject) -> Put:
    """Store *item*, and its compressed variant where the origin can choose between the two."""
    if not origin.negotiates:
        return origin.put(item)
    variant = variant_of(item)
    # The older variant goes first: a reader in between gets the plain object, never two different contents.
    before = origin.get(variant_path(item.path))
    if before is not None and (variant is None or variant.etag != before.etag):
        origin.remove(variant_path(item.path))
    put = origin.put(item)
    if variant is not None:
        origin.put(variant)
    return put


def _understood(capabilities: Capabilities, item: PurgeItem) -> bool:
    return express((item,), capabilities, lambda _: ())[:1] != ()
