"""
How far an index of Elasticsearch was followed: by shard, the sequence number up to which every document was looked at.

A shard numbers its operations, and says up to which number all of them are in place on every copy (the global
checkpoint). Whoever looks only up to there, after a refresh, sees them all; whoever looks for "newer than the newest
seen" misses an operation that got its number earlier and was in place later.

A deleted document is found by no search. But a shard counts its deletions, and an index that was made anew has another
id: both say that something has gone, though not what.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from tiercel.errors import DecodeError

__all__ = ["IndexPlace", "Places", "ShardPlace", "pack_places", "places_of", "unpack_places"]


class ShardPlace(msgspec.Struct, frozen=True, array_like=True):
    """One shard: the sequence number looked at last, and how many deletions it had counted."""

    number: int
    deletions: int


class IndexPlace(msgspec.Struct, frozen=True, array_like=True):
    """One index: its id, and its shards by their names."""

    uuid: str
    shards: dict[str, ShardPlace]


Places: TypeAlias = Mapping[str, IndexPlace]

_decoder = msgspec.json.Decoder(dict[str, IndexPlace])


def pack_places(places: Places) -> str:
    """Return *places* as text."""
    return msgspec.json.encode(places).decode()


def unpack_places(text: str) -> dict[str, IndexPlace]:
    """Return what was packed; raise `DecodeError` where it cannot be read."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"{text[:80]!r} is no position in Elasticsearch") from error


def places_of(stats: Mapping[str, Any]) -> dict[str, IndexPlace]:
    """Return where every index ends now, from the answer to ``_stats?level=shards``; only started primaries count."""
    return {
        name: IndexPlace(index["uuid"], {shard: _shard(copies) for shard, copies in index["shards"].items()})
        for name, index in stats["indices"].items()
    }


def _shard(copies: list[Mapping[str, Any]]) -> ShardPlace:
    primary = next((copy for copy in copies if copy["routing"]["primary"]), None)
    if primary is None:
        raise DecodeError("a shard has no primary")
    return ShardPlace(primary["seq_no"]["global_checkpoint"], primary["indexing"]["delete_total"])
