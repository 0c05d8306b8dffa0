"""Hot keys: found, held in bounded memory, forgotten with time."""

from __future__ import annotations

import random

import pytest

from tiercel._core.hotkeys import HotKeys
from tiercel.errors import ConfigurationError


def test_a_key_is_hot_from_the_threshold_on() -> None:
    hot: HotKeys[str] = HotKeys(threshold=3)
    assert [hot.add("a", 0.0) for _ in range(4)] == [False, False, True, True]
    assert hot.is_hot("a")
    assert not hot.is_hot("b")


def test_a_sampled_read_counts_for_those_not_sampled() -> None:
    hot: HotKeys[str] = HotKeys(threshold=16)
    assert [hot.add("a", 0.0, weight=8) for _ in range(2)] == [False, True]


def test_counts_fall_by_half_each_half_life() -> None:
    hot: HotKeys[str] = HotKeys(threshold=100, half_life_s=10)
    for _ in range(160):
        hot.add("a", 0.0)
    assert hot.is_hot("a")
    hot.add("b", 10.0)
    assert dict(hot.hottest(2))["a"] == 80
    hot.add("b", 40.0)
    assert dict(hot.hottest(2))["a"] == 10
    hot.add("b", 1000.0)
    assert dict(hot.hottest(2)) == {"b": 1}


def test_the_heavy_keys_of_a_skewed_stream_are_held() -> None:
    draw = random.Random(3)
    hot: HotKeys[int] = HotKeys(capacity=32, threshold=1000, half_life_s=1e9)
    for _ in range(20_000):
        hot.add(int(draw.paretovariate(1.0)), 0.0)
    assert [key for key, _ in hot.hottest(3)] == [1, 2, 3]
    assert len(hot.hottest(100)) == 32


def test_a_stream_without_heavy_keys_has_no_hot_one() -> None:
    hot: HotKeys[int] = HotKeys(capacity=64, threshold=500, half_life_s=1e9)
    assert not any(hot.add(number, 0.0) for number in range(20_000))


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"threshold": 0}, {"half_life_s": 0}])
def test_wrong_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        HotKeys(**wrong)
