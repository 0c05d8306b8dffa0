"""``tiercel top``: rates between two looks, live and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.observe.figures import NOW_S, recorder, snapshot
from tiercel.cli import main, top
from tiercel.observe.report import Report


def _reports() -> Iterator[Report]:
    counters = recorder()
    for look in range(10):
        yield Report.of(snapshot(counters, at_s=NOW_S + 2 * look))
        counters.region("search").tier("redis").hits += 30
        counters.region("search").tier("redis").misses += 10
        counters.region("search").loads += 10


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = _reports()
    monkeypatch.setattr(top, "read_report", lambda source: next(reports))


def test_rates_are_of_the_time_between_two_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--interval", "0", "--count", "2", "--json"]) == 0
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(looks) == 2
    for look in looks:
        assert look["span_s"] == 2
        assert look["regions"]["search"] == {"requests_per_s": 20, "hit_rate": 0.75, "loads_per_s": 5}
        assert look["regions"]["product"]["requests_per_s"] == 0


def test_the_table_shows_each_data_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--interval", "0", "--count", "1"]) == 0
    text = capsys.readouterr().out
    for words in ("search", "75.0 %", "reads/s", "1 connections, journal 12"):
        assert words in text
