"""
The encoding of a journaled write: MessagePack of ``(tenant, key, value, op, accepted_s)``, never pickle.

The version is kept beside the payload, because the journal decides it. Values come back as MessagePack gives them:
tuples as lists, dataclasses as mappings.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tiercel._core.journal import Draft, JournalEntry
from tiercel.errors import DecodeError, EncodeError
from tiercel.typing import DELETED, Change, Key

__all__ = ["decode_entry", "encode_draft", "encode_identity"]

_PUT = 0
_DELETE = 1

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


def encode_identity(tenant: str, key: Key) -> bytes:
    """Return the bytes that name a row; text and byte keys never collide."""
    return _encoder.encode((tenant, key))


def encode_draft(tenant: str, key: Key, value: Any, version: int, accepted_s: float) -> Draft:
    """
    Encode one write.

    Raises:
        EncodeError: MessagePack cannot hold the value.
    """
    op = _DELETE if value is DELETED else _PUT
    try:
        payload = _encoder.encode((tenant, key, None if op else value, op, accepted_s))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EncodeError(f"a journaled value must be MessagePack: {error}", operation="write", key=key) from error
    return Draft(encode_identity(tenant, key), version, accepted_s, payload)


def decode_entry(position: int, version: int, payload: bytes) -> JournalEntry:
    """
    Decode one write.

    Raises:
        DecodeError: The bytes were written by something else, or damaged.
    """
    try:
        tenant, key, value, op, accepted_s = _decoder.decode(payload)
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise DecodeError(f"journal entry {position}: {error}", operation="take") from error
    change = Change(tenant, key, DELETED if op == _DELETE else value, version)
    return JournalEntry(position, change, accepted_s, len(payload))
