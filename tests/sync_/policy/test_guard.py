# Generated from tests/async_/policy/test_guard.py by tools/unasync.py. Do not edit.
"""Guard rails on a clock that stands still until told, and the policy of a cache that shares no tier."""

from __future__ import annotations

import dataclasses

import pytest

from tests.sync_.policy.conftest import Node
from tests.sync_.policy.test_follow import follows, ttl_s
from tiercel import Cache
from tiercel._core.clock import ManualClock
from tiercel._core.policy import Switch
from tiercel._core.policyguard import Guard
from tiercel._process import Process


@pytest.fixture
def far_url() -> None:
    """The far tier in this process: a server's clock cannot be moved."""


class Watched:
    """A node on a clock of the test's own, whose products hit as often as the test likes."""

    def __init__(self, cache: Cache, clock: ManualClock) -> None:
        self.cache, self.clock = cache, clock

    def reads(self, hits: int, misses: int) -> None:
        """Read, let ten seconds pass, and let the node look at its figures."""
        products = self.cache.tenant("acme").region("plain")
        products.set("there", 1)
        for number in range(hits):
            assert products.get("there", None) == 1, number
        for number in range(misses):
            assert products.get(f"missing-{number}", None) is None
        self.clock.advance(10.0)
        self.cache.policy.turn()


def watched(node: Node) -> Watched:
    clock = ManualClock(wall_s=1_800_000_000.0)
    cache = node("a", process=Process(clock))
    found = Watched(cache, clock)
    found.reads(hits=400, misses=20)
    return found


def test_guard_rails_roll_a_bad_change_back_and_say_why(node: Node) -> None:
    found = watched(node)
    guard = Guard(most_hit_rate_drop=0.2, least_requests=100)
    found.cache.policy.change({"product": {"ttl": "1s"}}, by="ada", guard=guard)
    found.cache.policy.turn()
    assert ttl_s(found.cache) == 1.0
    found.reads(hits=100, misses=300)
    assert ttl_s(found.cache) == 60.0
    entry = found.cache.policy.document.history[-1]
    assert (entry.action, entry.by) == ("guard", "guard rails on a")
    assert entry.reason.startswith("hit rate fell from ")


def test_without_guard_rails_the_same_change_stays(node: Node) -> None:
    found = watched(node)
    found.cache.policy.change({"product": {"ttl": "1s"}}, by="ada")
    for _ in range(5):
        found.reads(hits=100, misses=300)
    assert ttl_s(found.cache) == 1.0


def test_a_change_that_does_no_harm_is_promoted_after_its_time(node: Node) -> None:
    found = watched(node)
    guard = Guard(most_hit_rate_drop=0.2, least_requests=100)
    found.cache.policy.change({"product": {"ttl": "30s"}}, by="ada", guard=guard, promote_after_s=30.0)
    found.cache.policy.turn()
    found.reads(hits=2, misses=2)
    assert found.cache.policy.note().verdict == "too few reads"
    for _ in range(2):
        assert found.cache.policy.document.trial is not None
        found.reads(hits=400, misses=20)
    assert found.cache.policy.document.trial is None
    assert ttl_s(found.cache) == 30.0
    assert found.cache.policy.document.history[-1].action == "promote"


def test_without_a_shared_tier_the_policy_is_kept_in_a_file(node: Node) -> None:
    shared = node("a")
    alone = shared.matrix.overlay(dataclasses.replace(shared.matrix.cache, namespace="alone"))
    with Cache(alone, process=Process()) as cache:
        document = cache.policy.change({"product": {"ttl": "10s"}}, by="ada", off=[Switch(layer="local")])
        with Cache(alone, process=Process()) as other:
            assert other.policy.document == document
            other.policy.book.roll_back(by="bob")
        follows(cache, document.version + 1)
    with Cache(alone, process=Process()) as again:
        assert (again.policy.version, ttl_s(again)) == (2, 60.0)
