"""
Sealed payloads: what an encrypted payload looks like, what it is bound to, and the rings of keys that open it.

An envelope is ``format 1, owner, length of the key's id, id, 24-byte nonce, ciphertext and tag``. It is bound to its
place: the purpose, the entry's whole name (namespace | tenant | region | key) and the schema (codec, flags, version,
tags) are associated data, so that a ciphertext opens where it was sealed and nowhere else.

A ring is text, one key a line, ``id:base64 of 32 bytes``. The first key seals, every key opens: to rotate, put a new
line in front, and take the last line away once nothing lives that it sealed. Keys are never shown; a ring's repr and
every error name ids alone.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from tiercel._core.frame import TAG, Frame
from tiercel.errors import ConfigurationError, DecodeError

FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class Owner(enum.IntEnum):
    """Whose key a payload is sealed with."""

    TENANT = 0
    SUBJECT = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """A sealed payload, taken apart."""

    owner: Owner
    key_id: str
    nonce: bytes
    ciphertext: bytes = field(repr=False)

    @property
    def header(self) -> bytes:
        """What stands before the nonce; associated data too."""
        key_id = self.key_id.encode("ascii")
        return bytes((FORMAT, self.owner, len(key_id))) + key_id

    def pack(self) -> bytes:
        """Return the envelope as bytes."""
        return self.header + self.nonce + self.ciphertext


def unpack_envelope(sealed: bytes) -> Envelope:
    """Return the parts of *sealed*; raise `DecodeError` where it is no envelope of a known format."""
    if len(sealed) < 3 or sealed[0] != FORMAT or sealed[1] not in (Owner.TENANT, Owner.SUBJECT):
        raise DecodeError("the payload is not sealed in a known format")
    id_ends = 3 + sealed[2]
    nonce_ends = id_ends + NONCE_BYTES
    if len(sealed) < nonce_ends + TAG_BYTES:
        raise DecodeError("a sealed payload is cut short")
    key_id = sealed[3:id_ends].decode("ascii", "replace")
    return Envelope(Owner(sealed[1]), key_id, sealed[id_ends:nonce_ends], sealed[nonce_ends:])


def bound_to(purpose: str, name: bytes, schema: bytes = b"") -> bytes:
    """Return the associated data of a payload: each part with its length before it, so that no two places are alike."""
    parts = (purpose.encode("ascii"), name, schema)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def schema_of(frame: Frame) -> bytes:
    """Return what a record says about its payload: codec, flags, version, tags; none of it changes in the tier."""
    head = bytes((frame.codec, int(frame.flags))) + frame.version.to_bytes(8, "big")
    return head + b"".join(TAG.pack(*tag) for tag in frame.tags)


def derived_key(key: bytes, purpose: str, name: str) -> bytes:
    """Return the key of *name* for *purpose* that follows from *key* (HMAC-SHA-256 as a key derivation function)."""
    return hmac.digest(key, f"tiercel {purpose}\0{name}".encode(), hashlib.sha256)


class OpenedFrame(Frame):
    """A record whose payload was opened; `sealed` is what the tier holds."""

    sealed: Frame | None = None


def opened(sealed: Frame, flags: int, payload: bytes) -> OpenedFrame:
    """Return *sealed* with its plain *payload*."""
    frame = OpenedFrame._make(sealed._replace(flags=type(sealed.flags)(flags), payload=payload))
    frame.sealed = sealed
    return frame


class KeyRing:
    """
    Keys by id; the first one seals.

    Args:
        text: The ring's lines; blank lines and those that begin with ``#`` are passed over.
        where: What to call it in messages.

    Raises:
        ConfigurationError: A line is no key, an id comes twice, or there is no key at all.
    """

    __slots__ = ("_keys", "where")

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self._keys: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            if stripped and not stripped.startswith("#"):
                self._add(stripped, number)
        if not self._keys:
            raise ConfigurationError(f"{where} holds no key; a line reads id:base64 of {KEY_BYTES} random bytes")

    def _add(self, line: str, number: int) -> None:
        key_id, _, encoded = line.partition(":")
        try:
            key = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if _KEY_ID.fullmatch(key_id) is None or len(key) != KEY_BYTES or key_id in self._keys:
            raise ConfigurationError(
                f"{self.where}, line {number}: no key; a line reads id:base64 of {KEY_BYTES} random bytes, each id once"
            )
        self._keys[key_id] = key

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, the sealing key's first."""
        return tuple(self._keys)

    def key(self, key_id: str) -> bytes | None:
        """Return a key, or None."""
        return self._keys.get(key_id)

    def __repr__(self) -> str:
        return f"KeyRing({self.where}, ids={', '.join(self._keys)})"
