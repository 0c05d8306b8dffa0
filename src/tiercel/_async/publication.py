"""
The publication: puts a region's values where the CDN serves them from, and only what still holds.

A value that was computed before an invalidation must not be published after it, for nothing would make it fall again:

    1. a response is computed from price 990; the tokens of what it shows were taken before
    2. the price changes: tokens are renewed, the origin drops its copy, the CDN is purged
    3. the response with 990 is put at the origin, and the CDN serves it until its ttl ends

So the tokens are looked at twice, in the tier that all nodes share: before the put (an invalidation that came earlier
is seen, and nothing is put), and after it (one that came in between may have dropped before the put, so the object is
taken back, and purged for the edges that fetched it meanwhile). An invalidation that comes later still finds the object
itself. A process that dies between the put and the second look leaves the object to its ttl.

Cost: two round trips to the far tier for each value, beside the put; none where there is no far tier.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercel._async.node import AsyncPlace
from tiercel._core.frame import TagToken
from tiercel._core.webcontent import content_of
from tiercel._gates import async_gate
from tiercel.errors import TierError
from tiercel.typing import Key

Stamps = tuple[TagToken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """
    What must not have changed for a value to be published.

    Args:
        stamps: The region's generation, the value's own tags and those that were read to compute it, with their tokens
            of before; None where the tier that keeps the tokens did not answer.
        tags: Hashes of its own tags, which it carries even where their tokens are not known.
        is_fill: It was loaded because nothing was there. Overtaken, it is simply not put; what somebody wrote is taken
            away instead, older copies included.
        must_be_known: Not published where the tokens cannot be looked at: what waits, or may be computed again, can do
            without; what a caller has just written is new, and is published all the same.
    """

    stamps: Stamps | None
    tags: tuple[int, ...] = ()
    is_fill: bool = False
    must_be_known: bool = True


class AsyncPublication:
    """
    Args:
        place: The region and tenant whose values are published; the region has a CDN tier.
    """

    __slots__ = ("_place",)

    def __init__(self, place: AsyncPlace) -> None:
        self._place = place

    async def put(self, key: Key, value: object, fence: Fence, ttl_s: float | None) -> bool:
        """
        Publish *value* if it still holds; return whether it is published.

        Raises:
            TierUnavailable: the origin or the purge log failed.
            EncodeError: the value has no form to publish.
        """
        edge = self._place.core.edge
        assert edge is not None
        if self._place.is_off("cdn", key):
            await self._withdraw(key)
            return False
        if not await self._may_stand(fence):
            self._overtaken(key)
            if not fence.is_fill:
                await edge.remove(self._place.edge_path(key))
            return False
        await async_gate("publish.checked")
        await self._put(key, value, fence, ttl_s)
        await async_gate("publish.put")
        if await self._may_stand(fence):
            return True
        self._overtaken(key)
        await edge.remove(self._place.edge_path(key))
        return False

    async def _may_stand(self, fence: Fence) -> bool:
        if fence.stamps is None:
            return not fence.must_be_known
        place = self._place
        region, life_ms = place.core.options.name, place.core.tag_life_ms
        try:
            return await place.node.tags.hold(place.tenant, region, fence.stamps, life_ms, fresh=True)
        except TierError:
            return not fence.must_be_known

    async def _put(self, key: Key, value: object, fence: Fence, ttl_s: float | None) -> None:
        place, options = self._place, self._place.core.options
        edge = place.core.edge
        assert edge is not None
        body, content_type = content_of(key, value)
        carried = (*fence.tags, *(tag for tag, _ in fence.stamps or ()))
        published = await edge.publish(
            place.edge_path(key),
            body,
            content_type=content_type,
            ttl_s=options.ttl_s if ttl_s is None else ttl_s,
            tags=[*options.tags, *place.edge_tags(carried)],
            grace_s=options.grace_s,
            keep_s=options.keep_s,
            tenant=place.tenant,
        )
        stats = place.core.stats.tier("cdn")
        stats.sets += 1
        stats.written_bytes += len(body)
        stats.size.observe(len(body))
        place.node.recorder.event("published", region=options.name, tier="cdn", changed=published.changed)

    async def _withdraw(self, key: Key) -> None:
        """Take away what is published while the tier is switched off; one that fails must not fail the write."""
        edge = self._place.core.edge
        assert edge is not None
        try:
            await edge.remove(self._place.edge_path(key))
        except TierError as error:
            region = self._place.core.options.name
            self._place.node.recorder.event("tier_failed", region=region, tier="cdn", why=str(error))

    def _overtaken(self, key: Key) -> None:
        place = self._place
        place.node.recorder.event(
            "publish_overtaken", region=place.core.options.name, tier="cdn", tenant=place.tenant, key=key
        )
