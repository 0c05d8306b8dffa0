"""
Objects to bytes and back: one `ValueCodec` a region.

`msgpack` is the default; `json` is for records that other programs read; `raw` keeps bytes as they are. Payloads above
a threshold are compressed. There is no pickle, and there will be none.
"""

from __future__ import annotations

from tiercel.codecs.compression import compress, decompress
from tiercel.codecs.serial import JsonCodec, MsgpackCodec, RawCodec
from tiercel.codecs.value import ValueCodec

__all__ = ["JsonCodec", "MsgpackCodec", "RawCodec", "ValueCodec", "compress", "decompress"]
