"""
The express way: a read that is an ordinary hit in Redis, with as few steps between the caller and the lane as there can
be.

It answers what is plainly a fresh entry in force, and nothing else. Whatever it is not sure of goes on in the reader,
which need not ask Redis again: a record of another kind, a miss, a failure, a tag that is not known here. So the reader
stays the one place where such things are decided, and no check is left out: see `tiercel.codecs.opener`.

It is closed where a read has more to do than that: a local tier to fill, a consistency above eventual, a switch or an
experiment on the region, records that are sealed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tiercel import _gates, _timebudget
from tiercel._async.node import AsyncPlace
from tiercel._async.redis import AsyncRedisTier
from tiercel._core.copy import NEGATIVE, Fetched
from tiercel._core.frame import payload_bytes
from tiercel._core.keys import encode_key
from tiercel._core.policyplan import RegionPlan
from tiercel._flights import async_may_wait
from tiercel._gates import async_gate
from tiercel.codecs.opener import best_opener
from tiercel.errors import ClosedError, TierError
from tiercel.typing import MISS, Key

if TYPE_CHECKING:
    from tiercel._async.reader import AsyncReader

__all__ = ["AsyncExpress", "express_of"]

TRUST_S = 0.001
"""How much later than the tag book the express way may notice that messages do not flow."""


class AsyncExpress:
    """
    Args:
        place: The region and tenant that it reads.
        far: The tier that it reads from.
        reader: Takes over what is no ordinary hit.
    """

    __slots__ = (
        "_far", "_hot", "_is_open", "_link", "_monotonic", "_opener", "_place", "_plan", "_read_after_s", "_reader",
        "_stats", "_tags", "_tier_stats", "_trust_ends", "_unsettled", "_warm", "beta",
    )  # fmt: skip

    def __init__(self, place: AsyncPlace, far: AsyncRedisTier, reader: AsyncReader) -> None:
        process = place.node.process
        self._place = place
        self._far = far
        self._reader = reader
        self._link = far.link
        self._hot = reader.looker.hot
        self._warm = reader.looker.warm
        self._unsettled = process.unsettled
        self._monotonic: Callable[[], float] = process.clock.monotonic
        self._tags = place.node.tags
        self._read_after_s = self._trust_ends = -math.inf
        self._opener = best_opener(self._tags.memo.tokens, place.scopes, *place.core.codec.plain_decoder)
        self._stats = place.core.stats
        self._tier_stats = place.core.stats.tier(far.name)
        self._apply(place.core.plan)

    def _apply(self, plan: RegionPlan) -> None:
        """Take over what a live change may have changed."""
        options = plan.options
        self._plan = plan
        self._is_open = (
            options.consistency == "eventual" and not plan.off and not options.shadow_share and not options.refresh_at
        )
        self.beta = options.early_refresh_beta

    @property
    def is_open(self) -> bool:
        """Whether reads may go this way at all; those that a computation collects, or that ask for more, may not."""
        if self._place.core.plan is not self._plan:
            self._apply(self._place.core.plan)
        return self._is_open

    async def fetch(self, key: Key, beta: float = 0.0) -> Any:
        """
        Return the value of *key*, or what Redis told where that needs a closer look.

        Args:
            key: The entry's key.
            beta: Of the early refresh, for reads that may load.
        """
        if self._place.node.is_closed:
            raise ClosedError
        async_may_wait()
        name = self._place.prefix + encode_key(key)
        mark, started = self._unsettled.mark(), self._monotonic()
        timeout_s = self._far.read_time_s() if _timebudget.open_budgets else None
        try:
            record = await self._link.get(name, timeout_s)
        except TierError as error:
            return Fetched(None, error, mark, started)
        if _gates.async_hook is not None:
            await async_gate("look.far_read")
        now = self._monotonic()
        if record is not None and self._unsettled.is_quiet(mark):
            value = self._opener.open(name, record, self._far.now_ms(), now, self._trusted_from(now), beta)
            if value is not MISS:
                self._tier_stats.latency.observe(now - started)
                self._count(1, payload_bytes(record))
                if self._hot is not None:
                    self._hot.read(key)
                if self._warm is not None:
                    self._warm.read(key)
                return value
        return Fetched(self._far.frame(name, record), None, mark, started)

    async def fetch_many(self, keys: Sequence[Key]) -> tuple[dict[Key, Any], dict[Key, Fetched]]:
        """
        Return the values that are plainly fresh, by key, and what Redis told of the other *keys*: one question a node.

        For the reader, which checks that it may.
        """
        prefix, mark, started = self._place.prefix, self._unsettled.mark(), self._monotonic()
        names = [prefix + encode_key(key) for key in keys]
        timeout_s = self._far.read_time_s() if _timebudget.open_budgets else None
        try:
            records = await self._link.get_many(names, timeout_s)
        except TierError as error:
            return {}, dict.fromkeys(keys, Fetched(None, error, mark, started))
        if _gates.async_hook is not None:
            await async_gate("look.far_read")
        values = self._plain_values(keys, names, records) if self._unsettled.is_quiet(mark) else {}
        if len(values) == len(keys):
            return values, {}
        return values, {
            key: Fetched(self._far.frame(name, record), None, mark, started)
            for key, name, record in zip(keys, names, records, strict=True)
            if key not in values
        }

    def _plain_values(self, keys: Sequence[Key], names: list[bytes], records: list[Any]) -> dict[Key, Any]:
        now = self._monotonic()
        opened, size_bytes = self._opener.open_many(
            names, records, self._far.now_ms(), now, self._trusted_from(now), 0.0
        )
        values = {key: value for key, value in zip(keys, opened, strict=True) if value is not MISS}
        self._count(len(values), size_bytes)
        for watcher in (self._hot, self._warm):
            if watcher is not None:
                for key in values:
                    watcher.read(key)
        return values

    async def find(self, key: Key, fetched: Fetched, default: Any) -> Any:
        """Return what the reader makes of *fetched*, or *default*; never loads."""
        copy = await self._reader.find(key, fetched=fetched)
        return default if copy is None or copy.value is NEGATIVE else copy.value

    def _trusted_from(self, now: float) -> float:
        """Return when a token must have been read to be trusted; looked at once in `TRUST_S`."""
        if now >= self._trust_ends:
            self._read_after_s = self._tags.trusted_from(now)
            self._trust_ends = now + TRUST_S
        return self._read_after_s

    def _count(self, hits: int, size_bytes: int) -> None:
        tier, stats = self._tier_stats, self._stats
        tier.hits += hits
        tier.read_bytes += size_bytes
        stats.slow_reads += hits
        stats.slow_hits += hits
        self._place.node.recorder.tenant_read(stats.region, self._place.tenant, hits, 0)


def express_of(place: AsyncPlace, reader: AsyncReader) -> AsyncExpress | None:
    """Return the express way to *place*; None where it has none."""
    far = place.core.far
    is_plain = place.view is None and far is place.node.far and not place.core.is_derived_behind
    is_plain = is_plain and place.node.hedge is None
    return AsyncExpress(place, far, reader) if is_plain and isinstance(far, AsyncRedisTier) else None
