"""
The filler: loads what no tier has, and stores it where nothing newer has come in between.

A fill is fenced. The load runs under a lease in the far tier that every invalidation and every write voids, so the
losing schedule below ends with a refused commit instead of an old value that stays:

    1. reader misses, gets the lease, loads v1 from the store
    2. writer commits v2 to the store, stores v2 or a tombstone in the far tier: the lease is gone
    3. reader commits v1: refused, its caller gets v1 (it asked before the write ended), nobody else does

Tags are read before the load (an invalidation during the load makes the entry void at birth). The local tier has a fill
token of its own, voided in the same way.
"""

from __future__ import annotations

from typing import Any

from tiercel._async.keeper import AsyncKeeper
from tiercel._async.looker import AsyncLooker, LocalFill
from tiercel._async.node import AsyncPlace
from tiercel._async.orders import Order
from tiercel._conditional import offered
from tiercel._core.copy import NEGATIVE, Copy, Look
from tiercel._core.frame import TagToken
from tiercel._core.record import FillReply, Grant, fingerprint
from tiercel._core.tags import fresh_token
from tiercel._core.windows import Freshness
from tiercel._dependencies import collecting
from tiercel._flights import async_follow
from tiercel._gates import async_gate
from tiercel._paired import async_call
from tiercel._timebudget import uncut
from tiercel.errors import ConfigurationError, LoadTimeout, NotFound, TierError
from tiercel.typing import NOT_MODIFIED, Key, Record

PATIENCE = 2 / 3
"""Part of the longest load's time that another node's load is waited for; the rest is left for one of our own."""


class AsyncFiller:
    """
    Args:
        place: The region and tenant that it fills.
        looker: Finds what is there already.

    Attributes:
        keeper: Stores what was loaded.
    """

    __slots__ = ("_looker", "_place", "keeper")

    def __init__(self, place: AsyncPlace, looker: AsyncLooker) -> None:
        self._place = place
        self._looker = looker
        self.keeper = AsyncKeeper(place, looker)

    async def fill(self, key: Key, order: Order, look: Look) -> Copy:
        """
        Return a fresh copy of *key*, loaded at most once among all nodes while leases hold.

        Raises:
            Exception: the loader's own, untouched.
        """
        local = self._looker.begin_local(key)
        try:
            again = None if order.is_strong else self._looker.local_copy(key)
            if again is not None and again.is_fresh:
                return again
            return await self._leased(key, order, look, local)
        finally:
            self._looker.end_local(key, local)

    async def _leased(self, key: Key, order: Order, look: Look, local: LocalFill) -> Copy:
        place = self._place
        if place.far_for(key) is None:
            return await self._load(key, order, look, await self.stamps_or_none(order), local, lease=0)
        if look.far_failed:  # it is not asked again: what it cannot invalidate is not kept, and needs no stamps
            return await self._load(key, order, look, None, local, lease=0)
        try:
            stamps = await self._stamps(order)
            lease, found = await self._lease(key, look, order)
        except TierError as error:
            self.keeper.failed(error)
            return await self._load(key, order, look, None, local, lease=0)
        if found is not None:
            self._looker.keep_local(key, local, found)
            return found
        await async_gate("fill.granted")
        try:
            return await self._load(key, order, look, stamps, local, lease)
        except BaseException:
            await self.keeper.abandon(key, lease)
            raise

    async def _stamps(self, order: Order) -> tuple[TagToken, ...]:
        place = self._place
        with uncut():
            return await place.node.tags.stamps(
                place.tenant, place.core.options.name, order.tags, place.core.tag_life_ms, fresh=order.is_strong
            )

    async def stamps_or_none(self, order: Order) -> tuple[TagToken, ...] | None:
        """Return the stamps; None where the tier that keeps the tokens does not answer, so nothing may be stored."""
        try:
            return await self._stamps(order)
        except TierError:
            return None

    async def _lease(self, key: Key, look: Look, order: Order) -> tuple[int, Copy | None]:
        """
        Return a lease, or a copy that somebody else stored meanwhile; waits while another node loads.

        Neither where that lasts: its node may be gone, or a lease may have been granted to a call that had given up (a
        server that stood still answers all of them later). What is loaded without a lease is not kept.
        """
        place = self._place
        far, clock = place.core.far, place.node.process.clock
        assert far is not None
        name, unusable = place.name(key), unusable_of(look)
        ends = clock.monotonic() + place.core.options.load_timeout_s * PATIENCE
        while True:
            waiting = place.node.process.wakes.expect(place.name_hash(key))
            lease, mark = fresh_token(), place.node.process.unsettled.mark()
            reply = await far.begin_fill(name, lease, place.core.lease_ms, unusable)
            if reply.grant is Grant.GRANTED:
                return lease, None
            if reply.grant is Grant.HIT:
                copy = await self._usable(key, reply, order, mark)
                if copy is not None:
                    return 0, copy
                unusable = fingerprint(reply.frame)
                continue
            left_s = ends - clock.monotonic()
            if left_s <= 0:
                return 0, None
            await async_gate("fill.busy")
            await _wait(waiting, min(left_s, reply.retry_after_ms / 1000))

    async def _usable(self, key: Key, reply: FillReply, order: Order, mark: int) -> Copy | None:
        frame = reply.frame
        if frame is None:
            return None
        held = await self._looker.frame_holds(key, frame, mark, strong=order.is_strong)
        copy = self._looker.copy_of(frame) if held else None
        return None if copy is None or copy.version < order.least_version else copy

    async def _load(
        self, key: Key, order: Order, look: Look, stamps: tuple[TagToken, ...] | None, local: LocalFill, lease: int
    ) -> Copy:
        place = self._place
        clock, stats = place.node.process.clock, place.core.stats
        started = clock.monotonic()
        with (
            place.node.recorder.span("load", place.core.options.name),
            collecting(isolated=not place.core.options.track_dependencies) as found,
            offered(look.copy),
        ):
            try:
                value, version = record_of(await async_call(order.load, key))
            except NotFound:
                value, version = NEGATIVE, 0
            except BaseException:
                stats.load_errors += 1
                raise
        cost_s = clock.monotonic() - started
        stats.loads += 1
        stats.load_latency.observe(cost_s)
        if place.core.warm is not None:
            place.core.warm.loaded(place.tenant, stats.region, key, started + cost_s, cost_s)
        place.node.process.observe_version(version)
        await async_gate("fill.loaded")
        combined = self.keeper.with_dependencies(stamps, found)
        if value is NOT_MODIFIED:
            return await self.keeper.keep_unmodified(key, order, _offer(look), combined, local, lease, cost_s)
        return await self.keeper.keep(
            key, order, Copy(value, Freshness.FRESH, "load", version), combined, local, lease, cost_s
        )


def unusable_of(look: Look) -> bytes:
    """Return the fingerprint of the far record that is to be replaced; empty for none."""
    return look.copy.fingerprint if look.copy is not None and look.copy.tier != "local" else look.unusable


def _offer(look: Look) -> Copy:
    """Return the copy that a loader was offered and found unmodified."""
    if look.copy is None or look.copy.value is NEGATIVE:
        raise ConfigurationError("a loader answered NOT_MODIFIED without a copy: ask tiercel.stale_copy() first")
    return look.copy


def record_of(answer: Any) -> tuple[Any, int]:
    """Return (value, version) of what a loader gave."""
    return (answer.value, answer.version) if isinstance(answer, Record) else (answer, 0)


async def _wait(waiting: Any, timeout_s: float) -> None:
    """Wait for a wake; a lease that runs out ends the wait as well."""
    try:
        await async_follow(waiting, timeout_s)
    except LoadTimeout:
        return
