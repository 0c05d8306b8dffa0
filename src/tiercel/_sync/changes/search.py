# Generated from src/tiercel/_async/changes/search.py by tools/unasync.py. Do not edit.
"""
Elasticsearch as a source of changes: each shard is asked, now and then, for the documents behind a sequence number.

There is no log to follow and there are no old images: what a document was is not known, and of a deletion only that
there was one, so that everything of its index falls. A look costs one request for the figures of the shards and, where
something changed, a refresh and a search for each shard that did.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from tiercel._sync.changes.protocol import SourceFigures, Stretch
from tiercel._sync.stores.elasticsearch import ElasticsearchClient
from tiercel._core.changeoptions import ChangeSource
from tiercel._core.documentchange import image_of
from tiercel._core.fallout import Fallout
from tiercel._core.rowfall import RowRule
from tiercel._core.seqnumbers import IndexPlace, ShardPlace, pack_places, places_of, unpack_places
from tiercel._core.storeurl import parse_store_url
from tiercel._paired import sleep
from tiercel.errors import ConfigurationError, DecodeError, StoreError

__all__ = ["SearchChanges"]

_PAGE: Final = 1000
_MOST_PAGES: Final = 10
_TIMEOUT_S: Final = 10.0


class SearchChanges:
    """
    Args:
        options: The source's.
        url: Its address.
        rules: What falls, by index.
    """

    def __init__(self, options: ChangeSource, url: str, rules: Mapping[str, RowRule]) -> None:
        self.figures = SourceFigures()
        self._options = options
        self._url = url
        self._rules = rules
        self._client: ElasticsearchClient | None = None
        self._places: dict[str, IndexPlace] = {}
        self._looked_at_s = 0.0
        if any(rule.columns - {"_id"} for rule in rules.values()):
            self.figures.cautions["old images"] = (
                "Elasticsearch does not show what a document was: what is cached under a field's old value stays"
                " until its ttl ends, unless the templates name only _id and fields that never change"
            )

    def open(self, position: str) -> str:
        """Connect and go to *position*."""
        address = parse_store_url(f"{self._url}#{next(iter(self._rules))}")
        self._client = ElasticsearchClient(address, timeout_s=_TIMEOUT_S, pool_size=2)
        self._places = self._ends()
        self._looked_at_s = 0.0
        if not position:
            return "nothing is known of how far the changes have fallen"
        try:
            known = unpack_places(position)
        except DecodeError as error:
            return str(error)
        for index, place in self._places.items():
            found = known.get(index)
            if found is None or found.uuid != place.uuid or found.shards.keys() != place.shards.keys():
                return f"index {index} is another one than before"
        self._places = {index: known[index] for index in self._places}
        return ""

    def _request(self, method: str, path: str, body: object = None) -> Any:
        assert self._client is not None
        status, answer = self._client.request(method, path, None if body is None else json.dumps(body))
        if status != 200:
            raise StoreError(f"changes {self._options.name!r}: {method} {path} was answered with status {status}")
        return answer

    def _ends(self) -> dict[str, IndexPlace]:
        """Return where every watched index ends now."""
        names = ",".join(self._rules)
        found = places_of(self._request("GET", f"/{names}/_stats/indexing?level=shards&ignore_unavailable=true"))
        missing = self._rules.keys() - found.keys()
        if missing:
            raise ConfigurationError(f"changes {self._options.name!r}: there is no index {', '.join(sorted(missing))}")
        return found

    def receive(self, fallout: Fallout, wait_s: float) -> Stretch:
        """Look when it is time, index by index; a look takes at most ten thousand documents of each shard."""
        due_s = self._looked_at_s + self._options.poll_s - time.monotonic()
        if due_s > 0:
            sleep(min(due_s, wait_s))
            if due_s > wait_s:
                return Stretch()
        self._looked_at_s = time.monotonic()
        ends = self._ends()
        for index, end in ends.items():
            self._index(index, end, fallout)
        return Stretch(pack_places(self._places))

    def _index(self, index: str, end: IndexPlace, fallout: Fallout) -> None:
        """Look at what one index has between where it was left and *end*."""
        rule, place = self._rules[index], self._places[index]
        if place.uuid != end.uuid or place.shards.keys() != end.shards.keys():
            fallout.add_unknown(rule.regions, f"index {index} is another one than before", everything=rule.has_tags)
            self._places[index] = end
            return
        changed = {shard: at for shard, at in end.shards.items() if at != place.shards[shard]}
        if not changed:
            return
        self._request("POST", f"/{index}/_refresh")
        shards = dict(place.shards)
        for shard, at in changed.items():
            if at.deletions != place.shards[shard].deletions:
                fallout.add_unknown(rule.regions, f"documents of index {index} were deleted", everything=rule.has_tags)
            shards[shard] = ShardPlace(self._shard(index, shard, place.shards[shard], at, fallout), at.deletions)
        self._places[index] = IndexPlace(end.uuid, shards)

    def _shard(self, index: str, shard: str, start: ShardPlace, end: ShardPlace, fallout: Fallout) -> int:
        """Add a shard's documents up to *end*; return the number up to which all were looked at."""
        rule, number = self._rules[index], start.number
        fields = [column for column in rule.wanted if column != "_id"]
        for _ in range(_MOST_PAGES):
            query = {
                "size": _PAGE,
                "query": {"range": {"_seq_no": {"gt": number, "lte": end.number}}},
                "sort": [{"_seq_no": "asc"}],
                "_source": fields,
                "track_total_hits": False,
            }
            found = self._request("POST", f"/{index}/_search?preference=_shards:{shard}", query)
            if found.get("timed_out") or found["_shards"]["failed"]:
                raise StoreError(f"changes {self._options.name!r}: shard {shard} of index {index} does not answer")
            hits = found["hits"]["hits"]
            for hit in hits:
                fall = rule.fall_of(image_of({**hit.get("_source", {}), "_id": hit["_id"]}, rule.wanted))
                if fall is not None:
                    fallout.add(fall)
            if len(hits) < _PAGE:
                return end.number
            number = hits[-1]["sort"][0]
        return number

    def confirm(self, position: str) -> None:
        """Nothing to tell: Elasticsearch keeps no log for us."""

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
