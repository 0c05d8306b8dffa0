"""
MongoDB as a source of changes: a change stream over the database, resumed by its token.

The stream is read with ``getMore`` itself rather than through the driver's iterator, which does not say where a batch
ends: a batch falls as one, and only then is the next one waited for. It needs a replica set; of several mongos name
one.

Old images come from ``changeStreamPreAndPostImages``, which is asked for wherever a rule needs more than the key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from tiercel._async.changes.protocol import SourceFigures, Stretch
from tiercel._core.changeoptions import ChangeSource
from tiercel._core.documentchange import image_of, images_of
from tiercel._core.fallout import Fallout
from tiercel._core.rowfall import RowRule, UnknownColumn
from tiercel.errors import ConfigurationError, StoreError

__all__ = ["AsyncMongoChanges"]

_BATCH: Final = 1000
_TIMEOUT_MS: Final = 10_000
_OF_COLLECTION: Final = frozenset({"drop", "rename", "dropDatabase", "invalidate"})


class AsyncMongoChanges:
    """
    Args:
        options: The source's.
        url: Its address, with a database.
        rules: What falls, by collection.
    """

    def __init__(self, options: ChangeSource, url: str, rules: Mapping[str, RowRule]) -> None:
        self.figures = SourceFigures()
        self._options = options
        self._url = url
        self._rules = rules
        self._client: AsyncMongoClient[dict[str, Any]] | None = None
        self._session: AsyncClientSession | None = None
        self._cursor = 0
        self._waiting: list[dict[str, Any]] = []
        self._token = ""

    async def open(self, position: str) -> str:
        """Connect, check that old images are kept, and resume behind *position*."""
        async with self._errors("open"):
            self._client = AsyncMongoClient(
                self._url,
                socketTimeoutMS=_TIMEOUT_MS,
                serverSelectionTimeoutMS=_TIMEOUT_MS,
                connectTimeoutMS=_TIMEOUT_MS,
                tz_aware=True,
                appname="tiercel-changes",
            )
            self._session = self._client.start_session()
            await self._check_images()
            if position:
                try:
                    await self._watch({"resumeAfter": {"_data": position}})
                    return ""
                except OperationFailure as error:
                    if isinstance(error, ExecutionTimeout) or error.has_error_label("ResumableChangeStreamError"):
                        raise
                    await self._watch({})
                    return f"MongoDB cannot resume at the position: {error.details and error.details.get('errmsg')}"
            await self._watch({})
        return "nothing is known of how far the changes have fallen"

    @asynccontextmanager
    async def _errors(self, operation: str) -> AsyncIterator[None]:
        """Turn the driver's errors into a store's."""
        try:
            yield
        except PyMongoError as error:
            raise StoreError(f"changes {self._options.name!r}: {error}", tier="store", operation=operation) from error

    async def _check_images(self) -> None:
        """Refuse collections that do not keep what a rule needs to know of a document as it was."""
        names = {"name": {"$in": list(self._rules)}}
        reply = await self._command({"listCollections": 1, "filter": names, "cursor": {"batchSize": len(self._rules)}})
        found = {each["name"]: each.get("options", {}) for each in reply["cursor"]["firstBatch"]}
        for table, rule in self._rules.items():
            if table not in found:
                raise ConfigurationError(f"changes {self._options.name!r}: there is no collection {table}")
            keeps = found[table].get("changeStreamPreAndPostImages", {}).get("enabled", False)
            hidden = rule.columns - {"_id"}
            if hidden and not keeps:
                raise ConfigurationError(
                    f"changes {self._options.name!r}: a change of collection {table} does not show what"
                    f" {', '.join(sorted(hidden))} was before, so the old one would not fall: db.runCommand("
                    f"{{collMod: '{table}', changeStreamPreAndPostImages: {{enabled: true}}}})"
                )

    async def _watch(self, start: Mapping[str, Any]) -> None:
        stage = {"fullDocument": "whenAvailable", "fullDocumentBeforeChange": "whenAvailable", **start}
        ours = {"$or": [{"ns.coll": {"$in": list(self._rules)}}, {"operationType": {"$in": sorted(_OF_COLLECTION)}}]}
        pipeline = [{"$changeStream": stage}, {"$match": ours}, {"$project": self._projection()}]
        command = {"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": _BATCH}}
        self._take(await self._command(command), "firstBatch")

    def _projection(self) -> dict[str, int]:
        """Return what is needed of a change: large documents stay where they are."""
        wanted = {"operationType": 1, "ns": 1, "documentKey": 1, "wallTime": 1}
        columns = {column for rule in self._rules.values() for column in rule.wanted}
        shortest = [each for each in columns if not any(each.startswith(f"{other}.") for other in columns)]
        for column in sorted(shortest) or ["_id"]:
            wanted |= {f"fullDocument.{column}": 1, f"fullDocumentBeforeChange.{column}": 1}
        return wanted

    async def _command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        assert self._client is not None
        return await self._client.get_default_database().command(dict(command), session=self._session)

    def _take(self, reply: Mapping[str, Any], batch: str) -> None:
        cursor = reply["cursor"]
        self._cursor = cursor["id"]
        self._waiting = cursor[batch]
        self._token = cursor["postBatchResumeToken"]["_data"]
        if not self._cursor:
            raise StoreError(f"changes {self._options.name!r}: the stream ended: the database was dropped or renamed")

    async def receive(self, fallout: Fallout, wait_s: float) -> Stretch:
        """Take the next batch, or wait for it."""
        if not self._waiting:
            more = {"getMore": self._cursor, "collection": "$cmd.aggregate", "batchSize": _BATCH}
            async with self._errors("receive"):
                self._take(await self._command({**more, "maxTimeMS": int(wait_s * 1000)}), "nextBatch")
        changed_at_s = 0.0
        for event in self._waiting:
            changed_at_s = event["wallTime"].timestamp() if "wallTime" in event else changed_at_s
            self._event(event, fallout)
        self._waiting = []
        return Stretch(self._token, changed_at_s)

    def _event(self, event: Mapping[str, Any], fallout: Fallout) -> None:
        table = event.get("ns", {}).get("coll", "")
        if event["operationType"] in _OF_COLLECTION:
            rules = [self._rules[table]] if table in self._rules else [] if table else list(self._rules.values())
            for rule in rules:
                fallout.add_unknown(
                    rule.regions, f"{event['operationType']} of {table or 'all'}", everything=rule.has_tags
                )
            return
        rule = self._rules[table]
        try:
            for image in images_of(event, rule.columns):
                fall = rule.fall_of(image_of(image, rule.wanted), is_gone=event["operationType"] == "delete")
                if fall is not None:
                    fallout.add(fall)
        except UnknownColumn as error:
            fallout.add_unknown(rule.regions, f"collection {table}: {error.args[0]}", everything=rule.has_tags)

    async def confirm(self, position: str) -> None:
        """Nothing to tell: MongoDB keeps its log by size and age."""

    async def aclose(self) -> None:
        """End the session, which ends the stream, and disconnect."""
        client, session, self._client, self._session = self._client, self._session, None, None
        if session is not None:
            await session.end_session()
        if client is not None:
            await client.close()
