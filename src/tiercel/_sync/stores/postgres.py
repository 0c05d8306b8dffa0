# Generated from src/tiercel/_async/stores/postgres.py by tools/unasync.py. Do not edit.
"""
The PostgreSQL store: rows in a table, written in bulk under a version guard, with a note in the same transaction.

Errors: a refused row is its outcome's error; everything else is `StoreError` or `StoreTimeout` with the driver's error
in ``__cause__``. Cost: a read is one query; a small batch into a managed table is one statement in one round trip;
a large one is COPY into a temporary table and one upsert.
"""

from __future__ import annotations

from collections.abc import Iterator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection, errors
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from tiercel._sync.stores.postgres_setup import open_table
from tiercel._core import postgrestext as sql
from tiercel._core.optimism import Optimism
from tiercel._core.postgrestables import PostgresTable
from tiercel._core.storerows import (
    NO_ROW,
    PreparedChange,
    RowWrite,
    are_distinct,
    fold,
    in_key_order,
    prepare,
    readable,
    spread,
)
from tiercel._core.storeurl import StoreAddress
from tiercel.errors import ClosedError, ConfigurationError, StoreError, StoreTimeout
from tiercel.typing import Change, Key, Note, Outcome, Record

__all__ = ["PostgresStore"]

COPY_FROM_ROWS: Final = 200
"""From this many rows on, COPY beats one JSON parameter; benchmarks/endtoend/bulk_stores.py measures both."""
COPY_BLOCK_ROWS: Final = 1000
NOTHING_KEPT: Final[Mapping[str, Any]] = {"note": None}
ROW_ERRORS: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    errors.RaiseException,
    errors.WithCheckOptionViolation,
    errors.ProgramLimitExceeded,
    errors.ExternalRoutineException,
)
"""What the server raises where it refuses a row, rather than failing altogether."""


class PostgresStore:
    """
    Rows in one PostgreSQL table, over a pool of connections; safe for any number of tasks and threads.

    Made by `open_store`. Concurrent writers of one row are put in order by the row's lock; batches lock rows in key
    order, so that two of them never wait for each other.
    """

    def __init__(self, pool: ConnectionPool[Any], table: PostgresTable, address: StoreAddress) -> None:
        self._pool = pool
        self._table = table
        self._newness = Optimism()
        self._name = address.shown

    @classmethod
    def open(cls, address: StoreAddress, *, timeout_s: float, pool_size: int) -> PostgresStore:
        """Connect and prepare the tables; raises `StoreError` or `ConfigurationError`."""
        connect: dict[str, Any] = {"autocommit": True, "connect_timeout": max(2, round(timeout_s))}

        def configure(connection: Connection[Any]) -> None:
            connection.execute(b"SELECT set_config('statement_timeout', %s, false)", (f"{timeout_s * 1000:.0f}",))

        try:
            with Connection.connect(address.driver_url, **connect) as connection:
                table = open_table(connection, address.mapping)
        except psycopg.ProgrammingError as error:
            # The driver's words may quote the address with its password, so that they are not chained.
            reason = error.diag.message_primary or "the address cannot be parsed"
            raise ConfigurationError(f"{address.shown}: {reason}") from None
        except psycopg.Error as error:
            raise _translate(error, address.shown, "open") from error
        pool: ConnectionPool[Any] = ConnectionPool(
            address.driver_url, min_size=1, max_size=pool_size, open=False, timeout=timeout_s, kwargs=connect,
            configure=configure, name=address.shown,
        )  # fmt: skip
        pool.open()
        return cls(pool, table, address)

    @contextmanager
    def _connection(self, operation: str) -> Iterator[Connection[Any]]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except PoolClosed:
            raise ClosedError(f"{self._name} was closed", tier="postgres", operation=operation) from None
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
                # The server went away: replace what it left in the pool, so that only this call pays for it.
                self._pool.check()
            raise _translate(error, self._name, operation) from error

    def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row, or None where there is none."""
        return (self.read_many(tenant, [key])).get(key)

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist, by key, in one query."""
        wanted = readable(keys, self._table.key_type)
        names = {"tenant": tenant, "keys": [sql.key_text(each) for _, each in wanted], "target": self._table.target}
        with self._connection("read") as connection:
            cursor = connection.execute(self._table.select, names)
            found = cursor.fetchall()
        return {
            wanted[place - 1][0]: Record(self._table.decode(columns), version) for place, version, *columns in found
        }

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change."""
        return (self.write_many([change], guard=guard))[0]

    def write_many(
        self, changes: Sequence[Change], *, guard: bool = False, note: bytes | None = None, hold_s: float = 0.0
    ) -> list[Outcome]:
        """Apply *changes* in one transaction, and keep *note* for the relay in the same one."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        if not changes and note is None:
            return []
        with self._connection("write") as connection:
            kept = {"note": note, "hold_s": hold_s}
            if not self._write_at_once(connection, changes, outcomes, guard=guard, kept=kept):
                with connection.transaction():
                    if not self._write_streaming(connection, changes, outcomes, guard=guard):
                        prepared = prepare(changes, self._table, outcomes)
                        self._write_apart(connection, prepared, outcomes, guard=guard)
                    if note is not None:
                        connection.execute(sql.KEEP_NOTE.encode(), kept)
        return [outcome for outcome in outcomes if outcome is not None]

    def _write_at_once(
        self,
        connection: Connection[Any],
        changes: Sequence[Change],
        outcomes: list[Outcome | None],
        *,
        guard: bool,
        kept: Mapping[str, Any],
    ) -> bool:
        """Write a small batch as one statement without a transaction around it; False where that is not possible."""
        if self._table.apply or len(changes) >= COPY_FROM_ROWS:
            return False
        rows = fold(prepare(changes, self._table, outcomes), guard=guard)
        try:
            versions = self._claim(connection, rows, sql.FROM_JSON, guard=guard, kept=kept)
        except ROW_ERRORS:
            return False
        self._settle(connection, rows, versions, outcomes)
        return True

    def _write_streaming(
        self,
        connection: Connection[Any],
        changes: Sequence[Change],
        outcomes: list[Outcome | None],
        *,
        guard: bool,
    ) -> bool:
        """Write a large batch, encoding while the server reads; False where it refuses a row."""
        if len(changes) < COPY_FROM_ROWS:
            return False
        try:
            with connection.transaction():
                if guard and self._copy_new(connection, changes, outcomes):
                    return True
                places = range(len(changes))
                prepared = self._copy(
                    connection,
                    (
                        prepare(changes, self._table, outcomes, places[start : start + COPY_BLOCK_ROWS])
                        for start in range(0, len(changes), COPY_BLOCK_ROWS)
                    ),
                )
                if self._claim_distinct(connection, prepared, guard=guard):
                    for change in prepared:
                        outcomes[change.position] = Outcome(True, change.version)
                    return True
                rows = fold(prepared, guard=guard)
                versions = self._write_rows(connection, rows, sql.FROM_COPY, guard=guard)
        except ROW_ERRORS:
            return False
        self._settle(connection, rows, versions, outcomes)
        return True

    def _copy_new(
        self, connection: Connection[Any], changes: Sequence[Change], outcomes: list[Outcome | None]
    ) -> bool:
        """
        Copy the rows into the table itself, which halves the server's work; False unless all of them are new.

        Rows are sent in key order, as every batch locks them, so that two copies never wait for each other.
        """
        if self._table.copy is None or not self._newness.is_due():
            return False
        places = in_key_order(changes)
        if places is None:
            return False
        written: list[PreparedChange] = []
        try:
            with (
                connection.transaction(),
                connection.cursor() as cursor,
                cursor.copy(self._table.copy) as copy,
            ):
                for start in range(0, len(places), COPY_BLOCK_ROWS):
                    block = prepare(changes, self._table, outcomes, places[start : start + COPY_BLOCK_ROWS])
                    copy.write(sql.copy_rows(block))
                    written += block
        except errors.UniqueViolation:
            self._newness.failed()
            return False
        self._newness.succeeded()
        for change in written:
            outcomes[change.position] = Outcome(True, change.version)
        return True

    def _write_apart(
        self,
        connection: Connection[Any],
        changes: Sequence[PreparedChange],
        outcomes: list[Outcome | None],
        *,
        guard: bool,
    ) -> None:
        """Write *changes* in bulk; where the server refuses them, halve until the refused row stands alone."""
        if not changes:
            return
        is_large = len(changes) >= COPY_FROM_ROWS
        rows = fold(changes, guard=guard)
        try:
            with connection.transaction():
                if is_large:
                    self._copy(connection, [changes])
                source = sql.FROM_COPY if is_large else sql.FROM_JSON
                versions = self._write_rows(connection, rows, source, guard=guard)
        except ROW_ERRORS as error:
            if len(changes) == 1:
                outcomes[changes[0].position] = Outcome(False, 0, _refusal(error, self._name))
                return
            middle = len(changes) // 2
            self._write_apart(connection, changes[:middle], outcomes, guard=guard)
            self._write_apart(connection, changes[middle:], outcomes, guard=guard)
        else:
            self._settle(connection, rows, versions, outcomes)

    def _copy(
        self, connection: Connection[Any], blocks: Iterable[Sequence[PreparedChange]]
    ) -> list[PreparedChange]:
        """Send *blocks* as they come, and return all of their changes."""
        sent: list[PreparedChange] = []
        connection.execute(sql.CREATE_BATCH)
        with connection.cursor() as cursor, cursor.copy(sql.COPY_BATCH) as copy:
            for block in blocks:
                copy.write(sql.copy_block(block))
                sent += block
        return sent

    def _write_rows(
        self, connection: Connection[Any], rows: Sequence[RowWrite], source: str, *, guard: bool
    ) -> list[int | None]:
        """Claim *rows* and apply the winners; return the version of each, None for those that lost."""
        is_copied = source is sql.FROM_COPY
        if is_copied:
            self._discard(connection, [place for row in rows for place in row.superseded])
        if is_copied and guard and self._claim_all(connection, len(rows)):
            versions: list[int | None] = [row.version for row in rows]
        else:
            versions = self._claim(connection, rows, source, guard=guard)
        if self._table.apply:
            self._apply(connection, rows, versions, source)
        if is_copied:
            connection.execute(b"DROP TABLE tiercel_batch")
        return versions

    def _discard(self, connection: Connection[Any], places: Sequence[int]) -> None:
        if places:
            connection.execute(b"DELETE FROM tiercel_batch WHERE place = ANY(%s)", (places,))

    def _claim_distinct(
        self, connection: Connection[Any], changes: Sequence[PreparedChange], *, guard: bool
    ) -> bool:
        """Claim the copied *changes* without folding them where each is alone in its row and all of them win."""
        if not guard or self._table.apply or not are_distinct(changes):
            return False
        return self._claim_all(connection, len(changes))

    def _claim_all(self, connection: Connection[Any], count: int) -> bool:
        """Claim the copied rows by the cheaper statement, and take it back where one of them lost."""
        with connection.transaction() as attempt:
            statement = sql.counted_claim(self._table.upsert(guard=True), sql.FROM_COPY)
            cursor = connection.execute(statement, {"target": self._table.target})
            if cursor.rowcount == count:
                return True
            raise psycopg.Rollback(attempt)
        return False

    def _claim(
        self,
        connection: Connection[Any],
        rows: Sequence[RowWrite],
        source: str,
        *,
        guard: bool,
        kept: Mapping[str, Any] = NOTHING_KEPT,
    ) -> list[int | None]:
        names = {"target": self._table.target, **kept}
        if source is sql.FROM_JSON:
            names["batch"] = sql.json_batch(rows)
        statement = sql.claim(self._table.upsert(guard=guard), source, noted=kept["note"] is not None)
        cursor = connection.execute(statement, names)
        otherwise = dict(cursor.fetchall())
        return [otherwise.get(row.place, row.version) for row in rows]

    def _apply(
        self,
        connection: Connection[Any],
        rows: Sequence[RowWrite],
        versions: Sequence[int | None],
        source: str,
    ) -> None:
        names: dict[str, Any] = {"target": self._table.target}
        if source is sql.FROM_JSON:
            names["batch"] = sql.json_batch(
                [row for row, version in zip(rows, versions, strict=True) if version is not None]
            )
        else:
            lost = [row.place for row, version in zip(rows, versions, strict=True) if version is None]
            self._discard(connection, lost)
        for statement in self._table.apply:
            connection.execute(sql.counted_claim(statement, source), names)

    def _settle(
        self,
        connection: Connection[Any],
        rows: Sequence[RowWrite],
        versions: Sequence[int | None],
        outcomes: list[Outcome | None],
    ) -> None:
        """Note what became of *rows*; those that lost are asked for the version that they lost to."""
        lost = [row for row, version in zip(rows, versions, strict=True) if version is None]
        stored = self._stored_versions(connection, lost)
        for row, version in zip(rows, versions, strict=True):
            found = stored.get((row.tenant, row.key), NO_ROW) if version is None else version
            spread(outcomes, row, applied=version is not None, version=found)

    def _stored_versions(
        self, connection: Connection[Any], rows: Sequence[RowWrite]
    ) -> dict[tuple[str, str | bytes | int], int]:
        if not rows:
            return {}
        names = {
            "tenants": [row.tenant for row in rows],
            "keys": [sql.key_text(row.key) for row in rows],
            "target": self._table.target,
        }
        cursor = connection.execute(self._table.stored_versions, names)
        return {(rows[place - 1].tenant, rows[place - 1].key): version for place, version in cursor.fetchall()}

    def settle_notes(self, payloads: Sequence[bytes]) -> None:
        """Forget notes by what they say."""
        with self._connection("settle_notes") as connection:
            connection.execute(b"DELETE FROM tiercel_outbox WHERE payload = ANY(%s)", (list(payloads),))

    def read_notes(self, limit: int, *, lease_s: float = 30.0, prefix: bytes = b"") -> list[Note]:
        """Claim up to *limit* of the oldest notes for *lease_s* seconds, passing over those that others lock."""
        with self._connection("read_notes") as connection:
            cursor = connection.execute(
                b"WITH free AS (SELECT id FROM tiercel_outbox WHERE claimed_until < clock_timestamp()"
                b" AND substring(payload FOR octet_length(%(prefix)s)) = %(prefix)s"
                b" ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED) UPDATE tiercel_outbox AS note"
                b" SET claimed_until = clock_timestamp() + make_interval(secs => %(lease_s)s) FROM free"
                b" WHERE note.id = free.id RETURNING note.id, note.payload",
                {"limit": limit, "lease_s": lease_s, "prefix": prefix},
            )
            return sorted(Note(*found) for found in cursor.fetchall())

    def delete_notes(self, ids: Sequence[int]) -> None:
        """Forget notes that were acted on."""
        with self._connection("delete_notes") as connection:
            connection.execute(b"DELETE FROM tiercel_outbox WHERE id = ANY(%s)", (list(ids),))

    def ping(self) -> None:
        """Raise `StoreError` where the server does not answer."""
        with self._connection("ping") as connection:
            connection.execute(b"SELECT 1")

    def close(self) -> None:
        """Close the pool; calling twice is harmless."""
        self._pool.close()


def _translate(error: psycopg.Error, name: str, operation: str) -> StoreError:
    is_late = isinstance(error, PoolTimeout | errors.QueryCanceled | errors.LockNotAvailable)
    kind = StoreTimeout if is_late else StoreError
    reason = error.diag.message_primary or str(error)
    return kind(f"{name}: {operation} failed: {reason}", tier="postgres", operation=operation)


def _refusal(error: psycopg.Error, name: str) -> StoreError:
    # The first line only: the detail that follows quotes the row.
    reason = error.diag.message_primary or str(error)
    refusal = StoreError(f"{name}: the row was refused: {reason}", tier="postgres", operation="write")
    refusal.__cause__ = error
    return refusal
