"""When a breaker opens, what it lets through, and how it closes."""

from __future__ import annotations

import pytest

from tiercel._core.breaker import Breaker, BreakerOptions, BreakerState
from tiercel.errors import ConfigurationError

OPTIONS = BreakerOptions(
    failures=3, slow_s=0.1, window_s=1.0, bad_share=0.5, least_calls=10, open_s=1.0, open_max_s=4.0, probes=2
)


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker(OPTIONS)
    for _ in range(3):
        breaker.failed(now)
    return breaker


def test_consecutive_failures_open_it() -> None:
    breaker = Breaker(OPTIONS)
    breaker.failed(1.0)
    breaker.failed(1.0)
    assert breaker.state(1.0) is BreakerState.CLOSED
    breaker.failed(1.0)
    assert breaker.state(1.0) is BreakerState.OPEN
    assert not breaker.allows(1.5)
    assert breaker.opened_count == 1


def test_a_good_call_ends_a_row_of_failures() -> None:
    breaker = Breaker(OPTIONS)
    for _ in range(10):
        breaker.failed(1.0)
        breaker.failed(1.0)
        for _ in range(3):
            breaker.ended(1.0, 0.01)
    assert breaker.is_closed


def test_slow_calls_are_bad_calls() -> None:
    breaker = Breaker(OPTIONS)
    for _ in range(3):
        breaker.ended(1.0, 0.1)
    assert not breaker.is_closed


def test_a_bad_share_of_the_window_opens_it_without_a_row() -> None:
    breaker = Breaker(OPTIONS)
    for _ in range(4):
        breaker.failed(1.0)
        breaker.ended(1.0, 0.01)
    assert breaker.is_closed  # eight calls: fewer than it takes to judge
    breaker.failed(1.0)
    breaker.ended(1.0, 0.01)
    breaker.failed(1.0)
    assert not breaker.is_closed


def test_old_failures_are_forgotten_with_their_window() -> None:
    breaker = Breaker(OPTIONS)
    for turn in range(40):
        breaker.failed(1.0 + turn * 1.1)
        breaker.ended(1.0 + turn * 1.1, 0.01)
    assert breaker.is_closed


def test_half_open_lets_a_bounded_number_of_probes_through() -> None:
    breaker = opened(100.0)
    assert breaker.state(101.0) is BreakerState.HALF_OPEN
    assert [breaker.allows(101.0) for _ in range(4)] == [True, True, False, False]


def test_good_probes_close_it() -> None:
    breaker = opened(100.0)
    assert breaker.allows(101.0)
    breaker.ended(101.0, 0.01)
    assert not breaker.is_closed
    assert breaker.allows(101.0)
    breaker.ended(101.0, 0.01)
    assert breaker.is_closed


def test_a_bad_probe_opens_it_for_longer_up_to_the_bound() -> None:
    breaker = opened(100.0)
    now = 100.0
    for pause_s in (1.0, 2.0, 4.0, 4.0):
        assert not breaker.allows(now + pause_s - 0.01)
        now += pause_s
        assert breaker.allows(now)
        breaker.failed(now)


def test_a_slow_probe_is_a_bad_probe() -> None:
    breaker = opened(100.0)
    assert breaker.allows(101.0)
    breaker.ended(101.0, 0.2)
    assert breaker.state(101.5) is BreakerState.OPEN


def test_closing_forgets_how_long_it_was_open() -> None:
    breaker = opened(100.0)
    for now in (101.0, 103.0):
        assert breaker.allows(now)
        breaker.failed(now)
    for _ in range(2):
        assert breaker.allows(107.0)
        breaker.ended(107.0, 0.01)
    for _ in range(3):
        breaker.failed(110.0)
    assert breaker.allows(111.0)


def test_a_probe_that_never_ends_is_forgotten() -> None:
    breaker = opened(100.0)
    assert breaker.allows(101.0)
    assert breaker.allows(101.0)
    assert not breaker.allows(102.9)
    assert breaker.allows(103.1)


def test_failures_from_before_the_opening_change_nothing() -> None:
    breaker = opened(100.0)
    for _ in range(50):
        breaker.failed(100.5)
    assert breaker.opened_count == 1
    assert breaker.allows(101.0)


@pytest.mark.parametrize(
    "wrong", [{"failures": 0}, {"slow_s": 0}, {"bad_share": 0}, {"bad_share": 1.1}, {"open_s": 5.0}, {"probes": 0}]
)
def test_wrong_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        BreakerOptions(**wrong)  # type: ignore[arg-type]
