"""
Authenticated encryption: AES-256-GCM with a key of its own for every message.

AES-GCM breaks when a nonce comes twice under one key; with 96 random bits that limits a key to 2^32 messages, which a
cache at ten thousand writes a second reaches in five days. So this is XAES-256-GCM (C2SP, 2024): 192 random bits, of
which the first 96 derive a message key (NIST SP 800-108, counter mode with CMAC) and the last 96 are GCM's nonce. One
key is good for 2^80 messages, and nothing has to be counted or shared between processes.

Cost: one AES-GCM call and two further AES blocks a message. Thread-safe.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from tiercel._core.sealing import NONCE_BYTES
from tiercel.errors import ConfigurationError, DecodeError

_HALF = NONCE_BYTES // 2


class Aead:
    """
    Seals and opens under one key.

    Args:
        key: 32 bytes.

    Raises:
        ConfigurationError: The extra is not installed.
    """

    __slots__ = ("_aes", "_gcm", "_invalid", "_mask")

    def __init__(self, key: bytes) -> None:
        ciphers = _required("cryptography.hazmat.primitives.ciphers")
        self._gcm: Any = _required("cryptography.hazmat.primitives.ciphers.aead").AESGCM
        self._invalid: type[Exception] = _required("cryptography.exceptions").InvalidTag
        self._aes = ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.ECB())  # CMAC's block cipher
        first = int.from_bytes(self._blocks(bytes(16)), "big")
        doubled = (first << 1) & ((1 << 128) - 1)
        self._mask = doubled ^ 0x87 if first >> 127 else doubled

    def __repr__(self) -> str:
        return "Aead(…)"

    def _blocks(self, plain: bytes) -> bytes:
        return bytes(self._aes.encryptor().update(plain))

    def _message_cipher(self, nonce: bytes) -> Any:
        """Return AES-GCM under the key that the first half of *nonce* derives: two blocks of CMAC."""
        counters = (b"\x00\x01X\x00", b"\x00\x02X\x00")
        masked = [int.from_bytes(counter + nonce[:_HALF], "big") ^ self._mask for counter in counters]
        return self._gcm(self._blocks(b"".join(block.to_bytes(16, "big") for block in masked)))

    def seal(self, plain: bytes, bound: bytes, nonce: bytes | None = None) -> tuple[bytes, bytes]:
        """Return (nonce, ciphertext with tag) of *plain*, bound to *bound*; a fresh random nonce unless given."""
        nonce = nonce or os.urandom(NONCE_BYTES)
        return nonce, bytes(self._message_cipher(nonce).encrypt(nonce[_HALF:], plain, bound))

    def open(self, nonce: bytes, ciphertext: bytes, bound: bytes) -> bytes:
        """Return the plain bytes; raise `DecodeError` where the key, the place or a single bit is another."""
        try:
            return bytes(self._message_cipher(nonce).decrypt(nonce[_HALF:], ciphertext, bound))
        except self._invalid as error:
            raise DecodeError("a sealed payload does not open: wrong key, wrong place, or changed") from error


def _required(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError('encryption needs cryptography: pip install "tiercel[encryption]"') from error
