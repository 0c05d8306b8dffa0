# Generated from tests/async_/engine/test_gutter.py by tools/unasync.py. Do not edit.
"""
The gutter: it takes over while Redis is away, invalidations hold in it, and nothing of it is served afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.sync_.engine.conftest import Node
from tests.rig.redis import RedisServer
from tiercel import Cache, Region
from tiercel._sync.gutter import GutterTier
from tiercel._core.gutter import GutterParts
from tiercel._paired import Poll
from tiercel.testing import FaultProxy

pytestmark = pytest.mark.parametrize("far_url", [None], ids=["proxied"])


@dataclass
class Source:
    """Where values come from, and how often it was asked."""

    value: str = "v1"
    calls: int = 0

    def load(self) -> str:
        self.calls += 1
        return self.value


@dataclass
class Outage:
    """Two Redis servers, the first behind a proxy, and caches that use them."""

    proxy: FaultProxy
    gutter: RedisServer
    make: Node
    caches: list[Cache] = field(default_factory=list)

    def page(self, gutter: str | None = "redis") -> Region:
        """Return the pages of a node of its own; its local copies are not asked."""
        url = self.gutter.url if gutter == "redis" else gutter
        cache = self.make(redis=f"redis://127.0.0.1:{self.proxy.port}", gutter=url)
        self.caches.append(cache)
        return cache.tenant("acme").region("far_page")

    def begin(self) -> None:
        """Cut Redis off, and wait until every node that has a gutter has turned to it."""
        before = self._told("gutter_entered")
        self.proxy.stop()
        self._until("gutter_entered", before)

    def end(self) -> None:
        """Let Redis answer again, and wait until every node that has a gutter has left it."""
        before = self._told("gutter_left")
        self.proxy.heal()
        self._until("gutter_left", before)

    def _told(self, event: str) -> list[int]:
        return [cache.recorder.event_counts().get((event, ""), 0) for cache in self.caches]

    def _until(self, event: str, before: list[int]) -> None:
        poll = Poll(15.0)
        while any(
            now == then and cache.matrix.cache.gutter
            for now, then, cache in zip(self._told(event), before, self.caches, strict=True)
        ):
            for cache in self.caches:
                cache.tenant("acme").region("far_page").get("poke")
            assert poll.again(), f"no {event}"


@pytest.fixture
def outage(node: Node, redis_server: RedisServer) -> Iterator[Outage]:
    with RedisServer() as gutter, FaultProxy(port=redis_server.port) as proxy:
        made = Outage(proxy, gutter, node)
        yield made
        proxy.heal()
        for cache in made.caches:
            cache.close()


def test_the_gutter_takes_over_for_all_nodes(outage: Outage) -> None:
    first, second = outage.page(), outage.page()
    source = Source()
    first.get_or_load("k", source.load)
    outage.begin()
    answers = [page.get_or_load("k", source.load) for page in (first, first, second, second)]
    assert answers == ["v1"] * 4
    assert source.calls == 2, "once in Redis, once in the gutter, for both nodes"
    found: dict[str, Any] = (second.explain("k"))["redis"]
    assert found["from_gutter"]
    assert found["fresh_for_s"] <= 10.0, "its life is capped"


def test_without_a_gutter_every_read_loads(outage: Outage) -> None:
    kept, bare = outage.page(), outage.page(gutter=None)
    source = Source()
    outage.begin()
    for _ in range(4):
        bare.get_or_load("k", source.load)
    assert source.calls == 4
    assert kept.get("k") is not None


def _seen_after_invalidation(outage: Outage) -> str:
    """Invalidate on one node what the other has in the gutter, and return what that one reads."""
    first, second = outage.page(), outage.page()
    source = Source()
    outage.begin()
    first.get_or_load("k", source.load)
    assert second.get_or_load("k", source.load) == "v1"
    source.value = "v2"
    first.remove("k")
    seen: str = second.get_or_load("k", source.load)
    return seen


def test_an_invalidation_in_the_gutter_holds_on_every_node(outage: Outage) -> None:
    assert _seen_after_invalidation(outage) == "v2"


def test_a_gutter_that_is_not_told_serves_the_old_value(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    def untold(self: GutterTier, record: object) -> None:
        """The naive way: the next node to read will find out."""

    monkeypatch.setattr(GutterTier, "fell", untold)
    assert _seen_after_invalidation(outage) == "v1"


def test_an_invalidation_by_a_node_that_reaches_redis_holds_in_the_gutter(outage: Outage) -> None:
    cut_off = outage.page()
    cache = outage.make(redis=outage.caches[0].matrix.cache.redis, gutter=outage.gutter.url)
    source = Source()
    outage.begin()
    cut_off.get_or_load("k", source.load)
    source.value = "v2"
    reaching = cache.tenant("acme").region("far_page")
    outage.proxy.heal()
    reaching.remove("k")
    outage.proxy.stop()
    assert cut_off.get_or_load("k", source.load) == "v2"
    cache.close()


def test_tags_that_fall_in_the_gutter_fall_for_every_node(outage: Outage) -> None:
    first, second = outage.page(), outage.page()
    source = Source()
    outage.begin()
    first.get_or_load("k", source.load, tags=["t"])
    source.value = "v2"
    outage.caches[0].tenant("acme").invalidate_tags("t")
    assert first.get_or_load("k", source.load, tags=["t"]) == "v2"
    assert second.get_or_load("k", source.load, tags=["t"]) == "v2"


@pytest.mark.parametrize("gutter", ["redis", "local"])
def test_nothing_stale_is_served_after_recovery(outage: Outage, gutter: str) -> None:
    page = outage.page(gutter)
    source = Source()
    assert page.get_or_load("k", source.load) == "v1"
    outage.begin()
    source.value = "v2"
    page.remove("k")
    assert page.get_or_load("k", source.load) == "v2", "Redis still has v1, and the removal waits for it"
    page.set("other", "set while Redis is away")
    outage.end()
    assert [page.get_or_load("k", source.load) for _ in range(20)] == ["v2"] * 20
    assert page.get("other", "gone") in ("gone", "set while Redis is away")


def _second_stay(outage: Outage) -> str:
    """Return what a node reads in its second stay of what its first one left in the gutter."""
    page, other = outage.page(), outage.page(gutter=None)
    source = Source()
    outage.begin()
    assert page.get_or_load("k", source.load) == "v1"
    outage.end()
    source.value = "v2"
    other.remove("k")  # by a node that knows of no gutter
    outage.begin()
    seen: str = page.get_or_load("k", source.load)
    return seen


def test_what_an_earlier_stay_left_is_not_served(outage: Outage) -> None:
    assert _second_stay(outage) == "v2"


def test_a_gutter_that_keeps_what_it_had_serves_the_old_value(
    outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GutterParts, "counts", lambda self, part, frame: True)
    assert _second_stay(outage) == "v1"
