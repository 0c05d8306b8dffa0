"""
How blocks are packed: zstd where the ``compression`` extra is installed, else zlib; either reads both where it can.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Any, Final

from tiercel._core.backupfile import MAX_BLOCK_BYTES, Block
from tiercel.errors import ConfigurationError, DecodeError

PLAIN: Final = 0
ZLIB: Final = 1
ZSTD: Final = 2


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        return None


_zstd = _zstandard()


def pack(plain: bytes) -> tuple[int, bytes]:
    """Return (packing, packed bytes)."""
    if _zstd is not None:
        return ZSTD, bytes(_zstd.ZstdCompressor(level=1).compress(plain))
    return ZLIB, zlib.compress(plain, 1)


def unpack(block: Block) -> bytes:
    """Return a block's plain bytes; raises `DecodeError` where they are not what its head says."""
    if block.plain_bytes > MAX_BLOCK_BYTES:
        raise DecodeError("a block claims more than any block holds")
    if block.packing == PLAIN:
        plain = block.packed
    elif block.packing == ZLIB:
        plain = zlib.decompressobj().decompress(block.packed, block.plain_bytes + 1)
    elif block.packing == ZSTD and _zstd is not None:
        plain = bytes(_zstd.ZstdDecompressor().decompress(block.packed, max_output_size=block.plain_bytes))
    elif block.packing == ZSTD:
        raise ConfigurationError('this backup is packed with zstd: pip install "tiercel[compression]"')
    else:
        raise DecodeError(f"a block has an unknown packing {block.packing}")
    if len(plain) != block.plain_bytes:
        raise DecodeError("a block does not unpack to its length")
    return plain
