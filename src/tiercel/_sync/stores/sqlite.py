# Generated from src/tiercel/_async/stores/sqlite.py by tools/unasync.py. Do not edit.
"""The SQLite store: rows in a local database file, for embedded use, demos and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiercel._core.storeurl import StoreAddress
from tiercel._paired import run_blocking
from tiercel._sqlite_table import SqliteTable
from tiercel.typing import Change, Key, Note, Outcome, Record

__all__ = ["SqliteStore"]


class SqliteStore:
    """
    Rows in one SQLite table; safe for any number of tasks and threads, and for several processes on one machine.

    A call costs one transaction; a write is synced to disk before it returns. Made by `open_store`.
    """

    def __init__(self, table: SqliteTable) -> None:
        self._table = table

    @classmethod
    def open(cls, address: StoreAddress, *, timeout_s: float) -> SqliteStore:
        """Open or make the file and its tables; raises `StoreError` or `ConfigurationError`."""
        return cls(run_blocking(SqliteTable, address, timeout_s=timeout_s))

    def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row, or None where there is none."""
        return (self.read_many(tenant, [key])).get(key)

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist, by key, in one query."""
        return run_blocking(self._table.read_many, tenant, keys)

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change."""
        return (self.write_many([change], guard=guard))[0]

    def write_many(
        self, changes: Sequence[Change], *, guard: bool = False, note: bytes | None = None, hold_s: float = 0.0
    ) -> list[Outcome]:
        """Apply *changes* in one transaction, and keep *note* for the relay in the same one."""
        return run_blocking(self._table.write_many, changes, guard=guard, note=note, hold_s=hold_s)

    def settle_notes(self, payloads: Sequence[bytes]) -> None:
        """Forget notes by what they say."""
        run_blocking(self._table.settle_notes, payloads)

    def read_notes(self, limit: int, *, lease_s: float = 30.0, prefix: bytes = b"") -> list[Note]:
        """Claim up to *limit* of the oldest notes for *lease_s* seconds."""
        return run_blocking(self._table.read_notes, limit, lease_s=lease_s, prefix=prefix)

    def delete_notes(self, ids: Sequence[int]) -> None:
        """Forget notes that were acted on."""
        run_blocking(self._table.delete_notes, ids)

    def ping(self) -> None:
        """Raise `StoreError` where the file cannot be read."""
        run_blocking(self._table.ping)

    def close(self) -> None:
        """Close the file; calling twice is harmless."""
        run_blocking(self._table.close)
