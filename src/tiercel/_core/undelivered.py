"""
Invalidations that a tier did not take: what has to be said again, as small records.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tiercel._core.tags import MASK
from tiercel.errors import DecodeError


class Undelivered(msgspec.Struct, frozen=True, array_like=True):
    """
    One invalidation to say again; saying it twice is harmless.

    Attributes:
        kind: ``keys`` destroys entries, ``expire`` marks them stale, ``tags`` renews tokens.
        names: Names of entries in the far tier.
        tags: Hashes of tags.
        floor: Version floor of the tombstones.
        tombstone_ms: Their life.
        tag_life_ms: Life of the tokens.
    """

    kind: Literal["keys", "expire", "tags"]
    names: tuple[bytes, ...] = ()
    tags: tuple[int, ...] = ()
    floor: int = 0
    tombstone_ms: int = 60_000
    tag_life_ms: int = 600_000


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Undelivered)


def pack_undelivered(record: Undelivered) -> bytes:
    """Return *record* as bytes."""
    if any(not 0 <= tag <= MASK for tag in record.tags):
        raise ValueError("a tag hash has 64 bits")
    return _encoder.encode(record)


def unpack_undelivered(body: bytes) -> Undelivered:
    """Return what was packed; raise `DecodeError` where it is damaged."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError("a journaled invalidation is damaged") from error
