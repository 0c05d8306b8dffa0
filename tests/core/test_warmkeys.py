"""
Which keys are worth being warm: order, forgetting, bounds, and the form in which they are saved.
"""

from __future__ import annotations

import pytest

from tiercel._core.warmkeys import WarmKey, WarmKeys, in_batches, merged, pack_keys, ranked, unpack_keys
from tiercel.errors import DecodeError


def _key(key: str | bytes, heat: float = 1.0, cost_s: float = 0.01, region: str = "item") -> WarmKey:
    return WarmKey("acme", region, key, heat, cost_s)


def test_the_hottest_and_dearest_come_first() -> None:
    keys = [_key("hot", 100.0, 0.001), _key("dear", 2.0, 1.0), _key("cold", 1.0, 0.001), _key("both", 100.0, 1.0)]
    assert [key.key for key in ranked(keys, 3)] == ["both", "dear", "hot"]


def test_a_key_that_was_never_loaded_here_costs_what_others_cost() -> None:
    keys = WarmKeys(10)
    keys.loaded("acme", "item", "a", 0.0, 0.2)
    keys.read("acme", "item", "b", 0.0)
    assert {key.key: key.cost_s for key in keys.keys()} == {"a": 0.2, "b": 0.2}  # noqa: SIM118  # no dict


def test_heat_halves_in_a_half_life() -> None:
    keys = WarmKeys(10)
    keys.read("acme", "item", "a", 0.0, 8.0)
    keys.read("acme", "item", "b", 600.0)
    assert {key.key: key.heat for key in keys.keys()} == {"a": 4.0, "b": 0.5}  # noqa: SIM118  # no dict


def test_the_coldest_half_is_forgotten() -> None:
    keys = WarmKeys(100)
    for number in range(1000):
        keys.read("acme", "item", f"k{number}", 0.0, 50.0 if number < 40 else 1.0)
        assert len(keys) < 200
    assert {f"k{number}" for number in range(40)} <= {key.key for key in keys.keys()}  # noqa: SIM118  # no dict


def test_nodes_lists_become_one_and_old_heat_fades() -> None:
    both = merged([_key("a", 10.0), _key("gone", 10.0)], [_key("a", 4.0), _key("b", 3.0)], fading=0.5)
    assert {key.key: key.heat for key in both} == {"a": 5.0, "gone": 5.0, "b": 3.0}


def test_keys_of_both_kinds_survive_saving() -> None:
    keys = [_key("ä|{}"), _key(b"\x00\xff"), _key("x", 3.25, 0.125, "other")]
    assert unpack_keys(pack_keys(keys)) == keys


@pytest.mark.parametrize("at", range(0, 60, 3))
def test_a_damaged_list_is_refused(at: int) -> None:
    packed = bytearray(pack_keys([_key("a"), _key("b")]))
    packed[at % len(packed)] ^= 0x10
    with pytest.raises(DecodeError):
        unpack_keys(bytes(packed))


def test_batches_keep_the_order_and_one_region_each() -> None:
    keys = [_key("a"), _key("x", region="other"), _key("b"), _key("c")]
    assert list(in_batches(keys, 2)) == [
        (("acme", "item"), ["a", "b"]),
        (("acme", "other"), ["x"]),
        (("acme", "item"), ["c"]),
    ]
