"""
The filters and update pipelines that rows in MongoDB are read and written with, for both layouts of `RowMapping`.

Every row carries its version, and a deleted row stays as a tombstone without its fields: MongoDB has no transaction
over two collections on a single server, so that versions kept elsewhere could not be trusted. In a mapped collection
without fields for them they are ``tiercel_version`` and ``tiercel_deleted``. Values are put under ``$literal``, so that
no value is ever read as an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from tiercel._core.storerows import SHARED_TENANT, RowWrite, StoredKey, check_fields
from tiercel._core.storeurl import KeyType, RowMapping
from tiercel.errors import ConfigurationError
from tiercel.typing import DELETED, Key

__all__ = ["Document", "MongoLayout"]

Document: TypeAlias = dict[str, Any]
VERSION_FIELD: Final = "tiercel_version"
DELETED_FIELD: Final = "tiercel_deleted"


class MongoLayout:
    """
    The layout of one collection.

    Args:
        mapping: Its mapping; raises `ConfigurationError` for ``columns=``, which documents do not have.
        native_key: Turns a stored key into the driver's type: ``ObjectId`` for that key type.
    """

    def __init__(self, mapping: RowMapping, native_key: Callable[[StoredKey], Any]) -> None:
        if mapping.columns:
            raise ConfigurationError("columns= is for SQL tables: a document is its value, or one field with value=")
        self._native_key = native_key
        self._is_managed = mapping.managed
        self.key_type: KeyType = mapping.key_type or "text"
        self.key_field = "_id" if mapping.managed else mapping.key
        self.tenant_field = mapping.tenant
        self.version_field = mapping.version or VERSION_FIELD
        self._deleted_field = mapping.deleted or DELETED_FIELD
        self._value_field = mapping.value

    def tenant_of(self, tenant: str) -> str:
        """Return *tenant*, or the shared one where documents name no tenant."""
        return tenant if self.tenant_field else SHARED_TENANT

    def check(self, key: Key, value: Any) -> None:
        """Raise `EncodeError` where *value* is no document and has to be one."""
        if value is not DELETED and self._value_field is None:
            check_fields(value, list(value) if isinstance(value, dict) else [], self.key_field, key)

    def identity(self, tenant: str, key: StoredKey) -> Document:
        """Return the filter that finds the row whatever its version."""
        if self._is_managed:
            return {"_id": {"tenant": tenant, "key": key}}
        return {self.key_field: self._native_key(key)} | ({self.tenant_field: tenant} if self.tenant_field else {})

    def among(self, tenant: str, keys: Sequence[StoredKey]) -> Document:
        """Return the filter that finds the rows of *keys* that are not deleted."""
        alive: Document = {self._deleted_field: {"$ne": True}}
        if self._is_managed:
            return alive | {"_id": {"$in": [{"tenant": tenant, "key": key} for key in keys]}}
        wanted: Document = {self.key_field: {"$in": [self._native_key(key) for key in keys]}}
        return alive | wanted | ({self.tenant_field: tenant} if self.tenant_field else {})

    def any_of(self, rows: Sequence[RowWrite]) -> Document:
        """Return the filter that finds *rows*, tombstones included."""
        if self._is_managed:
            return {"_id": {"$in": [{"tenant": row.tenant, "key": row.key} for row in rows]}}
        wanted: Document = {self.key_field: {"$in": [self._native_key(row.key) for row in rows]}}
        return wanted | (
            {self.tenant_field: {"$in": sorted({row.tenant for row in rows})}} if self.tenant_field else {}
        )

    def row_of(self, document: Document) -> tuple[str, StoredKey]:
        """Return the tenant and stored key of a found *document*."""
        if self._is_managed:
            return document["_id"]["tenant"], document["_id"]["key"]
        key = document[self.key_field]
        tenant = document[self.tenant_field] if self.tenant_field else SHARED_TENANT
        return tenant, str(key) if self.key_type == "objectid" else key

    def value_of(self, document: Document) -> Any:
        """Return the value of a found *document*; an ``_id`` of the driver's own type becomes text."""
        if self._value_field is not None:
            return document.get(self._value_field)
        apart = {self.tenant_field, self.version_field, self._deleted_field}
        if self.key_field != "_id":
            apart.add("_id")  # made by the server, of its own type
        value = {name: content for name, content in document.items() if name not in apart}
        if self.key_type == "objectid":
            value[self.key_field] = str(value[self.key_field])
        return value

    def version_of(self, document: Document) -> int:
        """Return the version of a found *document*; 0 where it has none."""
        version = document.get(self.version_field)
        return int(version) if version is not None else 0

    def filter(self, row: RowWrite, *, guard: bool) -> Document:
        """Return the filter of the upsert; guarded, it finds only an older row: else the upsert is a duplicate."""
        older: Document = {self.version_field: {"$not": {"$gte": row.version}}}
        return self.identity(row.tenant, row.key) | (older if guard else {})

    def document(self, row: RowWrite) -> Document:
        """Return the whole document of a row that is not there yet."""
        deleted = row.value is DELETED
        identity = self.identity(row.tenant, row.key)
        kept: Document = {self.version_field: row.version}
        if deleted or self._is_managed:
            kept[self._deleted_field] = deleted
        if self._value_field is not None:
            return identity | {self._value_field: None if deleted else row.value} | kept
        return ({} if deleted else row.value) | identity | kept

    def pipeline(self, row: RowWrite, *, guard: bool) -> list[Document]:
        """Return the update that makes the row what *row* says."""
        deleted = row.value is DELETED
        kept: Document = {self.version_field: row.version if guard else self._next_version(row.version)}
        if deleted or self._is_managed:
            kept[self._deleted_field] = deleted
        if self._value_field is not None:
            content = {"$literal": None if deleted else row.value}
            stages: list[Document] = [{"$set": {self._value_field: content} | kept}]
            return stages if deleted or self._is_managed else [*stages, {"$unset": self._deleted_field}]
        fields = {} if deleted else {name: each for name, each in row.value.items() if name != self.key_field}
        fields |= self.identity(row.tenant, row.key)
        return [{"$replaceWith": {"$mergeObjects": [{"$literal": fields}, {"_id": "$_id"}, kept]}}]

    def _next_version(self, least: int) -> Document:
        return {"$max": [{"$add": [{"$ifNull": [f"${self.version_field}", 0]}, 1]}, least]}
