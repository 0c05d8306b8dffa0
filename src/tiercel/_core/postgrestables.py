"""
The two layouts of rows in PostgreSQL: a table that Tiercel made, and a user's own table with versions kept beside it.

A table spells values as JSON text, owns its statements and runs none. Statements are bytes with ``%(name)s``
parameters: ``batch`` from `json_batch`, ``keys`` a list of `key_text`, ``tenant`` or ``tenants``, ``target``.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from tiercel._core.documents import decode_document, encode_document
from tiercel._core.postgrestext import IN_KEY_ORDER, on_conflict, quote
from tiercel._core.storerows import SHARED_TENANT, RowCodec, check_fields
from tiercel._core.storeurl import KeyType, RowMapping
from tiercel.errors import ConfigurationError, EncodeError
from tiercel.typing import DELETED, Key

__all__ = ["Column", "ManagedTable", "MappedTable", "PostgresTable"]

_KEY_TYPES: Final[dict[str, tuple[KeyType, str]]] = {
    "smallint": ("integer", "bigint"),
    "integer": ("integer", "bigint"),
    "bigint": ("integer", "bigint"),
    "uuid": ("uuid", "uuid"),
    "bytea": ("bytes", "bytea"),
    "text": ("text", "text"),
    "character varying": ("text", "text"),
}
_WANTED: Final = "unnest(%(keys)s::text[]) WITH ORDINALITY AS wanted(key, place)"
_WANTED_ROWS: Final = "unnest(%(tenants)s::text[], %(keys)s::text[]) WITH ORDINALITY AS wanted(tenant, key, place)"


class Column(NamedTuple):
    """A column of a table: its name, its type without a length, and whether the server computes it."""

    name: str
    type: str
    is_generated: bool


class PostgresTable(RowCodec, Protocol):
    """What a store needs to know of its table."""

    target: str
    """The table's name in ``tiercel_versions``."""
    select: bytes
    """Yields place from 1, version, and what `decode` takes, for ``tenant`` and ``keys``."""
    stored_versions: bytes
    """Yields place from 1 and version, for ``tenants`` and ``keys``."""
    copy: bytes | None
    """The COPY that takes `copy_rows` where every row is new; None for a layout that has none."""
    apply: tuple[str, ...]
    """What follows a claim, each from the relation ``batch`` of the winners."""

    def upsert(self, *, guard: bool) -> str:
        """Return the INSERT from ``batch`` that settles versions."""

    def decode(self, columns: Sequence[Any]) -> Any:
        """Return the value of a selected row."""


class ManagedTable:
    """Tiercel's own table: tenant, key, value as jsonb, version, deleted."""

    key_type: KeyType = "tagged"
    apply: tuple[str, ...] = ()
    copy: bytes | None

    def __init__(self, mapping: RowMapping, columns: Sequence[Column]) -> None:
        self.target = ".".join(mapping.table)
        self._table = quote(*mapping.table)
        missing = {"tenant", "key", "value", "version", "deleted"} - {column.name for column in columns}
        if missing:
            raise ConfigurationError(
                f"table {self._table} exists and has no column {min(missing)}: map it with '?key=COLUMN'"
            )
        self.select = (
            f"SELECT wanted.place, stored.version, stored.value::text FROM {_WANTED} JOIN {self._table} AS stored"
            " ON stored.tenant = %(tenant)s AND stored.key = wanted.key WHERE NOT stored.deleted"
        ).encode()
        self.copy = f"COPY {self._table} (tenant, key, value, version, deleted) FROM STDIN".encode()
        self.stored_versions = (
            f"SELECT wanted.place, stored.version FROM {_WANTED_ROWS} JOIN {self._table} AS stored"
            " ON stored.tenant = wanted.tenant AND stored.key = wanted.key"
        ).encode()

    @staticmethod
    def creation(mapping: RowMapping) -> bytes:
        """Return the statement that makes the table; its keys compare as bytes do."""
        return (
            f'CREATE TABLE {quote(*mapping.table)} (tenant text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,'
            " value jsonb, version bigint NOT NULL, deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (tenant, key))"
        ).encode()

    def tenant_of(self, tenant: str) -> str:
        """Return *tenant*."""
        return tenant

    def encode(self, key: Key, value: Any) -> Any:
        """Return *value* as JSON text, or `DELETED`."""
        return DELETED if value is DELETED else encode_document(value)

    def decode(self, columns: Sequence[Any]) -> Any:
        """Return the value of a selected row."""
        return decode_document(columns[0])

    def upsert(self, *, guard: bool) -> str:
        """Return the INSERT from ``batch`` that settles versions and keeps the values."""
        return (
            f"INSERT INTO {self._table} AS stored (tenant, key, value, version, deleted)"
            " SELECT tenant, key, CASE WHEN NOT deleted THEN coalesce(value, 'null') END, version, deleted"
            " FROM batch" + IN_KEY_ORDER + on_conflict("tenant, key", guard=guard, with_value=True)
        )


class MappedTable:
    """
    A user's own table; versions and tombstones live in ``tiercel_versions``, in the same transaction.

    A write replaces the row: a field that the value leaves out becomes NULL. Rows are matched by equality of the key
    (and tenant) column, which should have an index.
    """

    copy: bytes | None = None

    def __init__(self, mapping: RowMapping, columns: Sequence[Column]) -> None:
        self._mapping = mapping
        self._table = quote(*mapping.table)
        self.target = ".".join(mapping.table)
        self._types = {column.name: column.type for column in columns}
        self._check_names()
        self.key_type, self._key_cast = self._key_column()
        apart = {mapping.tenant, mapping.version, mapping.deleted}
        named = (mapping.value,) if mapping.value else mapping.columns
        self._fields = named or tuple(column.name for column in columns if column.name not in apart)
        computed = {column.name for column in columns if column.is_generated}
        self._written = tuple(name for name in self._fields if name not in computed)
        self.select = self._select().encode()
        self.stored_versions = self._stored_versions().encode()
        self.apply: tuple[str, ...] = (self._delete(), self._update(), self._insert())

    def _check_names(self) -> None:
        mapping = self._mapping
        if not self._types:
            raise ConfigurationError(f"there is no table {self._table}; leave out the options to have it made")
        named = (mapping.key, mapping.tenant, mapping.version, mapping.deleted, mapping.value, *mapping.columns)
        missing = [name for name in named if name is not None and name not in self._types]
        if missing:
            shown = ", ".join(self._types)
            raise ConfigurationError(f"table {self._table} has no column {missing[0]!r}; it has {shown}")

    def _key_column(self) -> tuple[KeyType, str]:
        declared = self._types[self._mapping.key]
        if self._mapping.key_type is not None:
            return self._mapping.key_type, declared
        if declared not in _KEY_TYPES:
            raise ConfigurationError(
                f"key column {self._mapping.key!r} of {self._table} has type {declared}: keys can be in columns of type"
                f" {', '.join(_KEY_TYPES)}; name another with key=, or its spelling with key_type="
            )
        return _KEY_TYPES[declared]

    def tenant_of(self, tenant: str) -> str:
        """Return *tenant*, or the shared one where the table has no tenant column."""
        return tenant if self._mapping.tenant else SHARED_TENANT

    def encode(self, key: Key, value: Any) -> Any:
        """Return the fields as a JSON object whose members the server casts to the columns' types, or `DELETED`."""
        if value is DELETED:
            return DELETED
        if self._mapping.value is not None:
            return "{" + self._member(self._mapping.value, value, whole=True) + "}"
        check_fields(value, self._written, self._mapping.key, key)
        return "{" + ",".join(self._member(name, value[name]) for name in self._written if name in value) + "}"

    def _member(self, name: str, content: Any, *, whole: bool = False) -> str:
        is_json = self._types[name] in ("json", "jsonb")
        text = encode_document(content) if is_json or whole else _encode_column(name, content)
        return f"{json.dumps(name)}:{text if is_json or not whole else json.dumps(text)}"

    def decode(self, columns: Sequence[Any]) -> Any:
        """Return the value of a selected row: JSON-like, dates and exact numbers as text."""
        if self._mapping.value is not None:
            return None if columns[0] is None else decode_document(columns[0])
        return {name: self._decode_column(name, each) for name, each in zip(self._fields, columns, strict=True)}

    def _decode_column(self, name: str, column: Any) -> Any:
        if column is None:
            return None
        if self._types[name] in ("json", "jsonb"):
            return decode_document(column)
        if isinstance(column, list):
            return [_plain(each) for each in column]
        return _plain(column)

    def _own(self, name: str | None) -> str:
        return f"stored.{quote(name)}" if name else ""

    def _same_row(self, relation: str) -> str:
        """Return the condition that ``stored`` is the row that *relation* names."""
        tenant = f" AND {self._own(self._mapping.tenant)} = {relation}.tenant" if self._mapping.tenant else ""
        return f"{self._own(self._mapping.key)} = {relation}.key::{self._key_cast}{tenant}"

    def _select(self) -> str:
        mapping = self._mapping
        own = f"coalesce({self._own(mapping.version)}, 0)" if mapping.version else "0"
        as_text = {name for name in self._fields if self._types[name] in ("json", "jsonb") or name == mapping.value}
        fields = ", ".join(self._own(name) + ("::text" if name in as_text else "") for name in self._fields)
        tenant = f" AND {self._own(mapping.tenant)} = %(tenant)s" if mapping.tenant else ""
        alive = f" WHERE NOT coalesce({self._own(mapping.deleted)}, false)" if mapping.deleted else ""
        side_tenant = "%(tenant)s" if mapping.tenant else "''"
        return (
            f"SELECT wanted.place, GREATEST({own}, coalesce(side.version, 0)), {fields} FROM {_WANTED}"
            f" JOIN {self._table} AS stored ON {self._own(mapping.key)} = wanted.key::{self._key_cast}{tenant}"
            " LEFT JOIN tiercel_versions AS side"
            f" ON side.target = %(target)s AND side.tenant = {side_tenant} AND side.key = wanted.key{alive}"
        )

    def _stored_versions(self) -> str:
        side = "side.target = %(target)s AND side.tenant = wanted.tenant AND side.key = wanted.key"
        if self._mapping.version is None:
            return f"SELECT wanted.place, side.version FROM {_WANTED_ROWS} JOIN tiercel_versions AS side ON {side}"
        own = self._own(self._mapping.version)
        return (
            f"SELECT wanted.place, GREATEST({own}, side.version) FROM {_WANTED_ROWS}"
            f" LEFT JOIN tiercel_versions AS side ON {side}"
            f" LEFT JOIN {self._table} AS stored ON {self._same_row('wanted')}"
            f" WHERE GREATEST({own}, side.version) IS NOT NULL"
        )

    def upsert(self, *, guard: bool) -> str:
        """Return the INSERT from ``batch`` into ``tiercel_versions`` that settles versions and locks the keys."""
        version, own, condition = "batch.version", "", ""
        if self._mapping.version is not None:
            column = self._own(self._mapping.version)
            own = f" LEFT JOIN {self._table} AS stored ON {self._same_row('batch')}"
            condition = f" WHERE {column} IS NULL OR {column} < batch.version" if guard else ""
            version = version if guard else f"GREATEST(batch.version, {column} + 1)"
        return (
            "INSERT INTO tiercel_versions AS stored (target, tenant, key, version, deleted)"
            f" SELECT %(target)s, batch.tenant, batch.key, {version}, batch.deleted FROM batch{own}{condition}"
            + IN_KEY_ORDER
            + on_conflict("target, tenant, key", guard=guard, with_value=False)
        )

    def _settled(self) -> str:
        """Return the join that gives the claimed version, which an unguarded write may have raised."""
        return (
            " JOIN tiercel_versions AS side"
            " ON side.target = %(target)s AND side.tenant = batch.tenant AND side.key = batch.key"
        )

    def _bookkeeping(self, *, deleted: bool) -> dict[str, str]:
        own = {self._mapping.version: "side.version", self._mapping.deleted: str(deleted).lower()}
        return {name: content for name, content in own.items() if name is not None}

    def _delete(self) -> str:
        if self._mapping.deleted is None:
            return f"DELETE FROM {self._table} AS stored USING batch WHERE batch.deleted AND {self._same_row('batch')}"
        changed = ", ".join(f"{quote(name)} = {each}" for name, each in self._bookkeeping(deleted=True).items())
        return (
            f"UPDATE {self._table} AS stored SET {changed} FROM batch{self._settled()}"
            f" WHERE batch.deleted AND {self._same_row('batch')}"
        )

    def _update(self) -> str:
        fields = {name: f"sent.{quote(name)}" for name in self._written if name != self._mapping.key}
        changed = fields | self._bookkeeping(deleted=False)
        # A table of nothing but keys has nothing to update; the statement then changes no row.
        assignments = ", ".join(f"{quote(name)} = {each}" for name, each in changed.items())
        only = "NOT batch.deleted" if changed else "false"
        return (
            f"UPDATE {self._table} AS stored SET {assignments or quote(self._mapping.key) + ' = NULL'}"
            f" FROM batch{self._settled()}, LATERAL jsonb_populate_record(NULL::{self._table}, batch.value) AS sent"
            f" WHERE {only} AND {self._same_row('batch')}"
        )

    def _insert(self) -> str:
        columns = {name: f"sent.{quote(name)}" for name in self._written} | self._bookkeeping(deleted=False)
        columns[self._mapping.key] = f"batch.key::{self._key_cast}"
        if self._mapping.tenant:
            columns[self._mapping.tenant] = "batch.tenant"
        return (
            f"INSERT INTO {self._table} ({', '.join(map(quote, columns))}) OVERRIDING SYSTEM VALUE"
            f" SELECT {', '.join(columns.values())} FROM batch{self._settled()},"
            f" LATERAL jsonb_populate_record(NULL::{self._table}, batch.value) AS sent WHERE NOT batch.deleted"
            f" AND NOT EXISTS (SELECT FROM {self._table} AS stored WHERE {self._same_row('batch')})"
            " ORDER BY batch.place"
        )


def _encode_column(name: str, content: Any) -> str:
    if isinstance(content, dict):
        raise EncodeError(f"column {name!r} is no JSON column and cannot hold a dict")
    try:
        return _COLUMN_ENCODER.encode(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"column {name!r} cannot hold the value: {error}") from error


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no column type")


def _plain(column: Any) -> Any:
    """Return a driver's value as the JSON-like value that every codec keeps as it is."""
    if column is None or isinstance(column, str | int | float | bytes | dt.datetime):
        return column
    if isinstance(column, dt.date | dt.time):
        return column.isoformat()
    return str(column)


_COLUMN_ENCODER = json.JSONEncoder(default=_as_text, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
