"""
The search store: rows as documents of an Elasticsearch or OpenSearch index, written in bulk under external versions.

Reads are by id and see every acknowledged write at once; searches see it after the index's next refresh. Errors: a
refused document is its outcome's error; a server that is busy or gone is `StoreError` or `StoreTimeout`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from tiercel._core.searchtext import MAPPINGS, SearchLayout
from tiercel._core.storerows import NO_ROW, PreparedChange, RowWrite, fold, prepare, readable, spread
from tiercel._core.storeurl import StoreAddress
from tiercel.errors import ClosedError, ConfigurationError, KeyRefused, StoreError
from tiercel.typing import Change, Key, Outcome, Record

__all__ = ["AsyncSearchClient", "AsyncSearchStore"]

CONFLICT: Final = 409
MOST_BULK_BYTES: Final = 8 * 1024 * 1024
MOST_TRIES: Final = 20
"""An unguarded write is computed from the stored version; another writer may take it first, but not for ever."""


class AsyncSearchClient(Protocol):
    """The little of a driver that the store needs: one request, its answer parsed."""

    async def request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """Return status and answer; raises `StoreError` or `StoreTimeout` where there is none, or for 429 and 5xx."""

    async def aclose(self) -> None:
        """Close the connections."""


class AsyncSearchStore:
    """
    Rows in one index; safe for any number of tasks and threads.

    Made by `open_store`. Rows of one batch are independent: there is no transaction around them.
    """

    def __init__(self, client: AsyncSearchClient, address: StoreAddress) -> None:
        self._client = client
        self._name = address.shown
        self._layout = SearchLayout(address.mapping)
        self._closed = False

    @classmethod
    async def open(cls, client: AsyncSearchClient, address: StoreAddress) -> AsyncSearchStore:
        """Check the index, making it where Tiercel owns it; closes *client* where that fails."""
        try:
            store = cls(client, address)
            await store._prepare_index(is_managed=address.mapping.managed)
        except BaseException:
            await client.aclose()
            raise
        return store

    async def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        if self._closed:
            raise ClosedError(f"{self._name} was closed", tier="search", operation=method)
        return await self._client.request(method, f"/{self._layout.index}{path}", body)

    async def _prepare_index(self, *, is_managed: bool) -> None:
        status, found = await self._request("GET", "/_mapping")
        if status == 404 and is_managed:
            # Another node may make it at the same moment: the second answer is looked at, not the first.
            await self._request("PUT", "", json.dumps({"mappings": MAPPINGS}))
            status, found = await self._request("GET", "/_mapping")
        if status != 200:
            raise ConfigurationError(f"{self._name}: there is no such index; leave out the options to have it made")
        for index in found.values():
            fields = index["mappings"].get("properties", {})
            if is_managed and not MAPPINGS["properties"].keys() <= fields.keys():
                raise ConfigurationError(f"{self._name}: the index has another layout: map it with '?key=_id'")

    async def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row, or None where there is none."""
        return (await self.read_many(tenant, [key])).get(key)

    async def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist, by key, in one request."""
        layout = self._layout
        ids = {layout.document_id(tenant, stored): key for key, stored in readable(keys, layout.key_type)}
        return {
            ids[document["_id"]]: Record(layout.value_of(document["_source"]), document["_version"])
            for document in await self._documents(list(ids))
            if not layout.is_deleted(document["_source"])
        }

    async def _documents(self, ids: Sequence[str], source: str = "true") -> list[dict[str, Any]]:
        if not ids:
            return []
        path = f"/_mget?realtime=true&_source={source}"
        status, found = await self._request("POST", path, self._layout.wanted(ids))
        if status != 200:
            raise StoreError(f"{self._name}: read failed with status {status}", tier="search", operation="read")
        return [document for document in found["docs"] if document.get("found")]

    async def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change."""
        return (await self.write_many([change], guard=guard))[0]

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """Apply *changes* in bulk requests of at most 8 MiB."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        prepared = []
        for change in prepare(changes, self._layout, outcomes):
            try:
                self._layout.document_id(change.tenant, change.key)
            except KeyRefused as error:
                outcomes[change.position] = Outcome(False, 0, error)
            else:
                prepared.append(change)
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
        stored = {} if guard else await self._stored_versions(waiting)
        for _ in range(MOST_TRIES):
            versions = {place: _version(row, stored.get(place, NO_ROW), guard=guard) for place, row in waiting.items()}
            items = await self._bulk(waiting, versions)
            conflicts = {}
            for place, item in items.items():
                if item["status"] == CONFLICT:
                    conflicts[place] = waiting[place]
                elif "error" in item:
                    answers[place] = self._refusal(item["error"])
                else:
                    answers[place] = Outcome(True, versions[place])
            waiting = conflicts
            if not waiting:
                break
            stored = await self._stored_versions(waiting)
            if guard:
                answers |= {place: Outcome(False, stored.get(place, 0)) for place in waiting}
                break
        for place in waiting.keys() - answers.keys():
            answers[place] = self._refusal({"type": "conflict", "reason": "other writers kept changing it"})
        return [answers[place] for place in range(len(rows))]

    async def _bulk(self, rows: Mapping[int, RowWrite], versions: Mapping[int, int]) -> dict[int, dict[str, Any]]:
        """Index *rows* in as few requests as their size allows; return the answers by place."""
        items: dict[int, dict[str, Any]] = {}
        for places, body in self._bodies(rows, versions):
            status, answer = await self._request("POST", "/_bulk", body)
            if status != 200:
                raise StoreError(f"{self._name}: write failed with status {status}", tier="search", operation="write")
            items |= {place: item["index"] for place, item in zip(places, answer["items"], strict=True)}
        busy = [item["status"] for item in items.values() if item["status"] == 429 or item["status"] >= 500]
        if busy:
            raise StoreError(
                f"{self._name}: {len(busy)} documents met status {busy[0]}", tier="search", operation="write"
            )
        return items

    def _bodies(self, rows: Mapping[int, RowWrite], versions: Mapping[int, int]) -> Iterator[tuple[list[int], str]]:
        places: list[int] = []
        lines: list[str] = []
        size = 0
        for place, row in rows.items():
            line = self._layout.operation(row, versions[place])
            if places and size + len(line) > MOST_BULK_BYTES:
                yield places, "".join(lines)
                places, lines, size = [], [], 0
            places.append(place)
            lines.append(line)
            size += len(line)
        if places:
            yield places, "".join(lines)

    async def _stored_versions(self, rows: Mapping[int, RowWrite]) -> dict[int, int]:
        """Return the version of each row that is there, tombstones included."""
        places = {self._layout.document_id(row.tenant, row.key): place for place, row in rows.items()}
        found = await self._documents(list(places), source="false")
        return {places[document["_id"]]: document["_version"] for document in found}

    def _refusal(self, error: Mapping[str, Any]) -> StoreError:
        reason = f"{error.get('type')}: {error.get('reason')}"
        return StoreError(f"{self._name}: the document was refused: {reason}", tier="search", operation="write")

    async def ping(self) -> None:
        """Raise `StoreError` where the index does not answer."""
        status, _ = await self._request("GET", "/_mapping")
        if status != 200:
            raise StoreError(f"{self._name}: ping met status {status}", tier="search", operation="ping")

    async def aclose(self) -> None:
        """Close the connections; calling twice is harmless."""
        self._closed = True
        await self._client.aclose()


def _version(row: RowWrite, stored: int, *, guard: bool) -> int:
    """Guarded, the server compares; unguarded, the row gets the version after the one that was read."""
    return row.version if guard else max(stored + 1, row.version)
