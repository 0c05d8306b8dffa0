# Generated from src/tiercel/_async/writeguard.py by tools/unasync.py. Do not edit.
"""
The guard of a write: what is taken before a row goes to its store, and is void once its key fell.

    1. writer A commits v1
    2. somebody else commits v2 behind the cache's back and removes the key: a tombstone, which names no version
    3. the tombstone is evicted from a full far tier
    4. A's v1 arrives in the far tier, finds nothing, and stays

So A leaves a *mark* in the far tier first; whoever finds it gone leaves the key to the next load. The local tier has
its fill tokens for the same end: a region without a far tier keeps what was written there only under one. One round
trip a node to the far tier for all keys of a write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tiercel._sync.node import Place
from tiercel._core.tags import fresh_token
from tiercel._gates import gate
from tiercel.errors import TierError
from tiercel.typing import Key


class WriteGuard(NamedTuple):
    """
    Attributes:
        marks: The far tier's mark of each key; 0 where there was a record, or where the tier did not answer.
        fills: The local tier's token of each key that is kept there alone.
    """

    marks: dict[Key, int]
    fills: dict[Key, int]

    def release(self, place: Place) -> None:
        """Give back the local tokens that were not used."""
        if place.view is not None:
            for key, token in self.fills.items():
                place.view.abandon_fill(key, token)


def guard_write(place: Place, keys: Sequence[Key]) -> WriteGuard:
    """Take what must still be there once the store has the rows of *keys*."""
    fills: dict[Key, int] = {}
    if place.view is not None:
        fills = {key: place.view.begin_fill(key) for key in keys if place.far_for(key) is None}
    return WriteGuard(_marks(place, [key for key in keys if key not in fills]), fills)


def _marks(place: Place, keys: Sequence[Key]) -> dict[Key, int]:
    far, core = place.core.far, place.core
    if far is None or not keys or core.behind is not None:
        return {}
    try:
        marks = far.begin_write_many([place.name(key) for key in keys], fresh_token(), core.tombstone_ms)
    except TierError:
        return dict.fromkeys(keys, 0)
    gate("write.marked")
    return dict(zip(keys, marks, strict=True))
