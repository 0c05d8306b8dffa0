"""Retries stay a fixed share of the calls."""

from __future__ import annotations

import pytest

from tiercel._core.retrybudget import RetryBudget
from tiercel.errors import ConfigurationError


def test_an_outage_multiplies_the_load_by_one_and_a_tenth() -> None:
    budget = RetryBudget(share=0.1, reserve=5.0)
    budget.take(0.0)
    retries = 0
    for _ in range(10_000):
        budget.calls += 1
        retries += budget.take(0.0)
    assert 1000 <= retries <= 1005


def test_a_quiet_client_may_retry_a_little() -> None:
    budget = RetryBudget(share=0.1, reserve=5.0)
    assert [budget.take(0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [budget.take(1.0) for _ in range(6)] == [True] * 5 + [False]


def test_savings_are_bounded() -> None:
    budget = RetryBudget(share=0.1, reserve=5.0, most=20.0)
    budget.calls += 1_000_000
    assert sum(budget.take(0.0) for _ in range(100)) == 20


@pytest.mark.parametrize("wrong", [{"share": -0.1}, {"share": 1.1}, {"reserve": -1.0}, {"most": 1.0}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetryBudget(**wrong)  # type: ignore[arg-type]
