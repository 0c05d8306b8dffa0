"""Guard rails: what is a breach, against which time, and when nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from tiercel._core.histogram import Histogram
from tiercel._core.policyguard import Guard, GuardWatch, Reading, Verdict
from tiercel.errors import ConfigurationError


class Node:
    """A node whose figures are made up."""

    def __init__(self) -> None:
        self.at_s, self.requests, self.hits, self.loads = 100.0, 0, 0, 0
        self.latency = Histogram()

    def passes(self, seconds: float, requests: int, hit_rate: float, latency_s: float = 0.001) -> Reading:
        self.at_s += seconds
        hits = round(requests * hit_rate)
        self.requests, self.hits, self.loads = self.requests + requests, self.hits + hits, self.loads + requests - hits
        for _ in range(requests - hits):
            self.latency.observe(latency_s)
        return self.reading()

    def reading(self) -> Reading:
        return Reading(self.at_s, self.requests, self.hits, self.loads, self.latency.copy())


def judged(guard: Guard, hit_rate: float, latency_s: float = 0.001, requests: int = 1000) -> Verdict:
    """Watch a node that hits 95 % of a hundred reads a second before, and *hit_rate* during a trial."""
    node, watch = Node(), GuardWatch()
    watch.note(node.reading())
    watch.begin(node.passes(100, 10_000, 0.95))
    return watch.judge(guard, node.passes(10, requests, hit_rate, latency_s))


@pytest.mark.parametrize(
    ("bounds", "hit_rate", "latency_s", "breach"),
    [
        ({"least_hit_rate": 0.8}, 0.7, 0.001, "hit rate 70.0% is below 80.0% over 1,000 reads"),
        ({"least_hit_rate": 0.8}, 0.9, 0.001, ""),
        ({"most_hit_rate_drop": 0.1}, 0.7, 0.001, "hit rate fell from 95.0% to 70.0%, by more than 10.0%"),
        ({"most_hit_rate_drop": 0.1}, 0.9, 0.001, ""),
        ({"most_p99_s": 0.05}, 0.9, 0.2, "p99 "),
        ({"most_p99_s": 0.05}, 0.9, 0.01, ""),
        ({"most_load_growth": 3.0}, 0.7, 0.001, "loads grew from 5/s to 30/s, to more than 3 times"),
        ({"most_load_growth": 3.0}, 0.9, 0.001, ""),
        ({"most_loads_per_s": 20.0}, 0.7, 0.001, "30 loads/s are above 20"),
        ({"most_loads_per_s": 40.0}, 0.7, 0.001, ""),
    ],
)
def test_each_bound(bounds: dict[str, Any], hit_rate: float, latency_s: float, breach: str) -> None:
    verdict = judged(Guard(**bounds), hit_rate, latency_s)
    assert verdict.is_judged
    assert verdict.breach.startswith(breach)
    assert bool(verdict.breach) is bool(breach)


def test_a_small_sample_is_not_judged() -> None:
    assert judged(Guard(least_hit_rate=0.8, least_requests=200), 0.0, requests=199) == Verdict(False)
    assert judged(Guard(least_hit_rate=0.8, least_requests=200), 0.0, requests=200).breach


def test_a_bound_against_the_time_before_needs_a_time_before() -> None:
    node, watch = Node(), GuardWatch()
    watch.begin(node.reading())
    guard = Guard(most_hit_rate_drop=0.1)
    assert watch.judge(guard, node.passes(10, 1000, 0.0)) == Verdict(True)


def test_the_window_slides_so_that_a_late_breach_is_seen() -> None:
    node, watch, guard = Node(), GuardWatch(), Guard(least_hit_rate=0.8, window_s=10.0, least_requests=50)
    watch.begin(node.reading())
    for _ in range(1000):
        assert watch.judge(guard, node.passes(1, 100, 0.95)) == Verdict(True)
    breaches = [watch.judge(guard, node.passes(1, 100, 0.0)).breach for _ in range(10)]
    assert any(breaches)
    assert breaches.index(next(filter(None, breaches))) <= 2


def test_nothing_is_judged_outside_a_trial() -> None:
    node, watch = Node(), GuardWatch()
    watch.begin(node.reading())
    watch.end()
    assert watch.judge(Guard(least_hit_rate=1.0), node.passes(10, 1000, 0.0)) == Verdict(False)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"least_hit_rate": 1.5},
        {"most_p99_s": 0.0},
        {"least_hit_rate": 0.5, "window_s": 0.0},
        {"least_hit_rate": 0.5, "window_s": 301.0},
        {"least_hit_rate": 0.5, "least_requests": 0},
    ],
)
def test_rails_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="guard"):
        Guard(**wrong)
