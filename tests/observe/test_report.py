"""The report: every figure from known counters, as object, table and JSON."""

from __future__ import annotations

import json

import pytest

from tests.observe.figures import NOW_S, link, local_tier, node, recorder, snapshot
from tiercel.errors import ConfigurationError
from tiercel.observe import Recorder
from tiercel.observe.report import Report
from tiercel.observe.reporttable import report_text


def test_rates_are_of_all_reads() -> None:
    product = Report.of(snapshot()).regions["product"]
    assert (product.requests, product.hits, product.misses) == (1000, 900, 100)
    assert (product.hit_rate, product.miss_rate) == (0.9, 0.1)
    assert product.database_load_saved == 0.94
    assert product.tiers["local"].hit_rate == 0.7
    assert product.tiers["redis"].hit_rate == pytest.approx(200 / 300)
    assert list(product.tiers) == ["local", "redis"]


def test_overall_sums_the_data_types() -> None:
    overall = Report.of(snapshot()).overall
    assert (overall.requests, overall.hits, overall.loads) == (1100, 950, 110)
    assert overall.hit_rate == pytest.approx(950 / 1100)
    assert overall.requests_per_s == 11
    assert overall.database_load_saved == 0.9
    assert overall.error_rate == pytest.approx(5 / 1100)
    assert (overall.connections, overall.memory_bytes) == (1, 100_000)
    assert (overall.journal_pending, overall.journal_lag_s, overall.dead_letters) == (12, 0.75, 1)


def test_what_falls_by_tag_counts_as_one_call() -> None:
    counters = recorder()
    counters.event("tags_invalidated", tenant="acme", count=3)
    assert Report.of(snapshot(counters)).overall.invalidations == 8


def test_response_times_are_by_tier() -> None:
    response = Report.of(snapshot()).overall.response
    assert response["redis"].count == 300
    assert response["redis"].p50_s == pytest.approx(0.0004, rel=0.07)
    assert response["redis"].mean_s == pytest.approx(0.0004)
    assert response["load"].p99_s == pytest.approx(0.02, rel=0.07)
    assert response["write"].count == 0


def test_a_report_survives_json() -> None:
    report = Report.of(snapshot())
    assert Report.from_json(report.to_json()) == report
    assert json.loads(report.to_json())["regions"]["product"]["journal"]["lag_s"] == 0.75


def test_something_else_is_no_report() -> None:
    with pytest.raises(ConfigurationError, match="this is no report"):
        Report.from_json("{}")


def test_the_figures_between_two_snapshots() -> None:
    counters = recorder()
    earlier = snapshot(counters, at_s=NOW_S)
    counters.region("product").tier("redis").misses += 10
    counters.region("product").loads += 10
    counters.region("product").tier("redis").latency.observe(1.0)
    counters.region("order").tier("redis").hits += 3
    report = Report.of(snapshot(counters, at_s=NOW_S + 10).since(earlier))
    assert report.span_s == 10
    assert report.regions["product"].loads == 10
    assert report.regions["product"].tiers["redis"].response.count == 1
    assert report.regions["search"].requests == 0
    assert report.regions["order"].hits == 3


def test_a_cache_that_did_nothing_has_a_report() -> None:
    report = Report.build(Recorder(), at_s=5.0)
    assert (report.overall.hit_rate, report.overall.database_load_saved, report.regions) == (0, 0, {})
    assert "0 reads" in report_text(report)


def test_states_that_parts_report_are_in_the_snapshot() -> None:
    counters = recorder()
    counters.gauge("purge_budget_used", 0.4)
    counters.gauge("purge_budget_used", 0.6)
    assert snapshot(counters, gauges={"backplane_lag": 0.1}).gauges == {"purge_budget_used": 0.6, "backplane_lag": 0.1}


def test_the_bound_of_the_local_copies_is_known_from_the_matrix() -> None:
    assert snapshot().regions["product"].tiers["local"].bound_share == 0.25


def test_build_takes_the_parts_themselves() -> None:
    report = Report.build(recorder(), local_tier(), {"redis": link()}, at_s=NOW_S)
    assert report.regions["product"].hit_rate == 0.9
    assert report.connections["redis"]["127.0.0.1:6379"].version == "redis 7.0.15"


def test_the_table_names_what_matters() -> None:
    down = link(node(is_connected=False, breaker="open", last_error="refused"))
    text = report_text(Report.of(snapshot(links={"redis": down})))
    for words in ("1,100 reads", "90.0 %", "local 70 redis 20", "saved", "p99", "down: refused", "750ms"):
        assert words in text
