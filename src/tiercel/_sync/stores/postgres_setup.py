# Generated from src/tiercel/_async/stores/postgres_setup.py by tools/unasync.py. Do not edit.
"""The preparation of a PostgreSQL database: the tables that Tiercel owns are made, the user's is looked at."""

from __future__ import annotations

from typing import Any, Final

from psycopg import Connection

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


def open_table(connection: Connection[Any], mapping: RowMapping) -> PostgresTable:
    """
    Return the table of *mapping*, ready for use, on a connection in autocommit mode.

    Nothing is made that is there, so that an account without the right to create works once the tables exist.
    """
    with connection.transaction():
        connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (SETUP_LOCK,))
        _make(connection, "tiercel_outbox", _OUTBOX)
        if mapping.managed:
            _make(connection, quote(*mapping.table), ManagedTable.creation(mapping))
            return ManagedTable(mapping, _columns(connection, mapping))
        _make(connection, "tiercel_versions", _VERSIONS)
        return MappedTable(mapping, _columns(connection, mapping))


def _make(connection: Connection[Any], relation: str, statement: bytes) -> None:
    cursor = connection.execute(b"SELECT to_regclass(%s) IS NULL", (relation,))
    is_missing = cursor.fetchone()
    if is_missing and is_missing[0]:
        connection.execute(statement)


def _columns(connection: Connection[Any], mapping: RowMapping) -> list[Column]:
    cursor = connection.execute(_COLUMNS, (quote(*mapping.table),))
    return [Column(*found) for found in cursor.fetchall()]
