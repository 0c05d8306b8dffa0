"""
Serial codecs: msgpack, JSON and raw bytes.

msgspec does the work: it knows dataclasses, Structs, datetimes, decimals and UUIDs, and bounds nesting. Without a
*value_type* those come back as msgpack's plain objects (a UUID as text); with it they are checked and rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tiercel.errors import DecodeError, EncodeError


class MsgpackCodec:
    """msgpack by msgspec; code 1."""

    code: Final = 1

    def __init__(self, value_type: Any = None) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Any if value_type is None else value_type)
        self.decode_plain: Callable[[bytes], Any] = self._decoder.decode
        """As `decode`, without a step between; raises msgspec's own errors."""

    def encode(self, value: Any) -> bytes:
        """Return *value* as msgpack; raise `EncodeError` where it has no form in it."""
        try:
            return self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise EncodeError(f"msgpack cannot hold this {type(value).__name__}: {error}") from error

    def decode(self, payload: bytes | memoryview) -> Any:
        """Return the value; raise `DecodeError` where *payload* is damaged or of another type."""
        try:
            return self._decoder.decode(payload)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise DecodeError(f"not a msgpack record of this region: {error}") from error


class JsonCodec:
    """JSON by msgspec; code 2."""

    code: Final = 2

    def __init__(self, value_type: Any = None) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any if value_type is None else value_type)
        self.decode_plain: Callable[[bytes], Any] = self._decoder.decode
        """As `decode`, without a step between; raises msgspec's own errors."""

    def encode(self, value: Any) -> bytes:
        """Return *value* as JSON; raise `EncodeError` where it has no form in it."""
        try:
            return self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise EncodeError(f"JSON cannot hold this {type(value).__name__}: {error}") from error

    def decode(self, payload: bytes | memoryview) -> Any:
        """Return the value; raise `DecodeError` where *payload* is damaged or of another type."""
        try:
            return self._decoder.decode(payload)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise DecodeError(f"not a JSON record of this region: {error}") from error


class RawCodec:
    """Bytes as they are; code 3."""

    code: Final = 3

    def __init__(self) -> None:
        self.decode_plain: Callable[[bytes], Any] = bytes

    def encode(self, value: Any) -> bytes:
        """Return *value*; raise `EncodeError` unless it is bytes."""
        if not isinstance(value, bytes):
            raise EncodeError(f"codec 'raw' takes bytes, not {type(value).__name__}")
        return value

    def decode(self, payload: bytes | memoryview) -> bytes:
        """Return *payload* as bytes."""
        return bytes(payload)
