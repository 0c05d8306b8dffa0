# Generated from src/tiercel/_async/warmth.py by tools/unasync.py. Do not edit.
"""
The warmth of a place: counts which of its keys the far tier serves, so that they can be loaded first into a cold one.

One read in `SAMPLE` is counted; the others cost an addition.
"""

from __future__ import annotations

from tiercel._sync.node import Place
from tiercel._core.warmkeys import WarmKeys
from tiercel.typing import Key

__all__ = ["AsyncWarmth"]

SAMPLE = 8


class AsyncWarmth:
    """
    Counts the reads of one place, one in `SAMPLE`.

    Args:
        place: The region and tenant.
        keys: Where they are counted.
    """

    __slots__ = ("_keys", "_place", "_reads")

    def __init__(self, place: Place, keys: WarmKeys) -> None:
        self._place = place
        self._keys = keys
        self._reads = 0

    def read(self, key: Key) -> None:
        """Note that the far tier served *key*."""
        self._reads += 1
        if self._reads % SAMPLE == 0:
            place = self._place
            now = place.node.process.clock.monotonic()
            self._keys.read(place.tenant, place.core.options.name, key, now, SAMPLE)
