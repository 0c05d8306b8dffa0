"""
The reader of regions that live at the CDN alone: what is published is what is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiercel._async.node import AsyncPlace
from tiercel._async.orders import ManyOrder, Order
from tiercel._async.writer import AsyncWriter, Row
from tiercel._core.copy import NEGATIVE, Copy
from tiercel._core.webcontent import value_of
from tiercel._core.windows import Freshness
from tiercel._flights import Flight, async_detached, async_follow, async_may_wait
from tiercel._paired import async_call
from tiercel.errors import DecodeError, NotFound, TierError
from tiercel.typing import Key, Record


class AsyncEdgeReader:
    """
    Args:
        place: The region and tenant that it reads.
        writer: Publishes what was loaded.
    """

    __slots__ = ("_place", "_writer")

    def __init__(self, place: AsyncPlace, writer: AsyncWriter) -> None:
        self._place = place
        self._writer = writer

    async def find(self, key: Key, *, strong: bool = False, least_version: int = 0) -> Copy | None:
        """Return what is published for *key* and fresh; never loads."""
        async_may_wait()
        edge, stats = self._place.core.edge, self._place.core.stats.tier("cdn")
        assert edge is not None
        clock = self._place.node.process.clock
        started = clock.monotonic()
        try:
            published = await edge.fetch(self._place.edge_path(key))
        except TierError as error:
            stats.errors += 1
            self._place.node.recorder.event("tier_failed", tier="cdn", why=str(error))
            return None
        stats.latency.observe(clock.monotonic() - started)
        if published is None or published.freshness(clock.wall()) != "fresh":
            stats.misses += 1
            return None
        try:
            value = value_of(published.body, published.content_type)
        except DecodeError:
            self._place.core.stats.damaged_frames += 1
            return None
        stats.hits += 1
        stats.read_bytes += len(published.body)
        left_s = published.ttl_s - published.age_s(clock.wall())
        return Copy(
            value, Freshness.FRESH, "cdn", fresh_for_s=left_s, kept_for_s=left_s, size_bytes=len(published.body)
        )

    async def find_many(self, keys: Sequence[Key]) -> dict[Key, Copy]:
        """Return what is published for *keys* and fresh, by key."""
        found = {key: await self.find(key) for key in keys}
        return {key: copy for key, copy in found.items() if copy is not None}

    async def load(self, key: Key, order: Order) -> Copy:
        """Return what is published for *key*; publish what the loader gives where there is nothing."""
        copy = await self.find(key)
        if copy is not None:
            return copy
        flight, leads = self._place.node.process.flights.enter(self._place.flight_key(key))
        if leads:
            async_detached(self._lead, flight, key, order)
        loaded: Copy = await async_follow(flight, self._place.core.options.load_timeout_s)
        return loaded

    async def _lead(self, flight: Flight, key: Key, order: Order) -> None:
        flights, stats = self._place.node.process.flights, self._place.core.stats
        try:
            stats.loads += 1
            answer: Any = await async_call(order.load, key)
            value = answer.value if isinstance(answer, Record) else answer
            await self._writer.spread({key: Row(value)}, await self._writer.stamps(order.tags), order.ttl_s)
        except NotFound:
            flights.land(flight, Copy(NEGATIVE, Freshness.FRESH, "load"))
        except BaseException as error:
            stats.load_errors += 1
            flights.land(flight, error=error)
            if not isinstance(error, Exception):
                raise
        else:
            flights.land(flight, Copy(value, Freshness.FRESH, "load"))

    async def load_many(self, keys: Sequence[Key], order: ManyOrder) -> dict[Key, Copy]:
        """Return what is published for *keys*; load and publish the rest in one call."""
        copies = await self.find_many(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in copies]
        if not missing:
            return copies
        self._place.core.stats.loads += 1
        rows = await async_call(order.load_many, missing)
        stamps = await self._writer.stamps(order.tags)
        await self._writer.spread({key: Row(rows[key]) for key in missing if key in rows}, stamps, order.ttl_s)
        for key in missing:
            copies[key] = Copy(rows.get(key, NEGATIVE), Freshness.FRESH, "load")
        return copies
