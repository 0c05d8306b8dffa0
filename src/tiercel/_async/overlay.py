"""
The overlay: writes that wait in a region's journal, as reads see them.

A row that waits is newer than what the store has. Derived data that waits (a region without a store, written behind) is
newer than what the tiers have, until something that it was made under is invalidated: then it is as if it were not
there, and the flusher drops it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tiercel._async.node import AsyncPlace
from tiercel._core.frame import TagToken
from tiercel.errors import TierError
from tiercel.typing import DELETED, MISS, Key, Record


class AsyncOverlay:
    """
    Args:
        place: The region and tenant.
    """

    __slots__ = ("_place",)

    def __init__(self, place: AsyncPlace) -> None:
        self._place = place

    async def row(self, key: Key) -> Record | None:
        """Return the write of *key* that waits, `DELETED` as the value of a deletion; None where none does."""
        behind = self._place.core.behind
        return None if behind is None else await behind.pending(self._place.tenant, key)

    async def rows(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """Return the writes of *keys* that wait, by key."""
        behind = self._place.core.behind
        return {} if behind is None else dict(await behind.pending_many(self._place.tenant, keys))

    async def derived(self, key: Key, *, strong: bool = False) -> Any:
        """
        Return derived data that waits for its batch and still holds, or `DELETED`; MISS where there is none.

        Args:
            key: Which.
            strong: Ask the far tier whether it still holds, instead of trusting what this node heard.
        """
        place = self._place
        if not place.core.is_derived_behind:
            return MISS
        dependency = await place.dependency(key)
        waiting = await self.row(key)
        if waiting is None:
            return MISS
        if waiting.value is DELETED:
            place.note_read(dependency, (), math.inf)
            return DELETED
        stamps = tuple((tag, token) for tag, token in waiting.value["stamps"] or ())
        if not stamps or not await self._holds(stamps, strong):
            return MISS
        place.note_read(dependency, stamps, waiting.value["ttl_s"] or place.core.options.ttl_s)
        return place.core.codec.decode_plain(waiting.value["value"])

    async def _holds(self, stamps: tuple[TagToken, ...], strong: bool) -> bool:
        place = self._place
        region, life_ms = place.core.options.name, place.core.tag_life_ms
        try:
            return await place.node.tags.hold(place.tenant, region, stamps, life_ms, fresh=strong)
        except TierError:
            return False

    async def drop(self, keys: Sequence[Key]) -> None:
        """Let derived data of *keys* that waits never reach the tiers: a deletion follows it through the journal."""
        behind = self._place.core.behind
        if behind is None or not self._place.core.is_derived_behind:
            return
        for key in await self.rows(keys):
            await behind.delete(self._place.tenant, key)
