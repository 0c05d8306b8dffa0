"""
The decisions of a hedged read: when the primary is late, and what a replica's record must be younger than.
"""

from __future__ import annotations

import random

import pytest

from tiercel import CacheOptions, ConfigurationError
from tiercel._async.replicas import SILENCE_S, hears_primary
from tiercel._core.floors import FLOOR_MS, MARGIN_MS, Floors
from tiercel._core.quantile import Quantile


@pytest.mark.parametrize("scale_s", [0.002, 0.02])
def test_the_estimate_settles_where_the_part_lies_below(scale_s: float) -> None:
    draw = random.Random(5)
    quantile = Quantile(0.95, 0.01, 0.0001, 1.0)
    seen = [draw.expovariate(1 / scale_s) for _ in range(20_000)]
    above = 0
    for number, value in enumerate(seen):
        above += number >= 2_000 and value > quantile.value
        quantile.observe(value)
    assert 0.04 < above / 18_000 < 0.06


def test_the_estimate_stays_in_its_bounds() -> None:
    quantile = Quantile(0.95, 0.01, 0.001, 0.1)
    for _ in range(2_000):
        quantile.observe(0.0)
    assert quantile.value == 0.001
    for _ in range(2_000):
        quantile.observe(9.0)
    assert quantile.value == 0.1


def test_what_is_older_than_its_floor_is_refused() -> None:
    floors: Floors[str] = Floors()
    floors.fell("k", 100_000)
    assert not floors.admits("k", 99_000)
    assert not floors.admits("k", 100_000 + MARGIN_MS), "clocks are known no better"
    assert floors.admits("k", 100_001 + MARGIN_MS)
    assert floors.admits("other", 99_000)


def test_floors_are_forgotten_when_no_replica_can_lag_so_far() -> None:
    floors: Floors[str] = Floors()
    floors.fell("old", 100_000)
    floors.fell("new", 100_001 + FLOOR_MS)
    assert floors.admits("old", 99_000)
    assert not floors.admits("new", 99_000)


def test_missed_messages_and_too_many_floors_refuse_everything_older() -> None:
    floors: Floors[int] = Floors(capacity=3)
    floors.all_fell(100_000)
    assert not floors.admits(1, 100_000)
    crowded: Floors[int] = Floors(capacity=3)
    for number in range(4):
        crowded.fell(number, 100_000)
    assert not crowded.admits(99, 100_000)


@pytest.mark.parametrize(
    ("portrait", "believed"),
    [
        (b"role:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:3\r\n", True),
        (f"role:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:{SILENCE_S + 1}\r\n", False),
        (b"role:slave\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:3\r\n", False),
        (b"role:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:-1\r\n", False),
        (b"role:master\r\n", False),
        (None, False),
    ],
)
def test_a_replica_is_believed_while_it_hears_its_primary(portrait: object, believed: bool) -> None:
    assert hears_primary(portrait) is believed


def test_a_share_has_a_limit() -> None:
    with pytest.raises(ConfigurationError, match=r"hedge_share=0\.5: must lie in \[0, 0\.2\]"):
        CacheOptions(hedge_share=0.5)
