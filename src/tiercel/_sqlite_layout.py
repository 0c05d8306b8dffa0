"""
The two layouts of rows in SQLite: a table that Tiercel made, and a user's own table with versions kept beside it.

A layout turns values into columns and back, and owns the SQL. `_sqlite_table` holds the connection and calls it inside
a write transaction, where nobody else can change a row between reading its version and writing it.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from tiercel._core.documents import decode_document, encode_document
from tiercel._core.storerows import NO_ROW, SHARED_TENANT, RowCodec, RowWrite, StoredKey, check_fields
from tiercel._core.storeurl import KeyType, RowMapping
from tiercel.errors import ConfigurationError, EncodeError
from tiercel.typing import DELETED, Key, Record

__all__ = ["Layout", "ManagedLayout", "MappedLayout", "open_layout"]

Winner = tuple[RowWrite, int]
"""A row write that applies, and the version that the row gets."""


class Layout(RowCodec, Protocol):
    """How rows of one table are read and written; every method runs inside the caller's transaction."""

    def read(
        self, connection: sqlite3.Connection, tenant: str, keys: Sequence[StoredKey]
    ) -> Iterator[tuple[int, Record]]:
        """Yield the rows that exist, each with its key's place in *keys*, from one query."""

    def stored_versions(self, connection: sqlite3.Connection, rows: Sequence[RowWrite]) -> list[int]:
        """Return the version of each row, of its tombstone, or `NO_ROW`."""

    def apply(self, connection: sqlite3.Connection, winners: Sequence[Winner]) -> None:
        """Write *winners* with as few statements as there are kinds of write."""


def open_layout(connection: sqlite3.Connection, mapping: RowMapping) -> Layout:
    """Return the layout of *mapping*, making the tables that Tiercel owns; raises `ConfigurationError`."""
    if mapping.managed:
        return ManagedLayout(connection, mapping)
    return MappedLayout(connection, mapping)


def quote(*names: str) -> str:
    """Return *names* as one quoted SQL identifier."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def _wanted(rows: Sequence[RowWrite]) -> str:
    return json.dumps([(row.tenant, _in_json(row.key)) for row in rows])


def _in_json(key: StoredKey) -> str | int:
    return key.hex() if isinstance(key, bytes) else key


class ManagedLayout:
    """Tiercel's own table: tenant, key, value as JSON text, version, deleted."""

    key_type: KeyType = "tagged"

    def __init__(self, connection: sqlite3.Connection, mapping: RowMapping) -> None:
        self._table = table = quote(*mapping.table)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (tenant TEXT NOT NULL, key TEXT NOT NULL, value TEXT,"
            " version INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (tenant, key))"
        )
        present = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
        missing = {"tenant", "key", "value", "version", "deleted"} - present
        if missing:
            raise ConfigurationError(
                f"table {table} exists and has no column {', '.join(sorted(missing))}: map it with '?key=COLUMN'"
            )
        self._select = (
            f"SELECT wanted.key, stored.value, stored.version FROM json_each(?) AS wanted CROSS JOIN {table} AS stored"
            " ON stored.tenant = ? AND stored.key = wanted.value WHERE NOT stored.deleted"
        )
        self._versions = (
            f"SELECT wanted.key, stored.version FROM json_each(?) AS wanted CROSS JOIN {table} AS stored"
            " ON stored.tenant = json_extract(wanted.value, '$[0]') AND stored.key = json_extract(wanted.value, '$[1]')"
        )
        self._upsert = (
            f"INSERT INTO {table} (tenant, key, value, version, deleted) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (tenant, key) DO UPDATE SET"
            " value = excluded.value, version = excluded.version, deleted = excluded.deleted"
        )

    def tenant_of(self, tenant: str) -> str:
        """Return *tenant*."""
        return tenant

    def encode(self, key: Key, value: Any) -> Any:
        """Return *value* as JSON text, or `DELETED`."""
        return DELETED if value is DELETED else encode_document(value)

    def read(
        self, connection: sqlite3.Connection, tenant: str, keys: Sequence[StoredKey]
    ) -> Iterator[tuple[int, Record]]:
        """Yield the rows that exist."""
        for place, value, version in connection.execute(self._select, (json.dumps(keys), tenant)):
            yield place, Record(decode_document(value), version)

    def stored_versions(self, connection: sqlite3.Connection, rows: Sequence[RowWrite]) -> list[int]:
        """Return the version of each row, of its tombstone, or `NO_ROW`."""
        versions = [NO_ROW] * len(rows)
        for place, version in connection.execute(self._versions, (_wanted(rows),)):
            versions[place] = version
        return versions

    def apply(self, connection: sqlite3.Connection, winners: Sequence[Winner]) -> None:
        """Upsert *winners*; a deletion leaves its row as a tombstone."""
        connection.executemany(
            self._upsert,
            [
                (row.tenant, row.key, *((None, version, 1) if row.value is DELETED else (row.value, version, 0)))
                for row, version in winners
            ],
        )


class MappedLayout:
    """
    A user's own table; versions and tombstones live in ``tiercel_versions``, in the same transaction.

    A write replaces the row: a field that the value leaves out becomes NULL. Rows are matched by
    equality of the key (and tenant) column, which should have an index.
    """

    def __init__(self, connection: sqlite3.Connection, mapping: RowMapping) -> None:
        self._mapping = mapping
        self._table = quote(*mapping.table)
        self._target = ".".join(mapping.table)
        types = {name: kind.upper() for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({self._table})")}
        if not types:
            raise ConfigurationError(f"there is no table {self._table}; leave out the options to have it made")
        named = (mapping.key, mapping.tenant, mapping.version, mapping.deleted, mapping.value, *mapping.columns)
        missing = [name for name in named if name is not None and name not in types]
        if missing:
            raise ConfigurationError(f"table {self._table} has no column {missing[0]!r}; it has {', '.join(types)}")
        self.key_type: KeyType = mapping.key_type or _key_type(types[mapping.key])
        kept_apart = {mapping.tenant, mapping.version, mapping.deleted}
        self._fields = mapping.columns or tuple(name for name in types if name not in kept_apart)
        if mapping.value is not None:
            self._fields = (mapping.value,)
        self._types = types
        connection.execute(
            "CREATE TABLE IF NOT EXISTS tiercel_versions (target TEXT NOT NULL, tenant TEXT NOT NULL, key NOT NULL,"
            " version INTEGER NOT NULL, deleted INTEGER NOT NULL, PRIMARY KEY (target, tenant, key)) WITHOUT ROWID"
        )
        self._select = self._select_statement()
        self._row_versions, self._side_versions = self._version_statements()

    def _wanted_key(self, expression: str) -> str:
        return f"tiercel_unhex({expression})" if self.key_type == "bytes" else expression

    def _alive(self) -> str:
        return f" WHERE NOT coalesce(stored.{quote(self._mapping.deleted)}, 0)" if self._mapping.deleted else ""

    def _own_version(self) -> str:
        return f"coalesce(stored.{quote(self._mapping.version)}, 0)" if self._mapping.version else "0"

    def _select_statement(self) -> str:
        mapping, key = self._mapping, self._wanted_key("wanted.value")
        same_tenant = f" AND stored.{quote(mapping.tenant)} = :tenant" if mapping.tenant else ""
        fields = ", ".join(f"stored.{quote(name)}" for name in self._fields)
        return (
            f"SELECT wanted.key, max({self._own_version()}, coalesce(side.version, 0)), {fields}"
            f" FROM json_each(:keys) AS wanted CROSS JOIN {self._table} AS stored"
            f" ON stored.{quote(mapping.key)} = {key}{same_tenant}"
            f" LEFT JOIN tiercel_versions AS side ON side.target = :target AND side.tenant = :side AND side.key = {key}"
            + self._alive()
        )

    def _version_statements(self) -> tuple[str, str]:
        tenant, key = "json_extract(wanted.value, '$[0]')", self._wanted_key("json_extract(wanted.value, '$[1]')")
        same_tenant = f" AND stored.{quote(self._mapping.tenant)} = {tenant}" if self._mapping.tenant else ""
        of_rows = (
            f"SELECT wanted.key, {self._own_version()} FROM json_each(?) AS wanted CROSS JOIN {self._table} AS stored"
            f" ON stored.{quote(self._mapping.key)} = {key}{same_tenant}"
        )
        of_side = (
            "SELECT wanted.key, side.version FROM json_each(?) AS wanted CROSS JOIN tiercel_versions AS side"
            f" ON side.target = ? AND side.tenant = {tenant} AND side.key = {key}"
        )
        return of_rows, of_side

    def tenant_of(self, tenant: str) -> str:
        """Return *tenant*, or the shared one where the table has no tenant column."""
        return tenant if self._mapping.tenant else SHARED_TENANT

    def encode(self, key: Key, value: Any) -> Any:
        """Return the column values in the order of the fields, or `DELETED`."""
        if value is DELETED:
            return DELETED
        if self._mapping.value is not None:
            return (encode_document(value),)
        check_fields(value, self._fields, self._mapping.key, key)
        return tuple(_to_column(value.get(name), self._types[name]) for name in self._fields)

    def read(
        self, connection: sqlite3.Connection, tenant: str, keys: Sequence[StoredKey]
    ) -> Iterator[tuple[int, Record]]:
        """Yield the rows that exist."""
        wanted = json.dumps([_in_json(key) for key in keys])
        names = {"keys": wanted, "tenant": tenant, "side": self.tenant_of(tenant), "target": self._target}
        for place, version, *columns in connection.execute(self._select, names):
            yield place, Record(self._decode(columns), version)

    def _decode(self, columns: Sequence[Any]) -> Any:
        if self._mapping.value is not None:
            return None if columns[0] is None else decode_document(columns[0])
        return {
            name: _from_column(column, self._types[name]) for name, column in zip(self._fields, columns, strict=True)
        }

    def stored_versions(self, connection: sqlite3.Connection, rows: Sequence[RowWrite]) -> list[int]:
        """Return the larger of each row's own version and the one kept beside it, or `NO_ROW`."""
        wanted = _wanted(rows)
        versions = [NO_ROW] * len(rows)
        for place, version in connection.execute(self._side_versions, (wanted, self._target)):
            versions[place] = version
        if self._mapping.version is not None:
            for place, version in connection.execute(self._row_versions, (wanted,)):
                versions[place] = max(versions[place], version)
        return versions

    def apply(self, connection: sqlite3.Connection, winners: Sequence[Winner]) -> None:
        """Delete, update and insert rows, and note their versions."""
        present = {
            place for place, _ in connection.execute(self._row_versions, (_wanted([row for row, _ in winners]),))
        }
        known = [winner for place, winner in enumerate(winners) if place in present]
        fresh = [winner for place, winner in enumerate(winners) if place not in present]
        self._delete(connection, [winner for winner in known if winner[0].value is DELETED])
        self._update(connection, [winner for winner in known if winner[0].value is not DELETED])
        self._insert(connection, [winner for winner in fresh if winner[0].value is not DELETED])
        connection.executemany(
            "INSERT INTO tiercel_versions (target, tenant, key, version, deleted) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (target, tenant, key) DO UPDATE SET version = excluded.version, deleted = excluded.deleted",
            [(self._target, row.tenant, row.key, version, row.value is DELETED) for row, version in winners],
        )

    def _row_condition(self) -> str:
        tenant = f" AND {quote(self._mapping.tenant)} = ?" if self._mapping.tenant else ""
        return f" WHERE {quote(self._mapping.key)} = ?{tenant}"

    def _row_names(self, row: RowWrite) -> tuple[StoredKey, ...]:
        return (row.key, row.tenant) if self._mapping.tenant else (row.key,)

    def _bookkeeping(self, version: int, *, deleted: bool) -> dict[str, int]:
        mapping = self._mapping
        own = {mapping.version: version, mapping.deleted: int(deleted)}
        return {name: content for name, content in own.items() if name is not None}

    def _delete(self, connection: sqlite3.Connection, winners: Sequence[Winner]) -> None:
        condition = self._row_condition()
        if self._mapping.deleted is None:
            statement = f"DELETE FROM {self._table}{condition}"
            connection.executemany(statement, [self._row_names(row) for row, _ in winners])
            return
        changed = ", ".join(f"{quote(name)} = ?" for name in self._bookkeeping(0, deleted=True))
        connection.executemany(
            f"UPDATE {self._table} SET {changed}{condition}",
            [(*self._bookkeeping(version, deleted=True).values(), *self._row_names(row)) for row, version in winners],
        )

    def _update(self, connection: sqlite3.Connection, winners: Sequence[Winner]) -> None:
        written = [name for name in (*self._fields, *self._bookkeeping(0, deleted=False)) if name != self._mapping.key]
        if not written:
            return
        skipped = self._fields.index(self._mapping.key) if self._mapping.key in self._fields else len(self._fields)
        changed = ", ".join(f"{quote(name)} = ?" for name in written)
        connection.executemany(
            f"UPDATE {self._table} SET {changed}{self._row_condition()}",
            [
                (
                    *row.value[:skipped],
                    *row.value[skipped + 1 :],
                    *self._bookkeeping(version, deleted=False).values(),
                    *self._row_names(row),
                )
                for row, version in winners
            ],
        )

    def _insert(self, connection: sqlite3.Connection, winners: Sequence[Winner]) -> None:
        rows: list[dict[str, Any]] = []
        for row, version in winners:
            columns = dict(zip(self._fields, row.value, strict=True)) | self._bookkeeping(version, deleted=False)
            columns[self._mapping.key] = row.key
            if self._mapping.tenant:
                columns[self._mapping.tenant] = row.tenant
            rows.append(columns)
        if rows:
            names = ", ".join(map(quote, rows[0]))
            marks = ", ".join("?" for _ in rows[0])
            statement = f"INSERT INTO {self._table} ({names}) VALUES ({marks})"
            connection.executemany(statement, [tuple(columns.values()) for columns in rows])


def _key_type(declared: str) -> KeyType:
    if "INT" in declared:
        return "integer"
    return "bytes" if "BLOB" in declared else "text"


def _to_column(value: Any, declared: str) -> Any:
    if value is None:
        return None
    if "JSON" in declared:
        return encode_document(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str | int | float | bytes):
        return value
    if isinstance(value, dt.datetime):
        return value.isoformat()
    raise EncodeError(f"a column of type {declared or 'none'} cannot hold a {type(value).__name__}")


def _from_column(column: Any, declared: str) -> Any:
    for mark, decode in _DECODERS:
        if mark in declared and column is not None:
            return decode(column)
    return column


def _moment(column: Any) -> Any:
    try:
        return dt.datetime.fromisoformat(column)
    except (TypeError, ValueError):
        # SQLite columns hold what was put there: epoch numbers and foreign spellings are handed on as they are.
        return column


_DECODERS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("JSON", decode_document),
    ("BOOL", bool),
    ("DATETIME", _moment),
    ("TIMESTAMP", _moment),
)
