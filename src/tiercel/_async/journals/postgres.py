"""
The PostgreSQL journal (outbox): acknowledged writes in tables of a database, shared by every node.

``always`` and ``process`` differ in ``synchronous_commit``: ``process`` lets the server acknowledge before its log is
synced, which survives the death of the application, not of the server. ``replicated`` needs synchronous standbys.
`open` checks each. `append_in` keeps a write inside a transaction of the application's own.

A partition's row is locked while its writes are placed, so positions become visible in their order and no reader ever
skips one that commits late. Keep the lock short: in a transaction of your own, append last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from tiercel._async.journals.payload import decode_entry, encode_identity
from tiercel._core.journal import (
    Accepted,
    DeadLetter,
    Draft,
    Fate,
    JournalEntry,
    JournalSize,
    Lease,
    partition_of,
)
from tiercel.errors import ClosedError, ConfigurationError, LeaseLost, StoreError, StoreTimeout
from tiercel.options import Durability
from tiercel.typing import Key, Record

__all__ = ["AsyncPostgresJournal"]

_SETUP_LOCK: Final = 0x7469_6572_6A6F_75

_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS tiercel_journal (
        journal text NOT NULL, partition integer NOT NULL, position bigint NOT NULL,
        identity bytea NOT NULL, version bigint NOT NULL, accepted_s double precision NOT NULL, payload bytea NOT NULL,
        PRIMARY KEY (journal, partition, position)
    )
    """,
    "CREATE INDEX IF NOT EXISTS tiercel_journal_row ON tiercel_journal (journal, identity, version)",
    """
    CREATE TABLE IF NOT EXISTS tiercel_journal_partition (
        journal text NOT NULL, partition integer NOT NULL,
        high bigint NOT NULL DEFAULT 0, seq bigint NOT NULL DEFAULT 0,
        row_count bigint NOT NULL DEFAULT 0, size_bytes bigint NOT NULL DEFAULT 0,
        owner text, fence bigint NOT NULL DEFAULT 0, until timestamptz NOT NULL DEFAULT '-infinity',
        PRIMARY KEY (journal, partition)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS tiercel_journal_dead (
        journal text NOT NULL, partition integer NOT NULL, position bigint NOT NULL,
        identity bytea NOT NULL, version bigint NOT NULL, accepted_s double precision NOT NULL, payload bytea NOT NULL,
        reason text NOT NULL, parked_s double precision NOT NULL,
        PRIMARY KEY (journal, partition, position)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS tiercel_journal_worker (
        journal text NOT NULL, owner text NOT NULL, until timestamptz NOT NULL, PRIMARY KEY (journal, owner)
    )
    """,
)

_LOCK: Final = """
SELECT partition, high, seq FROM tiercel_journal_partition
WHERE journal = %s AND partition = ANY(%s) ORDER BY partition FOR UPDATE
"""
_INSERT: Final = """
INSERT INTO tiercel_journal (journal, partition, position, identity, version, accepted_s, payload)
SELECT %s, * FROM unnest(%s::integer[], %s::bigint[], %s::bytea[], %s::bigint[], %s::double precision[], %s::bytea[])
"""
_GROW: Final = """
UPDATE tiercel_journal_partition
SET high = grown.high, seq = grown.seq, row_count = row_count + grown.added, size_bytes = size_bytes + grown.bytes
FROM unnest(%s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS grown (place, high, seq, added, bytes)
WHERE journal = %s AND partition = grown.place
"""
_SHRINK: Final = """
UPDATE tiercel_journal_partition SET row_count = row_count - %s, size_bytes = size_bytes - %s
WHERE journal = %s AND partition = %s
"""
_DELETE: Final = """
DELETE FROM tiercel_journal WHERE journal = %s AND partition = %s AND position = ANY(%s) RETURNING octet_length(payload)
"""
_PARK: Final = """
INSERT INTO tiercel_journal_dead
SELECT entry.*, parked.reason, extract(epoch FROM now())
FROM tiercel_journal entry JOIN unnest(%s::bigint[], %s::text[]) AS parked (position, reason) USING (position)
WHERE journal = %s AND partition = %s
ON CONFLICT DO NOTHING
"""
_SIZE: Final = """
SELECT coalesce(sum(row_count), 0)::bigint, coalesce(sum(size_bytes), 0)::bigint,
       min((SELECT accepted_s FROM tiercel_journal entry
            WHERE entry.journal = of.journal AND entry.partition = of.partition ORDER BY position LIMIT 1)),
       (SELECT count(*) FROM tiercel_journal_dead dead WHERE dead.journal = %s)
FROM tiercel_journal_partition of WHERE journal = %s
"""
_LEASE: Final = """
UPDATE tiercel_journal_partition
SET fence = fence + (owner IS DISTINCT FROM %(owner)s)::integer, owner = %(owner)s,
    until = clock_timestamp() + %(ttl_s)s * interval '1 second'
WHERE journal = %(journal)s AND partition = %(partition)s
  AND (owner IS NULL OR owner = %(owner)s OR until <= clock_timestamp())
RETURNING fence
"""
_NEWEST: Final = """
SELECT DISTINCT ON (identity) identity, position, version, payload FROM tiercel_journal
WHERE journal = %s AND identity = ANY(%s) ORDER BY identity, version DESC
"""


class AsyncPostgresJournal:
    """
    A journal in a PostgreSQL database.

    Args:
        url: ``postgresql://`` address.
        namespace: Prefix of the journal's name, so that several platforms share a database.
        region: The region whose writes it keeps.
        partitions: Number of queues.
        durability: What an acknowledged write survives.
        timeout_s: Budget of one statement, and of getting a connection.
        pool_size: Most connections.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        region: str,
        partitions: int,
        *,
        durability: Durability = "always",
        timeout_s: float = 10.0,
        pool_size: int = 4,
    ) -> None:
        self.partitions = partitions
        self._name = f"{namespace}:{region}"
        self._durability = durability
        options = f"-c synchronous_commit={'off' if durability == 'process' else 'on'}"
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=timeout_s,
            kwargs={"autocommit": True, "options": f"{options} -c statement_timeout={int(timeout_s * 1000)}"},
        )

    # -- opening ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, check the durability, and make the tables where they are missing."""
        async with self._errors("open"):
            await self._pool.open()
        async with self._transaction("open") as connection:
            await self._check_durability(connection)
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
            for table in _TABLES:
                await connection.execute(table)
            await self._check_partitions(connection)

    async def _check_durability(self, connection: AsyncConnection[Any]) -> None:
        query = "SELECT current_setting('fsync'), current_setting('synchronous_standby_names')"
        fsync, standbys = await _one(connection, query)
        if self._durability in ("always", "replicated") and fsync != "on":
            raise ConfigurationError(f"journal in PostgreSQL: durability={self._durability!r} needs fsync = on")
        if self._durability == "replicated" and not standbys:
            raise ConfigurationError(
                "journal in PostgreSQL: durability='replicated' needs synchronous_standby_names, which is empty"
            )

    async def _check_partitions(self, connection: AsyncConnection[Any]) -> None:
        query = (
            "SELECT count(*), coalesce(sum(row_count), 0)::bigint, coalesce(max(high), 0)"
            " FROM tiercel_journal_partition WHERE journal = %s"
        )
        made, waiting, high = await _one(connection, query, self._name)
        if made == self.partitions:
            return
        if waiting:
            raise ConfigurationError(
                f"journal {self._name} holds {waiting} rows in {made} partitions, but"
                f" partitions={self.partitions}: drain it under the old number first (tiercel journal drain)"
            )
        await connection.execute("DELETE FROM tiercel_journal_partition WHERE journal = %s", (self._name,))
        await connection.execute(
            "INSERT INTO tiercel_journal_partition (journal, partition, high)"
            " SELECT %s, generate_series(0, %s - 1), %s",
            (self._name, self.partitions, high),
        )

    @asynccontextmanager
    async def _errors(self, operation: str) -> AsyncIterator[None]:
        try:
            yield
        except PoolClosed:
            raise ClosedError("the journal in PostgreSQL is closed", tier="journal", operation=operation) from None
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, PoolTimeout) as error:
            raise StoreTimeout(f"journal in PostgreSQL: {error}", tier="journal", operation=operation) from error
        except psycopg.Error as error:
            raise StoreError(f"journal in PostgreSQL: {error}", tier="journal", operation=operation) from error

    @asynccontextmanager
    async def _transaction(self, operation: str) -> AsyncIterator[AsyncConnection[Any]]:
        async with self._errors(operation), self._pool.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _statement(self, operation: str) -> AsyncIterator[AsyncConnection[Any]]:
        async with self._errors(operation), self._pool.connection() as connection:
            yield connection

    # -- writing ----------------------------------------------------------------------------------------------------

    async def append(self, drafts: Sequence[Draft]) -> Accepted:
        """Keep *drafts* in one transaction."""
        async with self._transaction("append") as connection:
            versions = await self._place(connection, drafts)
            size = await self._measure(connection)
        return Accepted(versions, size)

    async def append_in(self, connection: AsyncConnection[Any], drafts: Sequence[Draft]) -> list[int]:
        """
        Keep *drafts* inside the caller's transaction on *connection*: they are journaled if and only if it commits.

        Append last: until the commit, other writers of the same partitions wait.
        """
        async with self._errors("append"):
            return await self._place(connection, drafts)

    async def _place(self, connection: AsyncConnection[Any], drafts: Sequence[Draft]) -> list[int]:
        partitions = [partition_of(draft.identity, self.partitions) for draft in drafts]
        cursor = await connection.execute(_LOCK, (self._name, sorted(set(partitions))))
        heads = {partition: [high, seq, 0, 0] for partition, high, seq in await cursor.fetchall()}
        versions, positions = [], []
        for draft, partition in zip(drafts, partitions, strict=True):
            head = heads[partition]
            head[0] = max(draft.version, head[0] + 1)
            head[1] += 1
            head[2] += 1
            head[3] += draft.size_bytes
            versions.append(head[0])
            positions.append(head[1])
        identities = [draft.identity for draft in drafts]
        accepted = [draft.accepted_s for draft in drafts]
        payloads = [draft.payload for draft in drafts]
        rows = (self._name, partitions, positions, identities, versions, accepted, payloads)
        async with connection.pipeline():
            await connection.execute(_INSERT, rows, binary=True)
            await connection.execute(_GROW, (list(heads), *map(list, zip(*heads.values(), strict=True)), self._name))
        return versions

    async def _measure(self, connection: AsyncConnection[Any]) -> JournalSize:
        return JournalSize(*await _one(connection, _SIZE, self._name, self._name))

    # -- leases and workers -----------------------------------------------------------------------------------------

    async def lease(self, partition: int, owner: str, ttl_s: float) -> Lease | None:
        """Take *partition* by the server's clock, or return None while somebody else has it."""
        names = {"owner": owner, "ttl_s": ttl_s, "journal": self._name, "partition": partition}
        async with self._statement("lease") as connection:
            taken = await (await connection.execute(_LEASE, names)).fetchone()
        return None if taken is None else Lease(partition, owner, taken[0])

    async def release(self, lease: Lease) -> None:
        """Give a partition back."""
        async with self._statement("release") as connection:
            await connection.execute(
                "UPDATE tiercel_journal_partition SET owner = NULL"
                " WHERE journal = %s AND partition = %s AND owner = %s AND fence = %s",
                (self._name, lease.partition, lease.owner, lease.fence),
            )

    async def enlist(self, owner: str, ttl_s: float) -> list[str]:
        """Say that *owner* is alive and return every living worker."""
        async with self._transaction("enlist") as connection:
            await connection.execute(
                "INSERT INTO tiercel_journal_worker VALUES (%s, %s, clock_timestamp() + %s * interval '1 second')"
                " ON CONFLICT (journal, owner) DO UPDATE SET until = excluded.until",
                (self._name, owner, ttl_s),
            )
            cursor = await connection.execute(
                "SELECT owner FROM tiercel_journal_worker WHERE journal = %s AND until > clock_timestamp()",
                (self._name,),
            )
            return sorted(name for (name,) in await cursor.fetchall())

    async def resign(self, owner: str) -> None:
        """Say that *owner* goes; workers that were missed go with it."""
        async with self._statement("resign") as connection:
            await connection.execute(
                "DELETE FROM tiercel_journal_worker WHERE journal = %s AND (owner = %s OR until <= clock_timestamp())",
                (self._name, owner),
            )

    # -- flushing ---------------------------------------------------------------------------------------------------

    async def take(self, lease: Lease, after: int, limit: int, ttl_s: float) -> list[JournalEntry]:
        """Return up to *limit* writes behind *after*; prolong a lease that is half gone."""
        held = (self._name, lease.partition, lease.owner, lease.fence)
        async with self._statement("take") as connection:
            query = (
                "SELECT until < clock_timestamp() + %s * interval '1 second' FROM tiercel_journal_partition"
                " WHERE journal = %s AND partition = %s AND owner = %s AND fence = %s"
            )
            found = await (await connection.execute(query, (ttl_s / 2, *held))).fetchone()
            if found is None or (found[0] and await self.lease(lease.partition, lease.owner, ttl_s) != lease):
                raise LeaseLost(operation="take")
            cursor = await connection.execute(
                "SELECT position, version, payload FROM tiercel_journal"
                " WHERE journal = %s AND partition = %s AND position > %s ORDER BY position LIMIT %s",
                (self._name, lease.partition, after, limit),
                binary=True,
            )
            return [decode_entry(*row) for row in await cursor.fetchall()]

    async def settle(
        self, lease: Lease, done: Sequence[JournalEntry], parked: Sequence[tuple[JournalEntry, str]]
    ) -> JournalSize:
        """Remove *done*, turn *parked* into dead letters, in one transaction."""
        refused = [entry.position for entry, _ in parked]
        reasons = [reason.replace("\0", "�") for _, reason in parked]
        async with self._transaction("settle") as connection:
            query = (
                "SELECT 1 FROM tiercel_journal_partition"
                " WHERE journal = %s AND partition = %s AND owner = %s AND fence = %s FOR UPDATE"
            )
            held = (self._name, lease.partition, lease.owner, lease.fence)
            if await (await connection.execute(query, held)).fetchone() is None:
                raise LeaseLost(operation="settle")
            if parked:
                await connection.execute(_PARK, (refused, reasons, self._name, lease.partition))
            await self._delete(connection, lease.partition, [*(entry.position for entry in done), *refused])
            return await self._measure(connection)

    async def _delete(self, connection: AsyncConnection[Any], partition: int, positions: Sequence[int]) -> int:
        cursor = await connection.execute(_DELETE, (self._name, partition, list(positions)))
        sizes = [size for (size,) in await cursor.fetchall()]
        await connection.execute(_SHRINK, (len(sizes), sum(sizes), self._name, partition))
        return len(sizes)

    # -- reading ----------------------------------------------------------------------------------------------------

    async def newest(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the newest waiting write of each key that has one, in one query."""
        by_identity = {encode_identity(tenant, key): key for key in keys}
        async with self._statement("newest") as connection:
            cursor = await connection.execute(_NEWEST, (self._name, list(by_identity)), binary=True)
            rows = await cursor.fetchall()
        found: dict[Key, Record] = {}
        for identity, position, version, payload in rows:
            found[by_identity[identity]] = Record(decode_entry(position, version, payload).change.value, version)
        return found

    async def fate(self, tenant: str, key: Key, version: int) -> tuple[Fate, str]:
        """Say what became of one write."""
        where = (self._name, encode_identity(tenant, key), version)
        query = (
            "SELECT NULL FROM tiercel_journal WHERE journal = %s AND identity = %s AND version = %s"
            " UNION ALL SELECT reason FROM tiercel_journal_dead WHERE journal = %s AND identity = %s AND version = %s"
        )
        async with self._statement("fate") as connection:
            found = await (await connection.execute(query, (*where, *where))).fetchone()
        if found is None:
            return Fate.SETTLED, ""
        return (Fate.PENDING, "") if found[0] is None else (Fate.PARKED, found[0])

    async def forget(self, tenant: str, key: Key, version: int | None = None) -> int:
        """Remove the writes of *key* up to *version*; all, and its dead letters, for None."""
        identity = encode_identity(tenant, key)
        partition = partition_of(identity, self.partitions)
        async with self._transaction("forget") as connection:
            await connection.execute(_LOCK, (self._name, [partition]))
            cursor = await connection.execute(
                "SELECT position FROM tiercel_journal"
                " WHERE journal = %s AND identity = %s AND (%s::bigint IS NULL OR version <= %s)",
                (self._name, identity, version, version),
            )
            gone = await self._delete(connection, partition, [position for (position,) in await cursor.fetchall()])
            if version is None:
                query = "DELETE FROM tiercel_journal_dead WHERE journal = %s AND identity = %s"
                gone += (await connection.execute(query, (self._name, identity))).rowcount
            return gone

    async def size(self) -> JournalSize:
        """Return how much waits."""
        async with self._statement("size") as connection:
            return await self._measure(connection)

    # -- dead letters -----------------------------------------------------------------------------------------------

    async def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """Return dead letters in the order of their ids, which name partition and position."""
        query = (
            "SELECT partition, position, version, payload, reason, parked_s FROM tiercel_journal_dead"
            " WHERE journal = %s AND (partition, position) > (%s, %s) ORDER BY partition, position LIMIT %s"
        )
        async with self._statement("dead_letters") as connection:
            cursor = await connection.execute(query, (self._name, *(_place(after) or (-1, 0)), limit))
            rows = await cursor.fetchall()
        return [
            DeadLetter(f"{partition:05d}-{position:020d}", decode_entry(position, version, payload), reason, parked_s)
            for partition, position, version, payload, reason, parked_s in rows
        ]

    async def retry(self, ids: Sequence[str]) -> int:
        """Queue dead letters again at the end, under their own versions."""
        found = 0
        for place in filter(None, map(_place, ids)):
            async with self._transaction("retry") as connection:
                found += await self._requeue(connection, *place)
        return found

    async def _requeue(self, connection: AsyncConnection[Any], partition: int, position: int) -> int:
        where = (self._name, partition, position)
        cursor = await connection.execute(_LOCK, (self._name, [partition]))
        head = await cursor.fetchone()
        cursor = await connection.execute(
            "DELETE FROM tiercel_journal_dead WHERE journal = %s AND partition = %s AND position = %s"
            " RETURNING identity, version, accepted_s, payload",
            where,
        )
        letter = await cursor.fetchone()
        if letter is None or head is None:
            return 0
        _, high, seq = head
        await connection.execute(
            "INSERT INTO tiercel_journal VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (self._name, partition, seq + 1, *letter),
        )
        await connection.execute(_GROW, ([partition], [high], [seq + 1], [1], [len(letter[3])], self._name))
        return 1

    async def drop(self, ids: Sequence[str]) -> int:
        """Throw dead letters away."""
        places = list(filter(None, map(_place, ids)))
        query = (
            "DELETE FROM tiercel_journal_dead WHERE journal = %s AND (partition, position) IN"
            " (SELECT * FROM unnest(%s::integer[], %s::bigint[]))"
        )
        arrays = ([partition for partition, _ in places], [position for _, position in places])
        async with self._statement("drop") as connection:
            return (await connection.execute(query, (self._name, *arrays))).rowcount

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.close()


async def _one(connection: AsyncConnection[Any], query: str, *values: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = await (await connection.execute(query, values)).fetchone()
    if row is None:
        raise StoreError("journal in PostgreSQL: a query that gives one row gave none", tier="journal")
    return row


def _place(name: str) -> tuple[int, int] | None:
    """Return partition and position that a dead letter's id stands for, None for anything else."""
    partition, _, position = name.partition("-")
    return (int(partition), int(position)) if partition.isdigit() and position.isdigit() else None
