"""
Compression of payloads: one letter for the method, four bytes for the original length, then the compressed bytes.

zstd where the ``compression`` extra is installed, else zlib; either reads what the other wrote as long as its library
is there. The stated length bounds the output, so a decompression bomb is refused before it grows.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Any

from tiercel.errors import DecodeError

ZLIB, ZSTD = b"z", b"s"
PREFIX_BYTES = 5


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        return None


_zstd = _zstandard()


def compress(payload: bytes) -> bytes:
    """Return *payload* compressed, or longer than it was where it does not compress."""
    length = len(payload).to_bytes(4, "big")
    if _zstd is not None:
        return ZSTD + length + bytes(_zstd.ZstdCompressor(level=3).compress(payload))
    return ZLIB + length + zlib.compress(payload, 3)


def decompress(packed: bytes, max_bytes: int) -> bytes:
    """
    Return what `compress` was given.

    Raises:
        DecodeError: damaged, longer than *max_bytes*, or of a method whose library is not installed.
    """
    method, size, body = packed[:1], int.from_bytes(packed[1:PREFIX_BYTES], "big"), packed[PREFIX_BYTES:]
    if len(packed) < PREFIX_BYTES or size > max_bytes:
        raise DecodeError(f"a compressed payload claims {size} bytes; at most {max_bytes} are allowed")
    if method == ZLIB:
        payload = _unzlib(body, size)
    elif method == ZSTD and _zstd is not None:
        payload = _unzstd(body, size)
    else:
        raise DecodeError(f'unknown compression {method!r}; for zstd: pip install "tiercel[compression]"')
    if len(payload) != size:
        raise DecodeError(f"a compressed payload gave {len(payload)} bytes instead of {size}")
    return payload


def _unzlib(body: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, size + 1)
    except zlib.error as error:
        raise DecodeError("a compressed payload is damaged") from error


def _unzstd(body: bytes, size: int) -> bytes:
    try:
        with _zstd.ZstdDecompressor().stream_reader(body) as reader:
            return bytes(reader.read(size + 1))
    except _zstd.ZstdError as error:
        raise DecodeError("a compressed payload is damaged") from error
