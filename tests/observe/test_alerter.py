"""The alerter: grouping, repetition, silences, and sinks that fail."""

from __future__ import annotations

from dataclasses import replace

from tests.observe.figures import journal, snapshot
from tiercel._core.alertoptions import AlertingOptions
from tiercel._core.alertrules import AlertRule, Severity
from tiercel.observe.alerting import Alerter, Notification, Silence
from tiercel.observe.snapshot import Snapshot

LAG = AlertRule(name="Lag", metric="journal_lag", above=10, clear=5, for_s=0, region="*", severity="critical")
OPTIONS = AlertingOptions(interval_s=10, group_wait_s=15, repeat_s=3600)


class Outbox:
    """A sink that remembers, and fails while told to."""

    name = "outbox"

    def __init__(self, least_severity: Severity = "info", repeat_s: float | None = None) -> None:
        self.least_severity = least_severity
        self.repeat_s = repeat_s
        self.sent: list[Notification] = []
        self.is_broken = False

    def send(self, notification: Notification) -> None:
        if self.is_broken:
            raise ConnectionError("no route")
        self.sent.append(notification)

    @property
    def titles(self) -> list[str]:
        return [notification.title for notification in self.sent]


def _at(at_s: float, **lags: float) -> Snapshot:
    return snapshot(at_s=at_s, journals={name: journal(oldest_age_s=lag) for name, lag in lags.items()})


def test_alerts_of_one_rule_travel_together() -> None:
    outbox = Outbox()
    alerter = Alerter([LAG], OPTIONS, [outbox])
    alerter.evaluate(_at(0, product=20, users=1))
    alerter.evaluate(_at(10, product=20, users=20))
    assert outbox.titles == []
    alerter.evaluate(_at(20, product=20, users=20))
    assert outbox.titles == ["[firing] Lag (product, users)"]


def test_an_end_is_told_at_once() -> None:
    outbox = Outbox()
    alerter = Alerter([LAG], replace(OPTIONS, group_wait_s=0), [outbox])
    for number, lag in enumerate((20, 7, 5, 1)):
        alerter.evaluate(_at(number * 10, product=lag))
    assert outbox.titles == ["[firing] Lag (product)", "[resolved] Lag (product)"]
    assert [alert.region for alert in outbox.sent[1].resolved] == ["product"]


def test_a_firing_group_is_repeated_and_each_sink_has_its_own_pace() -> None:
    slow, quick = Outbox(), Outbox(repeat_s=60)
    alerter = Alerter([LAG], replace(OPTIONS, group_wait_s=0), [slow, quick])
    for at_s in range(0, 3700, 10):
        alerter.evaluate(_at(at_s, product=20))
    assert len(slow.sent) == 2
    assert len(quick.sent) == 62


def test_a_silenced_alert_is_seen_and_not_sent() -> None:
    outbox = Outbox()
    alerter = Alerter([LAG], replace(OPTIONS, group_wait_s=0), [outbox])
    alerter.silence(Silence(rule="L*", region="product", until_s=100, reason="moving the database"))
    alerts = alerter.evaluate(_at(0, product=20, users=20))
    assert {alert.region: alert.is_silenced for alert in alerts} == {"product": True, "users": False}
    assert outbox.titles == ["[firing] Lag (users)"]
    alerter.evaluate(_at(100, product=20, users=20))
    assert outbox.titles[1:] == ["[firing] Lag (product, users)"]
    assert alerter.silences == []


def test_a_sink_that_fails_is_tried_again_and_harms_no_other() -> None:
    broken, outbox = Outbox(), Outbox()
    broken.is_broken = True
    alerter = Alerter([LAG], replace(OPTIONS, group_wait_s=0), [broken, outbox])
    alerter.evaluate(_at(0, product=20))
    alerter.evaluate(_at(10, product=20))
    assert (outbox.titles, alerter.sink_errors) == (["[firing] Lag (product)"], 2)
    broken.is_broken = False
    alerter.evaluate(_at(20, product=20))
    alerter.evaluate(_at(30, product=20))
    assert broken.titles == ["[firing] Lag (product)"]


def test_a_sink_that_missed_the_beginning_hears_only_the_end() -> None:
    outbox = Outbox()
    outbox.is_broken = True
    alerter = Alerter([LAG], replace(OPTIONS, group_wait_s=0), [outbox])
    alerter.evaluate(_at(0, product=20))
    alerter.evaluate(_at(10, product=1))
    outbox.is_broken = False
    alerter.evaluate(_at(20, product=1))
    assert outbox.titles == ["[resolved] Lag (product)"]


def test_a_sink_hears_only_what_is_severe_enough() -> None:
    outbox = Outbox(least_severity="critical")
    alerter = Alerter([LAG, replace(LAG, name="Mild", severity="warning")], replace(OPTIONS, group_wait_s=0), [outbox])
    alerter.evaluate(_at(0, product=20))
    assert outbox.titles == ["[firing] Lag (product)"]


def test_a_region_that_is_gone_ends_its_alert() -> None:
    outbox = Outbox()
    alerter = Alerter([LAG], replace(OPTIONS, group_wait_s=0), [outbox])
    alerter.evaluate(_at(0, product=20))
    alerter.evaluate(_at(10))
    assert outbox.titles == ["[firing] Lag (product)", "[resolved] Lag (product)"]


def test_a_disabled_rule_is_not_watched() -> None:
    assert Alerter([replace(LAG, enabled=False)], OPTIONS, []).evaluate(_at(0, product=99)) == []


def test_a_windowed_figure_is_taken_over_its_window() -> None:
    rule = AlertRule(name="Hits", metric="hit_rate", below=0.5, for_s=0, window_s=60, min_requests=1)
    alerter = Alerter([rule], OPTIONS, [])
    for minute, (hits, misses) in enumerate([(0, 0), (90, 10), (90, 60), (190, 60)]):
        alerts = alerter.evaluate(_reads(minute * 60, hits, misses))
        assert bool(alerts) == (minute == 2)


def _reads(at_s: float, hits: int, misses: int) -> Snapshot:
    now = snapshot(at_s=at_s)
    tier = now.regions["search"].tiers["redis"]
    tier.counts |= {"hits": hits, "misses": misses, "stale_hits": 0}
    now.regions = {"search": now.regions["search"]}
    return now
