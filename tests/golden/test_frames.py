"""
Every frame that a release has written stays readable, and nothing else is taken for one.
"""

from __future__ import annotations

import random

import pytest

from tests.golden.frames import FRAMES, KEY_HASH, path_of
from tiercel._core.frame import Frame, pack, unpack
from tiercel.errors import DecodeError

GOLDEN = sorted(FRAMES)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_frame_is_read_and_written_as_ever(name: str) -> None:
    record = path_of(name).read_bytes()
    frame = FRAMES[name]
    assert unpack(record, KEY_HASH) == frame._replace(floor=max(frame.floor, frame.version))
    assert pack(frame) == record


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"", "not a frame"),
        (b"Tc", "not a frame"),
        (b'{"price": 990}' * 10, "not a frame"),
        (b"\x80\x05}q\x00." * 20, "not a frame"),
        (b"Tc\x02" + path_of("live").read_bytes()[3:], "version 2"),
        (path_of("live").read_bytes()[:-1], "length"),
        (path_of("live").read_bytes() + b"!", "length"),
        (path_of("live").read_bytes()[:-1] + b"?", "checksum"),
    ],
)
def test_what_is_no_frame_of_this_release_says_why(record: bytes, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        unpack(record, KEY_HASH)


@pytest.mark.parametrize("name", GOLDEN)
def test_another_keys_frame_is_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="another key"):
        unpack(path_of(name).read_bytes(), KEY_HASH + 1)


def test_mutated_frames_raise_nothing_but_decode_errors() -> None:
    """Flips, cuts, insertions and splices; the long run is in the proofs' fuzzers."""
    chance = random.Random(1)
    records = [path_of(name).read_bytes() for name in GOLDEN]
    refused = 0
    for _ in range(40_000):
        record = bytearray(chance.choice(records))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(record) + 1)
            match chance.randrange(4):
                case 0 if at < len(record):
                    record[at] ^= 1 << chance.randrange(8)
                case 1:
                    del record[at:]
                case 2:
                    record[at:at] = chance.randbytes(chance.randrange(1, 9))
                case _:
                    record[at:] = chance.choice(records)[at:]
        try:
            assert isinstance(unpack(bytes(record), KEY_HASH), Frame)
        except DecodeError:
            refused += 1
    assert refused > 20_000


def test_no_single_bit_of_what_readers_trust_can_flip_unnoticed() -> None:
    """Times, lease and floor are the scripts' to change; the rest is under the checksum."""
    record, written_by_scripts = path_of("live").read_bytes(), {3, 7, *range(24, 80)}
    for bit in range(len(record) * 8):
        at = bit // 8
        flipped = bytearray(record)
        flipped[at] ^= 1 << bit % 8
        if at in written_by_scripts:
            continue
        with pytest.raises(DecodeError):
            unpack(bytes(flipped), KEY_HASH)
