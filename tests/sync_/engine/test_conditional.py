# Generated from tests/async_/engine/test_conditional.py by tools/unasync.py. Do not edit.
"""
Conditional loads: a loader that is offered the old copy, and the answer that it has not been modified.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.sync_.engine.conftest import Node, until
from tiercel import MISS, NOT_MODIFIED, ConfigurationError, Record, RegionOptions, stale_copy

FEED = RegionOptions(name="feed", tiers=("redis",), ttl_s=60.0, keep_s=600.0, hot_keys=0)
NEAR = RegionOptions(name="feed", tiers=("local",), ttl_s=60.0, keep_s=600.0)

everywhere = pytest.mark.parametrize("far_url", ["memory", "redis", "cluster"], indirect=True)
in_memory = pytest.mark.parametrize("far_url", ["memory"], indirect=True)


class Source:
    """A source with ETags, like a server that answers 304."""

    def __init__(self) -> None:
        self.value: dict[str, Any] = {"etag": "a", "text": "first"}
        self.asked: list[str | None] = []
        self.unmodified = 0

    def load(self) -> Any:
        known = stale_copy()
        etag = None if known is None else known.value["etag"]
        self.asked.append(etag)
        if etag == self.value["etag"]:
            self.unmodified += 1
            return NOT_MODIFIED
        return Record(dict(self.value), 7)


@everywhere
def test_an_unmodified_copy_gets_new_windows_and_its_body_stays(node: Node) -> None:
    feed, source = (node(feed=FEED)).tenant("acme").region("feed"), Source()
    assert feed.get_or_load("k", source.load, tags=["t"]) == source.value
    stats = feed.place.core.stats.tier(feed.place.core.far.name)  # type: ignore[union-attr]
    written = stats.written_bytes
    feed.expire("k")
    assert feed.get("k") is MISS
    assert feed.get_or_load("k", source.load, tags=["t"]) == source.value
    assert (source.asked, source.unmodified) == ([None, "a"], 1)
    assert stats.written_bytes == written, "the naive way writes the body again"
    assert feed.place.core.stats.not_modified == 1
    assert feed.get("k") == source.value, "fresh again"
    assert 50 < (feed.ttl("k") or 0) <= 60


@everywhere
def test_a_modified_source_replaces_the_copy(node: Node) -> None:
    feed, source = (node(feed=FEED)).tenant("acme").region("feed"), Source()
    feed.get_or_load("k", source.load)
    feed.expire("k")
    source.value = {"etag": "b", "text": "second"}
    assert feed.get_or_load("k", source.load) == source.value
    assert feed.get("k") == source.value
    assert source.unmodified == 0


@everywhere
def test_a_renewal_does_not_bring_back_what_fell_meanwhile(node: Node) -> None:
    cache = node(feed=FEED)
    feed, source = cache.tenant("acme").region("feed"), Source()

    def overtaken() -> Any:
        answer = source.load()
        if answer is NOT_MODIFIED:
            feed.remove("k")
        return answer

    feed.get_or_load("k", overtaken)
    feed.expire("k")
    assert feed.get_or_load("k", overtaken) == source.value, "its caller asked before"
    assert feed.get("k") is MISS
    assert feed.place.core.stats.fills_refused == 1


@everywhere
def test_a_tag_that_fell_takes_the_copy_out_of_the_offer(node: Node) -> None:
    cache = node(feed=FEED)
    feed, source = cache.tenant("acme").region("feed"), Source()
    feed.get_or_load("k", source.load, tags=["t"])
    cache.tenant("acme").invalidate_tags("t")
    feed.get_or_load("k", source.load, tags=["t"])
    assert source.asked == [None, None]


@in_memory
def test_other_tags_than_the_copys_have_the_value_stored_anew(node: Node) -> None:
    cache = node(feed=FEED)
    feed, source = cache.tenant("acme").region("feed"), Source()
    feed.get_or_load("k", source.load, tags=["one"])
    feed.expire("k")
    feed.get_or_load("k", source.load, tags=["two"])
    assert source.unmodified == 1
    cache.tenant("acme").invalidate_tags("two")
    assert feed.get("k") is MISS


@in_memory
def test_a_region_of_this_process_alone_renews_as_well(node: Node) -> None:
    feed, source = (node(feed=NEAR)).tenant("acme").region("feed"), Source()
    feed.get_or_load("k", source.load)
    feed.expire("k")
    feed.get_or_load("k", source.load)
    assert source.unmodified == 1
    until(lambda: feed.get_local("k") == source.value)


@in_memory
def test_not_modified_without_a_copy_is_a_mistake_with_a_hint(node: Node) -> None:
    feed = (node(feed=FEED)).tenant("acme").region("feed")
    with pytest.raises(ConfigurationError, match="stale_copy"):
        feed.get_or_load("k", lambda: NOT_MODIFIED)
    assert stale_copy() is None, "outside a load nothing is offered"
