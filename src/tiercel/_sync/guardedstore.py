# Generated from src/tiercel/_async/guardedstore.py by tools/unasync.py. Do not edit.
"""
A store behind its gate: loads pass a few at a time, as many as the database bears.

Reads are what a cold cache multiplies, so reads are limited; writes pass, since the application paces them. A read
that would wait too long is refused at once (`LoadTimeout`), while its caller can still be served a stale copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiercel._sync.origingate import OriginGate
from tiercel._timebudget import within
from tiercel.errors import LoadTimeout
from tiercel.typing import Store, Change, Key, Outcome, Record


class GuardedStore:
    """
    Args:
        store: The store.
        gate: Its gate; shared by all regions of the store.
        timeout_s: Longest wait for a place.
    """

    def __init__(self, store: Store, gate: OriginGate, timeout_s: float) -> None:
        self.store = store
        self.gate = gate
        self._timeout_s = timeout_s

    def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row, when there is a place; raises `LoadTimeout` where there will be none in time."""
        ticket = self.gate.enter(self._patience_s())
        failed = True
        try:
            row = self.store.read(tenant, key)
            failed = False
        finally:
            self.gate.leave(ticket, failed=failed)
        return row

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist, when there is a place; one place for the whole query."""
        ticket = self.gate.enter(self._patience_s())
        failed = True
        try:
            rows = self.store.read_many(tenant, keys)
            failed = False
        finally:
            self.gate.leave(ticket, failed=failed)
        return rows

    def _patience_s(self) -> float:
        """Return how long a read may wait for a place; raises `LoadTimeout` where its request has no time left."""
        patience_s = within(self._timeout_s)
        if patience_s <= 0:
            raise LoadTimeout(f"the time budget of the request is over: store {self.gate.name!r} is not asked")
        return patience_s

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change."""
        return self.store.write(change, guard=guard)

    def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """Apply changes in bulk."""
        return self.store.write_many(changes, guard=guard)

    def ping(self) -> None:
        """Raise `StoreError` where the database does not answer."""
        self.store.ping()

    def close(self) -> None:
        """Close the store."""
        self.store.close()
