"""
The file that a backup is: blocks in a chain, each checked before a byte of it is believed.

::

    file   =  MAGIC  block…  (the first is HEAD, the last is END)
    block  =  kind 1 byte | packing 1 byte | packed length u32 | plain length u32 | packed bytes | digest 32 bytes

A block's digest is BLAKE2b over the digest before it, the block's own head and its packed bytes, keyed where the backup
holds sealed payloads. So a changed, missing, added or moved block breaks the chain at its place; END carries the counts
and closes the file. A file without END is unfinished: what it holds up to there may be trusted, and carried on.

A block of entries is their number (u32) and a run of ``name length u16 | record length u32 | name | record``; every
other one is MessagePack.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from tiercel.errors import DecodeError

MAGIC = b"TIERCEL-BACKUP-1\n"
HEAD = struct.Struct(">BBII")
DIGEST_BYTES = 32
ENTRY = struct.Struct(">HI")
MAX_BLOCK_BYTES = 64 * 1024 * 1024
"""No honest block is larger: a length beyond it is damage, refused before memory is asked for."""


class Kind(enum.IntEnum):
    """What a block holds."""

    HEAD = 1
    ENTRIES = 2
    TAGS = 3
    JOURNAL = 4
    DEAD = 5
    PLACE = 6
    END = 7


class Header(msgspec.Struct, frozen=True):
    """
    What a backup is of; the first block.

    Attributes:
        namespace: The deployment.
        tenant: Whose data; None for everybody's.
        region: Which region; None for all.
        started_ms: The server's time before the first record was read.
        wall_ms: The backup's machine's time at that moment.
        positions: Last id of each partition of the invalidation stream, taken before the scan.
        mac: Name of the key and id of the ring's key that authenticate the file; empty for checksums alone.
        server: What the server said it is.
    """

    namespace: str
    tenant: str | None
    region: str | None
    started_ms: int
    wall_ms: int
    positions: tuple[bytes, ...]
    mac: tuple[str, str] = ("", "")
    server: str = ""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a scan has come: the node and its cursor; everything before it is in the file."""

    node: str
    cursor: bytes
    nodes_done: tuple[str, ...] = ()


class Closing(msgspec.Struct, frozen=True):
    """Counts of a finished backup; the last block."""

    entries: int
    tags: int
    journal: int
    dead: int
    ended_ms: int


class JournalRow(msgspec.Struct, frozen=True, array_like=True):
    """One write of a Redis journal as it is kept there; *reason* and *parked* are a dead letter's."""

    region: str
    partition: int
    identity: bytes
    version: bytes
    accepted: bytes
    payload: bytes
    reason: bytes = b""
    parked: bytes = b""


class Block(NamedTuple):
    """A block that was checked: its kind, its plain content, and where it ends in the file."""

    kind: Kind
    packing: int
    packed: bytes
    plain_bytes: int
    end: int
    digest: bytes


class Damage(DecodeError):
    """
    A backup that must not be believed.

    Attributes:
        position: Byte of the file at which the first wrong block begins.
    """

    def __init__(self, position: int, why: str) -> None:
        super().__init__(f"the backup is damaged or was changed at byte {position}: {why}")
        self.position = position


class Chain:
    """The running digest of a file; *key* makes it one that only its owner can continue."""

    __slots__ = ("_key", "digest")

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self.digest = hashlib.blake2b(MAGIC, digest_size=DIGEST_BYTES, key=key).digest()

    def next(self, head: bytes, packed: bytes) -> bytes:
        """Take a block in and return its digest."""
        state = hashlib.blake2b(self.digest, digest_size=DIGEST_BYTES, key=self._key)
        state.update(head)
        state.update(packed)
        self.digest = state.digest()
        return self.digest


def write_block(chain: Chain, kind: Kind, packing: int, packed: bytes, plain_bytes: int) -> bytes:
    """Return a block as bytes, continuing *chain*."""
    head = HEAD.pack(kind, packing, len(packed), plain_bytes)
    return head + packed + chain.next(head, packed)


class Reader:
    """
    Takes a file apart, block by block.

    Args:
        read: Returns the next *n* bytes of the file, fewer only at its end.
    """

    def __init__(self, read: Any) -> None:
        self._read = read
        self.position = 0
        self._is_begun = False

    def _take(self, size: int, begins: int) -> bytes:
        found: bytes = self._read(size)
        if len(found) != size:
            raise Damage(begins, "the file ends in the middle of a block")
        self.position += size
        return found

    def peek(self) -> bytes:
        """Return the first block's packed bytes, unchecked; raises `Damage` where there is none."""
        if self._take(len(MAGIC), 0) != MAGIC:
            raise Damage(0, "it is no backup of this format")
        kind, _, packed_bytes, _ = HEAD.unpack(self._take(HEAD.size, 0))
        if kind != Kind.HEAD or packed_bytes > MAX_BLOCK_BYTES:
            raise Damage(0, "it does not begin with a header")
        return self._take(packed_bytes, 0)

    def next(self, chain: Chain) -> Block | None:
        """Return the next block, checked; None at the end of the file. Raises `Damage`."""
        if not self._is_begun:
            if self._take(len(MAGIC), 0) != MAGIC:
                raise Damage(0, "it is no backup of this format")
            self._is_begun = True
        begins = self.position
        head: bytes = self._read(HEAD.size)
        if not head:
            return None
        if len(head) != HEAD.size:
            raise Damage(begins, "the file ends in the middle of a block")
        self.position += HEAD.size
        kind, packing, packed_bytes, plain_bytes = HEAD.unpack(head)
        if kind not in _KINDS or max(packed_bytes, plain_bytes) > MAX_BLOCK_BYTES:
            raise Damage(begins, "no block begins here")
        packed = self._take(packed_bytes, begins)
        digest = self._take(DIGEST_BYTES, begins)
        if not hmac.compare_digest(chain.next(head, packed), digest):
            raise Damage(begins, "the block's digest does not match")
        return Block(Kind(kind), packing, packed, plain_bytes, self.position, digest)


def pack_entries(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return (name, record) pairs as one run of bytes."""
    return b"".join(ENTRY.pack(len(name), len(record)) + name + record for name, record in entries)


def unpack_entries(plain: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (name, record) pairs of a run; raise `DecodeError` where it is none."""
    at = 0
    while at < len(plain):
        if at + ENTRY.size > len(plain):
            raise DecodeError("a block of entries is cut short")
        name_bytes, record_bytes = ENTRY.unpack_from(plain, at)
        at += ENTRY.size
        ends = at + name_bytes + record_bytes
        if ends > len(plain):
            raise DecodeError("a block of entries is cut short")
        yield plain[at : at + name_bytes], plain[at + name_bytes : ends]
        at = ends


_KINDS = frozenset(int(kind) for kind in Kind)
