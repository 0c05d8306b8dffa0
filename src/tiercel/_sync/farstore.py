# Generated from src/tiercel/_async/farstore.py by tools/unasync.py. Do not edit.
"""
The far tier behind the store protocol: where the write-behind of derived data ends up.

A region without a store (search results, API responses) still writes behind: its writes gather in a memory journal,
and the flusher brings them here in batches, which go to the far tier or to the CDN in one round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiercel._paired import Function
from tiercel.errors import StoreError, TierError
from tiercel.typing import Change, Key, Outcome, Record

Spread = Function[[str, Mapping[Key, Any]], None]
"""Puts a tenant's wrapped values into the tiers; `DELETED` marks those to drop."""


class FarStore:
    """
    Args:
        spread: Puts values into the tiers.
    """

    def __init__(self, spread: Spread) -> None:
        self._spread = spread

    def read(self, tenant: str, key: Key) -> Record | None:
        """Return None: what is derived is loaded, never read from a store."""
        return None

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return nothing, as `read` does."""
        return {}

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Put one value into the tiers."""
        return (self.write_many([change], guard=guard))[0]

    def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """Put values into the tiers; of several for one key the last counts."""
        tenants: dict[str, dict[Key, Any]] = {}
        for change in changes:
            tenants.setdefault(change.tenant, {})[change.key] = change.value
        try:
            for tenant, items in tenants.items():
                self._spread(tenant, items)
        except TierError as error:
            raise StoreError(f"the far tier did not take derived data: {error}") from error
        return [Outcome(True, change.version) for change in changes]

    def ping(self) -> None:
        """Do nothing: the far tier has health checks of its own."""

    def close(self) -> None:
        """Nothing to release."""
