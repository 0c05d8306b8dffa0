# Generated from src/tiercel/_async/journals/payload.py by tools/unasync.py. Do not edit.
"""
The encoding of a journaled write: MessagePack of ``(tenant, key, value, op, accepted_s)``, never pickle.

The version is kept beside the payload, because the journal decides it. Values come back as MessagePack gives them:
tuples as lists, dataclasses as mappings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from tiercel._core.journal import Draft, JournalEntry
from tiercel.errors import DecodeError, EncodeError
from tiercel.typing import DELETED, Change, Key

__all__ = ["SealedValue", "decode_entry", "encode_draft", "encode_identity", "open_value", "seal_draft"]

_PUT = 0
_DELETE = 1
_SEALED = 2

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


class SealedValue:
    """A value that nobody opened; no store and no codec takes it, so that it cannot be written by mistake."""

    __slots__ = ("sealed",)

    def __init__(self, sealed: bytes) -> None:
        self.sealed = sealed

    def __repr__(self) -> str:
        return f"SealedValue({len(self.sealed)} bytes)"


def seal_draft(draft: Draft, seal: Callable[[str, Key, bytes], bytes]) -> Draft:
    """Return *draft* with its value sealed by ``seal(tenant, key, plain)``; a deletion has none."""
    tenant, key, value, op, accepted_s = _decoder.decode(draft.payload)
    if op != _PUT:
        return draft
    sealed = seal(tenant, key, _encoder.encode(value))
    return replace(draft, payload=_encoder.encode((tenant, key, sealed, _SEALED, accepted_s)))


def open_value(plain: bytes) -> Any:
    """Return the value whose plain bytes `seal_draft` had sealed."""
    return _decoder.decode(plain)


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
    if op != _PUT:
        value = SealedValue(value) if op == _SEALED else DELETED
    change = Change(tenant, key, value, version)
    return JournalEntry(position, change, accepted_s, len(payload))
