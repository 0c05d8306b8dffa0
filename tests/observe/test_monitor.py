"""The monitor: samples, alerts and a thread that ends."""

from __future__ import annotations

import logging
import threading

import pytest

from tests.observe.figures import journal, snapshot
from tiercel._core.alertoptions import AlertingOptions
from tiercel._core.alertrules import AlertRule
from tiercel.observe.monitor import Monitor
from tiercel.observe.snapshot import Snapshot

LAG = AlertRule(name="Lag", metric="journal_lag", above=10, for_s=0, region="*")


def test_a_sample_feeds_the_time_series_and_the_alerts() -> None:
    times = iter((0.0, 10.0))
    monitor = Monitor(lambda: snapshot(at_s=next(times), journals={"product": journal(oldest_age_s=20)}), [LAG])
    monitor.sample()
    monitor.sample()
    assert [point.at_s for point in monitor.timeline.points(0)] == [10.0]
    assert [(alert.rule.name, alert.region) for alert in monitor.alerts()] == [("Lag", "product")]


def test_a_sample_that_fails_is_counted_and_the_next_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    def take() -> Snapshot:
        if monitor.failures == 0:
            raise RuntimeError("closed")
        return snapshot(journals={"product": journal(oldest_age_s=20)})

    monitor = Monitor(take, [LAG])
    with caplog.at_level(logging.ERROR):
        monitor.sample()
    monitor.sample()
    assert (monitor.failures, len(monitor.alerts())) == (1, 1)
    assert "a sample of the figures failed" in caplog.text


def test_the_thread_samples_until_it_is_stopped() -> None:
    sampled = threading.Semaphore(0)

    def take() -> Snapshot:
        sampled.release()
        return snapshot()

    with Monitor(take, [], AlertingOptions(interval_s=0.01)) as monitor:
        monitor.start()
        for _ in range(3):
            assert sampled.acquire(timeout=10)
    names = [thread.name for thread in threading.enumerate()]
    assert "tiercel-monitor" not in names
