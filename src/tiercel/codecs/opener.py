"""
The opener: reads a record from Redis that is plainly a fresh entry in force, in one step and without a `Frame`.

It says yes or nothing. Yes means all that the careful way (`tiercel._core.frame.unpack`, the tag book, the looker)
would have asked: a whole frame of this version and key, live and fresh, its checksum right, every tag's token the one
that the memo knows and trusts, a payload in the region's own codec that decodes. Anything else is `MISS`: the careful
way then finds out what it is, counts it and says so.

`Opener` is the reference; ``tiercel.codecs._native`` has the same in C, one suite runs on both, and `best_opener` says
which is there. Not locked: reads of the memo are single dictionary look-ups.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tiercel._core.frame import HEADER, HEADER_BYTES, MAGIC, TAG, VERSION, State, payload_bytes
from tiercel._core.keys import hash64
from tiercel._core.tags import mix
from tiercel.typing import MISS

__all__ = ["Memo", "Opener", "RecordOpener", "best_opener"]

Memo = Mapping[int, tuple[int, float, float]]
"""Token, when it was read and when its life ends (seconds, monotonic), by tag hash."""

LEAST_CHANCE_LOG = 37.0
"""Minus the logarithm of the least chance that `random.random` gives: no draw of an early refresh goes beyond."""
GENERATION = 0


class RecordOpener(Protocol):
    """What both implementations do."""

    def open(self, name: bytes, record: object, now_ms: int, now_s: float, read_after_s: float, beta: float, /) -> Any:
        """
        Return the value that *record* holds, or `MISS` where that takes a closer look.

        Args:
            name: The whole key that was asked for.
            record: What Redis returned.
            now_ms: The server's time.
            now_s: This process's monotonic time.
            read_after_s: Tokens that were read at or before this moment are not trusted.
            beta: Of the early refresh (XFetch): a record that some draw would refresh is a matter for a closer look.
        """

    def open_many(
        self,
        names: list[bytes],
        records: list[Any],
        now_ms: int,
        now_s: float,
        read_after_s: float,
        beta: float,
        /,
    ) -> tuple[list[Any], int]:
        """Return what `open` gives for each of *records*, in order, and the size of the payloads read, bytes."""


class Opener:
    """
    Args:
        tokens: The memo of tag tokens, which others change.
        scopes: Hashes of the four implied scopes of the region in its tenant.
        codec: Number of the region's codec.
        decode: Its decoder; whatever it raises means a closer look.
    """

    __slots__ = ("_codec", "_decode", "_scopes", "_tokens")

    def __init__(self, tokens: Memo, scopes: tuple[int, ...], codec: int, decode: Callable[[bytes], Any]) -> None:
        self._tokens = tokens
        self._scopes = scopes
        self._codec = codec
        self._decode = decode

    def open(self, name: bytes, record: object, now_ms: int, now_s: float, read_after_s: float, beta: float, /) -> Any:
        """See `RecordOpener.open`."""
        if type(record) is not bytes or len(record) < HEADER_BYTES:
            return MISS
        fields = HEADER.unpack_from(record)
        magic, version, state, codec, flags, tags, _, owner, _, created, fresh, _, _, _, _, _, cost, size, crc = fields
        if (magic, version, state, codec, flags) != (MAGIC, VERSION, State.LIVE, self._codec, 0):
            return MISS
        body = HEADER_BYTES + TAG.size * tags
        if not tags or len(record) != body + size or owner != hash64(name):
            return MISS
        left_ms = fresh - max(now_ms, created)
        if left_ms <= 0 or left_ms <= cost * beta * LEAST_CHANCE_LOG / 1000:
            return MISS
        if _checksum(record) != crc or not self._hold(record[HEADER_BYTES:body], now_s, read_after_s):
            return MISS
        try:
            return self._decode(record[body:])
        except Exception:  # the careful way meets the same, and says so
            return MISS

    def open_many(
        self,
        names: list[bytes],
        records: list[Any],
        now_ms: int,
        now_s: float,
        read_after_s: float,
        beta: float,
        /,
    ) -> tuple[list[Any], int]:
        """See `RecordOpener.open_many`."""
        values, size_bytes = [], 0
        for name, record in zip(names, records, strict=True):
            value = self.open(name, record, now_ms, now_s, read_after_s, beta)
            values.append(value)
            size_bytes += 0 if value is MISS else payload_bytes(record)
        return values, size_bytes

    def _hold(self, stamps: bytes, now_s: float, read_after_s: float) -> bool:
        """Say whether the generation, which comes first, and every tag have the token that the memo trusts."""
        (first, generation), *rest = TAG.iter_unpack(stamps)
        tokens = [self._token(scope, now_s, read_after_s) for scope in self._scopes]
        if first != GENERATION or 0 in tokens or mix(tokens) != generation:
            return False
        return all(tag > 1 and token == self._token(tag, now_s, read_after_s) != 0 for tag, token in rest)

    def _token(self, tag: int, now_s: float, read_after_s: float) -> int:
        """Return the tag's token; 0, which no tag has, where the memo has none that may be trusted."""
        token, read_at, ends = self._tokens.get(tag, (0, 0.0, 0.0))
        return token if now_s < ends and read_at > read_after_s else 0


def _checksum(record: bytes) -> int:
    crc = zlib.crc32(record[8:24], zlib.crc32(record[4:7]))
    return zlib.crc32(record[HEADER_BYTES:], zlib.crc32(record[80:88], crc))


def best_opener(tokens: Memo, scopes: tuple[int, ...], codec: int, decode: Callable[[bytes], Any]) -> RecordOpener:
    """Return the native opener where it was built, else the reference."""
    try:
        from tiercel.codecs._native import Opener as NativeOpener
    except ImportError:
        return Opener(tokens, scopes, codec, decode)
    return NativeOpener(tokens, scopes, codec, decode, MISS)
