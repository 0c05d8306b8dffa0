"""
The vault: seals local copies with a key that lives and dies with this process.

It keeps plain values out of core dumps, swap files and other readers of memory pages, as far as the key in the same
memory allows. A hit costs decryption and decoding.
"""

from __future__ import annotations

import functools
import os

from tiercel._core.sealing import KEY_BYTES, NONCE_BYTES
from tiercel.codecs.aead import Aead


@functools.cache
def _aead() -> Aead:
    return Aead(os.urandom(KEY_BYTES))


def seal_here(plain: bytes) -> bytes:
    """Return *plain* so that only this process opens it."""
    nonce, ciphertext = _aead().seal(plain, b"local")
    return nonce + ciphertext


def open_here(sealed: bytes) -> bytes:
    """Return what `seal_here` was given; raises `DecodeError` for anything else."""
    return _aead().open(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], b"local")
