"""
Promotions hold for a while, are earned again, and give way in the order in which they end.
"""

from __future__ import annotations

import pytest

from tiercel import ConfigurationError, RegionOptions
from tiercel._core.promotions import Promotions
from tiercel.options import HOT_KEYS


def test_a_promotion_holds_for_a_while_and_is_news_once() -> None:
    promotions: Promotions[str] = Promotions(capacity=2, hold_s=30.0)
    assert promotions.promote("a", 0.0)
    assert not promotions.promote("a", 10.0)
    assert promotions.is_promoted("a", 39.9)
    assert not promotions.is_promoted("a", 40.0)
    assert promotions.promote("a", 40.0), "earned again"


def test_the_promotion_that_ends_first_gives_way() -> None:
    promotions: Promotions[str] = Promotions(capacity=2, hold_s=30.0)
    promotions.promote("a", 0.0)
    promotions.promote("b", 1.0)
    promotions.promote("c", 2.0)
    assert promotions.promoted(3.0) == ["b", "c"]


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        (RegionOptions(name="r", tiers=("redis",)), HOT_KEYS),
        (RegionOptions(name="r", tiers=("redis",), hot_keys=0), 0),
        (RegionOptions(name="r", tiers=("local", "redis")), 0),
        (RegionOptions(name="r", tiers=("cdn",)), 0),
        (RegionOptions(name="r", tiers=("redis",), private=True), 0),
        (RegionOptions(name="r", tiers=("redis",), private=True, hot_keys=4), 4),
        (RegionOptions(name="r", tiers=("redis",), consistency="strong"), 0),
        (RegionOptions(name="r", tiers=("redis",), never_stale=True), 0),
    ],
)
def test_who_keeps_hot_keys_near(options: RegionOptions, limit: int) -> None:
    assert options.hot_limit == limit


def test_contradictions_name_both_fields() -> None:
    with pytest.raises(ConfigurationError, match="hot_keys=4 contradicts tiers="):
        RegionOptions(name="r", hot_keys=4)
    with pytest.raises(ConfigurationError, match="hot_keys=4 contradicts consistency='strong'"):
        RegionOptions(name="r", tiers=("redis",), hot_keys=4, consistency="strong")
    with pytest.raises(ConfigurationError, match="hot_ttl=0"):
        RegionOptions(name="r", tiers=("redis",), hot_ttl_s=0)
