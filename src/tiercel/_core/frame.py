"""
The record that an entry is in Redis: a fixed header, tag tokens, payload.

Header fields sit at fixed offsets, so that a script reads them with GETRANGE and grants a lease with SETRANGE without
moving the body. All numbers are big-endian, so that a script compares 64-bit fields as byte strings (Lua's numbers are
doubles). Times are milliseconds of the server's clock.

======  ====  ==================================================================================
offset  size  field
======  ====  ==================================================================================
0       2     magic ``Tc``
2       1     frame version, 1
3       1     state: 1 LIVE, 2 STALE (expired by hand), 3 TOMBSTONE (version floor), 4 LEASED (no body yet)
4       1     codec
5       1     flags: 1 compressed, 2 negative ("no such record"), 4 encrypted
6       1     number of tags
7       1     1 while somebody waits for the fill
8       8     hash of the whole Redis key
16      8     version of the row; 0 for none
24      8     created
32      8     fresh until
40      8     stale until (end of grace)
48      8     kept until (end of keep)
56      8     lease token; 0 for none
64      8     lease until
72      8     floor: rows of a lower version are refused
80      4     load cost, microseconds
84      4     payload length
88      4     CRC-32 of what no script changes: bytes 4-6, 8-24, 80-88, tags, payload
92      16 n  tags: hash, token
…             payload
======  ====  ==================================================================================

Anything that does not parse (foreign bytes, a newer version, a bad checksum, another key's hash) is a `DecodeError`,
which readers treat as a miss.
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import NamedTuple

from tiercel.errors import DecodeError

MAGIC = b"Tc"
VERSION = 1
HEADER = struct.Struct(">2sBBBBBBQQQQQQQQQIII")
HEADER_BYTES = HEADER.size
TAG = struct.Struct(">QQ")
MAX_TAGS = 255
TagToken = tuple[int, int]
"""A tag's hash and the token that it had when the load began."""


class State(enum.IntEnum):
    """What a record is."""

    LIVE = 1
    STALE = 2
    TOMBSTONE = 3
    LEASED = 4


class Flag(enum.IntFlag):
    """How a payload is to be read."""

    NONE = 0
    COMPRESSED = 1
    NEGATIVE = 2
    ENCRYPTED = 4


class Frame(NamedTuple):
    """One record; times are milliseconds of the server's clock. A tuple, because every read makes one."""

    state: State
    key_hash: int
    codec: int = 0
    flags: Flag = Flag.NONE
    version: int = 0
    created_ms: int = 0
    fresh_until_ms: int = 0
    stale_until_ms: int = 0
    kept_until_ms: int = 0
    lease_token: int = 0
    lease_until_ms: int = 0
    floor: int = 0
    load_cost_us: int = 0
    is_awaited: bool = False
    tags: tuple[TagToken, ...] = ()
    payload: bytes = b""

    def __repr__(self) -> str:
        return f"Frame({self.state.name}, version={self.version}, tags={len(self.tags)}, {len(self.payload)} bytes)"

    @property
    def has_body(self) -> bool:
        """Whether there is a value, or the fact that there is none, to serve."""
        return self.state in _WITH_BODY

    @property
    def is_negative(self) -> bool:
        """Whether the record says that there is no such row."""
        return self.flags is not Flag.NONE and bool(self.flags & Flag.NEGATIVE)


def pack(frame: Frame) -> bytes:
    """Return *frame* as bytes."""
    tags = b"".join(TAG.pack(*tag) for tag in frame.tags)
    header = HEADER.pack(
        MAGIC,
        VERSION,
        frame.state,
        frame.codec,
        frame.flags,
        len(frame.tags),
        frame.is_awaited,
        frame.key_hash,
        frame.version,
        frame.created_ms,
        frame.fresh_until_ms,
        frame.stale_until_ms,
        frame.kept_until_ms,
        frame.lease_token,
        frame.lease_until_ms,
        max(frame.floor, frame.version),
        min(frame.load_cost_us, 0xFFFFFFFF),
        len(frame.payload),
        0,
    )
    body = tags + frame.payload
    return header[:88] + _checksum(header, body).to_bytes(4, "big") + body


def unpack(record: bytes, key_hash: int | None = None) -> Frame:
    """
    Return the frame that *record* holds.

    Args:
        record: What Redis returned.
        key_hash: Hash of the key that was asked for; a record of another key is refused.

    Raises:
        DecodeError: not a frame of a known version, damaged, or another key's.
    """
    if len(record) < HEADER_BYTES or record[:2] != MAGIC:
        raise DecodeError("the record is not a frame")
    fields = HEADER.unpack_from(record)
    _, version, state, codec, flags, tag_count, awaited, owner, row_version, *times, cost, length, checksum = fields
    if version != VERSION:
        raise DecodeError(f"the frame has version {version}; this release reads {VERSION}")
    if key_hash is not None and owner != key_hash:
        raise DecodeError("the frame belongs to another key")
    if tag_count > MAX_TAGS or len(record) != HEADER_BYTES + TAG.size * tag_count + length:
        raise DecodeError("the frame's length does not match its header")
    body = record[HEADER_BYTES:]
    known_state = _STATES.get(state)
    if known_state is None or flags >= len(_FLAGS):
        raise DecodeError("the frame has an unknown state or flag")
    if known_state in _WITH_BODY and _checksum(record, body) != checksum:
        raise DecodeError("the frame's checksum does not match")
    tags = tuple(TAG.iter_unpack(body[: TAG.size * tag_count]))
    payload = body[TAG.size * tag_count :]
    created, fresh, stale, kept, token, lease, floor = times
    return Frame(
        known_state, owner, codec, _FLAGS[flags], row_version, created, fresh, stale, kept, token, lease, floor, cost,
        bool(awaited), tags, payload,
    )  # fmt: skip


def payload_bytes(record: bytes) -> int:
    """Return the size of the payload in a record that `unpack` takes."""
    return len(record) - HEADER_BYTES - TAG.size * record[6]


_STATES = {int(state): state for state in State}
_FLAGS = tuple(Flag(bits) for bits in range(8))
_WITH_BODY = frozenset({State.LIVE, State.STALE})
"""Scripts write the two others, which have nothing that a checksum would protect."""


def _checksum(header: bytes, body: bytes) -> int:
    crc = zlib.crc32(header[4:7])
    crc = zlib.crc32(header[8:24], crc)
    crc = zlib.crc32(header[80:88], crc)
    return zlib.crc32(body, crc)
