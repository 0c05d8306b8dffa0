# Generated from src/tiercel/_async/bulkfiller.py by tools/unasync.py. Do not edit.
"""
The bulk filler: loads many keys in one call, and stores them in one round trip a node.

Fenced like a single fill (`tiercel._sync.filler`): each key has its lease, and keys that another node is loading are
waited for one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiercel._sync.filler import Filler, record_of, unusable_of
from tiercel._sync.looker import Looker, LocalFill
from tiercel._sync.node import Place
from tiercel._sync.orders import ManyOrder, Order
from tiercel._core.copy import NEGATIVE, Copy, Look
from tiercel._core.frame import TagToken
from tiercel._core.record import Grant
from tiercel._core.tags import fresh_token
from tiercel._core.windows import Freshness
from tiercel._dependencies import Collector, collecting
from tiercel._paired import call
from tiercel.errors import NotFound, TierError
from tiercel.typing import Key


class BulkFiller:
    """
    Args:
        place: The region and tenant that it fills.
        looker: Finds what is there already.
        filler: Fills the keys that another node is loading.
    """

    __slots__ = ("_filler", "_looker", "_place")

    def __init__(self, place: Place, looker: Looker, filler: Filler) -> None:
        self._place = place
        self._looker = looker
        self._filler = filler

    def fill_many(self, keys: Sequence[Key], order: ManyOrder, looks: Mapping[Key, Look]) -> dict[Key, Copy]:
        """
        Return fresh copies of *keys*: one load for all that no other node is loading.

        Keys that another node is loading are waited for one by one. *looks* are what was found of them, and is to be
        replaced.
        """
        fills = {key: self._looker.begin_local(key) for key in keys}
        try:
            return self._fill_many(keys, order, looks, fills)
        finally:
            for key, local in fills.items():
                self._looker.end_local(key, local)

    def _fill_many(
        self, keys: Sequence[Key], order: ManyOrder, looks: Mapping[Key, Look], fills: Mapping[Key, LocalFill]
    ) -> dict[Key, Copy]:
        single = Order(lambda key: _one_of(order.load_many, key), order.tags, order.ttl_s)
        stamps = self._filler.stamps_or_none(single)
        lease, granted = self._lease_many(keys, looks, stamps)
        try:
            loaded = self._load_many(granted, order) if granted else {}
        except BaseException:
            for key in granted:
                self._filler.keeper.abandon(key, lease)
            raise
        copies = self._filler.keeper.keep_many(loaded, single, stamps, fills, lease)
        for key in keys:
            if key not in copies:
                copies[key] = self._filler.fill(key, single, looks.get(key, Look()))
        return copies

    def _lease_many(
        self, keys: Sequence[Key], looks: Mapping[Key, Look], stamps: tuple[TagToken, ...] | None
    ) -> tuple[int, Sequence[Key]]:
        """Return a lease and the keys that it was granted for; lease 0 and all keys without a far tier in use."""
        place, far = self._place, self._place.core.far
        if far is None or stamps is None or place.core.plan.is_any_off("redis", place.tenant, keys):
            return 0, keys
        lease = fresh_token()
        try:
            replies = far.begin_fill_many(
                [place.name(key) for key in keys],
                lease,
                place.core.lease_ms,
                [unusable_of(looks.get(key, Look())) for key in keys],
            )
        except TierError:
            return 0, keys
        return lease, [key for key, reply in zip(keys, replies, strict=True) if reply.grant is Grant.GRANTED]

    def _load_many(self, keys: Sequence[Key], order: ManyOrder) -> dict[Key, tuple[Copy, Collector, float]]:
        place = self._place
        clock, stats = place.node.process.clock, place.core.stats
        started = clock.monotonic()
        with (
            place.node.recorder.span("load", place.core.options.name),
            collecting(isolated=not place.core.options.track_dependencies) as found,
        ):
            try:
                rows: Mapping[Key, Any] = call(order.load_many, list(keys))
            except BaseException:
                stats.load_errors += 1
                raise
        cost_s = clock.monotonic() - started
        stats.loads += 1
        stats.load_latency.observe(cost_s)
        answers: dict[Key, tuple[Copy, Collector, float]] = {}
        for key in keys:
            value, version = record_of(rows[key]) if key in rows else (NEGATIVE, 0)
            place.node.process.observe_version(version)
            if place.core.warm is not None:
                place.core.warm.loaded(place.tenant, stats.region, key, started + cost_s, cost_s / len(keys))
            answers[key] = (Copy(value, Freshness.FRESH, "load", version), found, cost_s / len(keys))
        return answers


def _one_of(load_many: Callable[[list[Any]], Any], key: Key) -> Any:
    rows = call(load_many, [key])
    if key not in rows:
        raise NotFound(key)
    return rows[key]
