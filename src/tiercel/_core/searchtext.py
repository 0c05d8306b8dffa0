"""
The documents and request bodies that rows in Elasticsearch and OpenSearch are read and written with.

A row's version is the document's own ``_version``, kept by external versioning. A deleted row stays as a tombstone
document: a real delete would be forgotten after ``index.gc_deletes`` (60 s), and a late older write would resurrect it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from tiercel._core.documents import decode_document, encode_document
from tiercel._core.storerows import SHARED_TENANT, RowWrite, StoredKey, check_fields
from tiercel._core.storeurl import KeyType, RowMapping
from tiercel.errors import ConfigurationError, EncodeError, KeyRefused
from tiercel.typing import DELETED, Key

__all__ = ["MAPPINGS", "SearchLayout"]

Document: TypeAlias = dict[str, Any]
DELETED_FIELD: Final = "tiercel_deleted"
MOST_ID_BYTES: Final = 512
MAPPINGS: Final[Document] = {
    "dynamic": False,
    "properties": {
        "tenant": {"type": "keyword"},
        "key": {"type": "keyword"},
        "deleted": {"type": "boolean"},
        "value": {"type": "object", "enabled": False},
    },
}
"""Mappings of an index that Tiercel makes: values are kept as they are, whatever their shape, and not indexed."""


class SearchLayout:
    """
    The layout of one index.

    Args:
        mapping: Its mapping; raises `ConfigurationError` for options that documents with versions of their own lack.
    """

    def __init__(self, mapping: RowMapping) -> None:
        self._is_managed = mapping.managed
        if not mapping.managed:
            _check_options(mapping)
        self.index = mapping.table[0]
        self.key_type: KeyType = mapping.key_type or "text"
        self._deleted_field = mapping.deleted or DELETED_FIELD
        self._value_field = mapping.value

    def tenant_of(self, tenant: str) -> str:
        """Return *tenant*, or the shared one where documents name no tenant."""
        return tenant if self._is_managed else SHARED_TENANT

    def encode(self, key: Key, value: Any) -> Any:
        """Return the document's value as JSON text, or `DELETED`."""
        if value is DELETED:
            return DELETED
        if self._value_field is None:
            check_fields(value, list(value) if isinstance(value, dict) else [], "_id", key)
            if "_id" in value:
                raise EncodeError("the value has a field '_id', which an index keeps apart from the document")
        return encode_document(value)

    def document_id(self, tenant: str, key: StoredKey) -> str:
        """Return the document's id; raises `KeyRefused` above 512 bytes."""
        text = str(key)
        if self._is_managed:
            text = tenant.replace("%", "%25").replace("/", "%2F") + "/" + text
        if not 0 < len(text.encode()) <= MOST_ID_BYTES:
            raise KeyRefused(f"tenant and key must make 1 to {MOST_ID_BYTES} bytes", key=text)
        return text

    def operation(self, row: RowWrite, version: int) -> str:
        """Return the two lines of ``_bulk`` that make *row* the document's content where *version* is newer."""
        document_id = self.document_id(row.tenant, row.key)
        action = {"index": {"_id": document_id, "version": version, "version_type": "external"}}
        return json.dumps(action) + "\n" + self._source(row) + "\n"

    def _source(self, row: RowWrite) -> str:
        deleted = row.value is DELETED
        if self._is_managed:
            head = json.dumps({"tenant": row.tenant, "key": str(row.key), "deleted": deleted})
            return head if deleted else f'{head[:-1]},"value":{row.value}}}'
        if deleted:
            return json.dumps({self._deleted_field: True})
        return str(row.value) if self._value_field is None else f"{{{json.dumps(self._value_field)}:{row.value}}}"

    def is_deleted(self, source: Document) -> bool:
        """Say whether a found document is a tombstone."""
        return source.get(self._deleted_field) is True

    def value_of(self, source: Document) -> Any:
        """Return the value of a found document."""
        if self._value_field is not None:
            return _untagged(source.get(self._value_field))
        return _untagged({name: content for name, content in source.items() if name != self._deleted_field})

    def wanted(self, ids: Sequence[str]) -> str:
        """Return the body of ``_mget`` for *ids*."""
        return json.dumps({"ids": list(ids)})


def _untagged(value: Any) -> Any:
    """Return *value* with its ``$`` objects decoded; the driver has parsed the JSON already."""
    return decode_document(json.dumps(value))


def _check_options(mapping: RowMapping) -> None:
    if mapping.key != "_id":
        raise ConfigurationError(f"key={mapping.key}: the key of a document in an index is its _id: write key=_id")
    for option, given in (("tenant", mapping.tenant), ("version", mapping.version), ("columns", mapping.columns)):
        if given:
            raise ConfigurationError(
                f"{option}= cannot be used with an index: versions are its own, ids are shared; use one index a tenant"
            )
