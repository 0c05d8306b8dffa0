"""Slots of keys and the map of who serves them."""

from __future__ import annotations

import pytest

from tiercel._core.slots import SLOT_COUNT, SlotMap, hash_tag, key_slot

# From the Redis Cluster specification and ``CLUSTER KEYSLOT`` of a real server.
KNOWN = [(b"123456789", 12739), (b"foo", 12182), (b"{foo}bar", 12182), (b"", 0), (b"somekey", 11058)]


@pytest.mark.parametrize(("key", "slot"), KNOWN)
def test_slots_are_the_servers(key: bytes, slot: int) -> None:
    assert key_slot(key) == slot


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        (b"plain", b"plain"),
        (b"a{b}c", b"b"),
        (b"a{}c", b"a{}c"),
        (b"a{b", b"a{b"),
        (b"a}b{c}", b"c"),
        (b"{{b}}", b"{b"),
        (b"{a}{b}", b"a"),
    ],
)
def test_the_hash_tag_is_the_first_pair_of_braces(key: bytes, tag: bytes) -> None:
    assert hash_tag(key) == tag


REPLY = [
    [0, 8191, [b"10.0.0.1", 7001, b"id1"], [b"10.0.0.4", 7004, b"id4"]],
    [8192, 16383, [b"", 7002, b"id2"]],
]


def test_a_map_knows_every_slots_primary() -> None:
    slots = SlotMap.parse(REPLY, "asked")
    assert slots.primaries[0] == slots.primaries[8191] == "10.0.0.1:7001"
    assert slots.primaries[8192] == "asked:7002"
    assert slots.primary_names() == ("10.0.0.1:7001", "asked:7002")
    assert slots.replicas == {"10.0.0.1:7001": ("10.0.0.4:7004",), "asked:7002": ()}
    assert slots.coverage == 1


def test_a_hole_shows_in_the_coverage() -> None:
    slots = SlotMap.parse([[0, 4095, [b"h", 1]], [8192, 8192]], "asked")
    assert slots.coverage == 0.25
    assert slots.primaries[8192] is None


def test_an_empty_map_serves_nothing() -> None:
    assert SlotMap().coverage == 0
    assert SlotMap().primary_names() == ()
    assert len(SlotMap().primaries) == SLOT_COUNT


def test_a_move_makes_a_new_map_and_leaves_the_old_one() -> None:
    before = SlotMap.parse(REPLY, "asked")
    after = before.moved(5, "10.0.0.9:7009")
    assert (before.primaries[5], after.primaries[5]) == ("10.0.0.1:7001", "10.0.0.9:7009")
    assert after.replicas["10.0.0.9:7009"] == ()
    assert after.moved(5, "10.0.0.9:7009") is after
