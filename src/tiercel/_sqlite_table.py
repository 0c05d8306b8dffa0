"""
Rows in one SQLite table: the blocking engine behind both colours of the SQLite store.

One connection writes and one reads, each under a lock, so that any number of threads may share a table; in write-ahead
mode a read never waits for a write. Writes run in one immediate transaction, synced to disk before the call returns.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

from tiercel._core.storerows import PreparedChange, fold, prepare, readable, spread
from tiercel._core.storeurl import StoreAddress
from tiercel._sqlite_layout import Layout, open_layout
from tiercel.errors import ClosedError, StoreError, StoreTimeout
from tiercel.typing import Change, Key, Note, Outcome, Record

__all__ = ["SqliteTable"]

ROW_ERRORS: Final = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, OverflowError, ValueError)
"""What SQLite raises where it refuses a row, rather than failing altogether."""
BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteTable:
    """
    One table of one database file; thread-safe.

    Args:
        address: The file and the mapping; an empty path keeps the rows in memory.
        timeout_s: Longest wait for another process's write transaction.

    Raises:
        ConfigurationError: The table does not fit the mapping.
        StoreError: The file cannot be opened.
    """

    def __init__(self, address: StoreAddress, *, timeout_s: float) -> None:
        self._name = address.shown
        self._timeout_s = timeout_s
        with self._translated("open"):
            self._writer = self._connect(address.driver_url)
            in_memory = address.driver_url == ":memory:"
            self._reader = self._writer if in_memory else self._connect(address.driver_url)
        self._write_lock = threading.Lock()
        self._read_lock = self._write_lock if in_memory else threading.Lock()
        self._closed = False
        with self._translated("open"), self._transaction():
            self._layout: Layout = open_layout(self._writer, address.mapping)
            self._writer.execute(
                "CREATE TABLE IF NOT EXISTS tiercel_outbox"
                " (id INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL, claimed_until REAL NOT NULL DEFAULT 0)"
            )
            self._writer.execute("CREATE INDEX IF NOT EXISTS tiercel_outbox_payload ON tiercel_outbox (payload)")

    def _connect(self, path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.create_function("tiercel_unhex", 1, bytes.fromhex, deterministic=True)
        return connection

    @contextlib.contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            kind = StoreTimeout if getattr(error, "sqlite_errorcode", None) in BUSY else StoreError
            raise kind(f"{self._name}: {operation} failed: {error}", tier="sqlite", operation=operation) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    @contextlib.contextmanager
    def _writing(self, operation: str) -> Iterator[None]:
        with self._write_lock:
            self._check_open(operation)
            with self._translated(operation), self._transaction():
                yield

    def _check_open(self, operation: str) -> None:
        if self._closed:
            raise ClosedError(f"{self._name} was closed", tier="sqlite", operation=operation)

    def read_many(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Record]:
        """Return the rows that exist, in one query."""
        wanted = readable(keys, self._layout.key_type)
        with self._read_lock:
            self._check_open("read")
            with self._translated("read"):
                found = self._layout.read(self._reader, tenant, [stored for _, stored in wanted])
                return {wanted[place][0]: record for place, record in found}

    def write_many(
        self, changes: Sequence[Change], *, guard: bool, note: bytes | None, hold_s: float = 0.0
    ) -> list[Outcome]:
        """Apply *changes* and keep *note* for its writer alone for *hold_s* seconds, in one transaction."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        prepared = prepare(changes, self._layout, outcomes)
        with self._writing("write"):
            self._apply(prepared, outcomes, guard=guard)
            if note is not None:
                self._writer.execute(
                    "INSERT INTO tiercel_outbox (payload, claimed_until) VALUES (?, ?)", (note, time.time() + hold_s)
                )
        return [outcome for outcome in outcomes if outcome is not None]

    def _apply(self, changes: Sequence[PreparedChange], outcomes: list[Outcome | None], *, guard: bool) -> None:
        """Write *changes* in bulk; where SQLite refuses them, halve until the refused row stands alone."""
        if not changes:
            return
        self._writer.execute("SAVEPOINT batch")
        try:
            self._apply_bulk(changes, outcomes, guard=guard)
        except ROW_ERRORS as error:
            self._writer.execute("ROLLBACK TO batch")
            if len(changes) == 1:
                outcomes[changes[0].position] = Outcome(False, 0, self._refusal(error))
            else:
                middle = len(changes) // 2
                self._apply(changes[:middle], outcomes, guard=guard)
                self._apply(changes[middle:], outcomes, guard=guard)
        self._writer.execute("RELEASE batch")

    def _apply_bulk(self, changes: Sequence[PreparedChange], outcomes: list[Outcome | None], *, guard: bool) -> None:
        rows = fold(changes, guard=guard)
        stored = self._layout.stored_versions(self._writer, rows)
        winners = []
        for row, present in zip(rows, stored, strict=True):
            version = row.result(present, guard=guard)
            spread(outcomes, row, applied=version is not None, version=present if version is None else version)
            if version is not None:
                winners.append((row, version))
        self._layout.apply(self._writer, winners)

    def _refusal(self, error: Exception) -> StoreError:
        refusal = StoreError(f"{self._name}: the row was refused: {error}", tier="sqlite", operation="write")
        refusal.__cause__ = error
        return refusal

    def settle_notes(self, payloads: Sequence[bytes]) -> None:
        """Forget notes by what they say."""
        with self._writing("settle_notes"):
            self._writer.executemany("DELETE FROM tiercel_outbox WHERE payload = ?", [(each,) for each in payloads])

    def read_notes(self, limit: int, *, lease_s: float, prefix: bytes = b"") -> list[Note]:
        """Claim and return the oldest unclaimed notes that begin with *prefix*; locks nothing where there is none."""
        now = time.time()
        free = (
            "SELECT id, payload FROM tiercel_outbox WHERE claimed_until <= ? AND substr(payload, 1, ?) = ?"
            " ORDER BY id LIMIT ?"
        )
        wanted = (now, len(prefix), prefix, limit)
        with self._read_lock, self._translated("read_notes"):
            self._check_open("read_notes")
            if self._reader.execute(free, wanted).fetchone() is None:
                return []
        with self._writing("read_notes"):
            notes = [Note(*found) for found in self._writer.execute(free, wanted)]
            self._writer.executemany(
                "UPDATE tiercel_outbox SET claimed_until = ? WHERE id = ?", [(now + lease_s, note.id) for note in notes]
            )
        return notes

    def delete_notes(self, ids: Sequence[int]) -> None:
        """Forget notes that were acted on."""
        with self._writing("delete_notes"):
            self._writer.executemany("DELETE FROM tiercel_outbox WHERE id = ?", [(each,) for each in ids])

    def ping(self) -> None:
        """Raise `StoreError` where the file cannot be read."""
        self.read_many("", [])

    def close(self) -> None:
        """Close both connections; calling twice is harmless."""
        with self._write_lock:
            self._closed = True
            self._writer.close()
        with self._read_lock:
            self._reader.close()
