# Generated from src/tiercel/_async/changes/applier.py by tools/unasync.py. Do not edit.
"""
The applier: makes a fallout fall in every tier, and says when that is certain.

What falls twice is harmless: a tombstone is written again, a token renewed again. So nothing here asks whether somebody
else was quicker.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tiercel._sync.cache import Cache
from tiercel._core.fallout import Fallout, TenantFallout
from tiercel._core.graph import Fall
from tiercel._paired import Event

__all__ = ["Applier"]

_BATCH = 500
_MOST_FLOORS = 8
"""Versions told apart in one round; beyond it the lowest stands for all, which protects less and is never wrong."""
_LOOK_S = 0.002


class Applier:
    """
    Args:
        cache: Whose tiers.
        stopping: Ends a wait early; None where nothing does.
    """

    def __init__(self, cache: Cache, stopping: Event | None = None) -> None:
        self._cache = cache
        self._stopping = stopping or Event()

    def apply(self, fallout: Fallout) -> None:
        """
        Make everything in *fallout* fall; what Redis does not take now is journaled, see `settle`.

        Raises:
            StoreError: an invalidation could neither be sent nor journaled.
        """
        if fallout.is_everything:
            self._cache.invalidate_everything()
            return
        for region in sorted(fallout.regions):
            self._cache.invalidate_region(region)
        for tenant, fell in fallout.tenants():
            self._tenant(tenant, fell)

    def _tenant(self, name: str, fell: TenantFallout) -> None:
        tenant = self._cache.tenant(name)
        if fell.is_whole:
            tenant.invalidate_all()
            return
        for region in sorted(fell.regions):
            tenant.invalidate_region(region)
        names, paths = list(fell.tags), list(fell.paths)
        for floor, keys in _by_floor(fell.keys).items():
            for start in range(0, len(keys), _BATCH):
                tenant.fall(Fall(keys=tuple(keys[start : start + _BATCH])), floor=floor)
        for start in range(0, max(len(names), len(paths)), _BATCH):
            rest = Fall(tags=tuple(names[start : start + _BATCH]), paths=tuple(paths[start : start + _BATCH]))
            tenant.fall(rest)

    def everything(self, regions: Collection[str]) -> None:
        """Make all of *regions* fall in all tenants; the whole namespace where none is named."""
        if not regions:
            self._cache.invalidate_everything()
        for region in sorted(regions):
            self._cache.invalidate_region(region)

    def settle(self, deadline_s: float) -> bool:
        """
        Wait until Redis has taken everything and every node can hear of it.

        Returns:
            False where that was not so after *deadline_s* seconds, or the worker stops first.
        """
        waited_s = 0.0
        while not self._cache.is_settled:
            if waited_s >= deadline_s or self._stopping.is_set():
                return False
            self._stopping.wait_for(_LOOK_S)
            waited_s += _LOOK_S
        return True


def _by_floor(keys: Mapping[str, Mapping[str, int]]) -> dict[int, list[tuple[str, str]]]:
    """Return (region, key) by version floor."""
    floors = {floor for floor_of in keys.values() for floor in floor_of.values()}
    lowest = min(floors, default=0)
    grouped: dict[int, list[tuple[str, str]]] = {}
    for region, floor_of in keys.items():
        for key, floor in floor_of.items():
            grouped.setdefault(floor if len(floors) <= _MOST_FLOORS else lowest, []).append((region, key))
    return grouped
