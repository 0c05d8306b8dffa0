"""
The express way: what it answers is what the reader would answer, and what it leaves to the reader is not asked twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.async_.engine.conftest import Node
from tiercel import MISS, Matrix, NotFound, RegionOptions
from tiercel._async.region import AsyncRegion
from tiercel.errors import TierUnavailable

pytestmark = pytest.mark.parametrize("far_url", ["redis", "cluster"], indirect=True)
OPTIONS = RegionOptions(name="far_page", tiers=("redis",), ttl_s=60.0, keep_s=60.0, hot_keys=0, tags=("pages",))


class CountingLink:
    """A region's link, of whose questions for records the names are kept."""

    def __init__(self, region: AsyncRegion) -> None:
        express = region._express
        assert express is not None
        self.asked: list[bytes] = []
        self.failure: Exception | None = None
        self._link: Any = express._link
        express._link = self  # type: ignore[assignment]  # the two methods that it uses

    async def get(self, key: bytes, timeout_s: float | None = None) -> Any:
        self.asked.append(key)
        if self.failure is not None:
            raise self.failure
        return await self._link.get(key, timeout_s)

    async def get_many(self, keys: list[bytes], timeout_s: float | None = None) -> Any:
        self.asked += keys
        if self.failure is not None:
            raise self.failure
        return await self._link.get_many(keys, timeout_s)


async def absent() -> Any:
    raise NotFound


async def loaded() -> Any:
    return "loaded"


async def test_an_ordinary_hit_is_answered_and_counted(node: Node) -> None:
    page = (await node(page=OPTIONS)).tenant("acme").region("far_page")
    link = CountingLink(page)
    await page.set_many({"a": {"n": 1}, "b": None})
    assert await page.get("a") == {"n": 1}
    assert await page.get("b", "other") is None
    assert await page.get_or_load("a", absent) == {"n": 1}
    assert await page.get_many(["b", "a", "b"]) == {"a": {"n": 1}, "b": None}
    assert len(link.asked) == 5
    stats = page.place.core.stats
    assert (stats.slow_reads, stats.slow_hits) == (5, 5)
    assert (stats.tier("redis").hits, stats.tier("redis").misses) == (5, 0)
    assert stats.tier("redis").latency.count == 3
    assert page.place.node.recorder.tenants()["far_page"]["acme"] == {"hit": 5}


async def test_a_miss_is_asked_for_once(node: Node) -> None:
    page = (await node(page=OPTIONS)).tenant("acme").region("far_page")
    link = CountingLink(page)
    assert await page.get("none", "other") == "other"
    assert await page.get_many(["none", "neither"]) == {}
    assert len(link.asked) == 3
    stats = page.place.core.stats
    assert (stats.slow_reads, stats.slow_hits, stats.tier("redis").misses) == (3, 0, 3)
    assert await page.get_or_load("none", loaded) == "loaded"
    assert await page.get("none") == "loaded"


async def test_the_answer_that_there_is_no_record_is_the_readers(node: Node) -> None:
    page = (await node(page=OPTIONS)).tenant("acme").region("far_page")
    assert await page.get_or_load("gone", absent, "nothing") == "nothing"
    link = CountingLink(page)
    assert await page.get("gone", "other") == "other"
    assert await page.get_or_load("gone", loaded, "nothing") == "nothing"
    assert await page.get_many(["gone"]) == {}
    assert len(link.asked) == 3
    assert page.place.core.stats.negative_hits == 3


async def test_what_fell_on_another_node_is_not_served(node: Node) -> None:
    first = (await node(page=OPTIONS)).tenant("acme").region("far_page")
    second = (await node(page=OPTIONS)).tenant("acme")
    await first.set_many({"a": 1, "b": 2, "c": 3}, tags=["group"])
    assert await first.get_many(["a", "b", "c"]) == {"a": 1, "b": 2, "c": 3}
    await second.region("far_page").remove("a")
    await second.region("far_page").expire("b")
    assert await first.get("a") is MISS
    assert await first.get("b") is MISS
    assert await first.get_many(["a", "b", "c"]) == {"c": 3}
    await second.invalidate_tags("group")
    assert await first.get("c", consistency="strong") is MISS
    assert await first.get("c") is MISS
    assert await first.get_many(["c"]) == {}


async def test_a_damaged_record_is_a_miss_and_told(node: Node) -> None:
    cache = await node(page=OPTIONS)
    page = cache.tenant("acme").region("far_page")
    await page.set_many({"a": 1, "b": 2})
    link: Any = page._express._link if page._express is not None else None
    name = page.place.name("a")
    record = await link.get(name)
    await link.execute(b"SET", name, record[:-1] + bytes([record[-1] ^ 1]))
    assert await page.get("a") is MISS
    assert await page.get_many(["a", "b"]) == {"b": 2}
    assert page.place.core.stats.damaged_frames == 2


async def test_a_failure_is_not_tried_twice_and_served_as_a_miss(node: Node) -> None:
    page = (await node(page=OPTIONS)).tenant("acme").region("far_page")
    await page.set("a", 1)
    link = CountingLink(page)
    link.failure = TierUnavailable("out of reach", tier="redis")
    assert await page.get("a", "other") == "other"
    assert await page.get_many(["a"]) == {}
    assert len(link.asked) == 2
    assert page.place.core.stats.tier("redis").errors == 2


async def test_what_asks_for_more_goes_the_long_way(node: Node, matrix: Matrix) -> None:
    page = (await node(page=OPTIONS)).tenant("acme").region("far_page")
    await page.set("a", 1)
    link = CountingLink(page)
    assert await page.get("a", consistency="strong") == 1
    assert link.asked == []
    strict = replace(OPTIONS, consistency="strong")
    region = (await node(page=strict)).tenant("acme").region("far_page")
    assert region._express is not None
    assert not region._express.is_open
    near = (await node()).tenant("acme").region("page")
    assert near._express is None
