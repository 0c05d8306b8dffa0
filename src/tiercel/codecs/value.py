"""
A region's codec: serial form, compression and size limit in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiercel._core.frame import Flag
from tiercel.codecs.compression import compress, decompress
from tiercel.codecs.serial import JsonCodec, MsgpackCodec, RawCodec
from tiercel.codecs.vault import open_here
from tiercel.errors import DecodeError, EncodeError
from tiercel.options import RegionOptions


class ValueCodec:
    """
    Turns a region's values into (codec number, flags, payload) and back; safe to share between threads.

    Args:
        options: The region: codec, value type, compression threshold, size limits.
        on_big: Called with the size of each value above ``big_value_bytes``.
    """

    def __init__(self, options: RegionOptions, on_big: Callable[[int], None] | None = None) -> None:
        self._on_big = on_big
        self._big_bytes = options.big_value_bytes
        self._max_bytes = options.max_value_bytes
        self._threshold = options.compress_above_bytes
        self._readers: dict[int, MsgpackCodec | JsonCodec | RawCodec] = {
            MsgpackCodec.code: MsgpackCodec(options.value_type),
            JsonCodec.code: JsonCodec(options.value_type),
            RawCodec.code: RawCodec(),
        }
        codes = {"msgpack": MsgpackCodec.code, "json": JsonCodec.code, "raw": RawCodec.code}
        self._writer = self._readers[codes[options.codec]]

    def encode(self, value: Any) -> tuple[int, Flag, bytes]:
        """
        Return (codec number, flags, payload).

        Raises:
            EncodeError: the value has no form in this codec, or is larger than ``max_value_bytes``.
        """
        payload = self._writer.encode(value)
        if len(payload) > self._max_bytes:
            raise EncodeError(f"the value has {len(payload)} bytes; max_value_bytes={self._max_bytes}")
        if self._on_big is not None and len(payload) > self._big_bytes:
            self._on_big(len(payload))
        if self._threshold is not None and len(payload) > self._threshold:
            packed = compress(payload)
            if len(packed) < len(payload):
                return self._writer.code, Flag.COMPRESSED, packed
        return self._writer.code, Flag.NONE, payload

    @property
    def plain_decoder(self) -> tuple[int, Callable[[bytes], Any]]:
        """The region's own codec: its number, and its decoder, which raises errors of its library."""
        return self._writer.code, self._writer.decode_plain

    def encode_plain(self, value: Any) -> bytes:
        """Return *value* in the region's serial form, neither compressed nor bounded; raises `EncodeError`."""
        return self._writer.encode(value)

    def decode_plain(self, payload: bytes) -> Any:
        """Return what `encode_plain` was given; raises `DecodeError`."""
        return self._writer.decode(payload)

    def local_decoder(self, copy: str) -> Callable[[bytes], Any] | None:
        """Return what turns a local copy's bytes into its value; None where the value itself is kept."""
        if copy == "shared":
            return None
        return self._decode_sealed if copy == "sealed" else self.decode_plain

    def _decode_sealed(self, sealed: bytes) -> Any:
        return self.decode_plain(open_here(sealed))

    def decode(self, codec: int, flags: Flag, payload: bytes) -> Any:
        """
        Return the value that *payload* holds, whichever codec wrote it.

        Raises:
            DecodeError: damaged, too large, of an unknown codec, encrypted, or not of the region's value type.
        """
        if flags is not Flag.NONE:  # the common case pays one look, not two operations on an enumeration
            if flags & Flag.ENCRYPTED:
                raise DecodeError("the payload is encrypted and this region has no key")
            if flags & Flag.COMPRESSED:
                payload = decompress(payload, self._max_bytes)
        reader = self._readers.get(codec)
        if reader is None:
            raise DecodeError(f"unknown codec number {codec}")
        return reader.decode(payload)
