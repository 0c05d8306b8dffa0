"""
The MongoDB store: rows as documents, written by one unordered bulk write under a version filter.

A guarded upsert that finds no older row tries to insert and fails as a duplicate (E11000). That means either that a
newer version is there, or that another writer has just inserted an older one; the stored versions tell which, and the
second kind is repeated. Errors: a refused document is its outcome's error; everything else is `StoreError` or
`StoreTimeout` with the driver's error in ``__cause__``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo import AsyncMongoClient, InsertOne, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, InvalidOperation, InvalidURI, PyMongoError
from pymongo.errors import ConfigurationError as MongoConfigurationError

from tiercel._core.mongotext import Document, MongoLayout
from tiercel._core.storerows import NO_ROW, PreparedChange, RowWrite, StoredKey, fold, prepare, readable, spread
from tiercel._core.storeurl import KeyType, StoreAddress
from tiercel.errors import ClosedError, ConfigurationError, EncodeError, StoreError, StoreTimeout
from tiercel.typing import DELETED, Change, Key, Outcome, Record

__all__ = ["AsyncMongoStore"]

DUPLICATE_KEY: Final = 11000
LOOK_FIRST_ROWS: Final = 16
"""From this many rows on it pays to ask which are there: inserting is several times as fast as upserting."""
MOST_TRIES: Final = 5
"""A row is repeated where another writer inserted it at that moment; once it is there, it is found."""


class _PlainInteger(TypeDecoder):
    """Reads 64-bit integers as int: the driver's subclass is one that codecs do not know."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


OPTIONS: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True, type_registry=TypeRegistry([_PlainInteger()]))


class AsyncMongoStore:
    """
    Rows in one MongoDB collection; safe for any number of tasks and threads.

    Made by `open_store`. Rows of one batch are independent: there is no transaction around them. Values are BSON:
    bytes and datetimes (whole milliseconds, UTC) are kept as such.
    """

    def __init__(self, client: AsyncMongoClient[Document], address: StoreAddress) -> None:
        self._client = client
        self._name = address.shown
        self._codec = _Codec(MongoLayout(address.mapping, _native_key(address.mapping.key_type)))
        self._layout = self._codec.layout
        database = client.get_default_database(codec_options=OPTIONS)
        self._collection: AsyncCollection[Document] = database.get_collection(address.mapping.table[0])

    @classmethod
    async def open(cls, address: StoreAddress, *, timeout_s: float, pool_size: int) -> AsyncMongoStore:
        """Connect and check the collection; raises `StoreError` or `ConfigurationError`."""
        timeout_ms = round(timeout_s * 1000)
        try:
            client: AsyncMongoClient[Document] = AsyncMongoClient(
                address.driver_url,
                maxPoolSize=pool_size,
                timeoutMS=timeout_ms,
                serverSelectionTimeoutMS=timeout_ms,
                tz_aware=True,
                uuidRepresentation="standard",
                appname="tiercel",
            )
            store = cls(client, address)
        except (InvalidURI, MongoConfigurationError) as error:
            raise ConfigurationError(f"{address.shown}: {type(error).__name__}: name a host and a database") from None
        try:
            await store.ping()
            await store._check_key_is_unique()
        except BaseException:
            await store.aclose()
            raise
        return store

    async def _check_key_is_unique(self) -> None:
        """Refuse a key without a unique index: an upsert that lost would insert a second document."""
        layout = self._layout
        if layout.key_field == "_id":
            return
        allowed = ({layout.key_field}, {layout.key_field, layout.tenant_field})
        async with self._translated("open"):
            indexes = await self._collection.index_information()
        if not any(index.get("unique") and {name for name, _ in index["key"]} in allowed for index in indexes.values()):
            raise ConfigurationError(f"{self._name}: the field {layout.key_field!r} needs a unique index to be the key")

    @asynccontextmanager
    async def _translated(self, operation: str) -> AsyncIterator[None]:
        try:
            yield
        except InvalidOperation as error:
            raise ClosedError(f"{self._name} was closed", tier="mongodb", operation=operation) from error
        except PyMongoError as error:
            kind = StoreTimeout if error.timeout else StoreError
            reason = f"{type(error).__name__} {getattr(error, 'code', None) or ''}".strip()
            raise kind(f"{self._name}: {operation} failed: {reason}", tier="mongodb", operation=operation) from error

    async def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row, or None where there is none."""
        return (await self.read_many(tenant, [key])).get(key)

    async def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist, by key, in one query."""
        wanted = {stored: key for key, stored in readable(keys, self._codec.key_type)}
        async with self._translated("read"):
            found = await self._collection.find(self._layout.among(tenant, list(wanted))).to_list()
        layout = self._layout
        return {
            wanted[layout.row_of(document)[1]]: Record(layout.value_of(document), layout.version_of(document))
            for document in found
        }

    async def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change."""
        return (await self.write_many([change], guard=guard))[0]

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """Apply *changes* in one bulk write."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        prepared = prepare(changes, self._codec, outcomes)
        async with self._translated("write"):
            await self._apply(prepared, outcomes, guard=guard)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _apply(self, changes: Sequence[PreparedChange], outcomes: list[Outcome | None], *, guard: bool) -> None:
        rows = fold(changes, guard=guard)
        refused: set[int] = set()
        for row, answer in zip(rows, await self._write_rows(rows, guard=guard), strict=True):
            if isinstance(answer, Outcome):
                spread(outcomes, row, applied=answer.applied, version=answer.version)
            elif len(row.leading) + len(row.overtaken) == 1:
                outcomes[row.leading[0]] = Outcome(False, 0, answer)
            else:
                refused.update((*row.leading, *row.overtaken))
        # One by one: a good change must not fall with the bad one that came after it.
        for change in changes:
            if change.position in refused:
                await self._apply([change], outcomes, guard=guard)

    async def _write_rows(self, rows: Sequence[RowWrite], *, guard: bool) -> list[Outcome | StoreError]:
        answers: dict[int, Outcome | StoreError] = {}
        waiting = dict(enumerate(rows))
        fresh: set[int] = set()
        if len(rows) >= LOOK_FIRST_ROWS:
            stored = await self._stored_versions(rows)
            fresh = {place for place, row in waiting.items() if (row.tenant, row.key) not in stored}
        for _ in range(MOST_TRIES):
            if not waiting:
                break
            duplicates = set()
            for place, error in (await self._bulk(waiting, fresh, guard=guard)).items():
                if error["code"] == DUPLICATE_KEY:
                    duplicates.add(place)
                else:
                    answers[place] = self._refusal(error)
            waiting = await self._settle(waiting, duplicates, answers, guard=guard)
            fresh = set()
        for place in waiting:
            answers[place] = self._refusal({"errmsg": "another document has a value that must be unique"})
        return [answers[place] for place in range(len(rows))]

    async def _bulk(self, rows: Mapping[int, RowWrite], fresh: set[int], *, guard: bool) -> dict[int, Document]:
        """Insert the *fresh* rows and upsert the others, in one bulk write; return the errors by place."""
        layout = self._layout
        operations = [
            InsertOne(layout.document(row))
            if place in fresh
            else UpdateOne(layout.filter(row, guard=guard), layout.pipeline(row, guard=guard), upsert=True)
            for place, row in rows.items()
        ]
        try:
            await self._collection.bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors"):
                raise
            places = list(rows)
            return {places[failure["index"]]: failure for failure in error.details["writeErrors"]}
        return {}

    async def _settle(
        self,
        rows: Mapping[int, RowWrite],
        duplicates: set[int],
        answers: dict[int, Outcome | StoreError],
        *,
        guard: bool,
    ) -> dict[int, RowWrite]:
        """Note the answers that are known now, and return the rows to repeat."""
        stored = await self._stored_versions([row for place, row in rows.items() if place in duplicates or not guard])
        repeated: dict[int, RowWrite] = {}
        for place, row in rows.items():
            version = stored.get((row.tenant, row.key), NO_ROW)
            if place in answers:
                continue
            if place not in duplicates:
                answers[place] = Outcome(True, row.version if guard else version)
            elif guard and version >= row.version:
                answers[place] = Outcome(False, version)
            else:
                repeated[place] = row
        return repeated

    async def _stored_versions(self, rows: Sequence[RowWrite]) -> dict[tuple[str, StoredKey], int]:
        if not rows:
            return {}
        layout = self._layout
        names = dict.fromkeys(("_id", layout.key_field, layout.version_field, *filter(None, [layout.tenant_field])), 1)
        found = await self._collection.find(layout.any_of(rows), names).to_list()
        return {layout.row_of(document): layout.version_of(document) for document in found}

    def _refusal(self, error: Mapping[str, Any]) -> StoreError:
        reason = str(error.get("errmsg", "")).split(":", 1)[0]
        return StoreError(f"{self._name}: the document was refused: {reason}", tier="mongodb", operation="write")

    async def ping(self) -> None:
        """Raise `StoreError` where the server does not answer."""
        async with self._translated("ping"):
            await self._client.admin.command("ping")

    async def aclose(self) -> None:
        """Close the connections; calling twice is harmless."""
        await self._client.close()


def _native_key(key_type: KeyType | None) -> Callable[[StoredKey], Any]:
    def native(stored: StoredKey) -> Any:
        return ObjectId(str(stored)) if key_type == "objectid" else stored

    return native


class _Codec:
    """Spells keys and values as BSON holds them."""

    def __init__(self, layout: MongoLayout) -> None:
        self.layout = layout
        self.key_type: KeyType = layout.key_type

    def tenant_of(self, tenant: str) -> str:
        return self.layout.tenant_of(tenant)

    def encode(self, key: Key, value: Any) -> Any:
        self.layout.check(key, value)
        if value is not DELETED:
            try:
                # Encoded here once more for nothing but its errors: in the bulk write one would fail every row.
                bson.encode({"value": value}, codec_options=OPTIONS)
            except (BSONError, OverflowError, TypeError, ValueError, RecursionError) as error:
                raise EncodeError(f"the value cannot be stored as BSON: {error}") from error
        return value
