# Generated from tests/async_/tier/test_damage.py by tools/unasync.py. Do not edit.
"""
A record in Redis that cannot be read is a miss and is counted, whatever it is; the next load replaces it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.sync_.races.conftest import MakeWorld, far_url, world
from tests.golden.frames import path_of
from tiercel import MISS
from tiercel._sync.redis import RedisTier

__all__ = ["far_url", "world"]


def damaged(record: bytes, kind: str) -> bytes:
    return {
        "foreign": b'{"price": 990}' * 20,
        "newer": b"Tc\x09" + record[3:],
        "cut": record[:-1],
        "flipped": record[:-1] + bytes([record[-1] ^ 1]),
        "another key's": path_of("live").read_bytes(),
    }[kind]


@pytest.mark.parametrize("far_url", ["redis"], indirect=True)
@pytest.mark.parametrize("kind", ["foreign", "newer", "cut", "flipped", "another key's"])
def test_an_unreadable_record_is_a_miss_and_is_counted(world: MakeWorld, kind: str) -> None:
    scene = world(2)
    writer, reader = scene.nodes
    key = scene.row("value")
    writer.read(key)
    far: Any = writer.place.node.far
    assert isinstance(far, RedisTier)
    name = writer.place.name(key)
    far.link.execute(b"SET", name, damaged(far.link.execute(b"GET", name), kind))
    assert reader.get(key) is MISS
    assert reader.place.core.stats.damaged_frames == 1
    assert reader.read(key) == "value"
    assert writer.get(key, consistency="strong") == "value"
