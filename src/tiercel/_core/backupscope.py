"""
What a backup covers, and what its records look like without taking them wholly apart.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from tiercel._core.frame import HEADER_BYTES, MAGIC, TAG, State, TagToken
from tiercel._core.keys import KeySpace

_TIMES = struct.Struct(">QQQQ")  # created, fresh until, stale until, kept until, at offset 24
_SPECIAL = re.compile(rb"([\\*?\[\]^-])")


@dataclass(frozen=True, slots=True)
class Scope:
    """
    What a backup covers.

    Args:
        tenant: One tenant; None for all.
        region: One region; None for all.
    """

    tenant: str | None = None
    region: str | None = None

    def pattern(self, space: KeySpace) -> bytes:
        """Return a server's glob for the entries, and for some names that `covers` then sorts out."""
        tenant = b"*" if self.tenant is None else _literal(self.tenant.encode("ascii"))
        region = b"*" if self.region is None else _literal(self.region.encode("ascii"))
        return _literal(space.own_key("")[:-1]) + tenant + b":" + region + b"[=#]*"

    def covers(self, tenant: str, region: str) -> bool:
        """Say whether an entry belongs to the scope."""
        return self.tenant in (None, tenant) and self.region in (None, region)


def has_body(record: bytes) -> bool:
    """Say whether *record* is a frame with something to serve; leases and tombstones have nothing."""
    return len(record) >= HEADER_BYTES and record[:3] == MAGIC + b"\x01" and record[3] in (State.LIVE, State.STALE)


def kept_until_ms(record: bytes) -> int:
    """Return when a record ends, on its server's clock."""
    return int.from_bytes(record[48:56], "big")


def tags_of(record: bytes) -> list[TagToken]:
    """Return the tags and tokens that a record carries."""
    return [(tag, token) for tag, token in TAG.iter_unpack(record[HEADER_BYTES : HEADER_BYTES + TAG.size * record[6]])]


def moved(record: bytes, shift_ms: int) -> bytes:
    """Return *record* without lease and waiters, its times *shift_ms* later: another server's clock."""
    times = record[24:56]
    if shift_ms:
        times = _TIMES.pack(*(max(0, moment + shift_ms) for moment in _TIMES.unpack(times)))
    return record[:7] + b"\0" + record[8:24] + times + bytes(16) + record[72:]


def _literal(text: bytes) -> bytes:
    return _SPECIAL.sub(rb"\\\1", text)
