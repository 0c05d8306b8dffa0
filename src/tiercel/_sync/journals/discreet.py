# Generated from src/tiercel/_async/journals/discreet.py by tools/unasync.py. Do not edit.
"""
The discreet store: a store whose errors say nothing in plain, for the flushers of an encrypted region.

Databases quote the row that they refuse. What they say is sealed before a flusher sees it, so that events, figures and
logs hold no plaintext; `SealedJournal` opens it again where a dead letter is shown.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiercel.errors import DecodeError, StoreError
from tiercel.typing import Store, Change, Key, Outcome, Record

MARK = "sealed:"

Seal = Callable[[str, Key, bytes], bytes]
"""Seals words about (tenant, key)."""


class DiscreetStore:
    """
    Args:
        store: The store.
        seal: Seals its words.
    """

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal

    def _words(self, change: Change, error: Exception) -> str:
        try:
            sealed = self._seal(change.tenant, change.key, str(error).encode())
        except DecodeError:
            return "its words cannot be sealed and are left out"
        return MARK + base64.b64encode(sealed).decode()

    def _discreet(self, change: Change, outcome: Outcome) -> Outcome:
        if outcome.error is None:
            return outcome
        return outcome._replace(error=StoreError(self._words(change, outcome.error)))

    def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row."""
        return self._store.read(tenant, key)

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist."""
        return self._store.read_many(tenant, keys)

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change."""
        return (self.write_many([change], guard=guard))[0]

    def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """Apply changes in bulk; what the store says of a failure is sealed."""
        try:
            outcomes = self._store.write_many(changes, guard=guard)
        except StoreError as error:
            raise type(error)(self._words(changes[0], error)) from None  # the cause would say it in plain
        return [self._discreet(change, outcome) for change, outcome in zip(changes, outcomes, strict=True)]

    def ping(self) -> None:
        """Raise `StoreError` where the database does not answer."""
        self._store.ping()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else of the store says nothing of its rows."""
        return getattr(self._store, name)
