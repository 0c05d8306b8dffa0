"""
Sealers: what seals and opens the payloads of one named key; one for all regions that are encrypted with it.

Every tenant has a key of its own, derived from the ring's: a payload that is moved to another tenant does not even
meet the key that sealed it. A subject's key is random, handed in by the caller, and destroyed with the subject.
"""

from __future__ import annotations

import functools

from tiercel._core.sealing import Envelope, Owner, bound_to, derived_key, unpack_envelope
from tiercel.codecs.aead import Aead
from tiercel.codecs.keychain import Keychain
from tiercel.errors import DecodeError

MEMO = 4096


class Sealer:
    """
    Args:
        keychain: Where the keys come from.

    Thread-safe. A call costs about ten microseconds and the encryption itself.
    """

    def __init__(self, keychain: Keychain) -> None:
        self.keychain = keychain

    def __repr__(self) -> str:
        return f"Sealer({self.keychain!r})"

    def seal(self, tenant: str, purpose: str, name: bytes, schema: bytes, plain: bytes) -> bytes:
        """Return *plain* sealed with the tenant's key for its place; raises `DecodeError` where there is no key."""
        key_id, key = self.keychain.sealing(tenant)
        return _sealed(_of_tenant(key, tenant), Envelope(Owner.TENANT, key_id, b"", b""), purpose, name, schema, plain)

    def open(self, tenant: str, purpose: str, name: bytes, schema: bytes, sealed: bytes) -> bytes:
        """Return what `seal` was given; raises `DecodeError` for another key, place or content."""
        envelope = unpack_envelope(sealed)
        if envelope.owner is not Owner.TENANT:
            raise DecodeError("the payload is sealed with a subject's key")
        aead = _of_tenant(self.keychain.key(tenant, envelope.key_id), tenant)
        return _opened(aead, envelope, purpose, name, schema)

    def mac_key(self) -> tuple[str, bytes]:
        """Return the id and a key for authenticating whole files."""
        key_id, key = self.keychain.sealing("")
        return key_id, derived_key(key, "file", "")

    def mac_key_of(self, key_id: str) -> bytes:
        """Return the key that `mac_key` gave with *key_id*."""
        return derived_key(self.keychain.key("", key_id), "file", "")


def seal_for_subject(key: bytes, purpose: str, name: bytes, schema: bytes, plain: bytes) -> bytes:
    """Return *plain* sealed with a subject's *key*."""
    return _sealed(_of_subject(key), Envelope(Owner.SUBJECT, "subject", b"", b""), purpose, name, schema, plain)


def open_for_subject(key: bytes, purpose: str, name: bytes, schema: bytes, sealed: bytes) -> bytes:
    """Return what `seal_for_subject` was given; raises `DecodeError`."""
    return _opened(_of_subject(key), unpack_envelope(sealed), purpose, name, schema)


def _sealed(aead: Aead, head: Envelope, purpose: str, name: bytes, schema: bytes, plain: bytes) -> bytes:
    nonce, ciphertext = aead.seal(plain, head.header + bound_to(purpose, name, schema))
    return Envelope(head.owner, head.key_id, nonce, ciphertext).pack()


def _opened(aead: Aead, envelope: Envelope, purpose: str, name: bytes, schema: bytes) -> bytes:
    return aead.open(envelope.nonce, envelope.ciphertext, envelope.header + bound_to(purpose, name, schema))


@functools.lru_cache(maxsize=MEMO)
def _of_tenant(key: bytes, tenant: str) -> Aead:
    return Aead(derived_key(key, "tenant", tenant))


@functools.lru_cache(maxsize=MEMO)
def _of_subject(key: bytes) -> Aead:
    return Aead(key)
