"""The state machine of an alert: for-duration, hysteresis, unknown figures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.observe.figures import journal, link, node, snapshot
from tiercel._core.alertrules import DEFAULT_RULES, METRICS, AlertRule
from tiercel._core.alertstate import AlertState, next_state
from tiercel.observe.alertfigures import figures_of, interpolated_quantile

ABOVE = AlertRule(name="A", metric="journal_lag", above=10, clear=5, for_s=60)
BELOW = AlertRule(name="B", metric="hit_rate", below=0.5, clear=0.6, for_s=0)


def _run(rule: AlertRule, values: list[float | None], step_s: float = 30) -> list[str]:
    state, phases = AlertState(), []
    for number, value in enumerate(values):
        state = next_state(rule, state, value, number * step_s)
        phases.append(state.phase[0])
    return phases


@pytest.mark.parametrize(
    ("rule", "values", "phases"),
    [
        (ABOVE, [10, 11, 11, 11, 6, 5], "ipp" + "ffi"),
        (ABOVE, [11, 11, 10, 11, 11, 11], "ppippf"),
        (ABOVE, [11, 6, 11, 6], "pipi"),
        (ABOVE, [11, 11, 11, None, 11], "ppfip"),
        (BELOW, [0.5, 0.4, 0.55, 0.6, 0.55], "iffii"),
    ],
)
def test_phases(rule: AlertRule, values: list[float | None], phases: str) -> None:
    assert "".join(_run(rule, values)) == phases


def test_an_alert_remembers_when_it_began() -> None:
    state = next_state(ABOVE, AlertState(), 11, 100)
    state = next_state(ABOVE, state, 12, 160)
    assert state == AlertState("firing", 100, 12)


def _figure(metric: str, region: str = "", **changes: Any) -> dict[str, float | None]:
    rule = AlertRule(name="A", metric=metric, above=0, region=region, min_requests=0)  # type: ignore[arg-type]
    now = snapshot(**changes)
    return figures_of(rule, now, now)


def test_figures_are_of_the_whole_cache_or_of_a_region() -> None:
    assert _figure("hit_rate") == {"": 950 / 1100}
    assert _figure("hit_rate", "search") == {"search": 0.5}
    assert _figure("hit_rate", "*") == {"product": 0.9, "search": 0.5}
    assert _figure("hit_rate", "nowhere") == {"nowhere": None}
    assert _figure("error_rate", "search") == {"search": 0.05}
    assert _figure("memory_used", "*") == {"product": 0.25, "search": None}


def test_state_figures() -> None:
    journals = {"product": journal(), "orders": journal(depth=1, oldest_age_s=3.0, dead=0)}
    assert _figure("journal_lag", journals=journals) == {"": 3.0}
    assert _figure("journal_depth", "*", journals=journals) == {"product": 12, "orders": 1}
    assert _figure("dead_letters", journals=journals) == {"": 1}
    assert _figure("journal_lag", journals={}) == {"": None}
    half_open = link(node("a:1"), node("b:1", breaker="half-open"))
    assert _figure("breaker_open", links={"redis": half_open}) == {"": 1}
    assert _figure("breaker_open", links={}) == {"": None}
    assert _figure("backplane_lag", gauges={"backplane_lag": 0.25}) == {"": 0.25}
    assert _figure("backplane_gaps") == {"": 0}


def test_a_percentile_of_the_shared_tier() -> None:
    value = _figure("latency_p99", "product")["product"]
    assert value is not None
    assert 0.00026 < value <= 0.000525


def test_few_reads_say_nothing() -> None:
    for metric in ("hit_rate", "error_rate", "latency_p99"):
        rule = AlertRule(name="A", metric=metric, above=0, min_requests=5000)
        assert figures_of(rule, snapshot(), snapshot()) == {"": None}


def test_every_metric_has_a_figure_and_the_defaults_use_each() -> None:
    for metric, kind in METRICS.items():
        for region in ("", "*") if kind.has_regions else ("",):
            assert figures_of(AlertRule(name="A", metric=metric, above=0, region=region), snapshot(), snapshot())  # type: ignore[arg-type]
    assert {rule.metric for rule in DEFAULT_RULES} | {"journal_depth"} == set(METRICS)


def test_quantiles_of_buckets_are_interpolated() -> None:
    bounds = [(1.0, 0), (2.0, 50), (4.0, 100)]
    assert interpolated_quantile(0.5, bounds, 100) == 2.0
    assert interpolated_quantile(0.75, bounds, 100) == 3.0
    assert interpolated_quantile(0.99, bounds, 200) == 4.0
    assert interpolated_quantile(0.5, bounds, 0) is None
