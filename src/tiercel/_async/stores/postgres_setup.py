"""The preparation of a PostgreSQL database: the tables that Tiercel owns are made, the user's is looked at."""

from __future__ import annotations

from typing import Any, Final

from psycopg import AsyncConnection

from tiercel._core.postgrestables import Column, ManagedTable, MappedTable, PostgresTable
from tiercel._core.postgrestext import quote
from tiercel._core.storeurl import RowMapping

__all__ = ["open_table"]

SETUP_LOCK: Final = 0x7469_6572_6365_6C
"""Advisory lock under which tables are made: CREATE TABLE IF NOT EXISTS races with itself."""
_OUTBOX: Final = (
    b"CREATE TABLE tiercel_outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload bytea NOT NULL,"
    b" claimed_until timestamptz NOT NULL DEFAULT '-infinity');"
    b" CREATE INDEX tiercel_outbox_payload ON tiercel_outbox USING hash (payload)"
)
_VERSIONS: Final = (
    b'CREATE TABLE tiercel_versions (target text COLLATE "C", tenant text COLLATE "C", key text COLLATE "C",'
    b" version bigint NOT NULL, deleted boolean NOT NULL, PRIMARY KEY (target, tenant, key))"
)
_COLUMNS: Final = (
    b"SELECT attname, format_type(atttypid, NULL), attgenerated <> '' FROM pg_attribute"
    b" WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)


async def open_table(connection: AsyncConnection[Any], mapping: RowMapping) -> PostgresTable:
    """
    Return the table of *mapping*, ready for use, on a connection in autocommit mode.

    Nothing is made that is there, so that an account without the right to create works once the tables exist.
    """
    async with connection.transaction():
        await connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (SETUP_LOCK,))
        await _make(connection, "tiercel_outbox", _OUTBOX)
        if mapping.managed:
            await _make(connection, quote(*mapping.table), ManagedTable.creation(mapping))
            return ManagedTable(mapping, await _columns(connection, mapping))
        await _make(connection, "tiercel_versions", _VERSIONS)
        return MappedTable(mapping, await _columns(connection, mapping))


async def _make(connection: AsyncConnection[Any], relation: str, statement: bytes) -> None:
    cursor = await connection.execute(b"SELECT to_regclass(%s) IS NULL", (relation,))
    is_missing = await cursor.fetchone()
    if is_missing and is_missing[0]:
        await connection.execute(statement)


async def _columns(connection: AsyncConnection[Any], mapping: RowMapping) -> list[Column]:
    cursor = await connection.execute(_COLUMNS, (quote(*mapping.table),))
    return [Column(*found) for found in await cursor.fetchall()]
