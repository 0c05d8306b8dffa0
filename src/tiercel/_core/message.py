"""
Messages of the backplane: what fell, in as few bytes as possible; never a value.

One stream entry is a batch: ``[format, node, [message, …]]`` in msgpack. A message is ``["k", tenant, region, keys,
tags]`` (entries fell), ``["t", tenant, tags]`` (tags have fresh tokens), ``["f", name hash]`` (a load ended),
``["p", version]`` (there is a new live policy) or ``["h", tenant, region, key]`` (a key is hot). A batch that cannot be
read makes its reader distrust everything local: it may have held anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from tiercel.errors import DecodeError

FORMAT = 1


class KeysFell(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """Copies of *keys* (as `encode_key` writes them) are out of date, and what was computed from them (*tags*)."""

    tenant: str
    region: str
    keys: tuple[bytes, ...]
    tags: tuple[int, ...] = ()


class TagsFell(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """*tags* have fresh tokens; *tenant* is `GLOBAL` where all tenants are meant."""

    tenant: str
    tags: tuple[int, ...]


class Filled(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """The load of the entry with *name_hash* ended: who waits for it may look again."""

    name_hash: int


class PolicyChanged(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """The live policy has a new *version*: fetch it."""

    version: int


class KeyHot(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """*key* (as `encode_key` writes it) is read so often that nodes should keep it near for a moment."""

    tenant: str
    region: str
    key: bytes


Message: TypeAlias = KeysFell | TagsFell | Filled | PolicyChanged | KeyHot


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Messages of one node that share a stream entry."""

    format: int
    node: bytes
    messages: tuple[Message, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def pack_batch(node: bytes, messages: Sequence[Message]) -> bytes:
    """Return a stream entry's body."""
    return _encoder.encode(Batch(FORMAT, node, tuple(messages)))


def unpack_batch(body: bytes) -> Batch:
    """Return what `pack_batch` packed; raise `DecodeError` where it cannot be read or is of a newer format."""
    try:
        batch = _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError("a backplane message cannot be read") from error
    if batch.format != FORMAT:
        raise DecodeError(f"a backplane message has format {batch.format}; this release reads {FORMAT}")
    return batch
